"""Any video or picture file to frames.

What a viewer would show is what comes back: EXIF and container rotation applied, non-square pixels stretched, uneven
timing (phones, GIFs, screen recordings) made steady by holding or dropping frames, transparent parts laid over white,
interlaced fields joined, high dynamic range brought to BT.709 (what is brighter than its white is cut off).
"""

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.filter
import numpy as np
from av.error import FFmpegError, InvalidDataError
from av.stream import Disposition
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation, VideoReformatter
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageOps

from worldpatch.config import UserError
from worldpatch.video.resize import Rule, fit, missing_side, resize

log = logging.getLogger(__name__)

Frame = UInt8[np.ndarray, "h w 3"]
Box = tuple[int, int, int, int]  # left, top, right and bottom in pixels

STILLS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")  # read by pillow, all else by FFmpeg
STILL_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif"}
MOST_PIXELS = 2**26  # of a frame: 8192 x 8192, above what cameras make and below what fills a memory
# Files that hold pictures themselves. Lists of other files (concat, HLS, DASH) would read what their sender may not.
CONTAINERS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,mxf,ivf,nut,gif,apng,h264,hevc,yuv4mpegpipe,dv"
)
HIGH_RANGE = (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)  # PQ and HLG
# With FFmpeg's quick rounding pictures come out one grey level too dark, and two where they are shrunk as well.
FAITHFUL = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
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
        with image, _pillow(path):
            rate, holds = _timing(image, path)
            width, height = image.size
            if image.getexif().get(ExifTags.Base.Orientation, 1) >= 5:  # stored lying on its side
                width, height = height, width
            return Info(path=path, frames=sum(holds), height=height, width=width, rate=rate, codec=str(image.format))
    with decodable(path) as (container, stream, decoded):
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
    with decodable(path) as (_, stream, _):
        rate = _rate(stream)
    return rate, _video_frames(path, side)


def planes(
    path: str | Path, height: int, width: int, box: Box | None = None, threads: int = 0
) -> tuple[float, Iterator[Any]]:
    """The rate of a video or picture, and its frames as FFmpeg's own in yuv420p, BT.709 of limited range.

    Of a video's stored picture only `box` is taken. Each is scaled to cover height x width, both even, and what hangs
    over is cut off evenly; one that is held for longer comes again as the same object. `pts` and `time_base` are those
    of the file where it has them. This is the way from file to file: no colour is converted but those of small frames.
    Decoded by so many threads (0: as FFmpeg sees fit); one costs a fifth less than several. Errors as for `read`.
    """
    assert height % 2 == 0 and width % 2 == 0, (height, width)
    path = existing(path)
    if (image := open_still(path)) is not None:
        rate, holds = _timing(image, path)
        return rate, _runs(_still_frames(image, path, holds), lambda pixels: _from_rgb(pixels, height, width))
    with decodable(path) as (_, stream, _):
        rate = _rate(stream)
    return rate, _video_planes(path, height, width, box, threads)


class Shrinker:
    """Frames of `planes` to pixels, shrunk to a longer side of `side` where it is longer: quickly, a grey level or two
    too dark, to look for something in."""

    def __init__(self, side: int):
        self.side, self._scale = side, VideoReformatter()

    def __call__(self, frame: Any) -> Frame:
        height, width = _shrunk((frame.height, frame.width), self.side)
        shrunk = self._scale.reformat(frame, width=width, height=height, format="rgb24", threads=1)
        return shrunk.to_ndarray()


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
        options = {"max_pixels": str(MOST_PIXELS), "format_whitelist": CONTAINERS}
        return av.open(str(path), metadata_errors="ignore", options=options)
    except (FFmpegError, OSError) as error:
        raise UserError(f"{path} is not a video or picture that can be read ({error.strerror}); {FOREIGN}") from error


@contextmanager
def decodable(path: Path, threads: int = 0) -> Iterator[tuple[Any, Any, Iterator[Any]]]:
    """The container, its first video stream of which anything decodes (cover pictures come last), and the stream's
    frames. Raises UserError where there is no such stream."""
    for attempt in itertools.count():
        with open_video(path) as container:
            streams = [s for s in container.streams.video if s.codec_context is not None]
            streams.sort(key=lambda s: bool(s.disposition & Disposition.attached_pic))
            if attempt == len(streams):
                raise UserError(f"{path} has no video stream that can be decoded; {FOREIGN}")
            frames = _decode(container, streams[attempt], threads)
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


