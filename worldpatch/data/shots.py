"""Where shots begin: cuts, fades and dissolves of a video, frame by frame, at constant memory.

    detector = Detector(rate)
    for frame in frames: boundaries += detector.add(frame)
    boundaries += detector.finish()

Cuts come from PySceneDetect's adaptive detector, set to miss few. It takes fast pans and flashes for cuts and misses
what is gradual, so frames are also looked at in small: what was in the frame before, only elsewhere, has moved; a cut
after which the old picture comes back was a flash; frames that are mixtures of the pictures before and after, more and
more of the latter, dissolve, or fade where one of the two shows next to nothing.

TransNetV2 finds more where its weights are (`_transnet.py`); `create` makes either.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, UInt8

from worldpatch.config import UserError
from worldpatch.video.read import stream

SIDE = 16  # of a thumbnail
WIDE = 128  # pixels of the longer side that cuts are looked for in
STRETCH, MARGIN = 4.0, 5.0  # seconds that are settled together, and that must be known before and after them
NEAR = 3  # frames between a gradual change and a cut that is part of it
RATIO, LEAST, WINDOW, SHORTEST = 1.6, 15.0, 3, 0.3  # of the adaptive detector; seconds of a shot
LOOK, INNER = 48, slice(10, 38)  # pixels of a frame's side, and the part that is looked for in the frame before
FOUND = 0.76  # correlation: what is in the frame before, wherever it was, has only moved
FLASH = 0.4  # seconds within which a flash is over
NOTICED, SPREAD = 6.0, 0.4  # grey levels; share of the picture that is another after a boundary
HALF = 0.5  # of the contrast that a picture comes to: with less it has only begun to appear
SAME = 0.5  # of the change at a cut: what differs by less is the same picture again
FLAT, FAINT = 3.0, 0.1  # grey levels of contrast, and share of the other end's: below, nothing is to be seen
GRADUAL = (0.3, 0.45, 0.65, 1.0, 1.5, 2.0, 3.0)  # seconds tried
APART = 12.0  # grey levels between the pictures that a dissolve joins, root mean square
ALIKE = 0.6  # correlation: pictures that are more alike are one shot under other light
MIXED = 0.035  # of the squared difference of both pictures, that a mixture may leave unexplained
EVEN = 0.17  # by which a mixture's share may be off the even way from 0 to 1

DETECTORS = ("adaptive", "transnetv2")
Kind = Literal["cut", "fade", "dissolve"]


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """The border of two shots, or of a shot and nothing.

    `frame` is the first of the new shot: of a fade to nothing the first of which nothing is seen, of a dissolve the one
    that is half each. `time` is its seconds. The change is from frame `start` to frame `stop`, both included.
    """

    frame: int
    time: float
    kind: Kind
    start: int
    stop: int

    def later(self, frames: int, rate: float) -> "Boundary":
        """The same so many frames later."""
        moved = {name: getattr(self, name) + frames for name in ("frame", "start", "stop")}
        return replace(self, time=moved["frame"] / rate, **moved)

    def json(self) -> dict[str, Any]:
        return asdict(self) | {"time": round(self.time, 4)}


@runtime_checkable
class Finder(Protocol):
    """What finds boundaries. `settled` frames have all boundaries told that begin among them."""

    settled: int

    def add(self, frame: UInt8[np.ndarray, "h w 3"]) -> list[Boundary]: ...

    def finish(self) -> list[Boundary]: ...


def create(name: str, weights: str, rate: float) -> Finder:
    """A detector of this name, one of `DETECTORS`; `weights` is the file of a learned one's. Raises UserError."""
    if name == "transnetv2":
        from worldpatch.data import _transnet

        return _transnet.Detector(rate, weights)
    if name != "adaptive":
        raise UserError(f"no detector of shots is named {name!r}; known: {', '.join(DETECTORS)}")
    if weights:
        raise UserError(
            f"weights {weights!r} are of no use to the detector adaptive: take transnetv2, or leave them out"
        )
    return Detector(rate)


