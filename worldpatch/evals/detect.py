"""What is in a clip, from its pixels alone: solids with colour, shape and event, and what the camera does.

Detectors know the worlds' one rule, that solids are saturated and backgrounds pale, and have learned shapes and motions
from renders (`_fit.py`). They never see a caption. Their accuracy on real renders belongs beside every score they give.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from worldpatch.config import UserError
from worldpatch.evals import _motion, _shape
from worldpatch.evals._background import affine_flow
from worldpatch.evals._segment import Blob, blobs, label
from worldpatch.evals._tracks import Track, follow, vanishes
from worldpatch.evals.metrics import motion


@dataclass(frozen=True, kw_only=True)
class Solid:
    """One solid as seen. `flaws` are what no real solid does: "vanishes", "reshaped"."""

    colour: str
    shape: str
    event: str
    flaws: tuple[str, ...]
    track: Track


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A clip as seen. `camera` and the events are "" for an image; `motion` is in grey levels per frame.

    `blobs` are all patches of colour in each frame, `flow` the background's affine flow between frames, as
    `_background.affine_flow` has it: what other questions about the clip start from.
    """

    solids: tuple[Solid, ...]
    camera: str
    motion: float
    blobs: tuple[list[Blob], ...] = ()
    flow: Float[np.ndarray, "s 2 3"] = field(default_factory=lambda: np.zeros((0, 2, 3)))

    @property
    def colours(self) -> set[str]:
        return {s.colour for s in self.solids}


def detect(frames: np.ndarray) -> Seen:
    """Solids of a clip (uint8 "t h w 3") in order of size, the camera's move and the amount of motion.

    A solid recoloured on the way is two tracks that each vanish; one duplicated is one solid more. Raises UserError
    where `frames` is no clip.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or len(frames) < 1:
        raise UserError(f"frames are {frames.dtype} {frames.shape}: give uint8 of shape (t, h, w, 3)")
    labels = label(frames)
    found = [blobs(frame) for frame in labels]
    tracks = follow(found)
    moving = len(frames) > 1
    flow = affine_flow(frames, labels > 0) if moving else np.zeros((0, 2, 3))
    solids = []
    for track in tracks:
        shape, reshaped = _shape.classify(frames, track)
        flaws = [name for name, is_so in (("vanishes", vanishes(track, found)), ("reshaped", reshaped)) if is_so]
        event = _motion.classify_event(frames, track, flow) if moving else ""
        solids.append(Solid(colour=track.colour, shape=shape, event=event, flaws=tuple(flaws), track=track))
    camera = _motion.classify_camera(tracks, flow) if moving else ""
    return Seen(solids=tuple(solids), camera=camera, motion=motion.amount(frames), blobs=tuple(found), flow=flow)
