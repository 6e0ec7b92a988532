"""A clip in yuv420p, as codecs take it: half the bytes of pixels, and enlarged in a tenth of the time."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from jaxtyping import Float, UInt8

from worldpatch.video.read import FAITHFUL, Scaler, covering, tagged

Frames = UInt8[np.ndarray, "t h w 3"]

RANGE = 219 / 255  # levels of luma that a grey level takes
# BT.709 of limited range to pixels: what a level of luma and of the two chromas adds to red, green and blue.
MATRIX = np.array([[1, 1, 1], [0, -0.187324, 1.8556], [1.5748, -0.468124, 0]]) * [[255 / 219], [255 / 224], [255 / 224]]
ZERO = (16, 128, 128)
FINE = Interpolation.BICUBIC | FAITHFUL


class Planes:
    """Frames in yuv420p, BT.709 of limited range. Iterated over, it gives what `write.encode` takes."""

    def __init__(self, pixels: Frames, height: int, width: int):
        """Pixels scaled to height x width, which are even, as `resize.fit` does: what hangs over is cut."""
        assert height % 2 == width % 2 == 0, f"{height}x{width} is odd: two pixels share a chroma"
        self.shape = len(pixels), height, width
        self.frames = list(_planes(pixels, height, width))

    def __iter__(self) -> Iterator[Any]:
        return iter(self.frames)

    def luma(self, number: int) -> UInt8[np.ndarray, "h w"]:
        """That of a frame, to be read and written."""
        _, height, width = self.shape
        return _plane(self.frames[number], 0)[:height, :width]

    def pixels(self, numbers: Sequence[int], height: int | None = None, width: int | None = None) -> Frames:
        """Some of the frames as they will be seen, perhaps at another size."""
        size = {"width": width or self.shape[2], "height": height or self.shape[1]}
        scaler = VideoReformatter()
        taken = (scaler.reformat(self.frames[n], format="rgb24", interpolation=FINE, **size) for n in numbers)
        return np.stack([frame.to_ndarray() for frame in taken])

    def mean(self, first: int) -> Float[np.ndarray, "h w 3"]:
        """The mean over time of so many frames from the beginning, in pixels from 0 to 255."""
        _, height, width = self.shape
        some = self.frames[:first]
        planes = []
        for k in range(3):
            total = np.zeros_like(_plane(some[0], k), np.uint32)
            for frame in some:
                total += _plane(frame, k)
            scale = 1 if k == 0 else 2
            planes.append(total.repeat(scale, 0).repeat(scale, 1)[:height, :width] / len(some) - ZERO[k])
        return np.clip(np.stack(planes, -1).astype(np.float32) @ MATRIX.astype(np.float32), 0, 255)


def _planes(pixels: Frames, height: int, width: int) -> Iterator[Any]:
    same, scaler, whole = VideoReformatter(), Scaler(), VideoReformatter()
    for picture in pixels:
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        if picture.shape[:2] == (height, width):
            yield tagged(same.reformat(frame, format="yuv420p", dst_colorspace=Colorspace.ITU709))
        else:  # with a chroma for every pixel, or it is halved before it is enlarged
            full = tagged(whole.reformat(frame, format="yuv444p", dst_colorspace=Colorspace.ITU709))
            full.time_base = Fraction(1)
            yield covering(full, picture.shape[:2], height, width, scaler)


def _plane(frame: Any, number: int) -> UInt8[np.ndarray, "h stride"]:
    plane = frame.planes[number]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
