"""Flashes that can cause seizures, by the thresholds of WCAG 2.3.1: frames in, whether a clip flashes too much out.

A flash is a pair of opposing changes of relative luminance by a tenth or more of its maximum, the darker side below
0.8 (general flash), or a pair of opposing changes to and from a saturated red, by more than 20 in (R - G - B) * 320
(red flash). More than three within a second, on more than a quarter of any field of ten degrees, are too many.

How far away a clip is seen from is not known: it is taken to fill a display of 1024x768, where ten degrees are a third
of the width and of the height, as in WCAG's own technique. A field is counted in cells, a 24th of the width by an 18th
of the height; what flickers inside a cell and leaves its mean as it is, is not seen. Cells count together also where
they flash out of step, which is stricter than WCAG.
"""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8

ROWS, COLUMNS = 18, 24
FIELD = (6, 8)  # cells of a field of ten degrees
AREA = 0.25  # of a field
FLASHES = 3  # in a second
CHANGE, BRIGHT = 0.1, 0.8  # of relative luminance
RED, RED_CHANGE = 0.8, 20.0  # share of red that is saturated; change of (R - G - B) * 320
CODES = np.arange(256) / 255
LINEAR = np.where(CODES <= 0.04045, CODES / 12.92, ((CODES + 0.055) / 1.055) ** 2.4).astype(np.float32)


def flashes(frames: UInt8[np.ndarray, "t h w 3"], rate: float) -> Literal["", "general", "red"]:
    """Which kind of flash is too frequent in a clip of `rate` frames per second; empty where neither is."""
    light = np.stack([_cells(LINEAR[frame]) for frame in frames])
    luminance = light @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    if _too_many(_changes(luminance, CHANGE, BRIGHT), rate):
        return "general"
    red, others = light[..., 0], light[..., 1] + light[..., 2]
    saturated = red >= RED * np.maximum(red + others, 1e-6)
    redness = np.where(saturated, np.maximum(red - others, 0) * 320, 0)
    return "red" if _too_many(_changes(redness, RED_CHANGE, np.inf), rate) else ""


def _cells(picture: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "rows columns 3"]:
    """Mean linear light of each cell; a frame of fewer pixels than cells has pixels for cells."""
    for axis, cells in ((0, ROWS), (1, COLUMNS)):
        size = picture.shape[axis]
        edges = np.linspace(0, size, min(cells, size) + 1).astype(int)
        counts = np.diff(edges).astype(np.float32)
        sums = np.add.reduceat(picture, edges[:-1], axis)
        picture = sums / counts.reshape([-1, 1, 1] if axis == 0 else [1, -1, 1])
    return picture


def _changes(
    values: Float[np.ndarray, "t rows columns"], least: float, bright: float
) -> Bool[np.ndarray, "t rows columns"]:
    """Where a cell completes a change by `least` against its last one, from or to a value below `bright`."""
    low, high = values[0].copy(), values[0].copy()
    way = np.zeros(values.shape[1:], np.int8)
    changed = np.zeros(values.shape, bool)
    for at, now in enumerate(values):
        low, high = np.minimum(low, now), np.maximum(high, now)
        up = (way <= 0) & (now - low >= least) & (low < bright)
        down = (way >= 0) & (high - now >= least) & (now < bright) & ~up
        way = np.where(up, 1, np.where(down, -1, way)).astype(np.int8)
        changed[at] = up | down
        low, high = np.where(changed[at], now, low), np.where(changed[at], now, high)
    return changed


def _too_many(changed: Bool[np.ndarray, "t rows columns"], rate: float) -> bool:
    """Are there more than three flashes in any second, on more than a quarter of any field?"""
    window = max(1, round(rate))
    counts = np.cumsum(np.pad(changed.astype(np.int32), ((1, 0), (0, 0), (0, 0))), axis=0)
    within = counts[window:] - counts[:-window] if len(changed) > window else counts[-1:]
    frequent = (within // 2 > FLASHES).astype(np.int32)
    if not frequent.any():
        return False
    rows, columns = (min(size, cells) for size, cells in zip(FIELD, changed.shape[1:], strict=True))
    area = np.cumsum(np.cumsum(np.pad(frequent, ((0, 0), (1, 0), (1, 0))), axis=1), axis=2)
    fields = (
        area[:, rows:, columns:] - area[:, :-rows, columns:] - area[:, rows:, :-columns] + area[:, :-rows, :-columns]
    )
    return bool((fields > AREA * rows * columns).any())
