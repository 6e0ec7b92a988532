"""A clip as the probes see it: where each named colour is, frame by frame, in pixels and in metres.

Weight-free: solids are found by their saturated colour (`evals/_segment.py`), places in the room by the camera's
known geometry. What is not seen is nan.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from worldpatch.evals._segment import PALETTE, blobs, label
from worldpatch.evals._tracks import join_pieces
from worldpatch.types import Camera, Clip


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Per frame t and object k (numbered as in the truth): `centre` (x right, y down, pixels), `area` in pixels, `box`
    (top, left, bottom, right), `count` of separate patches, `clipped` by the frame's edge. `strangers` counts patches
    of colours that nobody has. `labels` holds the palette's number of every pixel's colour + 1, 0 for background.
    """

    frames: UInt8[np.ndarray, "t h w 3"]
    labels: UInt8[np.ndarray, "t h w"]
    times: Float[np.ndarray, " t"]
    centre: Float[np.ndarray, "t k 2"]
    area: Float[np.ndarray, "t k"]
    box: Float[np.ndarray, "t k 4"]
    count: Int[np.ndarray, "t k"]
    clipped: Bool[np.ndarray, "t k"]
    strangers: Int[np.ndarray, " t"]
    camera: Camera
    places: Float[np.ndarray, "k 3"]  # where the truth has each object at the beginning

    def whole(self, k: int) -> Bool[np.ndarray, " t"]:
        """Frames in which object k is seen once and not cut by the frame's edge."""
        return (self.count[:, k] == 1) & ~self.clipped[:, k]

    def upright(self, k: int) -> Float[np.ndarray, "t 2"]:
        """(right, up) in metres, taken to be in the upright plane that the object is in at the beginning; nan where it
        is not seen whole."""
        origin, ray = self._rays(k)
        reach = (self.places[k, 1] - origin[:, 1]) / ray[:, 1]
        return (origin + reach[:, None] * ray)[:, [0, 2]]

    def ground(self, k: int) -> Float[np.ndarray, "t 2"]:
        """(right, away) in metres, taken to be at the height that the object has at the beginning; nan likewise."""
        origin, ray = self._rays(k)
        reach = (self.places[k, 2] - origin[:, 2]) / ray[:, 2]
        return (origin + reach[:, None] * ray)[:, :2]

    def _rays(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Origin and direction, in the world, of the rays through the centres of object k."""
        fx, fy, cx, cy = np.moveaxis(self.camera.intrinsics.astype(float), -1, 0)
        centre = np.where(self.whole(k)[:, None], self.centre[:, k], np.nan)
        local = np.stack([(centre[:, 0] - cx) / fx, (centre[:, 1] - cy) / fy, np.ones(len(centre))], -1)
        return self.camera.pose[:, :3, 3], np.einsum("tij,tj->ti", self.camera.pose[:, :3, :3], local)

    def mask(self, colour: str) -> Bool[np.ndarray, "t h w"]:
        """The pixels of a colour."""
        return self.labels == list(PALETTE).index(colour) + 1


def observe(frames: UInt8[np.ndarray, "t h w 3"], real: Clip) -> Seen:
    """The objects of a real clip as seen in another of its size and length (or in the real one itself)."""
    assert real.truth is not None and real.camera is not None
    colours = [str(o["colour"]) for o in real.truth.objects]
    t, k = len(frames), len(colours)
    labels = label(frames).astype(np.uint8)
    centre, area = np.full((t, k, 2), np.nan), np.zeros((t, k))
    box, count = np.full((t, k, 4), np.nan), np.zeros((t, k), int)
    clipped, strangers = np.zeros((t, k), bool), np.zeros(t, int)
    for f in range(t):
        found = blobs(labels[f])
        strangers[f] = sum(b.colour not in colours for b in found)
        for i, colour in enumerate(colours):
            pieces = join_pieces([b for b in found if b.colour == colour], found)
            count[f, i] = len(pieces)
            if pieces:
                largest = max(pieces, key=lambda b: b.area)
                rows, columns = largest.centre
                centre[f, i], area[f, i], box[f, i] = (columns + 0.5, rows + 0.5), largest.area, largest.box
                clipped[f, i] = largest.touches_border()
    return Seen(
        frames=frames, labels=labels, times=np.arange(t) / real.rate, centre=centre, area=area, box=box,
        count=count, clipped=clipped, strangers=strangers, camera=real.camera,
        places=real.truth.pose[0, :, :3].astype(float),
    )  # fmt: skip
