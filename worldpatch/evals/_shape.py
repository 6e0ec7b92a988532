"""Ball, box or cylinder: a blob cut out, scaled to a fixed size, and shown to a small network.

The network sees what a person would go by: the outline, and where the faces and shadings lie inside it.
"""

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from worldpatch.evals import _network
from worldpatch.evals._segment import Blob
from worldpatch.evals._tracks import Track

SIDE = 14  # pixels of the cut-out
MOST = 12  # frames of a track that are looked at
LEAST = 3  # looks at either side of a turn
CERTAIN = 2.5  # log-odds by which two halves of a track must disagree before it counts as reshaped


def features(frame: UInt8[np.ndarray, "h w 3"], blob: Blob) -> Float[np.ndarray, " f"]:
    """The cut-out's outline and shading (SIDE x SIDE each), log aspect, fill of its box, log area."""
    top, left, bottom, right = blob.box
    height, width = bottom - top, right - left
    scale = max(height, width) / SIDE
    rows = (top + bottom - 1) / 2 + (np.arange(SIDE) - (SIDE - 1) / 2) * scale * 1.1
    columns = (left + right - 1) / 2 + (np.arange(SIDE) - (SIDE - 1) / 2) * scale * 1.1
    grid = np.meshgrid(rows, columns, indexing="ij")
    grey = frame @ np.full(3, 1 / 3, np.float32)
    shade = np.where(blob.mask, grey / grey[blob.mask].mean() - 1, 0)
    planes = [blob.mask.astype(np.float32), shade]
    if scale > 1.2:
        planes = [ndimage.gaussian_filter(p, scale / 3) for p in planes]
    cut = [ndimage.map_coordinates(p, grid, order=1, mode="constant").ravel() for p in planes]
    numbers = [np.log(width / height), blob.area / (height * width), np.log(blob.area / blob.mask.size)]
    return np.concatenate([*cut, numbers]).astype(np.float32)


def classify(frames: UInt8[np.ndarray, "t h w 3"], track: Track) -> tuple[str, bool]:
    """The shape of a tracked solid, and whether it turns into another on the way.

    The larger blobs are looked at, those cut by the frame's edge only if there are no others.
    """
    at = good_frames(track)
    network = _network.load("shape")
    votes = network(np.stack([features(frames[f], track.blobs[f]) for f in at]))
    total = votes.sum(0)
    reshaped = len(at) >= 6 and _disagree(votes[: len(at) // 2].mean(0), votes[len(at) // 2 :].mean(0))
    return network.classes[int(total.argmax())], reshaped


def turns(frames: UInt8[np.ndarray, "t h w 3"], track: Track) -> tuple[float, int]:
    """(log-odds, frame): how clearly a track is of one shape before and of another from some frame on, at best.

    Odds are those of the weaker side; 0 where both sides see the same shape or too little is seen.
    """
    at = good_frames(track)
    votes = _network.load("shape")(np.stack([features(frames[f], track.blobs[f]) for f in at]))
    cuts = [(_contrast(votes[:i].mean(0), votes[i:].mean(0)), at[i]) for i in range(LEAST, len(at) - LEAST + 1)]
    return max(cuts, default=(0.0, 0))


def good_frames(track: Track) -> list[int]:
    """Frames spread over the track in which the solid is seen whole, or nearly, and large."""
    whole = [f for f in track.frames if not track.blobs[f].touches_border()] or list(track.frames)
    largest = np.quantile([track.blobs[f].area for f in whole], 0.75)
    good = [f for f in whole if track.blobs[f].area > 0.5 * largest]
    return [int(good[i]) for i in np.unique(np.linspace(0, len(good) - 1, MOST).round().astype(int))]


def _disagree(first: Float[np.ndarray, " k"], second: Float[np.ndarray, " k"]) -> bool:
    """Whether two log-probabilities each prefer another class clearly."""
    return _contrast(first, second) > CERTAIN


def _contrast(first: Float[np.ndarray, " k"], second: Float[np.ndarray, " k"]) -> float:
    """The lesser of the log-odds by which two log-probabilities each prefer their own class; 0 for the same class."""
    a, b = int(first.argmax()), int(second.argmax())
    return float(min(first[a] - first[b], second[b] - second[a]))