def _decode(container: Any, stream: Any, threads: int) -> Iterator[Any]:
    """Frames of a stream, their fields joined; damaged packets are skipped and their number goes to the log."""
    frames = _damaged(container, stream, threads)
    first = next(frames, None)
    if first is None:
        return
    frames = itertools.chain([first], frames)
    yield from filtered(frames, "bwdif", "mode=send_frame:deint=interlaced") if first.interlaced_frame else frames


def _damaged(container: Any, stream: Any, threads: int) -> Iterator[Any]:
    """What can be decoded of a stream that may be damaged."""
    stream.thread_type, stream.codec_context.thread_count = "AUTO", threads
    decoder, damaged = _decoder(stream), 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                break
            yield from decoder.decode(packet)
        except InvalidDataError:
            damaged += 1
        except FFmpegError as error:  # the file ends in the middle, or cannot be read on
            log.warning("%s: stops early: %s", container.name, error.strerror)
            break
    if damaged:
        log.warning("%s: %d damaged packets skipped", container.name, damaged)


def _decoder(stream: Any) -> Any:
    """The stream's own decoder, or libvpx, which alone knows of VP8's and VP9's transparency."""
    name = stream.codec_context.name
    if stream.metadata.get("alpha_mode") != "1" or name not in ("vp8", "vp9"):
        return stream.codec_context
    return av.CodecContext.create({"vp8": "libvpx", "vp9": "libvpx-vp9"}[name], "r")


def filtered(frames: Iterable[Any], name: str, options: str) -> Iterator[Any]:
    """Frames through one of FFmpeg's filters, set up again where their size or layout changes."""
    graph = shape = None
    for frame in frames:
        if shape != (now := (frame.width, frame.height, frame.format.name)):
            yield from _through(graph, None)
            graph, shape = _graph(frame, name, options), now
        yield from _through(graph, frame)
    yield from _through(graph, None)


def _graph(frame: Any, name: str, options: str) -> Any:
    graph = av.filter.Graph()
    base = frame.time_base or Fraction(1, 1000)
    begin = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=base)
    middle, end = graph.add(name, options), graph.add("buffersink")
    begin.link_to(middle)
    middle.link_to(end)
    graph.configure()
    return graph


def _through(graph: Any, frame: Any) -> Iterator[Any]:
    """The frames that a filter lets go of once it has this one (None: no more come)."""
    if graph is None:
        return
    graph.push(frame)
    while True:
        try:
            yield graph.pull()
        except (BlockingIOError, EOFError):
            return


def _video_frames(path: Path, side: int | None = None) -> Iterator[Frame]:
    with decodable(path) as (_, stream, decoded):
        size = _display_size(stream)
        size = size if side is None else _shrunk(size, side)
        scaler = Scaler()
        yield from _runs(_steady(decoded, _rate(stream)), lambda frame: _upright(frame, size, scaler))


def _video_planes(path: Path, height: int, width: int, box: Box | None, threads: int) -> Iterator[Any]:
    with decodable(path, threads) as (_, stream, decoded):
        size, scaler = _display_size(stream), Scaler()
        if box is not None:
            left, top, right, bottom = box
            size = bottom - top, max(1, round(size[1] * (right - left) / stream.width))
            decoded = filtered(decoded, "crop", f"{right - left}:{bottom - top}:{left}:{top}")
        yield from _runs(_steady(decoded, _rate(stream)), lambda frame: covering(frame, size, height, width, scaler))


def _runs(items: Iterable[Any], function: Callable[[Any], Any]) -> Iterator[Any]:
    """`function` of every item, called once for each run of one and the same object."""
    former = made = None
    for item in items:
        if item is not former:
            former, made = item, function(item)
        yield made


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


def _upright(frame: Any, size: tuple[int, int], scaler: "Scaler") -> Frame:
    """A decoded frame -> sRGB pixels as displayed: stretched to square pixels (`size`, height and width), turned."""
    if frame.format.name.startswith("yuva"):  # over white, as pictures are
        pixels = _rgb(Image.fromarray(frame.to_ndarray(format="rgba", height=size[0], width=size[1])))
    else:
        pixels = scaler.pixels(frame, size).to_ndarray()
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))