class Detector:
    """Takes frames one by one and tells boundaries once the frames around them are known; see the module.

    `settled` frames have all boundaries told that begin among them. What is held does not grow with the video's length.
    """

    def __init__(self, rate: float):
        from scenedetect.detectors import AdaptiveDetector

        self.rate, self.settled = rate, 0
        self._count, self._first = 0, 0  # frames seen; the first that is held
        self._held: deque[_Look] = deque()
        self._cuts: list[int] = []
        self._last = -NEAR - 1  # where the last boundary told ends
        self._stretch, self._margin = max(1, round(STRETCH * rate)), max(1, round(MARGIN * rate))
        least = max(1, round(SHORTEST * rate))
        self._adaptive = AdaptiveDetector(RATIO, least, WINDOW, LEAST)

    def add(self, frame: UInt8[np.ndarray, "h w 3"]) -> list[Boundary]:
        """The next frame, RGB, 128 pixels of width are enough -> the boundaries that are now settled, in order."""
        import cv2
        from scenedetect.common import FrameTimecode

        at = FrameTimecode(self._count, self.rate)
        look = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (LOOK, LOOK), interpolation=cv2.INTER_AREA)
        thumbnail = cv2.resize(look, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        self._held.append(_Look(look=look, thumbnail=thumbnail))
        self._cuts += [cut.frame_num for cut in self._adaptive.process_frame(at, frame[..., ::-1])]
        self._count += 1
        stop = self.settled + self._stretch
        return self._settle(stop) if self._count == stop + self._margin else []

    def finish(self) -> list[Boundary]:
        """No more frames: the boundaries that were not settled yet."""
        return self._settle(self._count) if self._held else []

    def _settle(self, stop: int) -> list[Boundary]:
        """The boundaries up to frame `stop`; lets go of what is not needed for the next ones."""
        held = self._held
        pictures = np.stack([h.thumbnail for h in held]).reshape(len(held), -1).astype(np.float32)
        cuts = [c - self._first for c in self._cuts]
        cuts = [c for c in cuts if 0 < c < len(held) and not _is_in(held[c].look[INNER, INNER], held[c - 1].look)]
        found = _boundaries(pictures, cuts, self.rate)
        told = []
        for b in (b.later(self._first, self.rate) for b in found):
            if b.start < stop and b.stop >= self.settled and b.start > self._last + NEAR:
                told.append(b)
                self._last = b.stop
        self.settled = stop
        while self._first < stop - self._margin:
            held.popleft()
            self._first += 1
        self._cuts = [c for c in self._cuts if c > self._first]
        return told


@dataclass(frozen=True, kw_only=True)
class _Look:
    """What is kept of a frame."""

    look: UInt8[np.ndarray, "look look"]
    thumbnail: UInt8[np.ndarray, "side side"]


def detect(path: str | Path, name: str = "adaptive", weights: str = "") -> tuple[float, list[Boundary]]:
    """The rate of a video file in frames per second, and its boundaries by a detector. Raises UserError where it is no
    video, or where the detector cannot be made."""
    rate, frames = stream(path, side=WIDE)
    detector = create(name, weights, rate)
    found = [boundary for frame in frames for boundary in detector.add(frame)]
    return rate, found + detector.finish()


def _boundaries(pictures: "Pictures", cuts: list[int], rate: float) -> list[Boundary]:
    """All boundaries in a stretch of frames, in order; `cuts` are those that may be some."""
    gradual = list(_gradual(pictures, rate))
    cuts = [c for c in cuts if not any(g.start - NEAR <= c <= g.stop + NEAR for g in gradual)]
    cuts = [c for c in cuts if not _is_flash(pictures, c, rate)]
    cuts = [c for c in cuts if _changed(pictures[c - 1], pictures[c]) and not _grows(pictures, c, rate)]
    found = [Boundary(frame=c, time=c / rate, kind="cut", start=c, stop=c) for c in cuts]
    return sorted([*found, *gradual], key=lambda b: b.frame)


Pictures = Float[np.ndarray, "t pixels"]


def _is_in(part: UInt8[np.ndarray, "side side"], look: UInt8[np.ndarray, "look look"]) -> bool:
    """Whether a part of one frame is to be seen anywhere in another."""
    import cv2

    return bool(part.std() > FLAT and cv2.matchTemplate(look, part, cv2.TM_CCOEFF_NORMED).max() > FOUND)


def _is_flash(pictures: Pictures, cut: int, rate: float) -> bool:
    """Whether the picture before a cut is back soon after it, or the one after it was there soon before."""
    near, change = max(2, round(FLASH * rate)), _apart(pictures[cut], pictures[cut - 1])
    later, earlier = pictures[cut + 1 : cut + 1 + near], pictures[max(0, cut - 1 - near) : cut - 1]
    back = [_apart(p, pictures[cut - 1]) for p in later] + [_apart(p, pictures[cut]) for p in earlier]
    return min(back, default=np.inf) < SAME * change


def _grows(pictures: Pictures, cut: int, rate: float) -> bool:
    """Whether the picture only begins to appear out of nothing, or has nearly gone: part of a fade."""
    near = max(2, round(FLASH * rate))
    before, after = pictures[max(0, cut - near) : cut].std(1), pictures[cut : cut + near].std(1)
    least, most = sorted((before[-1], after[0]))
    return bool(least < FLAT and most < HALF * max(before.max(), after.max()))


def _changed(a: Float[np.ndarray, " pixels"], b: Float[np.ndarray, " pixels"]) -> bool:
    """Whether most of the picture is another, and not only what something in it covers."""
    return float(np.mean(np.abs(a - b) > NOTICED)) > SPREAD


def _apart(a: Float[np.ndarray, " pixels"], b: Float[np.ndarray, " pixels"]) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))


