"""Text to video, and text to image: a prompt, pure noise, and nothing else. An image is a video of one frame."""

from typing import Annotated

import torch
from pydantic import Field, StringConstraints

from worldpatch.generate.ops._form import Form, note_size
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Plan


class Params(Form):
    """What to make. What is left out is as in the clips the model was trained on."""

    prompt: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = Field(
        description="what the video shows, such as 'a red ball falls'"
    )


def plan(params: Params, pipeline: Pipeline) -> Plan:
    """All noise, on the grid that size and length ask for. Raises UserError that offers the nearest sizes."""
    (height, width), frames = params.sides(pipeline), params.length(pipeline)
    grid = pipeline.spec.grid(frames, height, width)
    note_size(pipeline, frames, height, width)
    kind = "image" if grid[0] == 1 else "clip"
    return Plan(start=torch.ones(grid), rate=params.rate(pipeline), prompt=params.prompt, kind=kind)
