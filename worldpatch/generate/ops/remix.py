"""Remix: a video is taken back part of the way to noise and drawn anew to another prompt (SDEdit, Meng et al. 2022)."""

import torch
from pydantic import Field

from worldpatch.generate import media
from worldpatch.generate.ops._files import Parent
from worldpatch.generate.ops._form import Size, note_size
from worldpatch.generate.ops._known import shown, strength_to_time
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Plan, Script
from worldpatch.video.resize import Rule


class Params(Size):
    """Which video, and what it shows afterwards."""

    video: Parent = Field(description="a video or picture file of any size and rate", json_schema_extra={"position": 0})
    prompt: str = Field(description="what it shows afterwards", json_schema_extra={"position": 1}, min_length=1)
    strength: float = Field(default=0.6, gt=0, le=1, description="0 leaves all as it is, 1 keeps nothing")
    fit: Rule = Field(default="crop", description="crop what hangs over, or pad with black bars")


def plan(params: Params, pipeline: Pipeline) -> Script:
    """All of it known, and all noised to one time. Raises UserError on what is no video."""
    height, width = params.sides(pipeline, like=media.size_of(params.video))
    rate = pipeline.usual.rate
    frames = media.film(params.video, rate, height, width, params.fit)
    full, _ = media.fill(frames, pipeline.spec.stride_t)
    note_size(pipeline, len(full), height, width)
    known = media.encode(full, pipeline)
    time = strength_to_time(params.strength, known.shape, pipeline)
    start = torch.full(known.shape[1:], time)
    return shown(Plan(start=start, rate=rate, prompt=params.prompt, known=known), len(frames))