# ------------------------------------------------------------------------------------------------------------- gradual


def _gradual(pictures: Pictures, rate: float) -> Iterator[Boundary]:
    """Stretches in which every frame is a mixture of the pictures at both ends, with a share that grows evenly: fades,
    where one end shows nothing, and dissolves. Where several explain the same frames, the one that changes most."""
    contrast, taken = pictures.std(1), []
    found = [m for seconds in GRADUAL for m in _mixtures(pictures, contrast, max(4, round(seconds * rate)))]
    for _, start, length in sorted(found, reverse=True):
        if any(start <= b and a <= start + length for a, b in taken):
            continue
        first, last = _ends(pictures, start, length)
        taken.append((first, last))
        before, after = contrast[start], contrast[start + length]
        fades = min(before, after) < max(FLAT, FAINT * max(before, after))
        frame = (last if after < before else first) if fades else (first + last + 1) // 2
        kind: Kind = "fade" if fades else "dissolve"
        yield Boundary(frame=frame, time=frame / rate, kind=kind, start=first, stop=last)


def _mixtures(pictures: Pictures, contrast: Float[np.ndarray, " t"], length: int) -> list[tuple[float, int, int]]:
    """(change, first frame, length) of all stretches of so many frames that are mixtures of their ends."""
    count = len(pictures) - length
    if count < 1:
        return []
    begin, end = pictures[:count], pictures[length:]
    change = end - begin
    power = np.maximum((change**2).sum(1), 1e-6)
    flat = contrast < FLAT
    empty: Bool[np.ndarray, " count"] = flat[:count] & flat[length:]
    left = np.flatnonzero((power > APART**2 * pictures.shape[1]) & ~empty)
    for share in (0.5, 0.2, 0.8, 0.35, 0.65):  # few places are left after the first
        between, whole = pictures[round(share * length) + left] - begin[left], change[left]
        reached = (between * whole).sum(1) / power[left]
        unexplained = ((between - reached[:, None] * whole) ** 2).sum(1) / power[left]
        left = left[(np.abs(reached - share) < EVEN) & (unexplained < MIXED)]
    either = flat[:count] | flat[length:]
    chosen = [int(i) for i in left if either[i] or _correlation(begin[i], end[i]) < ALIKE]
    chosen = [i for i in chosen if _changed(begin[i], end[i])]
    return [(float(power[i]), i, length) for i in chosen]


def _ends(pictures: Pictures, start: int, length: int) -> tuple[int, int]:
    """The frames in which the share of the new picture begins to grow and is whole."""
    margin = length // 2
    low, high = max(0, start - margin), min(len(pictures) - 1, start + length + margin)
    change = pictures[high] - pictures[low]
    share = (pictures[low : high + 1] - pictures[low]) @ change / (change @ change)
    return low + int(np.argmax(share > 0.06)), low + int(np.argmax(share > 0.94))


def _correlation(a: Float[np.ndarray, " pixels"], b: Float[np.ndarray, " pixels"]) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float(a @ b / max(1e-6, np.sqrt((a @ a) * (b @ b))))