def covering(frame: Any, size: tuple[int, int], height: int, width: int, scaler: "Scaler") -> Any:
    """A decoded frame -> yuv420p as displayed, cropped to height x width; `size` is its displayed (h, w) unturned."""
    turns = round(frame.rotation / 90) % 4
    if frame.format.name.startswith("yuva"):
        made = _from_rgb(_upright(frame, size, scaler), height, width)
    else:
        target = (width, height) if turns % 2 else (height, width)
        cover = max(target[0] / size[0], target[1] / size[1])
        scaled = tuple(max(t, 2 * round(cover * length / 2)) for t, length in zip(target, size, strict=True))
        small = scaler.planes(frame, scaled)
        made = small if scaled == target and not turns else _cut(small.to_ndarray(), scaled, target, turns)
    made.pts, made.time_base = frame.pts, frame.time_base
    return made


def _cut(yuv: UInt8[np.ndarray, "rows w"], size: tuple[int, ...], target: tuple[int, int], turns: int) -> Any:
    """The middle of a yuv420p picture of `size` (h, w), turned by so many quarters."""
    (h, w), (height, width) = size, target
    flat, quarter = yuv.ravel(), h * w // 4
    planes = yuv[:h], *(flat[k * quarter : (k + 1) * quarter].reshape(h // 2, w // 2) for k in (4, 5))
    top, left = (h - height) // 4 * 2, (w - width) // 4 * 2
    parts = [
        p[top // s : (top + height) // s, left // s : (left + width) // s]
        for p, s in zip(planes, (1, 2, 2), strict=True)
    ]
    y, u, v = (np.rot90(part, turns) for part in parts)
    whole = np.concatenate([y.ravel(), u.ravel(), v.ravel()]).reshape(-1, y.shape[1])
    return tagged(av.VideoFrame.from_ndarray(whole, format="yuv420p"))


def _from_rgb(pixels: Frame, height: int, width: int) -> Any:
    frame = av.VideoFrame.from_ndarray(fit(pixels[None], height, width)[0], format="rgb24")
    return tagged(frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709))


class Scaler:
    """Frames of one stream in another size, as pixels or as yuv420p in BT.709.

    One for the whole stream: what FFmpeg prepares for a conversion costs more than converting a frame, 2.7 s where the
    range is high.
    """

    def __init__(self):
        self._pixels, self._planes = VideoReformatter(), VideoReformatter()

    def pixels(self, frame: Any, size: tuple[int, ...]) -> Any:
        to = {"dst_color_trc": ColorTrc.BT709, "dst_color_primaries": ColorPrimaries.BT709}
        # Where only the chroma grows, two taps are what its siting asks for, in half the time of four.
        taps = Interpolation.BILINEAR if size == (frame.height, frame.width) else Interpolation.BICUBIC
        return self._pixels.reformat(
            frame, width=size[1], height=size[0], format="rgb24", src_colorspace=_matrix(frame),
            interpolation=taps | FAITHFUL, threads=1, **(to if frame.color_trc in HIGH_RANGE else {}),
        )  # fmt: skip

    def planes(self, frame: Any, size: tuple[int, ...]) -> Any:
        # From another matrix by way of pixels: FFmpeg's direct way is two grey levels off.
        plain = _matrix(frame) == Colorspace.ITU709 and frame.color_trc not in HIGH_RANGE
        return tagged(
            self._planes.reformat(
                frame if plain else self.pixels(frame, size), width=size[1], height=size[0], format="yuv420p",
                dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG,
                interpolation=Interpolation.BICUBIC | FAITHFUL, threads=1,
            )
        )  # fmt: skip


def _matrix(frame: Any) -> int:
    """The matrix a frame's colours are coded with; where the file does not say, its size decides, as in players."""
    if frame.format.name.startswith(("rgb", "bgr", "gbr", "pal8")):
        return Colorspace.ITU709  # none at all
    if frame.colorspace in (0, 2):  # unspecified
        return Colorspace.ITU709 if frame.height > 576 or frame.width >= 1280 else Colorspace.ITU601
    return frame.colorspace


def tagged(frame: Any) -> Any:
    """A frame that says of itself that it is BT.709 of limited range."""
    frame.colorspace, frame.color_range = Colorspace.ITU709, ColorRange.MPEG
    frame.color_primaries, frame.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    return frame
