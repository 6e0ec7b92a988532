"""Where shots begin: cuts, fades and dissolves of a video, frame by frame; kept are 256 bytes of each.

    detector = Detector(rate)
    for frame in frames: detector.add(frame)
    detector.finish()

Cuts come from PySceneDetect's adaptive detector, set to miss few. It takes fast pans and flashes for cuts and misses
what is gradual, so frames are also looked at in small: what was in the frame before, only elsewhere, has moved; a cut
after which the old picture comes back was a flash; frames that are mixtures of the pictures before and after, more and
more of the latter, dissolve, or fade where one of the two shows next to nothing.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8

from worldpatch.video.read import stream

SIDE = 16  # of a thumbnail
WIDE = 256  # pixels of the longer side that cuts are looked for in
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

    def json(self) -> dict[str, Any]:
        return asdict(self) | {"time": round(self.time, 4)}


class Detector:
    """Takes frames one by one; see the module."""

    def __init__(self, rate: float):
        from scenedetect.detectors import AdaptiveDetector

        self.rate = rate
        self.cuts: list[int] = []
        self.thumbnails: list[UInt8[np.ndarray, "side side"]] = []
        self.moved: list[bool] = []  # whether a frame shows what the one before it did
        self._before: UInt8[np.ndarray, "look look"] | None = None
        least = max(1, round(SHORTEST * rate))
        self._adaptive = AdaptiveDetector(RATIO, least, WINDOW, LEAST)

    def add(self, frame: UInt8[np.ndarray, "h w 3"]) -> None:
        """The next frame, RGB; 256 pixels of width are enough."""
        import cv2
        from scenedetect.common import FrameTimecode

        at = FrameTimecode(len(self.thumbnails), self.rate)
        look = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), (LOOK, LOOK), interpolation=cv2.INTER_AREA)
        self.thumbnails.append(cv2.resize(look, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
        self.moved.append(self._before is not None and _is_in(look[INNER, INNER], self._before))
        self._before = look
        self.cuts += [cut.frame_num for cut in self._adaptive.process_frame(at, frame[..., ::-1])]

    def finish(self) -> list[Boundary]:
        """All boundaries, in order."""
        if not self.thumbnails:
            return []
        pictures = np.stack(self.thumbnails).reshape(len(self.thumbnails), -1).astype(np.float32)
        gradual = list(_gradual(pictures, self.rate))
        cuts = [c for c in self.cuts if not any(g.start - NEAR <= c <= g.stop + NEAR for g in gradual)]
        cuts = [c for c in cuts if not self.moved[c] and not _is_flash(pictures, c, self.rate)]
        cuts = [c for c in cuts if _changed(pictures[c - 1], pictures[c]) and not _grows(pictures, c, self.rate)]
        found = [Boundary(frame=c, time=c / self.rate, kind="cut", start=c, stop=c) for c in cuts]
        return sorted([*found, *gradual], key=lambda b: b.frame)


def detect(path: str | Path) -> tuple[float, list[Boundary]]:
    """The rate of a video file in frames per second, and its boundaries. Raises UserError where it is none."""
    rate, frames = stream(path, side=WIDE)
    detector = Detector(rate)
    for frame in frames:
        detector.add(frame)
    return rate, detector.finish()


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
    fit: Bool[np.ndarray, " count"] = power > APART**2 * pictures.shape[1]
    flat = contrast < FLAT
    fit &= ~(flat[:count] & flat[length:])
    for share in (0.2, 0.35, 0.5, 0.65, 0.8):
        between = pictures[round(share * length) : round(share * length) + count] - begin
        reached = (between * change).sum(1) / power
        left = ((between - reached[:, None] * change) ** 2).sum(1) / power
        fit &= (np.abs(reached - share) < EVEN) & (left < MIXED)
    either = flat[:count] | flat[length:]
    chosen = [int(i) for i in np.flatnonzero(fit) if either[i] or _correlation(begin[i], end[i]) < ALIKE]
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
