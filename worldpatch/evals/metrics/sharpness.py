"""Does a clip lose sharpness as it runs, or gain it? Late frames against early ones, beside the reference: a factor."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from worldpatch.evals.metrics._luma import luma
from worldpatch.evals.metrics._result import Frames, Result, compare, factor, geometric_mean

HIGHER_IS_BETTER = False
FAINT = 1.0  # grey levels, added to both sides, so that blank frames compare as equal


def score(generated: Sequence[Frames], reference: Sequence[Frames]) -> Result:
    """Geometric mean over clips of max(ratio, 1 / ratio) of the drifts; 1 where both drift alike."""
    return compare(generated, reference, drift, lambda g, r: factor(g / r), geometric_mean)


def drift(clip: Frames) -> float:
    """Sharpness of the last quarter of the frames over that of the first: below 1 the clip blurs. 1 for an image."""
    quarter = max(1, len(clip) // 4)
    early, late = amount(luma(clip[:quarter])), amount(luma(clip[-quarter:]))
    return (late + FAINT) / (early + FAINT)


def amount(frames: UInt8[np.ndarray, "t h w"]) -> float:
    """Mean |Laplacian| of luma, in grey levels."""
    return float(np.mean([cv2.norm(cv2.Laplacian(f, cv2.CV_16S), cv2.NORM_L1) for f in frames]) / frames[0].size)
