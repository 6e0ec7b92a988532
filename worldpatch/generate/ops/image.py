"""Image: a picture from a sentence, or a picture changed by one."""

import torch
from pydantic import Field

from worldpatch.generate import media
from worldpatch.generate.ops._files import Parent
from worldpatch.generate.ops._form import Size, note_size
from worldpatch.generate.ops._known import strength_to_time
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Plan
from worldpatch.video.resize import Rule


class Params(Size):
    """What the picture shows, and perhaps which one it is made from."""

    prompt: str = Field(description="what the picture shows", min_length=1, json_schema_extra={"position": 0})
    image: Parent | None = Field(default=None, description="a picture file of any size that is changed")
    strength: float = Field(default=0.6, gt=0, le=1, description="0 leaves the picture as it is, 1 keeps nothing of it")
    fit: Rule = Field(default="crop", description="crop what hangs over, or pad with black bars")


def plan(params: Params, pipeline: Pipeline) -> Plan:
    """One frame of noise, or of a picture noised to one time. Raises UserError on what is no picture."""
    height, width = params.sides(pipeline, like=None if params.image is None else media.size_of(params.image))
    note_size(pipeline, 1, height, width)
    grid, rate = pipeline.spec.grid(1, height, width), pipeline.usual.rate
    if params.image is None:
        return Plan(start=torch.ones(grid), rate=rate, prompt=params.prompt, kind="image")
    known = media.encode(media.picture(params.image, height, width, params.fit), pipeline)
    start = torch.full(grid, strength_to_time(params.strength, known.shape, pipeline))
    return Plan(start=start, rate=rate, prompt=params.prompt, kind="image", known=known)
