"""What can be asked about a clip of the tabletop, answered by its truth, and linear heads that answer from features.

An attribute is one or more questions with the same classes: "shape" asks for each colour which shape the solid of that
colour has. A question that a clip does not answer (the shape of a colour that is not there) is UNASKED.
"""

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from worldpatch.types import Clip
from worldpatch.worlds._tabletop.palette import ALL, TONES

UNASKED = -1
SEEN, HIDDEN = 16 / 64**2, 1 / 64**2  # share of a frame from which a solid is seen, and under which it is not


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """`questions` are names, or one empty name; every one has the same `classes`."""

    classes: tuple[str, ...]
    questions: tuple[str, ...] = ("",)

    @property
    def size(self) -> int:
        return len(self.classes) * len(self.questions)


DONE = ("order", "blur", "noise", "shuffle")  # attributes that are no truth of a clip but damage done to it
ATTRIBUTES = {
    "colours": Attribute(classes=("absent", "there"), questions=ALL),
    "count": Attribute(classes=tuple(map(str, range(7)))),
    "shape": Attribute(classes=("ball", "box", "cylinder", "biped", "quadruped"), questions=ALL),
    "event": Attribute(
        classes=(
            "fall", "roll", "slide", "stand", "jump", "spin", "hit", "land", "stack", "topple", "hide", "ramp",
            "rebound", "break", "smash", "tower", "paint", "bite", "walk",
        )
    ),
    "direction": Attribute(classes=("", "left", "right", "towards", "away")),
    "camera": Attribute(
        classes=(
            "rest", "orbit left", "orbit right", "pan left", "pan right", "zoom in", "zoom out", "cut to a close-up",
        )
    ),
    "look": Attribute(classes=("plain", "clay", "outline", "pencil", "night")),
    "floor": Attribute(classes=tuple(TONES)),
    "pattern": Attribute(classes=("plain", "checkered", "tiled")),
    "order": Attribute(classes=("forwards", "backwards")),
    **{name: Attribute(classes=("none", "1/4", "1/2", "3/4", "full")) for name in DONE[1:]},
}  # fmt: skip
"""In a clip no two solids have one colour, so `count` counts colours. `event` is the story, `direction` where its first
beat goes; both are asked of whole clips only. A dolly counts as a zoom, which it hardly differs from in pixels. What
was DONE to a clip is answered by the views (`_views.py`), amounts rounded up."""

CELLS = {
    "cell colour": Attribute(classes=("none", *ALL)),
    "cell shape": Attribute(classes=ATTRIBUTES["shape"].classes),
}
"""What is asked of every token: the colour and shape of the solid that fills most of its cell of frames and pixels."""
FILLED, EMPTY = 0.1, 0.01  # shares of a cell from which a solid is there, and under which none is
PACE = 0.02  # of the frame's side per frame: the usual speed of a solid, the unit of motion

Labels = dict[str, Int[np.ndarray, " q"]]


def unasked() -> Labels:
    """The labels of a picture of which nothing is known."""
    return {name: np.full(len(a.questions), UNASKED) for name, a in ATTRIBUTES.items()}


def labels(clip: Clip, *, whole: bool) -> Labels:
    """The answers of a clip with masks and truth. `whole` says that it shows the story from beginning to end.

    A part of a clip (not `whole`) whose camera cuts answers nothing about the camera. Nor does one frame.
    """
    assert clip.truth is not None and clip.truth.masks is not None
    scene, found, moving = clip.truth.scene, unasked(), len(clip.frames) > 1
    area = np.zeros(len(ALL))
    for k, item in reversed(list(enumerate(clip.truth.objects))):  # paint comes after the solid that leaves it
        c = ALL.index(item["colour"])
        area[c] = max(area[c], (clip.truth.masks == k + 1).mean((1, 2)).max())
        if item["shape"] in ATTRIBUTES["shape"].classes and area[c] >= SEEN:
            found["shape"][c] = ATTRIBUTES["shape"].classes.index(item["shape"])
    found["colours"] = np.where(area >= SEEN, 1, np.where(area < HIDDEN, 0, UNASKED))
    if (found["colours"] != UNASKED).all():
        found["count"][:] = found["colours"].sum()
    for name in ("look", "floor", "pattern"):
        _answer(found, name, scene[name])
    if moving and whole:
        _answer(found, "event", scene["kind"])
        _answer(found, "direction", scene["beats"][0]["direction"])
    if moving and (whole or not scene["cuts"]):
        _answer(found, "camera", scene["camera"].replace("dolly", "zoom"))
    return found


