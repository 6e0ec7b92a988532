"""What a file is: its hash, size, length and peculiarities, and the black bars around its picture.

Headers lie, so a few frames in different places are decoded; nothing else is.
"""

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from jaxtyping import UInt8

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.data.curate.records import File, Job, Source
from worldpatch.video import read

PLACES = 6  # frames looked at for black bars
DARK = 24  # luma of a black bar, of 16 to 235
THINNEST = 0.02  # of a side: thinner ones are the edges of a digitised tape, or none
LEAST = 16  # pixels of the shorter side
log = logging.getLogger(__name__)


def probe(job: Job) -> dict[str, Any]:
    """A Source as plain values -> its File as plain values. A file that cannot be used is told so, not raised."""
    source = config.build(Source, job)
    path = Path(source.path)
    try:
        return config.dump(_probe(path))
    except (UserError, OSError, FFmpegError) as error:
        reason = str(error).removeprefix(f"{path} ").removeprefix("is ").split("; ")[0]
        return config.dump(File(path=source.path, sha256=_hash(path), bytes=_size(path), reason=reason))


def _probe(path: Path) -> File:
    info = read.probe(path)
    facts: dict[str, Any] = {
        "path": str(path), "sha256": _hash(path), "bytes": _size(path), "height": info.height, "width": info.width,
        "rate": info.rate, "frames": info.frames, "codec": info.codec,
    }  # fmt: skip
    if min(info.height, info.width) < LEAST:
        return File(**facts, reason=f"{info.width}x{info.height} is smaller than {LEAST} pixels")
    if info.height * info.width > read.MOST_PIXELS:
        return File(**facts, reason=f"{info.width}x{info.height} is more than {read.MOST_PIXELS} pixels")
    image = read.open_still(path)
    if image is not None:
        with image:
            return File(**facts, pix_fmt=image.mode, notes=("animation",) if info.frames > 1 else ())
    return File(**facts | _stream(path))


def _stream(path: Path) -> dict[str, Any]:
    """What only a decoder knows, from frames in a few places."""
    with read.decodable(path) as (container, stream, decoded):  # a stream may not be asked once its file is closed
        first, index, shape = next(decoded), stream.index, float(stream.sample_aspect_ratio or 1)
        notes = {
            "transparent": stream.metadata.get("alpha_mode") == "1" or first.format.name.startswith("yuva"),
            "pixels that are not square": stream.sample_aspect_ratio not in (None, 0, 1),
            "several video streams": sum(s.type == "video" for s in container.streams) > 1,
            "uneven frame times": _uneven(stream),
            "high dynamic range": first.color_trc in read.HIGH_RANGE,
            "10 bits or more": any(c.bits > 8 for c in first.format.components),
        }
    frames = [first, *_elsewhere(path, index)]
    notes["interlaced"] = any(f.interlaced_frame for f in frames[1:]) or first.interlaced_frame
    facts = {
        "pix_fmt": first.format.name,
        "rotation": first.rotation,
        "notes": tuple(n for n, yes in notes.items() if yes),
    }
    box = None if notes["transparent"] else bars([f.to_ndarray(format="gray") for f in frames])
    if box is None:
        return facts
    left, top, right, bottom = box
    size = bottom - top, round((right - left) * shape)
    height, width = size[::-1] if abs(first.rotation) == 90 else size
    return {**facts, "box": box, "height": height, "width": width}


def _elsewhere(path: Path, index: int) -> Iterator[Any]:
    """A frame of a stream in each of a few later places; fewer where the file cannot be searched."""
    with read.open_video(path) as container:
        stream = container.streams[index]
        length = float((stream.duration or 0) * (stream.time_base or 0)) or (container.duration or 0) / av.time_base
        for place in range(1, PLACES):
            try:
                container.seek(int(length * place / PLACES / stream.time_base), stream=stream)
                yield next(container.decode(stream))
            except (FFmpegError, StopIteration, OverflowError):
                return


def _uneven(stream: Any) -> bool:
    average, base = float(stream.average_rate or 0), float(stream.base_rate or 0)
    return bool(average and base and abs(base / average - 1) > 0.05)


def bars(pictures: list[UInt8[np.ndarray, "h w"]]) -> read.Box | None:
    """The part (left, top, right, bottom) between black bars that are in all pictures; None where there are none.

    Bars are alike on both sides and even-coloured; a dark scene is not. Edges are even numbers, so that colours of half
    the size can be cut as well.
    """
    pictures = [p for p in pictures if p.shape == pictures[0].shape]
    brightest = np.max(pictures, axis=0)
    if len(pictures) < PLACES // 2 or brightest.max() <= 2 * DARK:
        return None
    height, width = brightest.shape
    (top, bottom), (left, right) = (_lit(brightest.max(axis)) for axis in (1, 0))
    if (top, left) == (0, 0) and (bottom, right) == (height, width):
        return None
    return left, top, right, bottom


def _lit(brightest: UInt8[np.ndarray, " side"]) -> tuple[int, int]:
    """From where to where a side is not a bar."""
    side = len(brightest)
    lit = np.flatnonzero(brightest > DARK)
    low, high = int(lit[0]), side - 1 - int(lit[-1])
    if min(low, high) < THINNEST * side or abs(low - high) > THINNEST * side:
        return 0, side
    return low + low % 2, side - high - (side - high) % 2


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _hash(path: Path) -> str:
    """SHA-256 of the file's bytes; of nothing where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
