"""Amount of motion against the reference's: a factor, 1 where equal, whichever of the two moves more."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from worldpatch.evals.metrics._result import Frames, Result, compare, factor, geometric_mean

HIGHER_IS_BETTER = False
STILL = 0.5  # grey levels, too faint to see; added to both sides, so that two clips at rest compare as equal


def score(generated: Sequence[Frames], reference: Sequence[Frames]) -> Result:
    """Geometric mean over clips of max(ratio, 1 / ratio) of the motion amounts."""
    return compare(generated, reference, amount, lambda g, r: factor(ratio_of_amounts(g, r)), geometric_mean)


def amount(clip: Frames) -> float:
    """Mean absolute difference of consecutive frames, in grey levels; 0 for an image."""
    if len(clip) < 2:
        return 0.0
    return float(np.mean([np.mean(np.maximum(x, y) - np.minimum(x, y)) for x, y in pairwise(clip)]))


def ratio(clip: Frames, reference: Frames) -> float:
    """Motion of a clip over motion of its reference."""
    return ratio_of_amounts(amount(clip), amount(reference))


def ratio_of_amounts(clip: float, reference: float) -> float:
    return (clip + STILL) / (reference + STILL)
