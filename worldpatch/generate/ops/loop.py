"""Loop: a video that can be shown again and again, the model leading from its end back to its beginning."""

from pydantic import Field

from worldpatch.generate import media
from worldpatch.generate.ops._files import Parent
from worldpatch.generate.ops._form import Size
from worldpatch.generate.ops.bridge import joined
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Script
from worldpatch.video.resize import Rule


class Params(Size):
    """Which video, and how long the way back takes."""

    video: Parent = Field(description="a video file of any size and rate", json_schema_extra={"position": 0})
    prompt: str = Field(default="", description="what happens on the way back", json_schema_extra={"position": 1})
    seconds: float = Field(default=1.5, gt=0, le=60, description="how long the way back takes")
    fit: Rule = Field(default="crop", description="crop what hangs over, or pad with black bars")


def plan(params: Params, pipeline: Pipeline) -> Script:
    """A bridge from the video to itself, which ends where it begins. Raises UserError as `bridge` does."""
    height, width = params.sides(pipeline, like=media.size_of(params.video))
    frames = media.film(params.video, pipeline.usual.rate, height, width, params.fit)
    return joined(frames, frames, params.seconds, params.prompt, pipeline, keep_other=False)
