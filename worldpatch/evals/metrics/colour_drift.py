"""Does a clip change colour as it runs? The mean colour's way through CIELAB, beside the reference's, in delta E."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float

from worldpatch.evals.metrics._result import Frames, Result, compare

HIGHER_IS_BETTER = False
EARLY = 4  # frames at the beginning that the later ones are held against
CODE = np.arange(256) / 255
LINEAR = np.where(CODE <= 0.04045, CODE / 12.92, ((CODE + 0.055) / 1.055) ** 2.4).astype(np.float32)  # IEC 61966-2-1


def score(generated: Sequence[Frames], reference: Sequence[Frames]) -> Result:
    """Mean over clips and frames of |drift of the clip - drift of its reference|, CIE 1976 delta E (1 is just seen)."""
    return compare(generated, reference, drift, lambda g, r: float(np.linalg.norm(g - r, axis=1).mean()))


def drift(clip: Frames) -> Float[np.ndarray, "t 3"]:
    """Mean colour (L*, a*, b*) of every frame less that of the first EARLY frames."""
    lab = mean_colour(clip)
    return lab - lab[:EARLY].mean(0)


def mean_colour(clip: Frames) -> Float[np.ndarray, "t 3"]:
    """CIELAB (D65) of each frame's mean light: means are taken of linear sRGB, as a lens out of focus takes them."""
    light = np.array([cv2.mean(cv2.LUT(frame, LINEAR))[:3] for frame in clip], np.float32)
    return cv2.cvtColor(light[:, None], cv2.COLOR_LRGB2Lab)[:, 0].astype(np.float64)
