"""What can be told of a clip without any weights: movement, sharpness, light, flicker, stillness, things laid over it.

Scores of a clip, a picture having only the first two:

    luma        mean brightness, 0 black to 1 white
    sharpness   median variance of the Laplacian, in squared grey levels, at no more than 256 pixels
    motion      how fast the fastest hundredth of the picture moves, in widths of the picture per second
    motion_mean the same for all of the picture
    still       share of frames that show what the one before showed
    flicker     mean jump of brightness that the next frame takes back, in grey levels
    overlay     share of the picture with edges that stand still while what is behind them moves: a watermark, a caption
"""

from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

THUMB = 16  # pixels of a side
PER_SECOND = 2.0  # frames that are looked at closely
WIDE, FLOW = 256, 128  # pixels of the longer side, for edges and for movement
STEP = 1 / 12  # seconds between the two frames movement is measured in
UNCHANGED = 1.5  # grey levels of a sixteenth of a side: what coding changes in a still picture
BLACK, PLAIN = 24.0, 3.0  # grey levels: darker and plainer than that shows nothing
EDGE, STEADY, MOVING = 60.0, 5.0, 10.0  # grey levels: of an edge, and standard deviations over time
BEHIND = 15  # pixels around an edge that count as what is behind it

Thumb = UInt8[np.ndarray, "side side"]
Thumbs = UInt8[np.ndarray, "_ side side"]
Grey = UInt8[np.ndarray, "_ _"]


def grey(frame: Any) -> Grey:
    """The luma of a frame in yuv420p, stretched from limited range."""
    plane = frame.planes[0]
    luma = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
    return cv2.convertScaleAbs(cv2.max(luma, np.full_like(luma, 16)), alpha=255 / 219, beta=-16 * 255 / 219)


def thumb(frame: Any) -> Thumb:
    """A frame in 16 x 16 grey pixels."""
    return cv2.resize(grey(frame), (THUMB, THUMB), interpolation=cv2.INTER_AREA)


def is_black(small: Thumb) -> bool:
    return bool(small.mean() < BLACK and small.std() < PLAIN)


def is_still(small: Thumb, before: Thumb | None) -> bool:
    return before is not None and bool(np.abs(small.astype(np.int16) - before).max() <= UNCHANGED)


def scores(frames: list[Any], thumbs: list[Thumb], rate: float) -> dict[str, float]:
    """All scores of a clip whose frames are yuv420p at `rate` frames per second."""
    every = max(1, round(rate / PER_SECOND))
    chosen = range(min(every // 2, len(frames) - 1), len(frames), every)
    close = [_shrunk(grey(frames[i]), WIDE) for i in chosen]
    light = np.array([t.mean() for t in thumbs])
    found = {
        "luma": light.mean() / 255,
        "sharpness": float(np.median([cv2.Laplacian(c, cv2.CV_16S).var() for c in close])),
    }
    if len(frames) > 1:
        still = [is_still(b, a) for a, b in zip(thumbs, thumbs[1:], strict=False)]
        found |= _motion(frames, rate, chosen) | {"still": float(np.mean(still)), "overlay": overlay(close)}
    if len(frames) > 2:
        found["flicker"] = float(np.abs(light[1:-1] - (light[2:] + light[:-2]) / 2).mean())
    return {name: float(f"{value:.4g}") for name, value in found.items()}


def _motion(frames: list[Any], rate: float, chosen: range) -> dict[str, float]:
    """Optical flow (DIS, Kroeger et al. 2016) between frames a twelfth of a second apart."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    step = max(1, min(round(STEP * rate), len(frames) - 1))
    speeds = []
    for i in chosen:
        a, b = max(0, min(i, len(frames) - 1 - step)), min(len(frames) - 1, i + step)
        one, two = (_shrunk(grey(frames[k]), FLOW) for k in (a, b))
        if min(one.shape) < 16:  # too narrow for the method's pyramid
            one, two = (cv2.resize(x, (max(16, x.shape[1]), max(16, x.shape[0]))) for x in (one, two))
        moved = np.linalg.norm(flow.calc(one, two, np.zeros((*one.shape, 2), np.float32)).astype(float), axis=-1)
        seconds = (b - a) / rate
        speeds.append([speed / (seconds * one.shape[1]) for speed in (np.percentile(moved, 99), moved.mean())])
    fast, mean = np.mean(speeds, axis=0)
    return {"motion": float(fast), "motion_mean": float(mean)}


def overlay(pictures: list[Grey]) -> float:
    """Share of the picture with edges that never move where all around them does; 0 where too little is to be seen.

    In whole numbers: a square root in float32 is another where memory is aligned in another way, and thresholds see it.
    """
    if len(pictures) < 3:
        return 0.0
    total, squares = (np.zeros(pictures[0].shape, np.int64) for _ in range(2))
    least = np.full_like(total, np.iinfo(np.int64).max)
    for picture in pictures:
        x, y = (cv2.Sobel(picture, cv2.CV_16S, *way).astype(np.int64) for way in ((1, 0), (0, 1)))
        least = np.minimum(least, x**2 + y**2)
        total, squares = total + picture, squares + picture.astype(np.int64) ** 2
    count = len(pictures)
    spread = count * squares - total**2  # count ** 2 times the variance
    lasting = (least > EDGE**2) & (spread < (count * STEADY) ** 2)
    moving = (spread > (count * MOVING) ** 2).astype(np.float32)
    around = cv2.blur(moving, (2 * BEHIND + 1, 2 * BEHIND + 1))
    return float((lasting & (around > 0.5)).mean())


def _shrunk(picture: Grey, side: int) -> Grey:
    scale = side / max(picture.shape)
    if scale >= 1:
        return picture
    height, width = (max(1, round(length * scale)) for length in picture.shape)
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)


# ------------------------------------------------------------------------------------------------- perceptual hashes


def hashes(thumbs: list[Thumb]) -> tuple[str, ...]:
    """64-bit perceptual hashes (signs of the lowest 8 x 8 cosines about their median) of the first, middle and last
    frame, in hexadecimal."""
    places = sorted({0, len(thumbs) // 2, len(thumbs) - 1})
    return tuple(f"{_phash(thumbs[i]):016x}" for i in places)


def _phash(small: Thumb) -> int:
    low: Float[np.ndarray, "8 8"] = cv2.dct(small.astype(np.float32))[:8, :8]
    bits = (low > np.median(low)).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
