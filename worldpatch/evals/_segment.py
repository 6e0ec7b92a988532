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
    votes = np.stack([ndimage.uniform_filter((raw == k).astype(np.float32), 3, axes=(1, 2)) for k in present])
    voted = np.where(raw > 0, present[votes.argmax(0)], 0).astype(np.int64)
    return np.stack([_without_rims(frame) for frame in voted])


def _without_rims(labels: Int[np.ndarray, "h w"]) -> Int[np.ndarray, "h w"]:
    """Parts of one colour that are nowhere thicker than RIM take the colour of a thicker part that they touch."""
    colours = np.unique(labels[labels > 0])
    if len(colours) < 2:
        return labels
    square, thickness = np.ones((3, 3)), max(1, round(RIM * labels.shape[1] / 2))
    thick = np.zeros(labels.shape, dtype=bool)
    for k in colours:
        mask = labels == k
        core = ndimage.binary_erosion(mask, square, iterations=thickness)
        thick |= ndimage.binary_propagation(core, square, mask=mask)
    beside = np.asarray(ndimage.binary_dilation(thick, square), dtype=bool)
    thin = (labels > 0) & ~thick
    parts, _ = ndimage.label(thin, structure=square)  # pyright: ignore[reportGeneralTypeIssues]
    touching = np.isin(parts, np.unique(parts[thin & beside])) & thin
    nearest = np.asarray(ndimage.distance_transform_edt(~thick, return_distances=False, return_indices=True))
    return np.where(touching, labels[tuple(nearest)], labels)


def blobs(labels: Integer[np.ndarray, "h w"]) -> list[Blob]:
    """The coloured blobs of a frame's labels, highlights filled in, specks dropped."""
    found = []
    for k, colour in enumerate(PALETTE, start=1):
        mask = labels == k
        if not mask.any():
            continue
        holes_filled = np.asarray(ndimage.binary_fill_holes(mask), dtype=bool) & (mask | (labels == 0))
        parts, _ = ndimage.label(holes_filled, structure=np.ones((3, 3)))  # pyright: ignore[reportGeneralTypeIssues]
        for i, span in enumerate(ndimage.find_objects(parts), start=1):
            part = parts == i
            area = int(part.sum())
            if area >= MIN_AREA * labels.size:
                found.append(make_blob(colour, part, (span[0].start, span[1].start, span[0].stop, span[1].stop)))
    return found


def make_blob(colour: str, mask: Bool[np.ndarray, "h w"], box: tuple[int, int, int, int]) -> Blob:
    rows, columns = np.nonzero(mask)
    return Blob(colour=colour, mask=mask, area=len(rows), centre=(float(rows.mean()), float(columns.mean())), box=box)
