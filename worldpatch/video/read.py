"""Any video or picture file to frames.

What a viewer would show is what comes back: EXIF and container rotation applied, non-square pixels stretched, uneven
timing (phones, GIFs, screen recordings) made steady by holding or dropping frames, transparent parts laid over white.
High dynamic range is not tone-mapped and interlaced fields are not separated.
"""

import itertools
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError, InvalidDataError
from av.stream import Disposition
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps

from worldpatch.config import UserError
from worldpatch.video.resize import Rule, fit, missing_side, resize

log = logging.getLogger(__name__)

Frame = UInt8[np.ndarray, "h w 3"]

STILLS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")  # read by pillow, all else by FFmpeg
STILL_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}
LONGEST_HOLD = 10.0  # seconds; a longer gap between two frames is a break in the timestamps, not a still picture
FOREIGN = "give an MP4, WebM, MKV, MOV, GIF, PNG, JPEG or WebP file"


@dataclass(frozen=True, kw_only=True)
class Info:
    """What a file says of itself: size as displayed in pixels, frames per second, frames (estimated where the header
    does not count them), and the codec or picture format."""

    path: Path
    frames: int
    height: int
    width: int
    rate: float
    codec: str

    @property
    def seconds(self) -> float:
        return self.frames / self.rate


def probe(path: str | Path) -> Info:
    """Size, length and rate of a video or picture from its header. Raises UserError where it is neither."""
    path = existing(path)
    if (image := open_still(path)) is not None:
        with image:
            rate, holds = _timing(image, path)
            width, height = image.size
            if image.getexif().get(ExifTags.Base.Orientation, 1) >= 5:  # stored lying on its side
                width, height = height, width
            return Info(path=path, frames=sum(holds), height=height, width=width, rate=rate, codec=str(image.format))
    with _decodable(path) as (container, stream, decoded):
        height, width = _display_size(stream)
        if abs(next(decoded).rotation) == 90:
            height, width = width, height
        rate, seconds = _rate(stream), _seconds(container, stream)
        frames = round(seconds * rate) if seconds else stream.frames
        return Info(
            path=path, frames=max(1, frames), height=height, width=width, rate=rate, codec=stream.codec_context.name
        )


def read(
    path: str | Path,
    start: int = 0,
    frames: int | None = None,
    height: int | None = None,
    width: int | None = None,
    rule: Rule = "crop",
) -> tuple[UInt8[np.ndarray, "t h w 3"], float]:
    """Frames `start` to `start + frames` (None: to the end) and their rate in frames per second; a picture has rate 1.

    With `height` or `width` the frames are scaled while they are read, so that only small ones are held: with one of
    them the aspect ratio decides the other, with both `rule` says whether to crop or to pad. Raises UserError where
    the file is missing, is no video or picture, holds nothing that decodes, or ends before `start`.
    """
    if start < 0 or (frames is not None and frames < 1):
        raise UserError(f"cannot read {frames} frames from frame {start}; start at 0 or later and take at least 1")
    rate, steady = stream(path)
    chosen = itertools.islice(steady, start, None if frames is None else start + frames)
    taken = [_scaled(frame, height, width, rule) for frame in chosen]
    if not taken:
        raise UserError(f"{path} has no frame {start}; choose an earlier start")
    return np.stack(taken), rate


def stream(path: str | Path, side: int | None = None) -> tuple[float, Iterator[Frame]]:
    """The rate of a video or picture and its frames one by one, at constant memory. Errors as for `read`.

    With `side`, frames that are longer on their longer side are shrunk to it as they are decoded.
    """
    path = existing(path)
    if (image := open_still(path)) is not None:
        rate, holds = _timing(image, path)
        frames = _still_frames(image, path, holds)
        return rate, frames if side is None else (resize(f[None], *_shrunk(f.shape[:2], side))[0] for f in frames)
    with _decodable(path) as (_, stream, _):
        rate = _rate(stream)
    return rate, _video_frames(path, side)


def _shrunk(size: tuple[int, ...], side: int) -> tuple[int, int]:
    """Height and width at the same aspect, no longer than `side`."""
    scale = min(1.0, side / max(size))
    height, width = (max(1, round(scale * length)) for length in size)
    return height, width


def _scaled(frame: Frame, height: int | None, width: int | None, rule: Rule) -> UInt8[np.ndarray, "height width 3"]:
    target = missing_side(frame.shape[:2], height, width)
    return fit(frame[None], *target, rule)[0] if height and width else resize(frame[None], *target)[0]


