"""Recut: trim, reverse, hasten or slow down, and join videos; nothing is drawn by the model."""

from collections.abc import Generator

import numpy as np
from pydantic import Field
from torch import Tensor

from worldpatch.config import UserError
from worldpatch.generate import media
from worldpatch.generate.ops._files import Media, Parent
from worldpatch.generate.ops._form import Size
from worldpatch.generate.ops._known import finished
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Plan, Script, Shots
from worldpatch.video.resize import Rule


class Params(Size):
    """Which video, what of it, and what is put behind it."""

    video: Parent = Field(description="a video file of any size and rate", json_schema_extra={"position": 0})
    start: float = Field(default=0.0, ge=0, description="seconds that are cut off its beginning")
    stop: float | None = Field(default=None, gt=0, description="second at which it ends")
    reverse: bool = Field(default=False, description="show it backwards")
    speed: float = Field(default=1.0, ge=0.1, le=10, description="2 is twice as fast")
    then: tuple[Media, ...] = Field(default=(), description="videos that come after it, whole")
    fit: Rule = Field(default="crop", description="crop what hangs over, or pad with black bars")


def plan(params: Params, pipeline: Pipeline) -> Script:
    """All is known. Raises UserError on what is no video, and where nothing is left of it."""
    height, width = params.sides(pipeline, like=media.size_of(params.video))
    rate = pipeline.usual.rate
    frames = media.film(params.video, rate, height, width, params.fit)
    kept = frames[round(params.start * rate) : None if params.stop is None else round(params.stop * rate)]
    if not len(kept):
        end = f"{params.stop:g}" if params.stop is not None else "its end"
        raise UserError(
            f"nothing of {params.video} lies from {params.start:g} s to {end}: it has {len(frames) / rate:g} s"
        )
    kept = kept[::-1] if params.reverse else kept
    at = np.arange(max(1, round(len(kept) / params.speed))) * params.speed
    kept = kept[np.minimum(at.round().astype(int), len(kept) - 1)]
    whole = np.concatenate([kept, *(media.film(v, rate, height, width, params.fit) for v in params.then)])
    full, _ = media.fill(whole, pipeline.spec.stride_t)
    latents = media.encode(full, pipeline)
    shown = finished(latents, [(0, full)], pipeline, stop=len(whole))

    def script() -> Generator[Plan, Tensor, Shots]:
        yield from ()
        return (shown,)

    return script
