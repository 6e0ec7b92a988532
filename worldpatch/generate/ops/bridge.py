"""Bridge: one video goes over into another, through a time that the model makes up."""

from collections.abc import Generator

import torch
from pydantic import Field
from torch import Tensor

from worldpatch.generate import media, memory
from worldpatch.generate.ops._files import Media
from worldpatch.generate.ops._form import Size
from worldpatch.generate.ops._known import finished
from worldpatch.generate.ops._windows import draw, reach
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Plan, Script, Shots
from worldpatch.video.resize import Rule


class Params(Size):
    """Which videos, and what happens between them. Size and rate are as for the first one."""

    video: Media = Field(description="the video that comes first", json_schema_extra={"position": 0})
    other: Media = Field(description="the video that comes after", json_schema_extra={"position": 1})
    prompt: str = Field(default="", description="what happens between them", json_schema_extra={"position": 2})
    seconds: float = Field(default=1.5, gt=0, le=60, description="length of what is between")
    fit: Rule = Field(default="crop", description="crop what hangs over, or pad with black bars")


def plan(params: Params, pipeline: Pipeline) -> Script:
    """The last latents of one and the first of the other are known. Raises UserError on what is no video."""
    height, width = params.sides(pipeline, like=media.size_of(params.video))
    one, other = (media.film(v, pipeline.usual.rate, height, width, params.fit) for v in (params.video, params.other))
    return joined(one, other, params.seconds, params.prompt, pipeline)


def joined(
    one: media.Frames, other: media.Frames, seconds: float, prompt: str, pipeline: Pipeline, keep_other: bool = True
) -> Script:
    """Both with what is made up between them; without `keep_other` it ends where the other one would begin."""
    rate, stride = pipeline.usual.rate, pipeline.spec.stride_t
    count = max(1, round(seconds * rate / stride))
    height, width = one.shape[1:3]
    memory.check_film(len(one) + len(other) + count * stride, height, width, pipeline)
    full, before = media.fill(one, stride, before=True)
    rest, after = media.fill(other, stride, "continuation")
    head, tail = media.encode(full, pipeline), media.encode(rest, pipeline, "continuation")
    stream = torch.cat([head, torch.zeros(head.shape[0], count, *head.shape[2:]), tail], 1)
    done = torch.ones(stream.shape[1], dtype=torch.bool)
    done[head.shape[1] : head.shape[1] + count] = False
    windows = reach(pipeline, height, width)

    def script() -> Generator[Plan, Tensor, Shots]:
        whole = yield from draw(stream, done, [prompt] * len(done), windows)
        total = pipeline.spec.frames(whole.shape[1])
        pasted = [(before, one), (total - len(rest), other)]
        return (finished(whole, pasted, pipeline, before, total - (after if keep_other else len(rest))),)

    return script
