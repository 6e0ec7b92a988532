"""Flicker in grey levels: brightness that changes and changes back where nothing moves."""

from collections.abc import Sequence

import numpy as np

from worldpatch.evals.metrics._result import Frames, Result, compare

HIGHER_IS_BETTER = False
MOVED = 6  # grey levels between a frame and the one after the next: here something passed


def score(generated: Sequence[Frames], reference: Sequence[Frames]) -> Result:
    """Mean over clips of the flicker that the reference does not have itself."""
    return compare(generated, reference, amount, lambda g, r: max(0.0, g - r))


def amount(clip: Frames) -> float:
    """Mean of |x[t] - (x[t-1] + x[t+1]) / 2| over pixels with |x[t+1] - x[t-1]| < MOVED; 0 below three frames."""
    wobble, still = 0, 0
    for before, now, after in zip(clip[:-2], clip[1:-1], clip[2:], strict=True):
        there, back = np.subtract(after, now, dtype=np.int16), np.subtract(now, before, dtype=np.int16)
        resting = np.abs(there + back) < MOVED
        wobble += int(np.sum(np.abs(there - back) * resting, dtype=np.int64))
        still += int(np.count_nonzero(resting))
    return wobble / 2 / still if still else 0.0
