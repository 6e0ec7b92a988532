"""Frames to files that play everywhere, with the recipe that made them inside.

The suffix decides: `.mp4` is H.264 in yuv420p with its index first (it starts to play while it loads), `.gif` loops,
`.webp` is a picture or a looping animation, `.png` a lossless picture, or for a clip a strip of its frames. The same
frames give the same bytes. A file appears whole or not at all.
"""

import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import PictureType
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from jaxtyping import UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from worldpatch.config import UserError
from worldpatch.video._atomic import atomic, check_folder
from worldpatch.video.read import existing, open_still, open_video
from worldpatch.video.sheet import filmstrip

Frames = UInt8[np.ndarray, "t h w 3"]

KEY = "worldpatch"  # the recipe is stored as the JSON object {"worldpatch": recipe}
EXIF_DESCRIPTION = 0x010E
# Without mbtree: its AVX-512 code reads past the end of frames narrower than 128 pixels, and the bytes change from one
# encoding to the next.
QUALITY = {"crf": "16", "preset": "medium", "x264-params": "mbtree=0"}
# To be read from anywhere: a tenth more bytes without arithmetic coding, decoded in two thirds of the time.
SEEKABLE = QUALITY | {"x264-params": "mbtree=0:cabac=0"}
# While somebody waits: in a tenth of the time, at as many bytes for what is enlarged and up to three times as many for
# what is sharp, 0.4 dB further off.
LIVE = QUALITY | {"preset": "ultrafast", "crf": "18"}
THREADS = 4  # of what is watched while it is written; so many on any machine, for the bytes depend on it
WHOLE = {"movflags": "faststart", "fflags": "bitexact"}
STRIP = 8  # frames shown in the PNG of a clip


def write(
    path: str | Path, frames: Frames | Iterable[Frames], rate: float, metadata: dict[str, Any] | None = None
) -> None:
    """Frames, or an iterator of chunks of them (for any length at constant memory in MP4), to `path`.

    `rate` is in frames per second; `metadata` must be JSON. H.264 needs even sides: an odd one grows by one repeated
    pixel. Raises UserError for an unknown suffix, a rate that is not positive, or a place that cannot be written to;
    nothing half-written is left behind then, nor after Ctrl-C.
    """
    path = Path(path)
    check(path)
    if not 0 < rate < float("inf"):
        raise UserError(f"a rate of {rate} frames per second cannot be written; give a positive number")
    chunks = iter([frames] if isinstance(frames, np.ndarray) else frames)
    with atomic(path) as temporary:
        try:
            WRITERS[path.suffix.lower()](temporary, _checked(chunks), rate, _to_text(metadata))
        except FFmpegError as error:
            raise OSError(error.errno, error.strerror) from error


def check(path: str | Path) -> None:
    """Raises UserError if `write(path, ...)` would be refused: worth asking before minutes of sampling."""
    path = Path(path)
    if path.suffix.lower() not in WRITERS:
        raise UserError(f"cannot write {path}: unknown suffix {path.suffix!r}; use one of {', '.join(WRITERS)}")
    try:
        check_folder(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; choose another place") from error


def read_metadata(path: str | Path) -> dict[str, Any] | None:
    """The recipe that `write` put into an MP4, GIF, PNG or WebP file; None where there is none."""
    path = existing(path)
    image = open_still(path)
    if image is None:
        with open_video(path) as container:
            text = container.metadata.get("comment")
    else:
        with image:
            text = _text_in(image)
    try:
        return json.loads(text or "null")[KEY]
    except (ValueError, TypeError, KeyError):  # somebody else's comment
        return None


def _text_in(image: Image.Image) -> str | None:
    if image.format == "GIF":
        return image.info.get("comment", b"").decode("utf-8", "replace")
    return image.info.get(KEY) if image.format == "PNG" else image.getexif().get(EXIF_DESCRIPTION)


def _to_text(metadata: dict[str, Any] | None) -> str | None:
    return None if metadata is None else json.dumps({KEY: metadata}, sort_keys=True)


def _checked(chunks: Iterator[Frames]) -> Iterator[Frames]:
    size = None
    for chunk in chunks:
        assert chunk.dtype == np.uint8 and chunk.ndim == 4 and chunk.shape[-1] == 3, (chunk.dtype, chunk.shape)
        size = size or chunk.shape[1:3]
        assert chunk.shape[1:3] == size, f"chunks of {chunk.shape[1:3]} and {size} in one file"
        yield chunk
    assert size, "no frames to write"


# -------------------------------------------------------------------------------------------------------- the formats


def _mp4(path: Path, chunks: Iterator[Frames], rate: float, text: str | None) -> None:
    size, frames = _yuv(chunks)
    encode(path, frames, size, rate, text)


def _yuv(chunks: Iterator[Frames]) -> tuple[tuple[int, int], Iterator[Any]]:
    """(height, width) and frames in yuv420p, BT.709. Odd sides grow by one repeated pixel."""
    first = next(chunks)
    height, width = first.shape[1:3]

    def frames() -> Iterator[Any]:
        converter = VideoReformatter()  # a frame's own would be set up anew for each
        for pixels in itertools.chain.from_iterable(itertools.chain([first], chunks)):
            if height % 2 or width % 2:
                pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            yield converter.reformat(frame, format="yuv420p", dst_colorspace=Colorspace.ITU709)

    return (height + height % 2, width + width % 2), frames()


def encode(
    path: Path,
    frames: Iterable[Any],
    size: tuple[int, int],
    rate: float,
    text: str | None = None,
    gop: int | None = None,
) -> None:
    """Frames in yuv420p, BT.709, as H.264 by x264 with one thread, which makes it repeatable, and the index first.

    `size` is (height, width). With `gop`, a frame that can be decoded alone comes at least every so many, and the
    others are quick to decode, for reading at random.
    """
    quality = QUALITY if gop is None else SEEKABLE | {"g": str(gop)}
    with av.open(str(path), "w", format="mp4", options=WHOLE) as container:
        if text is not None:
            container.metadata["comment"] = text
        for packets in _packets(container, frames, size, rate, quality):
            container.mux(packets)


def _packets(
    container: Any,
    frames: Iterable[Any],
    size: tuple[int, int],
    rate: float,
    quality: dict[str, str],
    threads: int = 1,
) -> Iterator[list[Any]]:
    """A stream of H.264 in a container, and its packets as they come."""
    rate_ = Fraction(rate).limit_denominator(1001)
    stream = container.add_stream("libx264", rate=rate_, options=quality)
    (stream.height, stream.width), stream.pix_fmt = size, "yuv420p"
    context = stream.codec_context
    context.thread_count = threads
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    for number, frame in enumerate(frames):
        frame.pts, frame.time_base, frame.pict_type = number, 1 / rate_, PictureType.NONE
        yield stream.encode(frame)
    yield stream.encode(None)


def write_parts(
    frames: Iterable[Any], size: tuple[int, int], rate: float, keep: Callable[[bytes], None], seconds: float = 1.0
) -> None:
    """Frames as `encode` takes them to fragmented MP4 in pieces, each given to `keep` as soon as it is encoded; in a
    row they are a file that plays. A piece is about so many seconds; the first one tells what the stream is."""
    sink = _Sink()
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "fflags": "bitexact"}
    with av.open(sink, "w", format="mp4", options=options) as container:
        quality = LIVE | {"g": str(max(1, round(rate * seconds)))}
        for packets in _packets(container, frames, size, rate, quality, THREADS):
            container.mux(packets)
            if sink.written:
                keep(sink.take())
    if sink.written:
        keep(sink.take())


