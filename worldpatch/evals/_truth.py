"""What a rendered clip promises: the classes that detectors must find, read from the simulator's truth."""

from dataclasses import dataclass
from typing import Any

from worldpatch.config import UserError
from worldpatch.evals.metrics.motion import amount
from worldpatch.types import Clip

EVENTS = ("stand", "fall", "jump", "spin", "topple", "struck", "left", "right", "towards", "away")
"""What one solid can do. A roll or a slide is its direction in the picture: nothing marks a ball's turning."""

CAMERAS = ("rest", "orbit left", "orbit right", "pan left", "pan right", "zoom in", "zoom out")
"""What the camera can do. A dolly counts as a zoom: in pixels they differ by a parallax too slight to judge by."""

_SAME = {
    "rest on": "stand",
    "land": "fall",
    "bounce": "fall",
    "dolly in": "zoom in",
    "dolly out": "zoom out",
}


@dataclass(frozen=True, kw_only=True)
class Solid:
    """A solid that a prompt names; `events` are those that would fulfil it, none where it does not say. An empty colour
    or shape is any."""

    colour: str
    shape: str
    events: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a prompt promises.

    `camera` is empty where it does not say. `motion` is the amount in the real clip, in grey levels per frame; None
    where there is no such clip. `alone`: nothing but these solids is to be seen.
    """

    solids: tuple[Solid, ...]
    camera: str
    motion: float | None
    alone: bool = True


def expected(clip: Clip) -> Expected:
    """Raises UserError where the clip has no truth to read."""
    if clip.truth is None:
        raise UserError(f"a clip of {clip.source or 'unknown source'} has no truth; take clips of a simulated world")
    events = acted(len(clip.truth.objects), clip.truth.scene["beats"])
    solids = tuple(
        Solid(colour=o["colour"], shape=o["shape"], events=e) for o, e in zip(clip.truth.objects, events, strict=True)
    )
    move = clip.truth.scene["camera"]
    return Expected(solids=solids, camera=class_of(move), motion=amount(clip.frames))


def acted(count: int, beats: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The classes that fulfil each solid's part; the first beat that a solid acts in decides."""
    told: list[tuple[str, ...]] = [()] * count
    for beat in beats:
        actor, *others = beat["objects"]
        if beat["kind"] == "hit":  # captions leave open from which side
            told[actor], told[others[0]] = ("left", "right"), ("struck",)
        elif not told[actor]:
            told[actor] = (class_of(beat["direction"] or beat["kind"]),)
    return told


def class_of(name: str) -> str:
    """The detectors' word for a world's event or camera move."""
    return _SAME.get(name, name)
