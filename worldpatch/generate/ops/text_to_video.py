"""Text to video, and text to image: a prompt, pure noise, and nothing else. An image is a video of one frame."""

import heapq
import logging
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from worldpatch.config import UserError
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Plan

log = logging.getLogger(__name__)

LONGEST_SIDE = 2048  # pixels
STEEPEST = 2.0  # the longer side over the shorter


class Params(BaseModel):
    """What to make. What is left out is as in the clips the model was trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    prompt: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)] = Field(
        description="what the video shows, such as 'a red ball falls'"
    )
    width: int | None = Field(
        default=None, gt=0, le=LONGEST_SIDE, description="pixels, a multiple of the model's patch"
    )
    height: int | None = Field(
        default=None, gt=0, le=LONGEST_SIDE, description="pixels, a multiple of the model's patch"
    )
    seconds: float | None = Field(default=None, gt=0, le=600, description="length of the video; or give frames")
    frames: int | None = Field(
        default=None, gt=0, le=14400, description="length of the video, 1 for an image; or give seconds"
    )
    fps: float | None = Field(default=None, ge=1, le=60, description="frames per second")

    @model_validator(mode="after")
    def one_length(self) -> "Params":
        if self.seconds is not None and self.frames is not None:
            raise ValueError(f"{self.seconds} seconds and {self.frames} frames are two lengths; give one of them")
        return self


def plan(params: Params, pipeline: Pipeline) -> Plan:
    """All noise, on the grid that size and length ask for. Raises UserError that offers the nearest sizes."""
    usual = pipeline.usual
    rate = params.fps or usual.rate
    height, width = _size(params, pipeline)
    frames = _length(params, rate, pipeline)
    grid = pipeline.spec.grid(frames, height, width)
    if frames > usual.frames or height * width > usual.height * usual.width:
        log.warning(
            f"{width}x{height} with {frames} frames is more than this model was mostly trained on "
            f"({usual.width}x{usual.height} with {usual.frames}): expect it to be worse"
        )
    return Plan(start=torch.ones(grid), rate=rate, prompt=params.prompt, kind="image" if grid[0] == 1 else "clip")


def _size(params: Params, pipeline: Pipeline) -> tuple[int, int]:
    """(height, width). A side that is left out follows the other one in the model's usual proportion."""
    usual, side = pipeline.usual, pipeline.side
    height, width = params.height, params.width
    if height is None:
        height = usual.height if width is None else _round(width * usual.height / usual.width, side)
    if width is None:
        width = usual.width if params.height is None else _round(params.height * usual.width / usual.height, side)
    near = " and ".join(f"{w}x{h}" for h, w in nearest(height, width, side))
    if max(height, width) > STEEPEST * min(height, width):
        raise UserError(f"{width}x{height} is beyond the aspects 1:2 to 2:1; the nearest sizes are {near}")
    if height % side or width % side:
        raise UserError(
            f"{width}x{height} is off the grid: sides are multiples of {side}; the nearest sizes are {near}"
        )
    return height, width


def nearest(height: int, width: int, side: int) -> list[tuple[int, int]]:
    """The two allowed sizes (height, width) nearest to a wished one."""
    sides = range(side, LONGEST_SIDE + 1, side)
    allowed = ((h, w) for h in sides for w in sides if max(h, w) <= STEEPEST * min(h, w))
    return heapq.nsmallest(2, allowed, key=lambda size: abs(size[0] - height) + abs(size[1] - width))


def _round(length: float, side: int) -> int:
    return max(side, round(length / side) * side)


def _length(params: Params, rate: float, pipeline: Pipeline) -> int:
    """Frames, rounded to what the autoencoder can hold: the first one and whole groups after it."""
    usual, stride = pipeline.usual, pipeline.spec.stride_t
    seconds = usual.frames / usual.rate if params.seconds is None else params.seconds
    wished = params.frames or max(1, round(seconds * rate))
    frames = pipeline.spec.frames(1 + round((wished - 1) / stride))
    if frames != wished and (params.frames or params.seconds):
        log.warning(
            f"{wished} frames are no 1 + {stride}k: making {frames}, {frames / rate:.3g} s at {rate:g} per second"
        )
    return frames
