"""Random short clips from the videos of a set, each read by its byte range and decoded from the keyframe before it.

Shards hold H.264 with a keyframe at least every 12 frames, so a clip of 16 frames costs some 6 more. Clip n is a pure
function of (seed, n); `loader.ahead` decodes several at once, for PyAV works outside of Python's lock.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from jaxtyping import UInt8

from worldpatch.config import UserError
from worldpatch.data import _order, manifest
from worldpatch.data.loader import Report
from worldpatch.data.manifest import Manifest, Row
from worldpatch.video.read import Scaler

COLUMNS = ("clip_id", "shard", "members", "fps", "num_frames", "captions", "height", "width", "problem")


@dataclass(frozen=True, kw_only=True)
class Span:
    """Frames `start` and following of a clip, in uint8."""

    key: str
    start: int
    rate: float
    frames: UInt8[np.ndarray, "t h w 3"]


class VideoSet:
    """The videos of several folders, as clips of `frames` frames at random positions.

    Every video gives one clip per epoch. Left out, and counted in `report`, are damaged ones, those without an mp4, and
    those shorter than `frames`.
    """

    def __init__(self, folders: Sequence[Path], *, frames: int = 16, seed: int = 0):
        self.frames, self.seed = frames, seed
        self.sources: list[tuple[Manifest, Row]] = []
        self._kept: tuple[int, np.ndarray] = (-1, np.zeros(0, int))  # an epoch and its order
        unused: dict[str, list[str]] = {}
        for folder in folders:
            found = manifest.find(folder, COLUMNS)
            for row in found.rows:
                if reason := self._reason(row):
                    unused.setdefault(reason, []).append(row.clip_id)
                else:
                    self.sources.append((found, row))
        total = len(self.sources) + sum(map(len, unused.values()))
        self.report = Report(clips=total, unused={reason: tuple(names) for reason, names in unused.items()})
        if not self.sources:
            raise UserError(f"{', '.join(map(str, folders))}: {self.report}: give a set with longer videos")

    def _reason(self, row: Row) -> str:
        if row.problem:
            return "damaged"
        if not row.member("mp4"):
            return "without a video"
        return f"shorter than {self.frames} frames" if (row.num_frames or 0) < self.frames else ""

    def __len__(self) -> int:
        return len(self.sources)

    def clip(self, number: int) -> Span:
        """Clip `number` of an endless stream. Raises UserError on a video that cannot be decoded."""
        epoch, place = divmod(number, len(self))
        source, row = self.sources[int(self._order(epoch)[place])]
        last = (row.num_frames or 0) - self.frames
        start = int(np.random.default_rng([self.seed, 1, number]).integers(last + 1))
        return self.read(source, row, start)

    def _order(self, epoch: int) -> np.ndarray:
        kept = self._kept
        if epoch != kept[0]:
            counts = [len(self)]
            kept = self._kept = epoch, _order.order(counts, _order.draws(counts, counts, epoch), self.seed, epoch)
        return kept[1]

    def read(self, source: Manifest, row: Row, start: int) -> Span:
        try:
            frames = decode(source.fetch(row, "mp4"), start, self.frames)
        except (FFmpegError, EOFError) as error:
            raise UserError(f"{source.folder / row.shard}: {row.clip_id}.mp4 cannot be decoded ({error})") from error
        return Span(key=row.clip_id, start=start, rate=row.fps or 1.0, frames=frames)


def decode(content: bytes, start: int, count: int) -> UInt8[np.ndarray, "{count} h w 3"]:
    """Frames start to start + count of a video of steady rate, as RGB.

    Raises EOFError where it ends before, and FFmpegError where it is none.
    """
    with av.open(io.BytesIO(content), "r", options={"probesize": "32768", "analyzeduration": "0"}) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1  # clips are decoded side by side
        rate, base = stream.average_rate, stream.time_base
        assert rate and base
        first = (stream.start_time or 0) + round(start / rate / base)
        if start:
            container.seek(first, stream=stream)
        half = 0.5 / rate / base
        frames, scaler = [], Scaler()
        for frame in container.decode(stream):
            if frame.pts is not None and frame.pts > first - half:
                frames.append(scaler.pixels(frame, (frame.height, frame.width)).to_ndarray())
                if len(frames) == count:
                    return np.stack(frames)
    raise EOFError(f"{len(frames)} frames from frame {start}, not {count}")
