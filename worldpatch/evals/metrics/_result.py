"""What every metric returns and how it is asked, and the noise that every metric is held against."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import UInt8

from worldpatch.config import UserError

Frames = UInt8[np.ndarray, "_ _ _ 3"]  # clips of one call may differ in size

Seen = TypeVar("Seen")

Kind = Literal["clip", "set", "takes", "caption", "truth"]
"""What `reference` holds. "clip": a clip of the same shape per generated clip. "set": any number of clips. "takes": two
real takes of the scene per clip. "caption": a sentence per clip. "truth": a real clip and what it promises."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """A metric over a set of clips: the mean, each clip's own value, and the noise floor.

    The floor is what the metric says of copies that no eye can tell from their references (one grey level of noise):
    differences below it mean nothing. Where the reference is a caption they are copies of the generated clips.
    `per_clip` is empty where only the set has a value. `version` names weights or packages that were brought along:
    figures of different versions do not compare.
    """

    value: float
    per_clip: tuple[float, ...]
    floor: float
    version: str = ""


def reference_of(metric: ModuleType) -> Kind:
    """What a metric's `reference` holds: its `REFERENCE`, or a clip per clip where it says nothing."""
    return getattr(metric, "REFERENCE", "clip")


def compare(
    generated: Sequence[Frames],
    reference: Sequence[Frames],
    see: Callable[[Frames], Seen],
    judge: Callable[[Seen, Seen], float],
    mean: Callable[[Sequence[float]], float] = np.mean,
) -> Result:
    """The result of a metric that sees one clip at a time and judges it by what it saw of the reference."""
    check_pairs(generated, reference)
    per_clip, floor = [], []
    for g, r in zip(generated, reference, strict=True):
        expected = see(r)
        per_clip.append(float(judge(see(g), expected)))
        floor.append(float(judge(see(perturb(r)), expected)))
    return Result(value=float(mean(per_clip)), per_clip=tuple(per_clip), floor=float(mean(floor)))


def factor(ratio: float) -> float:
    """How many times more or less: 1 where equal, never below."""
    return max(ratio, 1 / ratio)


def geometric_mean(values: Sequence[float]) -> float:
    """The mean of factors: twice as much and half as much are equally far from 1."""
    return float(np.exp(np.mean(np.log(values))))


def perturb(clip: Frames, seed: int = 0) -> Frames:
    """The clip with -1, 0 or +1 grey level added to every pixel."""
    noise = np.random.default_rng(seed).integers(-1, 2, size=clip.shape, dtype=np.int8)
    return np.clip(np.add(clip, noise, dtype=np.int16), 0, 255).astype(np.uint8)


def check_pairs(generated: Sequence[Frames], reference: Sequence[Frames]) -> None:
    """Raises UserError where the clips cannot be compared one to one."""
    if len(generated) != len(reference) or not reference:
        raise UserError(
            f"{len(generated)} generated and {len(reference)} reference clips: give one reference per generated clip"
        )
    check_clips(generated)
    for i, (g, r) in enumerate(zip(generated, reference, strict=True)):
        if g.shape != r.shape or g.dtype != r.dtype:
            raise UserError(
                f"clip {i} is {g.dtype} {g.shape} but its reference {r.dtype} {r.shape}: give clips of equal size and "
                "length"
            )


def check_captions(clips: Sequence[Frames], captions: Sequence[str]) -> None:
    """Raises UserError where there is not one sentence per clip."""
    check_clips(clips)
    if len(clips) != len(captions) or not all(isinstance(caption, str) and caption.strip() for caption in captions):
        raise UserError(
            f"{len(clips)} clips and {len(captions)} captions: give one sentence per clip, none of them empty"
        )


def check_clips(clips: Sequence[np.ndarray], least: int = 1) -> None:
    """Raises UserError where there are fewer than `least` clips or one of them is no clip."""
    if len(clips) < least:
        raise UserError(f"{len(clips)} clips are too few: give at least {least}")
    for i, clip in enumerate(clips):
        if clip.ndim != 4 or clip.shape[-1] != 3 or clip.dtype != np.uint8 or clip.size == 0:
            raise UserError(f"clip {i} is {clip.dtype} {clip.shape}: give uint8 of shape (t, h, w, 3), t at least 1")