def _answer(found: Labels, name: str, word: str) -> None:
    classes = ATTRIBUTES[name].classes
    found[name][:] = classes.index(word) if word in classes else UNASKED


def cells(
    clip: Clip, grid: tuple[int, int, int], stride: int
) -> tuple[dict[str, Int[np.ndarray, "n 1"]], Float[np.ndarray, "n 2"]]:
    """The answers of every token's cell, and how its solid moves meanwhile (right, down, in PACE; nan where none is).

    `grid` divides the frames' sides; the clip is filled up in front to whole groups of `stride`, as an encoder does.
    """
    assert clip.truth is not None and clip.truth.masks is not None
    t, h, w = grid
    masks = np.concatenate([clip.truth.masks[:1].repeat(-len(clip.frames) % stride, 0), clip.truth.masks])
    objects = clip.truth.objects
    area = np.stack([rearrange(masks == k + 1, "(t a) (h i) (w j) -> t h w (a i j)", t=t, h=h, w=w).mean(-1)
                     for k in range(len(objects))])  # fmt: skip
    most, share = area.argmax(0), area.max(0)
    there, unclear = share >= FILLED, (share >= EMPTY) & (share < FILLED)
    colour = np.array([1 + ALL.index(item["colour"]) for item in objects])[most]
    known = CELLS["cell shape"].classes
    shape = np.array([known.index(o["shape"]) if o["shape"] in known else UNASKED for o in objects])[most]
    found = {
        "cell colour": np.where(unclear, UNASKED, np.where(there, colour, 0)),
        "cell shape": np.where(there, shape, UNASKED),
    }
    motion = np.stack([_motion(masks == k + 1, t) for k in range(len(objects))])[most, np.arange(t)[:, None, None]]
    motion = np.where(there[..., None], motion, np.nan)
    return {name: value.reshape(-1, 1) for name, value in found.items()}, motion.reshape(-1, 2).astype(np.float32)


def _motion(mask: Bool[np.ndarray, "f h w"], groups: int) -> Float[np.ndarray, "{groups} 2"]:
    """How the middle of a solid moves from each group's first to its last frame; nan where it is unseen in either."""
    area = mask.sum((1, 2))
    rows, columns = np.arange(mask.shape[1]) / mask.shape[1], np.arange(mask.shape[2]) / mask.shape[2]
    with np.errstate(invalid="ignore"):
        middle = np.stack([(mask.sum(1) * columns).sum(1), (mask.sum(2) * rows).sum(1)], -1) / area[:, None]
    middle = middle.reshape(groups, -1, 2)
    return (middle[:, -1] - middle[:, 0]) / (middle.shape[1] - 1) / PACE


class Heads(nn.ModuleDict):
    """One linear layer per attribute, from features to logits."""

    def __init__(self, width: int, attributes: dict[str, Attribute]):
        super().__init__({name: nn.Linear(width, a.size) for name, a in attributes.items()})
        self.attributes = attributes

    def forward(self, features: Float[Tensor, "b d"]) -> dict[str, Float[Tensor, "b q k"]]:
        return {
            name: head(features).float().unflatten(-1, (len(self.attributes[name].questions), -1))
            for name, head in self.items()
        }


def losses(
    logits: dict[str, Float[Tensor, "b q k"]], answers: dict[str, Int[Tensor, "b q"]]
) -> dict[str, Float[Tensor, ""]]:
    """Cross-entropy per attribute over the questions asked, in units of what guessing blindly costs; 0 if none is."""
    found = {}
    for name, given in logits.items():
        asked = (answers[name] != UNASKED).sum().clamp_min(1)
        total = F.cross_entropy(given.flatten(0, 1), answers[name].flatten(), ignore_index=UNASKED, reduction="sum")
        found[name] = total / asked / np.log(given.shape[-1])
    return found


def right(
    logits: dict[str, Float[Tensor, "b q k"]], answers: dict[str, Int[Tensor, "b q"]]
) -> dict[str, Int[Tensor, "b q"]]:
    """1 where a question is answered rightly, 0 where wrongly, UNASKED where it is not asked."""
    return {
        name: torch.where(answers[name] == UNASKED, UNASKED, (given.argmax(-1) == answers[name]).long())
        for name, given in logits.items()
    }
