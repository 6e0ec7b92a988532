"""What cannot be: solids that vanish, appear, double, turn into others, pass through each other or gain energy.

Judged from pixels alone, without a prompt and without the truth, in rooms of the tabletop's levels 1 and 2: every solid
is there from the first frame, nothing hides but behind a solid or the frame's edge, nothing moves of itself once the
clip has begun. Each kind has a measure and a limit. The limits were set on renders of their own
(`benchmarks/critic.py` says which, and how often they are right).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from jaxtyping import Bool, Float, UInt8

from worldpatch.evals import _motion, _shape
from worldpatch.evals._segment import Blob
from worldpatch.evals._tracks import Track, absences, missing
from worldpatch.evals.detect import Seen, detect

Frames = UInt8[np.ndarray, "t h w 3"]
LIMITS = {
    "vanishes": 1.0,  # frames for which it is gone
    "appears": 1.0,  # frames for which it was not there
    "doubles": 1.0,  # likewise
    "recoloured": 0.5,  # share of the smaller silhouette that both have
    "reshaped": 2.5,  # log-odds
    "passes through": 1.4,  # diameters over distance on the ground
    "gains energy": 0.3,  # diameters that it rises higher than it fell, or gets ahead in PACE frames by going faster
}
"""What the measure of each kind must exceed."""

BESIDE = 2  # frames within which one colour follows another in the same place
GROUND = 0.45  # a metre into the picture is so much of one across it, seen from 27 degrees above
REACH = 0.5  # diameters: solids this near may have touched between two frames
PACE = 6
MARGIN = 0.15  # of a box is added on every side


@dataclass(frozen=True, kw_only=True)
class Paradox:
    """Something that cannot be. It is about `colours` in the frames `first` to `last`, inside `box` (top, left, bottom,
    right; pixels). `strength` is its measure over the limit of its kind: above 1."""

    kind: str
    colours: tuple[str, ...]
    first: int
    last: int
    box: tuple[int, int, int, int]
    strength: float

    def __str__(self) -> str:
        names = " and ".join(self.colours) if self.kind != "recoloured" else " to ".join(self.colours)
        return f"{names} {self.kind} ({self.first} to {self.last})"


def paradoxes(frames: Frames, seen: Seen | None = None) -> list[Paradox]:
    """All that is found, strongest first. `seen` spares a second look at the clip. An image has none."""
    seen = detect(frames) if seen is None else seen
    if len(frames) < 2:
        return []
    turned = list(_recoloured(seen))
    found = [*turned, *_absent(seen, turned), *_reshaped(frames, seen), *_through(seen), *_lively(seen)]
    return sorted((p for p in found if p.strength > 1), key=lambda p: -p.strength)


def _paradox(kind: str, measure: float, tracks: list[Track], first: int, last: int) -> Paradox:
    """A paradox that these tracks make in these frames."""
    first = max(0, first)
    return Paradox(
        kind=kind, colours=tuple(dict.fromkeys(t.colour for t in tracks)), first=first, last=last,
        box=around(tracks, first, last), strength=measure / LIMITS[kind],
    )  # fmt: skip


def around(tracks: list[Track], first: int, last: int) -> tuple[int, int, int, int]:
    """The box (top, left, bottom, right; pixels) around what is seen of tracks in the frames `first` to `last`, or else
    nearest to them in time, with a margin of MARGIN."""
    boxes = [_nearest_blob(t, f).box for t in tracks for f in range(first, last + 1)]
    h, w = tracks[0].last.mask.shape
    top, left = np.min(boxes, axis=0)[:2]
    bottom, right = np.max(boxes, axis=0)[2:]
    down, across = MARGIN * (bottom - top), MARGIN * (right - left)
    return max(0, int(top - down)), max(0, int(left - across)), min(h, int(bottom + down)), min(w, int(right + across))


def _nearest_blob(track: Track, frame: int) -> Blob:
    return track.blobs[min(track.blobs, key=lambda f: abs(f - frame))]


# ----------------------------------------------------------------------------------------------------- coming and going


def _absent(seen: Seen, turned: list[Paradox]) -> Iterator[Paradox]:
    """Solids that are not there where nothing hides them, but for what another colour explains."""
    tracks = [s.track for s in seen.solids]
    for track in tracks:
        mine = [p for p in turned if track.colour in p.colours]
        for gap in absences(track, list(seen.blobs)):
            if any(p.first <= gap.stop + 1 and gap.start - 1 <= p.last + 1 for p in mine):
                continue
            twin = any(t is not track and t.colour == track.colour and gap.stop in t.blobs for t in tracks)
            kind = "vanishes" if gap.start > 0 else "doubles" if twin else "appears"
            yield _paradox(kind, float(len(gap)), [track], gap.start - 1, min(gap.stop, len(seen.blobs) - 1))


def _recoloured(seen: Seen) -> Iterator[Paradox]:
    """A solid is seen no more, and at once another colour begins in its place and form."""
    for a, b in permutations((s.track for s in seen.solids), 2):
        begins = int(b.frames[0])
        ends = [run.start - 1 for run in missing(a, len(seen.blobs)) if run.start > 0 and len(run) > 1]
        if a.colour == b.colour or begins == 0:
            continue
        for end in ends:
            if abs(begins - end - 1) <= BESIDE:
                one, other = a.blobs[end].mask, b.blobs[begins].mask
                small, large = sorted((int(one.sum()), int(other.sum())))
                if small > large / 2:
                    share = float((one & other).sum() / small)
                    yield _paradox("recoloured", share, [a, b], min(end, begins), max(end, begins))


def _reshaped(frames: Frames, seen: Seen) -> Iterator[Paradox]:
    for solid in seen.solids:
        odds, frame = _shape.turns(frames, solid.track)
        if odds > 0:
            yield _paradox("reshaped", odds, [solid.track], frame - 2, frame)


# ----------------------------------------------------------------------------------------------------- pairs and energy


def _through(seen: Seen) -> Iterator[Paradox]:
    """Two solids that stand on the same piece of floor, judged by where their boxes end below, for two frames or more.

    Of solids one behind the other the hidden one seems to end higher up, so that they do not seem to touch.
    """
    for a, b in combinations((s.track for s in seen.solids), 2):
        both = np.array([f for f in a.frames if f in b.blobs])
        if a.colour == b.colour or len(both) < 2:
            continue
        near = np.array([_overlap(a, b, int(f)) for f in both])
        twice = np.minimum(near[:-1], near[1:])
        k = int(twice.argmax())
        close = both[near > 0.8 * twice[k]]
        yield _paradox("passes through", float(twice[k]), [a, b], int(close.min()), int(close.max()))


def _overlap(a: Track, b: Track, frame: int) -> float:
    """Their mean diameter over the distance of their feet on the ground."""
    one, other = a.blobs[frame].box, b.blobs[frame].box
    diameter = (_diameter(a) + _diameter(b)) / 2
    across = (one[1] + one[3] - other[1] - other[3]) / 2
    return float(diameter / max(np.hypot(across, (one[2] - other[2]) / GROUND), 1e-6))


def _diameter(track: Track) -> float:
    """In pixels, of the disc of its usual area."""
    return float(2 * np.sqrt(np.median(track.areas) / np.pi))


def _lively(seen: Seen) -> Iterator[Paradox]:
    """Solids that rise higher than they fell, or go across the floor faster than before, while nothing touches them."""
    count = len(seen.blobs)
    for solid in seen.solids:
        free = _free(solid.track, seen)
        picture, room = _places(solid.track, seen.flow)
        # The flow of a bare floor may be that of a solid's own shadow: a rise must show in both, speed in the picture.
        rise = min(_rises(picture, free), _rises(room, free))
        for measure, first, last in (rise, _speeds(picture, free)):
            if measure > 0:
                yield _paradox("gains energy", measure, [solid.track], first, min(last, count - 1))


def _places(track: Track, flow: Float[np.ndarray, "s 2 3"]) -> list[Float[np.ndarray, "t 2"]]:
    """Where its foot goes (right, down) in the picture and against the background, in its own diameters."""
    way = _motion.path(track, len(flow) + 1)
    foot = way[:, [0, 2]]
    size = 2 * np.sqrt(4 / np.pi) * np.exp(np.median(way[:, 3]))  # in half frames, as the steps are
    own = np.diff(foot, axis=0) - _motion.carried(foot, flow)
    return [foot / size, np.concatenate([np.zeros((1, 2)), np.cumsum(own, 0)]) / size]


def _free(track: Track, seen: Seen) -> Bool[np.ndarray, " t"]:
    """Frames in which the solid is seen whole, off the frame's edge, and with no other within reach."""
    reach = REACH * _diameter(track)
    free = np.zeros(len(seen.blobs), bool)
    for f, blob in track.blobs.items():
        others = [b for b in seen.blobs[f] if b.colour != track.colour]
        free[f] = not blob.touches_border(2) and all(_gap(blob, other) > reach for other in others)
    return free


