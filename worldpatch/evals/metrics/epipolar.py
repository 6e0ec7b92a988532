"""Does the scene hold its shape as the camera moves? Sampson error of tracked corners, in pixels.

The pictures of a rigid scene from two places obey x'^T F x = 0 with one matrix F (Hartley and Zisserman, 11.4.3). No
network is asked: corners are tracked, F is estimated robustly, and its first-order error in pixels is the measure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from worldpatch.evals.metrics._luma import luma
from worldpatch.evals.metrics._result import Frames, Result, compare

HIGHER_IS_BETTER = False
STEP = 3  # frames between the two pictures, so that the camera has moved
STRENGTH, APART = 0.0003, 3  # of a corner: least beside the strongest, and pixels to the next
CELLS, MOST = (
    8,
    3,
)  # a picture is cut into CELLS x CELLS; a cell gives its MOST strongest corners, or solids outvote all
WINDOW, LEVELS = (11, 11), 2  # Lucas and Kanade's, pixels and pyramid
RETURN = 0.25  # pixels by which a corner tracked there and back may miss itself
FEWEST = 16  # tracks that a pair of pictures is judged by; F has 7 degrees of freedom
RESTING = 0.25  # pixels of median displacement below which the camera rests
INLIER = 1.0  # pixels
LOST = 2.0  # pixels, the most a pair counts, and what a clip counts in which nothing can be tracked


@dataclass(frozen=True, kw_only=True)
class Rigidity:
    """Median Sampson error of the median pair of pictures, the mean share of inliers, and how many pairs told.

    Where `pairs` is 0 (a blank clip, a single frame, noise), `error` is LOST and `inliers` 0: nothing was seen to be
    rigid.
    """

    error: float
    inliers: float
    pairs: int


def score(generated: Sequence[Frames], reference: Sequence[Frames]) -> Result:
    """Mean over clips of the error in pixels that the reference does not have itself.

    Solids that move by themselves break the rule in the reference too, and are outvoted by the stage as long as fewer
    than half of the corners are theirs.
    """
    return compare(generated, reference, lambda clip: rigidity(clip).error, lambda g, r: max(0.0, g - r))


def rigidity(clip: Frames) -> Rigidity:
    """How rigid the scene of one clip is, over all pairs of frames STEP apart (a shorter clip: first and last)."""
    step = max(1, min(STEP, len(clip) - 1))
    grey = luma(clip)
    pairs = [_pair(grey[i], grey[i + step]) for i in range(0, len(clip) - step, step)]
    told = [p for p in pairs if p is not None]
    if not told:
        return Rigidity(error=LOST, inliers=0.0, pairs=0)
    errors, inliers = zip(*told, strict=True)
    return Rigidity(error=float(np.median(errors)), inliers=float(np.mean(inliers)), pairs=len(told))


def _pair(a: UInt8[np.ndarray, "h w"], b: UInt8[np.ndarray, "h w"]) -> tuple[float, float] | None:
    """(median error, share of inliers) of a pair of pictures; None where too few corners can be followed.

    Without parallax F is not determined. Where the camera rests, the rigid motion is none at all, and the error is the
    displacement itself.
    """
    x, y = _tracks(a, b)
    if len(x) < FEWEST:
        return None
    error = np.linalg.norm(y - x, axis=1)
    if np.median(error) >= RESTING:
        matrix = _fundamental(x, y)
        if matrix is None:
            return None
        error = sampson(matrix, x, y)
    return min(LOST, float(np.median(error))), float(np.mean(error < INLIER))


def _fundamental(x: Float[np.ndarray, "n 2"], y: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "3 3"] | None:
    """The matrix by MAGSAC++ (Barath et al. 2020); None where it finds none.

    OpenCV 5.0 raises on about one pair in a hundred, where its refinement comes to nothing; drawing its samples from
    the reversed list mostly helps.
    """
    for order in (1, -1):
        try:
            matrix, _ = cv2.findFundamentalMat(x[::order], y[::order], cv2.USAC_MAGSAC, INLIER, 0.999, 2000)
        except cv2.error:
            continue
        if matrix is not None and matrix.shape == (3, 3):
            return matrix
    return None


def _tracks(
    a: UInt8[np.ndarray, "h w"], b: UInt8[np.ndarray, "h w"]
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2"]]:
    """Corners of a and where they are in b: those that, tracked back, come home."""
    corners = _corners(a)
    if not len(corners):
        return np.zeros((0, 2)), np.zeros((0, 2))
    there, found, _ = cv2.calcOpticalFlowPyrLK(a, b, corners, corners.copy(), winSize=WINDOW, maxLevel=LEVELS)
    back, again, _ = cv2.calcOpticalFlowPyrLK(b, a, there, there.copy(), winSize=WINDOW, maxLevel=LEVELS)
    home = np.linalg.norm(back - corners, axis=-1)[:, 0] < RETURN
    kept = home & (found[:, 0] == 1) & (again[:, 0] == 1)
    return corners[kept, 0].astype(np.float64), there[kept, 0].astype(np.float64)


def _corners(frame: UInt8[np.ndarray, "h w"]) -> Float[np.ndarray, "n 1 2"]:
    """Corners (x, y) of a picture, spread over its cells."""
    found = cv2.goodFeaturesToTrack(frame, 0, STRENGTH, APART)  # the strongest first
    if found is None:
        return np.zeros((0, 1, 2), np.float32)
    height, width = frame.shape
    cell = (found[:, 0, 1] * CELLS // height) * CELLS + found[:, 0, 0] * CELLS // width
    order = np.argsort(cell, kind="stable")
    rank = np.arange(len(cell)) - np.searchsorted(cell[order], cell[order])
    return found[np.sort(order[rank < MOST])]


def sampson(
    matrix: Float[np.ndarray, "3 3"], x: Float[np.ndarray, "n 2"], y: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, " n"]:
    """First-order distance in pixels of the matches (x, y) to y^T F x = 0: the root of Hartley and Zisserman's 11.9."""
    x, y = (np.concatenate([p, np.ones((len(p), 1))], axis=1) for p in (x, y))
    lines_y, lines_x = x @ matrix.T, y @ matrix
    slope = np.sqrt((lines_y[:, :2] ** 2).sum(1) + (lines_x[:, :2] ** 2).sum(1))
    return np.abs((y * lines_y).sum(1)) / np.maximum(slope, 1e-12)
