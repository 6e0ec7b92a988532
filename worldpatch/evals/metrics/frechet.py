"""Squared Frechet distance between two sets of clips, in features of the video encoder that ships.

Only the first AXES features count: those along which clips differ most, uncorrelated and of unit variance over the
encoder's training views. A covariance of more axes than clips is singular, and the estimate grows with axes over clips
even where both sets are alike; that many axes leave twice as many clips as numbers in each half of the smallest set.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from worldpatch.evals._features import check_count, features
from worldpatch.evals.metrics._distances import frechet
from worldpatch.evals.metrics._result import Frames, Result

HIGHER_IS_BETTER = False
REFERENCE = "set"
AXES = 16
LEAST = 64  # clips in each set


def score(generated: Sequence[Frames], reference: Sequence[Frames]) -> Result:
    """The distance of the sets; no clip has a value of its own. Raises UserError below LEAST clips in either.

    The floor is the distance between every other clip of the reference and the rest: two draws from one distribution.
    They are half as many, so it is on the cautious side. Clips of both sets must have one frame rate: the encoder knows
    motion per frame.
    """
    check_count(generated, reference, LEAST)
    return between(features(generated), features(reference))


def between(generated: Float[np.ndarray, "n d"], reference: Float[np.ndarray, "m d"]) -> Result:
    """The same of features that were taken already."""
    a, b = generated[:, :AXES], reference[:, :AXES]
    return Result(value=frechet(a, b), per_clip=(), floor=frechet(b[::2], b[1::2]))