def _gap(a: Blob, b: Blob) -> float:
    """Distance of two boxes in pixels."""
    down = max(a.box[0] - b.box[2], b.box[0] - a.box[2], 0)
    across = max(a.box[1] - b.box[3], b.box[1] - a.box[3], 0)
    return float(np.hypot(down, across))


def _rises(place: Float[np.ndarray, "t 2"], free: Bool[np.ndarray, " t"]) -> tuple[float, int, int]:
    """(diameters, first frame, last): the most by which it rises after a touchdown above where it had fallen from.

    How it moves as the clip begins has its cause before the clip.
    """
    down, best = place[:, 1], (0.0, 0, 0)
    for f in range(2, len(down) - 1):
        if not free[f - 2 : f + 3].all() or down[f] < down[f - 1] or down[f] <= down[f + 1]:
            continue
        fell, top = down[f] - down[:f].min(), f + int(down[f:].argmin())
        gain = (down[f] - down[top]) - fell
        if free[f : top + 1].all() and gain > best[0]:
            best = (float(gain), f, top)
    return best


def _speeds(place: Float[np.ndarray, "t 2"], free: Bool[np.ndarray, " t"]) -> tuple[float, int, int]:
    """(diameters in PACE frames, first frame, last): the most by which it gets faster across the floor."""
    if len(place) < 7:
        return 0.0, 0, 0
    across, down = np.abs(np.diff(place[:, 0])), np.diff(place[:, 1])
    smooth = np.convolve(across, np.ones(3) / 3, "valid")
    best = (0.0, 0, 0)
    for i, j in combinations(range(len(smooth)), 2):
        gain = PACE * (smooth[j] - smooth[i] - np.abs(down[i : j + 3]).max())
        if gain > best[0] and free[i : j + 4].all():
            best = (float(gain), i, j + 3)
    return best