def join_parts(parts: bytes, path: Path, metadata: dict[str, Any] | None = None) -> None:
    """The pieces of `write_parts`, in a row, to an MP4 with its index first; nothing is encoded again."""
    text = _to_text(metadata)
    with (
        atomic(path) as temporary,
        av.open(io.BytesIO(parts), "r") as given,
        av.open(str(temporary), "w", format="mp4", options=WHOLE) as container,
    ):
        if text is not None:
            container.metadata["comment"] = text
        stream = container.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(given.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)


class _Sink:
    """A file that cannot be sought in, for what is to be sent while it is written."""

    def __init__(self) -> None:
        self.written = bytearray()

    def write(self, content: bytes) -> int:
        self.written += content
        return len(content)

    def take(self) -> bytes:
        content, self.written = bytes(self.written), bytearray()
        return content


def _gif(path: Path, chunks: Iterator[Frames], rate: float, text: str | None) -> None:
    """One palette for the whole clip, so that still parts do not flicker; times are rounded to GIF's 10 ms."""
    frames = np.concatenate(list(chunks))
    samples = frames[np.unique(np.linspace(0, len(frames) - 1, 16).astype(int))]
    palette = Image.fromarray(np.concatenate(list(samples))).quantize(256)
    pictures = [Image.fromarray(f).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for f in frames]
    ends = np.round(np.arange(1, len(frames) + 1) * 100 / rate).astype(int)
    durations = np.maximum(np.diff(ends, prepend=0), 1) * 10
    comment = {} if text is None else {"comment": text.encode()}
    loop = {"duration": durations.tolist(), "loop": 0} if len(frames) > 1 else {}
    pictures[0].save(path, "GIF", save_all=True, append_images=pictures[1:], **loop, **comment)


def _webp(path: Path, chunks: Iterator[Frames], rate: float, text: str | None) -> None:
    frames = np.concatenate(list(chunks))
    pictures = [Image.fromarray(frame) for frame in frames]
    exif = Image.Exif()
    if text is not None:
        exif[EXIF_DESCRIPTION] = text
    ends = np.round(np.arange(1, len(frames) + 1) * 1000 / rate).astype(int)
    durations = np.maximum(np.diff(ends, prepend=0), 1)
    loop = {"save_all": True, "append_images": pictures[1:], "duration": durations.tolist(), "loop": 0}
    pictures[0].save(path, "WEBP", quality=95, exif=exif, **(loop if len(frames) > 1 else {}))


def _png(path: Path, chunks: Iterator[Frames], rate: float, text: str | None) -> None:
    frames = np.concatenate(list(chunks))
    info = PngInfo()
    if text is not None:
        info.add_text(KEY, text)
    Image.fromarray(filmstrip(frames, STRIP)).save(path, "PNG", pnginfo=info, optimize=True)


WRITERS: dict[str, Callable[[Path, Iterator[Frames], float, str | None], None]] = {
    ".mp4": _mp4,
    ".gif": _gif,
    ".webp": _webp,
    ".png": _png,
}
