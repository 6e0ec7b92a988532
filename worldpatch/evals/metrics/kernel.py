"""Squared kernel distance between two sets of clips, in features of the video encoder that ships.

The kernel inception distance (Binkowski et al. 2018) with another encoder. Its estimate does not grow where clips are
few, so all features count and fewer clips do than the Frechet distance needs; it is only noisier.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from worldpatch.evals._features import check_count, features
from worldpatch.evals.metrics._distances import polynomial_mmd
from worldpatch.evals.metrics._result import Frames, Result

HIGHER_IS_BETTER = False
REFERENCE = "set"
LEAST = 32  # clips in each set


def score(generated: Sequence[Frames], reference: Sequence[Frames]) -> Result:
    """The distance of the sets; no clip has a value of its own. Raises UserError below LEAST clips in either.

    The floor is the distance between every other clip of the reference and the rest, without its sign: an unbiased
    estimate of zero is as often below as above. Clips of both sets must have one frame rate, as for `frechet`.
    """
    check_count(generated, reference, LEAST)
    return between(features(generated), features(reference))


def between(generated: Float[np.ndarray, "n d"], reference: Float[np.ndarray, "m d"]) -> Result:
    """The same of features that were taken already."""
    floor = abs(polynomial_mmd(reference[::2], reference[1::2]))
    return Result(value=polynomial_mmd(generated, reference), per_clip=(), floor=floor)
