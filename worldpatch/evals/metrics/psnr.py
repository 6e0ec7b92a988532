"""Peak signal-to-noise ratio in dB, per clip: 10 log10(255^2 / mean squared error)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from worldpatch.evals.metrics._result import Frames, Result, compare

HIGHER_IS_BETTER = True
BEST = 99.0  # dB, given to equal clips, whose ratio would be infinite


def score(generated: Sequence[Frames], reference: Sequence[Frames]) -> Result:
    """Mean PSNR of clips against references of the same shape."""
    return compare(generated, reference, np.asarray, psnr)


def psnr(clip: Frames, reference: Frames) -> float:
    error = float(np.mean([_squared_error(x, y) for x, y in zip(clip, reference, strict=True)]))
    return BEST if error == 0 else min(BEST, 10 * np.log10(255**2 / error))


def _squared_error(x: UInt8[np.ndarray, "h w 3"], y: UInt8[np.ndarray, "h w 3"]) -> float:
    return float(np.mean(np.square(np.subtract(x, y, dtype=np.int16), dtype=np.int32)))
