"""Plans over a video that is there: how far each part of it goes back to noise, and what comes back as it was."""

import math
from collections.abc import Generator, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from worldpatch.flow.noise import shift_of, shifted
from worldpatch.flow.plan import solved
from worldpatch.generate import characters, media
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Final, LatentSpec, Plan, Reference, Role, Script, Shots
from worldpatch.video.resize import Rule


def shown(plan: Plan, frames: int) -> Script:
    """One plan, of whose frames only the first `frames` are shown: the others filled a group."""

    def script() -> Generator[Plan, Tensor, Shots]:
        return (Final(plan=solved(plan, (yield plan)), stop=frames),)

    return script


def finished(
    latents: Tensor, pasted: Sequence[tuple[int, media.Frames]], pipeline: Pipeline, start: int = 0,
    stop: int | None = None,
) -> Final:  # fmt: skip
    """Latents of which all is drawn, with given frames where they belong, each from a frame on."""
    total = pipeline.spec.frames(latents.shape[1])
    parts = [media.paste(frames, media.everywhere(frames), at, total) for at, frames in pasted]
    known = torch.zeros(latents.shape[1:])
    plan = Plan(start=known, rate=pipeline.usual.rate, known=latents, paste=media.join(parts) if parts else None)
    return Final(plan=plan, start=start, stop=stop)


def likenesses(
    pictures: Sequence[str], role: Role, size: tuple[int, int], rule: Rule, pipeline: Pipeline
) -> list[Reference]:
    """Pictures, videos or @NAMEs of saved characters as references of no time; `size` is (height, width)."""
    shown = [media.picture(characters.picture(name), *size, rule) for name in pictures]
    return [Reference(latent=media.encode(frame, pipeline)[:, 0], time=None, role=role) for frame in shown]


def strength_to_time(strength: float, shape: Sequence[int], pipeline: Pipeline) -> float:
    """The noise time of a strength from 0 to 1, shifted as the sampler's times are: more latents hide less in noise."""
    tokens = math.prod(shape[1:]) // math.prod(pipeline.patch)
    return float(shifted(torch.tensor(strength), shift_of(tokens)))


def touched(mask: Bool[Tensor, "t h w"], spec: LatentSpec) -> Float[Tensor, "g i j"]:
    """1 for each latent of which any pixel is in the mask; the first latent is one frame, the others are groups."""
    s = spec.stride_s
    small = torch.nn.functional.max_pool2d(mask.float()[:, None], s)[:, 0]
    later = small[1:].unflatten(0, (-1, spec.stride_t)).amax(1)
    return torch.cat([small[:1], later])
