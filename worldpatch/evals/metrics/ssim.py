"""Structural similarity (Wang et al. 2004) of luma, mean over pixels and frames; 1 where equal."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float

from worldpatch.config import UserError
from worldpatch.evals.metrics._luma import luma
from worldpatch.evals.metrics._result import Frames, Result, compare

HIGHER_IS_BETTER = True
WINDOW, SIGMA = 11, 1.5  # pixels
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


class _Moments(NamedTuple):
    """A clip's luma with its mean and mean square under the window, per frame."""

    luma: list[np.ndarray]
    mean: list[np.ndarray]
    square: list[np.ndarray]


def score(generated: Sequence[Frames], reference: Sequence[Frames]) -> Result:
    """Mean SSIM of clips against references of the same shape, at least WINDOW pixels a side."""
    return compare(generated, reference, _moments, _similarity)


def ssim(clip: Frames, reference: Frames) -> float:
    """SSIM of one clip."""
    return _similarity(_moments(clip), _moments(reference))


def _moments(clip: Frames) -> _Moments:
    height, width = clip.shape[1:3]
    if min(height, width) < WINDOW:
        raise UserError(f"frames of {height}x{width} are smaller than SSIM's window: give at least {WINDOW} pixels")
    frames = [frame.astype(np.float32) for frame in luma(clip)]
    return _Moments(frames, [_windowed(x) for x in frames], [_windowed(x * x) for x in frames])


def _similarity(clip: _Moments, reference: _Moments) -> float:
    """Equation 13 with population covariances."""
    frames = []
    for x, mean_x, square_x, y, mean_y, square_y in zip(*clip, *reference, strict=True):
        product, squares = mean_x * mean_y, mean_x * mean_x + mean_y * mean_y
        covariance, variances = _windowed(x * y) - product, square_x + square_y - squares
        similarity = (2 * product + C1) * (2 * covariance + C2) / ((squares + C1) * (variances + C2))
        frames.append(similarity.mean())
    return float(np.mean(frames))


def _windowed(x: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "_ _"]:
    """Means under the gaussian window wherever it lies within the frame."""
    half = WINDOW // 2
    return cv2.GaussianBlur(x, (WINDOW, WINDOW), SIGMA)[half:-half, half:-half]