def existing(path: str | Path) -> Path:
    """`path`, if a file that holds something is there. Raises UserError otherwise."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder, not a video or picture; name a file in it")
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check the path") from error
    if not head:
        raise UserError(f"{path} is empty (0 bytes); copy or download it again")
    if head.startswith(b"version https://git-lfs"):
        raise UserError(f"{path} is a Git LFS pointer, not the video itself; run `git lfs pull` where it came from")
    return path


# --------------------------------------------------------------------------------------------------- pictures (pillow)


def open_still(path: Path) -> Image.Image | None:
    """The picture or animation, told by its content and not by its name; None where it is something else."""
    with _pillow(path):
        try:
            return Image.open(path, formats=STILLS)
        except Image.UnidentifiedImageError:
            if path.suffix.lower() in STILL_SUFFIXES:
                raise
            return None


@contextmanager
def _pillow(path: Path) -> Iterator[None]:
    """Pillow tells of a damaged file by exceptions of many kinds; they become one UserError."""
    try:
        yield
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} holds no picture that can be read ({error}); {FOREIGN}") from error


def _timing(image: Image.Image, path: Path) -> tuple[float, list[int]]:
    """Rate of an animation, and for how many frames of that rate each of its pictures is shown.

    Encoders merge equal pictures into a longer one and GIF rounds to 10 ms, so one frame lasts as long as the mean of
    the short pictures.
    """
    count = getattr(image, "n_frames", 1)
    if count == 1 or image.format not in ("GIF", "WEBP", "PNG", "AVIF"):  # pages and previews are not time
        return 1.0, [1]
    milliseconds = []
    with _pillow(path):
        for index in range(count):
            image.seek(index)
            if image.format == "WEBP":  # knows how long a picture lasts once it is decoded
                image.load()
            milliseconds.append(image.info.get("duration") or 100)  # browsers, too, take 0 for 100
    shortest = min(milliseconds)
    tick = float(np.mean([d for d in milliseconds if d < 1.5 * shortest]))
    return 1000 / tick, [max(1, round(min(d, LONGEST_HOLD * 1000) / tick)) for d in milliseconds]


def _still_frames(image: Image.Image, path: Path, holds: list[int]) -> Iterator[Frame]:
    with image:
        for index, hold in enumerate(holds):
            with _pillow(path):
                image.seek(index)
                frame = _rgb(ImageOps.exif_transpose(image))
            yield from itertools.repeat(frame, hold)


def _rgb(image: Image.Image) -> Frame:
    """8-bit sRGB; 16-bit greys keep their upper byte, transparent parts lie over white."""
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return np.array(image.convert("RGB"))


# ------------------------------------------------------------------------------------------------------ video (FFmpeg)


def open_video(path: Path) -> Any:
    """The file as an FFmpeg container. Raises UserError where it is none."""
    try:
        return av.open(str(path), metadata_errors="ignore")
    except (FFmpegError, OSError) as error:
        raise UserError(f"{path} is not a video or picture that can be read ({error.strerror}); {FOREIGN}") from error


@contextmanager
def _decodable(path: Path) -> Iterator[tuple[Any, Any, Iterator[Any]]]:
    """The container, its first video stream of which anything decodes (cover pictures come last), and the stream's
    frames. Raises UserError where there is no such stream."""
    for attempt in itertools.count():
        with open_video(path) as container:
            streams = [s for s in container.streams.video if s.codec_context is not None]
            streams.sort(key=lambda s: bool(s.disposition & Disposition.attached_pic))
            if attempt == len(streams):
                raise UserError(f"{path} has no video stream that can be decoded; {FOREIGN}")
            frames = _decode(container, streams[attempt])
            first = next(frames, None)
            if first is not None:
                yield container, streams[attempt], itertools.chain([first], frames)
                return


def _rate(stream: Any) -> float:
    return float(stream.average_rate or stream.guessed_rate or 1)


def _seconds(container: Any, stream: Any) -> float:
    if stream.duration:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base


def _display_size(stream: Any) -> tuple[int, int]:
    """Height and width on a screen with square pixels, before rotation."""
    aspect = float(stream.sample_aspect_ratio or 1)
    return stream.height, max(1, round(stream.width * aspect))


def _decode(container: Any, stream: Any) -> Iterator[Any]:
    """Frames of a stream; damaged packets are skipped and their number goes to the log."""
    stream.thread_type = "AUTO"
    damaged = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                break
            yield from packet.decode()
        except InvalidDataError:
            damaged += 1
        except FFmpegError as error:  # the file ends in the middle, or cannot be read on
            log.warning("%s: stops early: %s", container.name, error.strerror)
            break
    if damaged:
        log.warning("%s: %d damaged packets skipped", container.name, damaged)


def _video_frames(path: Path, side: int | None = None) -> Iterator[Frame]:
    with _decodable(path) as (_, stream, decoded):
        size = _display_size(stream)
        size = size if side is None else _shrunk(size, side)
        yield from (_upright(frame, size) for frame in _steady(decoded, _rate(stream)))


def _steady(frames: Iterable[Any], rate: float) -> Iterator[Any]:
    """Frames with time stamps -> one frame per 1/rate seconds: each is held until the next is due.

    Times are rounded to whole frames, so a stream of constant rate passes unchanged whatever its container's clock.
    """
    held, held_at, origin = None, 0, None
    for frame in frames:
        time = frame.time
        origin = time if origin is None else origin
        due = held_at + 1 if time is None or origin is None else round((time - origin) * rate)
        if held is not None:
            gap = due - held_at
            if not 0 <= gap <= max(1.0, LONGEST_HOLD * rate):  # a break in the clock: carry on with the next frame
                gap, origin = 1, (None if time is None else time - (held_at + 1) / rate)
                due = held_at + 1
            yield from itertools.repeat(held, gap)
        held, held_at = frame, due
    if held is not None:
        yield held


def _upright(frame: Any, size: tuple[int, int]) -> Frame:
    """A decoded frame -> sRGB pixels as displayed: stretched to square pixels (`size`, height and width), turned."""
    pixels = frame.to_ndarray(format="rgb24", height=size[0], width=size[1], interpolation="BICUBIC")
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))
