"""What the video encoder sees in training: clips in new colours, half of them mirrored, damaged in known amounts."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from worldpatch.data import damage
from worldpatch.data.bank import Bank
from worldpatch.train.stages._attributes import ATTRIBUTES, CELLS, UNASKED, Labels, cells, labels, unasked
from worldpatch.types import Clip
from worldpatch.vae._pixels import to_tensor
from worldpatch.worlds import tabletop
from worldpatch.worlds._tabletop.palette import ALL

DAMAGES = {"blur": 2.0, "noise": 0.3, "shuffle": 1.0}  # the most: pixels, of a range of 2, share of frames
DAMAGED = 0.35  # share of views with each
BACKWARDS = 0.15  # share of views
STILL = 0.5 / 127.5  # mean change per frame under which the order of frames cannot be seen
FORMS = {"whole": 0.25, "every other": 0.4, "half": 0.25, "one": 0.1}  # frames of all views of a step: share of steps


@dataclass(frozen=True, kw_only=True)
class View:
    """A view, or a batch of them with one more axis in front: `answers` to ATTRIBUTES, and to CELLS of every token.

    `motion` is nan where nothing is.
    """

    frames: Float[Tensor, "*b 3 t h w"]
    answers: dict[str, Int[Tensor, "*b q"]]
    cells: dict[str, Int[Tensor, "*b n 1"]]
    motion: Float[Tensor, "*b n 2"]


def stack(views: list[View], device: str) -> View:
    """Views of one size as one batch."""
    values = {}
    for f in fields(View):
        parts = [getattr(view, f.name) for view in views]
        if isinstance(parts[0], dict):
            values[f.name] = {name: torch.stack([p[name] for p in parts]).to(device) for name in parts[0]}
        else:
            values[f.name] = torch.stack(parts).to(device)
    return View(**values)


def window(rng: np.random.Generator, form: str, length: int) -> Int[np.ndarray, " t"]:
    """Numbers of the frames that a view of a form takes of a clip of this length."""
    half = (length + 1) // 2
    count = {"whole": length, "every other": half, "half": half, "one": 1}[form]
    stride = 2 if form == "every other" else 1
    return int(rng.integers(length - stride * (count - 1))) + stride * np.arange(count)


def pair(rng: np.random.Generator, bank: Bank, number: int, form: str) -> list[Clip]:
    """Two views of a clip, both in the same new colours and both or neither mirrored, not yet damaged."""
    mirrored, names = rng.random() < 0.5, sorted({o["colour"] for o in bank.records[number]["objects"]})
    colours = dict(zip(names, map(str, rng.permutation(ALL)), strict=False))
    views = []
    for _ in range(2):
        clip = bank.clip(number, window(rng, form, bank.frames.shape[1]))
        assert clip.truth is not None
        if not clip.truth.scene["gloss"]:  # a glossy floor would go on reflecting the old colours
            clip = tabletop.recolour(clip, {k: colours[o["colour"]] for k, o in enumerate(clip.truth.objects)})
        views.append(tabletop.mirror(clip) if mirrored else clip)
    return views


def of_clip(rng: np.random.Generator, generator: Generator, clip: Clip, encoder: Any, *, whole: bool) -> View:
    """A damaged view of a clip with truth, for an encoder whose tokens' cells are asked about.

    What its damage hides (its event, where frames are out of order) is UNASKED.
    """
    assert clip.truth is not None and clip.truth.masks is not None
    amounts, order, backwards = _draw(rng, generator, len(clip.frames))
    answers, moving = labels(clip, whole=whole), _moves(to_tensor(clip.frames))
    _answer(answers, amounts, moving)
    if moving and not amounts[2]:
        answers["order"][:] = int(backwards)
    if backwards or amounts[2]:
        for name in ("event", "direction", "camera"):
            answers[name][:] = UNASKED
    clip = replace(clip, frames=clip.frames[order], truth=replace(clip.truth, masks=clip.truth.masks[order]))
    asked, motion = cells(clip, encoder.grid(*clip.frames.shape[:3]), encoder.stride_t)
    return View(
        frames=_spoil(to_tensor(clip.frames), amounts, generator),
        answers={name: torch.from_numpy(value) for name, value in answers.items()},
        cells={name: torch.from_numpy(value) for name, value in asked.items()},
        motion=torch.from_numpy(motion),
    )


def of_texture(rng: np.random.Generator, generator: Generator, frames: Float[Tensor, "3 t h w"], encoder: Any) -> View:
    """A damaged view of a clip of which nothing is known: only its damage is asked."""
    amounts, order, _ = _draw(rng, generator, frames.shape[1])
    answers, places = unasked(), int(np.prod(encoder.grid(*frames.shape[1:])))
    _answer(answers, amounts, _moves(frames))
    return View(
        frames=_spoil(frames[:, torch.from_numpy(order)], amounts, generator),
        answers={name: torch.from_numpy(value) for name, value in answers.items()},
        cells={name: torch.full((places, 1), UNASKED) for name in CELLS},
        motion=torch.full((places, 2), torch.nan),
    )


def _draw(
    rng: np.random.Generator, generator: Generator, count: int
) -> tuple[Float[np.ndarray, " 3"], Int[np.ndarray, " {count}"], bool]:
    """Amounts of DAMAGES, an order of the frames, and whether it is the reverse of what it would be."""
    amounts = np.where(rng.random(3) < DAMAGED, rng.random(3), 0.0)
    order, backwards = damage.shuffled(count, amounts[2], generator).numpy(), bool(rng.random() < BACKWARDS)
    amounts[2] *= (order != np.arange(count)).any()  # of few frames a small share is none
    return amounts, (order[::-1] if backwards else order).copy(), backwards


def _answer(answers: Labels, amounts: Float[np.ndarray, " 3"], moving: bool) -> None:
    """Fill in how much of each damage there is, in classes of equal width; of what stands still, not the order."""
    for name, amount in zip(DAMAGES, amounts, strict=True):
        if name != "shuffle" or moving:
            answers[name][:] = int(np.ceil(amount * (len(ATTRIBUTES[name].classes) - 1)))


def _moves(frames: Float[Tensor, "3 t h w"]) -> bool:
    return frames.shape[1] > 1 and float(frames.diff(dim=1).abs().mean()) > STILL


def _spoil(frames: Float[Tensor, "3 t h w"], amounts: Float[np.ndarray, " 3"], generator: Generator) -> Tensor:
    frames = damage.blur(frames, DAMAGES["blur"] * amounts[0])
    return damage.noise(frames, DAMAGES["noise"] * amounts[1], generator)
