"""Upscale: more pixels and more frames per second, the detail drawn by the same model."""

import numpy as np
import torch
from pydantic import Field

from worldpatch.config import UserError
from worldpatch.generate import media
from worldpatch.generate.ops._files import Parent
from worldpatch.generate.ops._form import LONGEST_SIDE, Strict, note_size
from worldpatch.generate.ops._known import shown, strength_to_time
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Plan, Script
from worldpatch.video.resize import resize


class Params(Strict):
    """Which video, and by how much in space and in time."""

    video: Parent = Field(description="a video or picture file", json_schema_extra={"position": 0})
    prompt: str = Field(default="", description="what it shows", json_schema_extra={"position": 1})
    space: int = Field(default=2, ge=1, le=4, description="times as wide and high")
    time: int = Field(default=1, ge=1, le=4, description="times as many frames per second")
    strength: float = Field(default=0.3, gt=0, le=1, description="how freely the detail is drawn")


def plan(params: Params, pipeline: Pipeline) -> Script:
    """The video, enlarged and with mixtures of neighbours between its frames, is noised a little and drawn anew. With
    the old number of pixels the given frames come back as they were. Raises UserError on what is too large."""
    if params.space == params.time == 1:
        raise UserError("space 1 and time 1 leave the video as it is: give a 2 for one of them")
    side, rate = pipeline.side, pipeline.usual.rate
    h, w = (max(side, round(length / side) * side) for length in media.size_of(params.video))
    height, width = h * params.space, w * params.space
    if max(height, width) > LONGEST_SIDE:
        raise UserError(f"{width}x{height} has a side over {LONGEST_SIDE} pixels: give a smaller video or space")
    frames = media.film(params.video, rate, h, w)
    between = _between(frames, params.time)
    large = resize(between, height, width)
    full, _ = media.fill(large, pipeline.spec.stride_t)
    note_size(pipeline, len(full), height, width)
    known = media.encode(full, pipeline)
    start = torch.full(known.shape[1:], strength_to_time(params.strength, known.shape, pipeline))
    made = Plan(start=start, rate=rate * params.time, prompt=params.prompt, known=known, paste=_given(params, full))
    return shown(made, len(large))


def _given(params: Params, full: media.Frames):
    """The frames that were there, where they have their old size."""
    if params.space > 1:
        return None
    keep = np.zeros(full.shape[:3], bool)
    keep[:: params.time] = True
    return media.paste(full, keep, 0, len(full))


def _between(frames: media.Frames, times: int) -> media.Frames:
    """So many frames for each, mixtures of it and the next one."""
    at = np.arange((len(frames) - 1) * times + 1) / times
    low = at.astype(int)
    share = (at - low)[:, None, None, None]
    high = np.minimum(low + 1, len(frames) - 1)
    return ((1 - share) * frames[low] + share * frames[high]).round().astype(np.uint8)
