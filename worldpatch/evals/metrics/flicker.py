"""Flicker in grey levels: brightness that changes and changes back where nothing moves."""

from collections.abc import Sequence

import numpy as np

from worldpatch.evals.metrics._result import Frames, Result, check_pairs, perturb

HIGHER_IS_BETTER = False
MOVED = 6  # grey levels between a frame and the one after the next: here something passed


def score(generated: Sequence[Frames], reference: Sequence[Frames]) -> Result:
    """Mean over clips of the flicker that the reference does not have itself."""
    check_pairs(generated, reference)
    per_clip = [max(0.0, amount(g) - amount(r)) for g, r in zip(generated, reference, strict=True)]
    floor = float(np.mean([max(0.0, amount(perturb(r)) - amount(r)) for r in reference]))
    return Result(value=float(np.mean(per_clip)), per_clip=tuple(per_clip), floor=floor)


def amount(clip: Frames) -> float:
    """Mean of |x[t] - (x[t-1] + x[t+1]) / 2| over pixels with |x[t+1] - x[t-1]| < MOVED; 0 below three frames."""
    if len(clip) < 3:
        return 0.0
    x = clip.astype(np.float32)
    still = np.abs(x[2:] - x[:-2]) < MOVED
    wobble = np.abs(x[1:-1] - (x[:-2] + x[2:]) / 2)
    return float(wobble[still].mean()) if still.any() else 0.0
