"""Changing the size of frames: antialiased both ways, with the aspect ratio kept by cropping or by padding."""

from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

Rule = Literal["crop", "pad"]


def resize(frames: UInt8[np.ndarray, "t h w 3"], height: int, width: int) -> UInt8[np.ndarray, "t height width 3"]:
    """Frames stretched to height x width; the bicubic filter widens with the scale, so shrinking does not alias."""
    if frames.shape[1:3] == (height, width):
        return frames
    images = (Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC) for frame in frames)
    return np.stack([np.asarray(image) for image in images])


def fit(
    frames: UInt8[np.ndarray, "t h w 3"], height: int, width: int, rule: Rule = "crop"
) -> UInt8[np.ndarray, "t height width 3"]:
    """Frames scaled to height x width without distortion.

    `rule` "crop" fills the target and cuts what hangs over, evenly on both sides; "pad" shows everything and leaves
    black bars.
    """
    t, h, w, _ = frames.shape
    scale = (max if rule == "crop" else min)(height / h, width / w)
    scaled = resize(frames, max(1, round(h * scale)), max(1, round(w * scale)))
    if rule == "crop":
        top, left = (scaled.shape[1] - height) // 2, (scaled.shape[2] - width) // 2
        return scaled[:, top : top + height, left : left + width]
    top, left = (height - scaled.shape[1]) // 2, (width - scaled.shape[2]) // 2
    padded = np.zeros((t, height, width, 3), np.uint8)
    padded[:, top : top + scaled.shape[1], left : left + scaled.shape[2]] = scaled
    return padded


def missing_side(size: tuple[int, int], height: int | None, width: int | None) -> tuple[int, int]:
    """Target (height, width) where one or both are None: the other side follows from the aspect of `size`, (h, w)."""
    h, w = size
    if height is None and width is None:
        return h, w
    if height is None:
        assert width is not None
        return max(1, round(h * width / w)), width
    return height, width if width is not None else max(1, round(w * height / h))
