"""A file, decoded once: its shots, the spans that become clips, their scores, and those that are kept as H.264.

Frames are held until their boundaries are settled and their span has ended, some twenty seconds; so memory does not
grow with the length of a file.
"""

import hashlib
import io
import json
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from av.error import FFmpegError
from PIL import Image

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.data import engines
from worldpatch.data.curate import measure
from worldpatch.data.curate.limits import Limits, verdict
from worldpatch.data.curate.records import VERSION, Cut, File, Job
from worldpatch.data.curate.spans import Chooser, Span, Spans
from worldpatch.data.shots import WIDE, Boundary, create
from worldpatch.video import read, write
from worldpatch.video._atomic import atomic

GOP = 12  # frames: any clip can be entered after decoding at most so many
PREVIEW = 72  # pixels of height
LOOKS = 8.0  # thumbnails per second that are kept to find copies by


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How clips are stored: the longer side in pixels at most, both sides multiples of `multiple`."""

    side: int = 256
    multiple: int = 16

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The stored (height, width) of a picture; it is never enlarged."""
        scale = min(1.0, self.side / max(height, width))
        rounded = (round(length * scale / self.multiple) for length in (height, width))
        most = (length // self.multiple for length in (height, width))
        h, w = (self.multiple * max(1, min(r, m)) for r, m in zip(rounded, most, strict=True))
        return h, w


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that decides what `split` makes of a file. `shots` is a detector of `data/shots.py`, `weights` its file."""

    shape: Shape = field(default_factory=Shape)
    spans: Spans = field(default_factory=Spans)
    limits: Limits = field(default_factory=Limits)
    shots: str = "adaptive"
    weights: str = ""

    @property
    def fingerprint(self) -> str:
        """A hash of what decides spans, sizes and scores; limits only decide which of them are encoded."""
        values = {k: v for k, v in config.dump(self).items() if k != "limits"} | {"version": VERSION}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def split(job: Job) -> dict[str, Any]:
    """{"file", "settings", "work"} -> {"cuts": plain Cuts, "error", "seconds" by stage, "frames"}.

    Kept clips are written to the folder `work`. A file that breaks off gives what there was before that. Raises
    UserError where a clip cannot be written.
    """
    file, settings = config.build(File, job["file"]), config.build(Settings, job["settings"])
    cv2.setNumThreads(1)  # as the decoder: sums in one order, the same set whoever does the work
    splitter = _Splitter(file, settings, Path(job["work"]))
    try:
        cuts = list(splitter.cuts())
    finally:
        engines.rest()
    error = splitter.error or ("" if splitter.count else "no frame can be decoded")
    return {
        "cuts": [config.dump(cut) for cut in cuts], "error": error, "frames": splitter.count,
        "seconds": {name: round(spent, 4) for name, spent in splitter.seconds.items()},
    }  # fmt: skip


class _Splitter:
    """The moving parts of one file's pass."""

    def __init__(self, file: File, settings: Settings, work: Path):
        self.file, self.settings, self.work = file, settings, work
        self.seconds: dict[str, float] = defaultdict(float)
        self.count = 0  # frames decoded
        self.error = ""  # why there are no more
        self._frames: deque[Any] = deque()  # those from `_first` on
        self._thumbs: deque[measure.Thumb] = deque()
        self._first = 0
        self.rate = file.rate
        self.size = settings.shape.size(file.height, file.width)
        self.crop = _crop((file.height, file.width), self.size)

    def cuts(self) -> Iterator[Cut]:
        frames = self._decoded()
        detector = create(self.settings.shots, self.settings.weights, self.rate)
        shrink = read.Shrinker(WIDE)
        chooser = Chooser(self.settings.spans, self.rate)
        former, pixels = None, np.zeros((0, 0, 3), np.uint8)
        boundaries: deque[Boundary] = deque()
        still_to_come = True
        while still_to_come:
            with self._clock("decode"):
                frame = next(frames, None)
            if still_to_come := frame is not None:
                with self._clock("shots"):
                    pixels = pixels if frame is former else shrink(frame)
                    former = frame
                    boundaries += detector.add(pixels)
                self._frames.append(frame)
                self._thumbs.append(measure.thumb(frame))
                self.count += 1
            else:
                boundaries += detector.finish()
            yield from self._choose(chooser, boundaries, detector.settled)
        if self.count == 1:  # a picture
            yield from self._cut(Span(shot=0, start=0, stop=1))
        else:
            for span in chooser.finish():
                yield from self._cut(span)

    def _decoded(self) -> Iterator[Any]:
        """Frames, until there are no more for whatever reason."""
        try:
            for frame in read.planes(self.file.path, *self.size, self.file.box, threads=1)[1]:
                engines.beat()
                yield frame
        except (UserError, FFmpegError, OSError) as problem:
            self.error = str(problem)

    def _choose(self, chooser: Chooser, boundaries: deque[Boundary], settled: int) -> Iterator[Cut]:
        """Takes the frames whose boundaries are known to the chooser, and lets go of those that are of no more use."""
        while chooser.at < settled and self.count > 1:
            at = chooser.at
            here, before = (
                self._thumbs[at - self._first],
                self._thumbs[at - self._first - 1] if at > self._first else None,
            )
            begins = boundaries.popleft() if boundaries and boundaries[0].start <= at else None
            for span in chooser.add(begins, measure.is_black(here), measure.is_still(here, before)):
                yield from self._cut(span)
            while self._first < min(chooser.told, chooser.at - 1):
                self._frames.popleft()
                self._thumbs.popleft()
                self._first += 1

    def _cut(self, span: Span) -> Iterator[Cut]:
        """The clip of a span: measured, judged, and written where it is kept."""
        ends = span.start - self._first, span.stop - self._first
        frames, thumbs = list(islice(self._frames, *ends)), list(islice(self._thumbs, *ends))
        pts, base = (frames[0].pts, frames[-1].pts), str(frames[0].time_base or "")
        named = f"{self.file.sha256}:{span.start}:{span.stop}:{self.settings.fingerprint}"
        identity = hashlib.sha256(named.encode()).hexdigest()[:24]
        with self._clock("measure"):
            scores = {} if span.reason else measure.scores(frames, thumbs, self.rate)
            reason = span.reason or verdict(scores, self.settings.limits)
            if not span.reason:
                self._look(identity, frames, _looks(thumbs, span.start, self.rate))
        path, written = media(self.work, identity), 0
        if not reason:
            with self._clock("encode"):
                if not path.exists():
                    with atomic(path) as draft:
                        write.encode(draft, iter(frames), self.size, self.rate, gop=GOP)
                written = path.stat().st_size
        yield Cut(
            id=identity, file=self.file.sha256, path=self.file.path, shot=span.shot, start=span.start, stop=span.stop,
            rate=self.rate, height=self.size[0], width=self.size[1], crop=self.crop,
            pts=pts, time_base=base, scores=scores, hashes=measure.hashes(thumbs), reason=reason, media=not reason,
            bytes=written,
        )  # fmt: skip

    def _look(self, identity: str, frames: list[Any], looks: np.ndarray) -> None:
        """A preview and thumbnails: to show a clip, and to find its copies, without decoding it."""
        path = look(self.work, identity)
        if path.exists():
            return
        small = read.Shrinker(round(PREVIEW * max(1.0, self.size[1] / self.size[0])))
        strip = np.concatenate([small(frames[i]) for i in sorted({0, len(frames) // 2, len(frames) - 1})], axis=1)
        picture = io.BytesIO()
        Image.fromarray(strip).save(picture, "JPEG", quality=80)
        with atomic(path) as draft, draft.open("wb") as out:
            np.savez(out, thumbs=looks, preview=np.frombuffer(picture.getvalue(), np.uint8))

    @contextmanager
    def _clock(self, stage: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - begun


def media(work: Path, identity: str) -> Path:
    """Where a clip's frames are, as H.264."""
    return work / "clips" / identity[:2] / f"{identity}.mp4"


def look(work: Path, identity: str) -> Path:
    """Where a clip's preview and thumbnails are."""
    return work / "looks" / identity[:2] / f"{identity}.npz"


def _crop(shown: tuple[int, int], stored: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part (left, top, width, height) of the shown picture (h, w) that is in the stored one, which it covers."""
    cover = max(s / d for s, d in zip(stored, shown, strict=True))
    height, width = (min(d, round(s / cover)) for s, d in zip(stored, shown, strict=True))
    return (shown[1] - width) // 2, (shown[0] - height) // 2, width, height


def _looks(thumbs: list[measure.Thumb], start: int, rate: float) -> measure.Thumbs:
    """Thumbnails at whole eighths of a second of the file, between frames where there is none: cut and timed in another
    way, the same moments look the same."""
    first, last = start / rate, (start + len(thumbs) - 1) / rate
    times = np.arange(np.ceil(first * LOOKS), np.floor(last * LOOKS) + 1) / LOOKS
    at = times * rate - start if len(times) else np.zeros(1)
    low = np.clip(at.astype(int), 0, len(thumbs) - 1)
    high, share = np.minimum(low + 1, len(thumbs) - 1), (at - low)[:, None, None]
    stack = np.stack(thumbs)
    return ((1 - share) * stack[low] + share * stack[high]).round().astype(np.uint8)
