"""Clips in grey."""

import cv2
import numpy as np
from jaxtyping import UInt8

from worldpatch.evals.metrics._result import Frames


def luma(clip: Frames) -> UInt8[np.ndarray, "_ _ _"]:
    """ITU-R BT.601 luma of every frame, "t h w", rounded to grey levels."""
    t, h, w, _ = clip.shape
    return cv2.cvtColor(np.ascontiguousarray(clip).reshape(t * h, w, 3), cv2.COLOR_RGB2GRAY).reshape(t, h, w)
