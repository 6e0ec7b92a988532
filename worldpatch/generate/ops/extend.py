"""Extend: a video goes on, or gets a beginning, for as long as asked."""

from collections.abc import Generator
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from worldpatch.generate import media, memory, stored
from worldpatch.generate.ops._files import Parent
from worldpatch.generate.ops._form import Size
from worldpatch.generate.ops._known import finished
from worldpatch.generate.ops._windows import draw, reach
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Plan, Script, Shots
from worldpatch.video.resize import Rule


class Params(Size):
    """Which video, by how much, and what happens in what is new."""

    video: Parent = Field(description="a video or picture file of any size and rate", json_schema_extra={"position": 0})
    prompt: str = Field(default="", description="what happens", json_schema_extra={"position": 1})
    seconds: float = Field(default=2.0, gt=0, le=600, description="how much is added")
    direction: Literal["forward", "backward"] = Field(default="forward", description="forward or backward in time")
    context: float | None = Field(
        default=None, gt=0, description="seconds that each window knows of the one before; two fifths of it"
    )
    window: float | None = Field(
        default=None, gt=0, description="seconds drawn at once, context and all; as long as clips in training"
    )
    fit: Rule = Field(default="crop", description="crop what hangs over, or pad with black bars")


def plan(params: Params, pipeline: Pipeline) -> Script:
    """Windows over latents; the given frames come back as they were. Raises UserError on what is no video."""
    height, width = params.sides(pipeline, like=media.size_of(params.video))
    rate, stride = pipeline.usual.rate, pipeline.spec.stride_t
    frames = media.film(params.video, rate, height, width, params.fit)
    new, windows = round(params.seconds * rate), reach(pipeline, height, width, params.context, params.window)
    memory.check_film(len(frames) + new, height, width, pipeline)
    forward = params.direction == "forward"
    kind = "clip" if forward else "continuation"
    # Groups are filled at the far end: what is next to the join stays as it is.
    full, filled = media.fill(frames, stride, kind, before=forward)
    kept = stored.find(params.video, len(full), height, width, pipeline) if forward and not filled else None
    stream = media.encode(full, pipeline, kind) if kept is None else kept
    # Backwards the first new latent is a single frame.
    count = max(1, -(-new // stride)) if forward else 1 + max(0, -(-(new - 1) // stride))
    missing = torch.zeros(stream.shape[0], count, *stream.shape[2:])
    parts = [stream, missing] if forward else [missing, stream]
    done = torch.cat([torch.full((part.shape[1],), part is stream) for part in parts])

    def script() -> Generator[Plan, Tensor, Shots]:
        prompts = [params.prompt] * len(done)
        whole = yield from draw(torch.cat(parts, 1), done, prompts, windows)
        total = pipeline.spec.frames(whole.shape[1])
        made = total - len(full)
        at = filled if forward else made
        first, stop = (filled, filled + len(frames) + new) if forward else (made - new, made + len(frames))
        return (finished(whole, [(at, frames)], pipeline, first, stop),)

    return script
