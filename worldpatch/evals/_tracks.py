"""From blobs to tracks: which patch of colour in this frame is which in the last."""

from dataclasses import dataclass, field
from itertools import combinations, pairwise

import numpy as np
from jaxtyping import Float, Int
from scipy import ndimage
from scipy.optimize import linear_sum_assignment

from worldpatch.evals._segment import Blob, make_blob

REACH = 0.35  # of the frame's side: farther than this in one frame is another solid
SHORTEST = 3  # frames; what is seen for less is flicker
SPLINTER = 0.35  # a fragment this small beside a larger one of its colour belongs to it
GAP = 0.04  # of the frame's side, between a solid and its splinter


@dataclass(kw_only=True)
class Track:
    """One solid over time: its blob by frame. Frames in which it is not seen are absent."""

    colour: str
    blobs: dict[int, Blob] = field(default_factory=dict)

    @property
    def frames(self) -> Int[np.ndarray, " n"]:
        return np.array(sorted(self.blobs))

    @property
    def centres(self) -> Float[np.ndarray, "n 2"]:
        return np.array([self.blobs[f].centre for f in self.frames])

    @property
    def areas(self) -> Float[np.ndarray, " n"]:
        return np.array([self.blobs[f].area for f in self.frames], dtype=float)

    @property
    def last(self) -> Blob:
        return self.blobs[max(self.blobs)]


def follow(frames: list[list[Blob]]) -> list[Track]:
    """Tracks through the blobs of each frame, flicker dropped, in order of size.

    Within a colour the blobs of a frame are given to tracks by least total distance (Hungarian method); a track that
    misses a frame waits, for a solid behind another comes back.
    """
    tracks: list[Track] = []
    for f, found in enumerate(frames):
        for colour in {b.colour for b in found}:
            rivals = [t for t in tracks if t.colour == colour]
            pieces = join_pieces([b for b in found if b.colour == colour], found)
            for blob, track in _assign(pieces, rivals, f):
                if track is None:
                    tracks.append(track := Track(colour=colour))
                track.blobs[f] = blob
    long_enough = [t for t in tracks if len(t.blobs) >= min(SHORTEST, len(frames))]
    return sorted(long_enough, key=lambda t: -t.areas.sum())


def _assign(blobs: list[Blob], tracks: list[Track], frame: int) -> list[tuple[Blob, Track | None]]:
    if not tracks or not blobs:
        return [(b, None) for b in blobs]
    cost = np.array([[_distance(b, t, frame) for t in tracks] for b in blobs])
    rows, columns = linear_sum_assignment(np.minimum(cost, 1e3))
    chosen = {r: tracks[c] for r, c in zip(rows, columns, strict=True) if cost[r, c] < 1}
    return [(b, chosen.get(i)) for i, b in enumerate(blobs)]


def _distance(blob: Blob, track: Track, frame: int) -> float:
    """Distance in units of what a solid may move: less than 1 is possible. Grows patient with the frames missed."""
    last_frame = max(track.blobs)
    patience = 1 + 0.25 * (frame - last_frame - 1)
    h, w = blob.mask.shape
    step = np.hypot(*np.subtract(blob.centre, track.last.centre))
    return float(step / (REACH * patience * (h * w) ** 0.5))


def join_pieces(pieces: list[Blob], everything: list[Blob]) -> list[Blob]:
    """Blobs of one colour and frame, those that are pieces of one solid made one.

    Pieces are joined when what lies between them is mostly other solids (an occluder), or when one is a splinter.
    """
    pieces = list(pieces)
    while True:
        for a, b in combinations(pieces, 2):
            if _is_splinter(a, b) or _is_cut(a, b, everything):
                top, left = np.minimum(a.box[:2], b.box[:2])
                bottom, right = np.maximum(a.box[2:], b.box[2:])
                whole = make_blob(a.colour, a.mask | b.mask, (int(top), int(left), int(bottom), int(right)))
                pieces = [p for p in pieces if p is not a and p is not b] + [whole]
                break
        else:
            return pieces


def _is_splinter(a: Blob, b: Blob) -> bool:
    small, large = sorted((a, b), key=lambda blob: blob.area)
    if small.area > SPLINTER * large.area:
        return False
    near = max(1, round(GAP * large.mask.shape[1]))
    return bool((ndimage.binary_dilation(large.mask, iterations=near) & small.mask).any())


def _is_cut(a: Blob, b: Blob, everything: list[Blob]) -> bool:
    """Whether the straight line between the centres crosses other solids for most of its way outside both."""
    others = [e.mask for e in everything if e.colour != a.colour]
    if not others:
        return False
    steps = np.linspace(a.centre, b.centre, 32).round().astype(int)
    at = (steps[:, 0], steps[:, 1])
    outside = ~(a.mask | b.mask)[at]
    covered = np.logical_or.reduce(others)[at]
    return bool(outside.any() and covered[outside].mean() > 0.6)


def vanishes(track: Track, frames: list[list[Blob]]) -> bool:
    """Whether the solid is missing where nothing excuses it."""
    return bool(absences(track, frames))


def absences(track: Track, frames: list[list[Blob]]) -> list[range]:
    """The frames in which the solid is missing and nothing excuses it: no occluder beside it, no edge of the frame.

    A single missed frame is forgiven.
    """
    found = []
    for run in missing(track, len(frames)):
        neighbours = [f for f in (run.start - 1, run.stop) if f in track.blobs]
        if len(run) > 1 and not any(_is_excused(track.blobs[f], frames[f]) for f in neighbours):
            found.append(run)
    return found


def missing(track: Track, count: int) -> list[range]:
    """The stretches of a clip of `count` frames in which the solid is not seen."""
    marks = [-1, *sorted(track.blobs), count]
    return [range(a + 1, b) for a, b in pairwise(marks) if b > a + 1]


def _is_excused(blob: Blob, others: list[Blob]) -> bool:
    if blob.touches_border(margin=2):
        return True
    around = ndimage.binary_dilation(blob.mask, iterations=2)
    return any((around & other.mask).any() for other in others if other.colour != blob.colour)
