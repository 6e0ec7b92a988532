"""Reframe: a video in another aspect, what is missing at its sides painted by the model."""

import numpy as np
from pydantic import Field

from worldpatch.config import UserError
from worldpatch.generate import media
from worldpatch.generate.ops._files import Parent
from worldpatch.generate.ops._form import Size
from worldpatch.generate.ops.inpaint import painted
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Script


class Params(Size):
    """Which video, its new size, and where in it the old picture is."""

    video: Parent = Field(description="a video or picture file of any size and rate", json_schema_extra={"position": 0})
    prompt: str = Field(default="", description="what it shows", json_schema_extra={"position": 1})
    scale: float = Field(default=1.0, gt=0.2, le=1, description="of the old picture: below 1 there is room all around")
    across: float = Field(default=0.5, ge=0, le=1, description="0 puts it to the left, 1 to the right")
    down: float = Field(default=0.5, ge=0, le=1, description="0 puts it to the top, 1 to the bottom")


def plan(params: Params, pipeline: Pipeline) -> Script:
    """The old picture, as large as fits, is known; the rest of the canvas is not.

    Raises UserError where nothing would be missing.
    """
    h, w = media.size_of(params.video)
    height, width = params.sides(pipeline)
    share = params.scale * min(height / h, width / w)
    inner = max(1, round(h * share)), max(1, round(w * share))
    if inner == (height, width):
        raise UserError(f"the video fills {width}x{height} already: give another aspect, or a scale below 1")
    rate = pipeline.usual.rate
    frames = media.film(params.video, rate, *inner)
    top, left = round(params.down * (height - inner[0])), round(params.across * (width - inner[1]))
    sides = ((0, 0), (top, height - inner[0] - top), (left, width - inner[1] - left))
    canvas = np.pad(frames, (*sides, (0, 0)), mode="edge")
    mask = np.pad(np.zeros(frames.shape[:3], bool), sides, constant_values=True)
    return painted(canvas, mask, params.prompt, 1.0, pipeline)
