"""Do the edges lie where the reference's lie? F-score of Canny edges, matched within a tolerance; 1 where equal."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from worldpatch.evals.metrics._luma import luma
from worldpatch.evals.metrics._result import Frames, Result, compare

HIGHER_IS_BETTER = True
SMOOTH = 1.0  # pixels, sigma of the gaussian before the gradient
WEAK, STRONG = 50, 150  # Canny's hysteresis on Sobel's |dx| + |dy|
TOLERANCE = 0.0075  # of the frame's diagonal, as in Martin, Fowlkes and Malik 2004; at least one pixel


class _Edges(NamedTuple):
    """Edge maps of a clip's frames, and what lies within reach of them."""

    edges: list[np.ndarray]
    near: list[np.ndarray]


def score(generated: Sequence[Frames], reference: Sequence[Frames]) -> Result:
    """Mean F-score of clips against references of the same shape."""
    return compare(generated, reference, _edges, _agreement)


def agreement(clip: Frames, reference: Frames) -> float:
    """F-score of one clip."""
    return _agreement(_edges(clip), _edges(reference))


def reach(height: int, width: int) -> int:
    """Tolerance in pixels: 1 at 128x128, 3 at 256x256."""
    return max(1, round(TOLERANCE * float(np.hypot(height, width))))


def _edges(clip: Frames) -> _Edges:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach(*clip.shape[1:3]) + 1,) * 2)
    edges = [cv2.Canny(cv2.GaussianBlur(frame, (0, 0), SMOOTH), WEAK, STRONG) for frame in luma(clip)]
    return _Edges(edges, [cv2.dilate(edge, disc) for edge in edges])


def _agreement(clip: _Edges, reference: _Edges) -> float:
    """Harmonic mean of the shares of edge pixels, over all frames, that have one of the other clip within reach.

    A pixel may match many (Martin et al. match one to one). 1 where neither clip has an edge, 0 where only one has.
    """
    count, other = _count(clip.edges), _count(reference.edges)
    if not count or not other:
        return float(count == other)
    precision = _count(cv2.bitwise_and(a, b) for a, b in zip(clip.edges, reference.near, strict=True)) / count
    recall = _count(cv2.bitwise_and(a, b) for a, b in zip(reference.edges, clip.near, strict=True)) / other
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _count(frames: Iterable[np.ndarray]) -> int:
    return sum(cv2.countNonZero(frame) for frame in frames)
