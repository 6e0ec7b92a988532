"""Looks: how the rendered picture is finished. All work on frames at rendering size, before they are averaged down."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8

PAPER = np.array([0.97, 0.96, 0.94])
INK = np.array([0.13, 0.13, 0.15])
CLAY = np.array([0.80, 0.72, 0.64])
NIGHT = np.array([0.36, 0.38, 0.43])

Picture = Float[np.ndarray, "h w 3"]
Mask = UInt8[np.ndarray, "h w"]


def _clay(picture: Picture, mask: Mask, grain: np.ndarray) -> Picture:
    """Matt and mottled, every colour mixed with a little clay."""
    solid = (mask > 0)[..., None]
    matt = np.where(solid, 0.86 * picture + 0.14 * CLAY, 0.5 * picture + 0.5 * CLAY * picture.mean(-1, keepdims=True))
    return matt * (0.96 + 0.08 * grain[..., None])


def _outline(picture: Picture, mask: Mask, grain: np.ndarray) -> Picture:
    """Flat tones in three steps with dark lines around everything that stands out."""
    value = picture.max(-1, keepdims=True)
    flat = picture * (np.ceil(value * 3 - 0.15) / 3 / np.maximum(value, 1e-3))
    return np.where(_edges(picture, mask)[..., None], INK, np.clip(flat, 0, 1))


def _pencil(picture: Picture, mask: Mask, grain: np.ndarray) -> Picture:
    """Coloured pencil: strokes on paper, denser where it is darker, and drawn contours."""
    h, w = mask.shape
    y, x = np.mgrid[:h, :w]
    hatch = 0.5 + 0.5 * np.sin((x + y) * (2 * np.pi / 7.0))
    shade = 1 - picture.mean(-1)
    cover = np.where(mask > 0, 0.70 + 0.30 * hatch, np.clip(1.3 * shade * hatch, 0, 0.6)) * (0.85 + 0.15 * grain)
    drawn = PAPER * (1 - cover[..., None]) + picture * cover[..., None]
    return np.where(_edges(picture, mask)[..., None], 0.6 * INK + 0.4 * drawn, drawn)


def _night(picture: Picture, mask: Mask, grain: np.ndarray) -> Picture:
    """A dark room in which solids catch what light there is."""
    return picture * np.where((mask > 0)[..., None], 0.72, NIGHT)


_FINISH: dict[str, Callable[[Picture, Mask, np.ndarray], Picture]] = {
    "clay": _clay,
    "outline": _outline,
    "pencil": _pencil,
    "night": _night,
}
NAMES = ("plain", *_FINISH)


def finish(look: str, image: UInt8[np.ndarray, "h w 3"], mask: Mask, grain: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    """The frame in a look. `mask` is the segmentation at the same size; `grain` "h w" noise fixed for the clip."""
    if look == "plain":
        return image
    return (255 * np.clip(_FINISH[look](image / 255.0, mask, grain), 0, 1) + 0.5).astype(np.uint8)


def _edges(picture: Picture, mask: Mask) -> np.ndarray:
    """Borders between solids, and folds where the picture's value jumps within one."""
    edge = np.zeros(mask.shape, bool)
    value = picture.mean(-1)
    for axis in (0, 1):
        border = np.diff(mask.astype(np.int16), axis=axis) != 0
        fold = (np.abs(np.diff(value, axis=axis)) > 0.06) & (np.minimum(*_halves(mask, axis)) > 0)
        both = border | fold
        first, second = _halves(edge, axis)
        first |= both
        second |= border
    return edge


def _halves(array: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Views of all but the last and all but the first along an axis."""
    return (array[:-1], array[1:]) if axis == 0 else (array[:, :-1], array[:, 1:])
