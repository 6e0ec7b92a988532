"""Swap: one thing in a video becomes another, told by two prompts; where it is, the model says itself (DiffEdit).

After Couairon et al. 2022 (arXiv 2210.11427): what two prompts would change differently is what they differ in. That
part is drawn anew to the new prompt, all else comes back pixel by pixel.
"""

import logging

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from worldpatch.config import UserError
from worldpatch.generate import media
from worldpatch.generate.ops._files import Parent
from worldpatch.generate.ops._form import Size
from worldpatch.generate.ops._known import strength_to_time
from worldpatch.generate.ops.inpaint import painted
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Plan, Script
from worldpatch.video.resize import Rule

log = logging.getLogger(__name__)

ASKED_AT = 0.5  # the strength of the noise through which both prompts look at the video


class Params(Size):
    """Which video, what it shows, and what it shows afterwards."""

    video: Parent = Field(description="a video or picture file of any size and rate", json_schema_extra={"position": 0})
    old: str = Field(description="what it shows now", json_schema_extra={"position": 1}, min_length=1)
    new: str = Field(description="what it shows afterwards", json_schema_extra={"position": 2}, min_length=1)
    strength: float = Field(default=0.8, gt=0, le=1, description="below 1 the old thing shows through")
    threshold: float = Field(default=0.5, gt=0, lt=1, description="how different counts, of the most different")
    fit: Rule = Field(default="crop", description="crop what hangs over, or pad with black bars")


def plan(params: Params, pipeline: Pipeline) -> Script:
    """What the prompts differ in is unknown, all else context. Raises UserError where they differ in nothing."""
    if params.old.split() == params.new.split():
        raise UserError(f"both prompts are {params.old!r}: there is nothing to swap")
    height, width = params.sides(pipeline, like=media.size_of(params.video))
    rate, spec = pipeline.usual.rate, pipeline.spec
    frames = media.film(params.video, rate, height, width, params.fit)
    full, _ = media.fill(frames, spec.stride_t)
    known = media.encode(full, pipeline)
    start = torch.full(known.shape[1:], strength_to_time(ASKED_AT, known.shape, pipeline))
    looked = Plan(start=start, rate=rate, known=known, kind="clip" if len(full) > 1 else "image")
    found = chosen(pipeline.contrast(looked, params.old, params.new), params.threshold)
    log.warning(f"drawing {found.float().mean():.0%} of the video anew: what the prompts differ in")
    mask = found.repeat_interleave(spec.stride_s, 1).repeat_interleave(spec.stride_s, 2)
    mask = torch.cat([mask[:1], mask[1:].repeat_interleave(spec.stride_t, 0)])[: len(frames)]
    return painted(frames, mask.numpy(), params.new, params.strength, pipeline)


def chosen(difference: Float[Tensor, "t h w"], threshold: float) -> Tensor:
    """The latents above the threshold; so that one outlier does not set the measure, the most is the upper percent."""
    top = torch.quantile(difference, 0.99)
    return difference >= threshold * top
