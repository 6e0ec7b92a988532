"""Peak signal-to-noise ratio in dB, per clip: 10 log10(255^2 / mean squared error)."""

from collections.abc import Sequence

import numpy as np

from worldpatch.evals.metrics._result import Frames, Result, check_pairs, perturb

HIGHER_IS_BETTER = True
BEST = 99.0  # dB, given to equal clips, whose ratio would be infinite


def score(generated: Sequence[Frames], reference: Sequence[Frames]) -> Result:
    """Mean PSNR of clips against references of the same shape."""
    check_pairs(generated, reference, same_shape=True)
    per_clip = [psnr(g, r) for g, r in zip(generated, reference, strict=True)]
    floor = float(np.mean([psnr(perturb(r), r) for r in reference]))
    return Result(value=float(np.mean(per_clip)), per_clip=tuple(per_clip), floor=floor)


def psnr(clip: Frames, reference: Frames) -> float:
    error = float(np.mean((clip.astype(np.float64) - reference) ** 2))
    return BEST if error == 0 else min(BEST, 10 * np.log10(255**2 / error))
