"""Blend: two videos become one, each having as much influence over time as a curve says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from worldpatch.config import UserError
from worldpatch.generate import media
from worldpatch.generate.ops._files import Document, Media
from worldpatch.generate.ops._form import Size, note_size
from worldpatch.generate.ops._known import shown, strength_to_time
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Plan, Script
from worldpatch.video.resize import Rule

CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "transition": lambda t: np.clip(1.5 * t - 0.25, 0, 1),
    "mix": lambda t: np.full_like(t, 0.5),
    "sample": lambda t: 0.5 * np.sin(np.pi * t),
}
"""Time from 0 to 1 -> the other video's influence from 0 to 1; named as in the editor of OpenAI's Sora."""


class Params(Size):
    """Which videos, and who counts when. The longer one is cut to the length of the shorter."""

    video: Media = Field(description="the video that is there at influence 0", json_schema_extra={"position": 0})
    other: Media = Field(description="the video that is there at influence 1", json_schema_extra={"position": 1})
    prompt: str = Field(default="", description="what the blend shows", json_schema_extra={"position": 2})
    curve: Literal["transition", "mix", "sample", "custom"] = Field(
        default="transition", description="transition leads over, mix holds both, sample borrows in the middle"
    )
    points: Document | None = Field(default=None, description="for custom: JSON [[time, influence], ...], all 0 to 1")
    strength: float = Field(default=0.7, gt=0, le=1, description="how freely what is blended is drawn anew")
    fit: Rule = Field(default="crop", description="crop what hangs over, or pad with black bars")


def plan(params: Params, pipeline: Pipeline) -> Script:
    """Latents of both, mixed; noised the more the more evenly they are mixed, and known where one is alone.

    Raises UserError on what is no video, and on curves that cannot be read.
    """
    height, width = params.sides(pipeline, like=media.size_of(params.video))
    rate, spec = pipeline.usual.rate, pipeline.spec
    films = [media.film(v, rate, height, width, params.fit) for v in (params.video, params.other)]
    count = min(map(len, films))
    full = [media.fill(f[:count], spec.stride_t)[0] for f in films]
    note_size(pipeline, len(full[0]), height, width)
    one, other = (media.encode(f, pipeline) for f in full)
    influence = torch.from_numpy(_influence(params, one.shape[1])).float()[:, None, None]
    time = strength_to_time(params.strength, one.shape, pipeline)
    start = (time * 4 * influence * (1 - influence)).expand(one.shape[1:]).contiguous()
    known = torch.lerp(one, other, influence.expand_as(one))
    return shown(Plan(start=start, rate=rate, prompt=params.prompt, known=known), count)


def _influence(params: Params, count: int) -> np.ndarray:
    """Of the other video, at each of so many latents."""
    times = np.linspace(0, 1, count)
    if params.curve != "custom":
        return CURVES[params.curve](times)
    if params.points is None:
        raise UserError("the curve custom needs points: a JSON file [[time, influence], ...]")
    try:
        points = np.array(json.loads(Path(params.points).read_text()), float)
        if points.ndim != 2 or points.shape[1] != 2 or (np.diff(points[:, 0]) <= 0).any():
            raise ValueError("times must grow, and each point has two numbers")
        if points.min() < 0 or points.max() > 1:
            raise ValueError("all numbers lie from 0 to 1")
    except (OSError, ValueError) as error:
        raise UserError(f"points {params.points}: {error}; write [[time, influence], ...] as JSON") from error
    return np.interp(times, points[:, 0], points[:, 1])
