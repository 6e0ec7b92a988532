"""From pixels to coloured blobs: the backgrounds of our worlds are pale, so what is saturated is a solid."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Integer, UInt8
from scipy import ndimage

PALETTE: dict[str, tuple[float, float, float]] = {
    "red": (0.90, 0.08, 0.10),
    "orange": (1.00, 0.50, 0.02),
    "yellow": (0.98, 0.88, 0.06),
    "green": (0.08, 0.66, 0.16),
    "cyan": (0.06, 0.80, 0.88),
    "blue": (0.10, 0.22, 0.90),
    "purple": (0.48, 0.12, 0.76),
    "pink": (1.00, 0.46, 0.74),
}
"""Colour words and the paint they mean (RGB, 0 to 1); the same as the tabletop's, without importing a simulator."""

SATURATION = 0.35  # backgrounds stay under it; pink in full light, the palest paint, is at 0.45
DARKEST = 0.16  # below this brightness hue is noise
RIM = 0.04  # of the frame's side: what is thinner, beside a solid, is that solid's soft edge
MIN_AREA = 0.0025  # of the frame: about 10 pixels of 64 x 64; smaller blobs are specks, not solids


@dataclass(frozen=True, kw_only=True)
class Blob:
    """A connected patch of one colour in one frame. `centre` and `box` (top, left, bottom, right) are in pixels."""

    colour: str
    mask: Bool[np.ndarray, "h w"]
    area: int
    centre: tuple[float, float]
    box: tuple[int, int, int, int]

    def touches_border(self, margin: int = 1) -> bool:
        """Whether the blob reaches the edge of the frame, where a solid may enter or leave honestly."""
        h, w = self.mask.shape
        top, left, bottom, right = self.box
        return top < margin or left < margin or bottom > h - margin or right > w - margin


def label(frames: UInt8[np.ndarray, "t h w 3"]) -> Int[np.ndarray, "t h w"]:
    """Colour index + 1 of every saturated pixel, 0 for background.

    The colour is the nearest of the palette in chromaticity (rgb divided by its largest channel), which shading leaves
    alone; a vote among the 3 x 3 neighbours then removes the mixed colours on the border between two solids, and thin
    rims go to the solid they surround: red that is blurred into a white wall is pink, but no pink solid.
    """
    red, green, blue = np.moveaxis(frames, -1, 0).astype(np.float32) / 255
    top, bottom = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    saturated = (top - bottom > SATURATION * top) & (top > DARKEST)
    names = np.array(list(PALETTE.values()), dtype=np.float32)
    names /= names.max(-1, keepdims=True)
    pixels = np.stack([c[saturated] / top[saturated] for c in (red, green, blue)], -1)
    nearest = ((pixels[:, None] - names) ** 2).sum(-1).argmin(-1)
    raw = np.zeros(top.shape, dtype=np.uint8)
    raw[saturated] = nearest + 1
    present = np.unique(nearest) + 1
    if len(present) < 2:
        return raw.astype(np.int64)
    part = _held(raw > 0)
    voted: np.ndarray = raw.astype(np.int64)
    votes = [ndimage.uniform_filter((raw[part] == k).astype(np.float32), 3, axes=(1, 2)) for k in present]
    voted[part] = np.where(raw[part] > 0, present[np.stack(votes).argmax(0)], 0)
    return np.stack([_without_rims(frame) for frame in voted])


def _held(mask: Bool[np.ndarray, "t h w"]) -> tuple[slice, slice, slice]:
    """The part of all frames that holds what is true, and a pixel around it."""
    rows, columns = np.flatnonzero(mask.any((0, 2))), np.flatnonzero(mask.any((0, 1)))
    down, across = (slice(max(0, int(of[0]) - 1), int(of[-1]) + 2) for of in (rows, columns))
    return slice(None), down, across


def _without_rims(labels: Int[np.ndarray, "h w"]) -> Int[np.ndarray, "h w"]:
    """Parts of one colour that are nowhere thicker than RIM take the colour of a thicker part that they touch."""
    colours = np.unique(labels[labels > 0])
    if len(colours) < 2:
        return labels
    square, thickness = np.ones((3, 3)), max(1, round(RIM * labels.shape[1] / 2))
    thick = np.zeros(labels.shape, dtype=bool)
    for k, box in _boxes(labels):
        mask = labels[box] == k
        core = ndimage.binary_erosion(mask, square, iterations=thickness)
        thick[box] |= ndimage.binary_propagation(core, square, mask=mask)
    thin = (labels > 0) & ~thick
    if not thin.any():
        return labels
    beside = np.asarray(ndimage.binary_dilation(thick, square), dtype=bool)
    parts, _ = ndimage.label(thin, structure=square)  # pyright: ignore[reportGeneralTypeIssues]
    touching = np.isin(parts, np.unique(parts[thin & beside])) & thin
    if not touching.any():
        return labels
    nearest = np.asarray(ndimage.distance_transform_edt(~thick, return_distances=False, return_indices=True))
    return np.where(touching, labels[tuple(nearest)], labels)


def blobs(labels: Integer[np.ndarray, "h w"]) -> list[Blob]:
    """The coloured blobs of a frame's labels, highlights filled in, specks dropped."""
    found, names = [], list(PALETTE)
    for k, box in _boxes(labels):
        mask, rows, columns = labels[box] == k, box[0].start, box[1].start
        holes_filled = np.asarray(ndimage.binary_fill_holes(mask), dtype=bool) & (mask | (labels[box] == 0))
        parts, _ = ndimage.label(holes_filled, structure=np.ones((3, 3)))  # pyright: ignore[reportGeneralTypeIssues]
        for i, (down, across) in enumerate(ndimage.find_objects(parts), start=1):
            if np.count_nonzero(parts == i) >= MIN_AREA * labels.size:
                whole = np.zeros(labels.shape, dtype=bool)
                whole[box] = parts == i
                edges = rows + down.start, columns + across.start, rows + down.stop, columns + across.stop
                found.append(make_blob(names[k - 1], whole, edges))
    return found


def _boxes(labels: Integer[np.ndarray, "h w"]) -> list[tuple[int, tuple[slice, slice]]]:
    """Every colour that is there, with the part of the frame that holds all of it: what lies outside needs no work."""
    return [(k, box) for k, box in enumerate(ndimage.find_objects(labels), start=1) if box is not None]


def make_blob(colour: str, mask: Bool[np.ndarray, "h w"], box: tuple[int, int, int, int]) -> Blob:
    rows, columns = np.nonzero(mask)
    return Blob(colour=colour, mask=mask, area=len(rows), centre=(float(rows.mean()), float(columns.mean())), box=box)
