"""Random short clips from the videos of a set, each read by its byte range and decoded from the keyframe before it.

Shards hold H.264 with a keyframe at least every 12 frames, so a clip of 16 frames costs some 6 more. Clip n is a pure
function of (seed, n); `loader.ahead` decodes several at once, for PyAV works outside of Python's lock.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from jaxtyping import Float, UInt8

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
    # FFmpeg decodes the first picture when a file is opened, unless it is told to leave all pictures out.
    with av.open(io.BytesIO(content), "r", options={"skip_frame": "all"}) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1  # clips are decoded side by side
        rate, base = stream.average_rate, stream.time_base
        assert rate and base
        first = (stream.start_time or 0) + round(start / rate / base)
        if start:
            container.seek(first, stream=stream)
        after = first - 0.5 / rate / base
        frames, found, into = np.empty((count, stream.height, stream.width, 3), np.uint8), 0, _Converter()
        for packet in container.demux(stream):
            early = packet.pts is not None and packet.pts <= after  # then wanted only if others are built on it
            stream.codec_context.skip_frame = "NONREF" if early else "DEFAULT"
            for frame in packet.decode():
                if frame.pts is None or frame.pts <= after:
                    continue
                into(frame, frames[found])
                found += 1
                if found == count:
                    return frames
    raise EOFError(f"{found} frames from frame {start}, not {count}")


class _Converter:
    """Decoded frames to RGB.

    Those of `data build` have their chroma enlarged and go through one matrix, in half the time that FFmpeg takes for
    both and within two grey levels of it; others (of sets made elsewhere) go the way of all files.
    """

    def __init__(self):
        self._any, self._chroma = Scaler(), VideoReformatter()

    def __call__(self, frame: Any, out: UInt8[np.ndarray, "h w 3"]) -> None:
        ours = frame.format.name == "yuv420p" and frame.colorspace == Colorspace.ITU709
        if ours and frame.color_range == ColorRange.MPEG:
            full = self._chroma.reformat(frame, format="yuv444p", interpolation=Interpolation.BILINEAR, threads=1)
            cv2.transform(cv2.merge([_rows(plane)[:, : frame.width] for plane in full.planes]), _MATRIX, dst=out)
        else:
            (plane,) = self._any.pixels(frame, (frame.height, frame.width)).planes
            out[:] = _rows(plane)[:, : 3 * frame.width].reshape(out.shape)


def _rows(plane: Any) -> UInt8[np.ndarray, "h bytes"]:
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)


def _bt709() -> Float[np.ndarray, "rgb=3 yuv1=4"]:
    """Y'CbCr of limited range to R'G'B' (ITU-R BT.709-6, items 3.2 to 3.4 and 4.6)."""
    red, blue = 0.2126, 0.0722
    green = 1 - red - blue
    of_cb = np.array([0, -2 * (1 - blue) * blue / green, 2 * (1 - blue)]) * 255 / 224
    of_cr = np.array([2 * (1 - red), -2 * (1 - red) * red / green, 0]) * 255 / 224
    matrix = np.stack([np.full(3, 255 / 219), of_cb, of_cr], 1)
    return np.c_[matrix, -matrix @ [16, 128, 128]]


_MATRIX = _bt709()
