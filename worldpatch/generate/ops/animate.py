"""Animate: a picture becomes the first frame of a video; more pictures may stand in its middle and at its end."""

from dataclasses import replace

import torch
from pydantic import Field

from worldpatch.config import UserError
from worldpatch.generate import media
from worldpatch.generate.ops import text_to_video
from worldpatch.generate.ops._files import Media
from worldpatch.generate.ops._form import Form, note_size
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Plan, Reference
from worldpatch.video.resize import Rule


class Params(Form):
    """Which pictures, and what happens. The size is as near to the picture's aspect as the model can."""

    image: Media = Field(description="the first frame: a picture file of any size", json_schema_extra={"position": 0})
    prompt: str = Field(default="", description="what happens", json_schema_extra={"position": 1})
    keyframes: tuple[Media, ...] = Field(
        default=(), description="more pictures, PICTURE@middle, PICTURE@last or PICTURE@SECONDS"
    )
    fit: Rule = Field(default="crop", description="crop what hangs over, or pad with black bars")


def plan(params: Params, pipeline: Pipeline) -> Plan:
    """The first frame is known; keyframes are references at their times; the pixels of all are pasted back.

    Raises UserError on what is no picture, and on keyframes outside of the video.
    """
    height, width = params.sides(pipeline, like=media.size_of(params.image))
    frames, rate = params.length(pipeline), params.rate(pipeline)
    if frames == 1:
        raise UserError("a video of one frame is the picture itself: ask for more seconds")
    note_size(pipeline, frames, height, width)
    first = media.picture(params.image, height, width, params.fit)
    pasted = [media.paste(first, media.everywhere(first), 0, frames)]
    made = Plan(start=torch.ones(pipeline.spec.grid(frames, height, width)), rate=rate, prompt=params.prompt)
    made.start[0] = 0
    known = torch.zeros(pipeline.spec.channels, *made.grid)
    known[:, :1] = media.encode(first, pipeline)
    references = []
    for path, at in (_parse(text, frames, rate) for text in params.keyframes):
        picture = media.picture(path, height, width, params.fit)
        references.append(Reference(latent=media.encode(picture, pipeline)[:, 0], time=at / rate))
        pasted.append(media.paste(picture, media.everywhere(picture), at, frames))
    return replace(made, known=known, references=tuple(references), paste=media.join(pasted))


def begin(form: Form, prompt: str, image: str | None, fit: Rule, pipeline: Pipeline) -> Plan:
    """A video of this form of which nothing is known but perhaps its first frame. Raises UserError where it has
    neither a prompt nor that."""
    if image is None and not prompt.strip():
        raise UserError("say what the video shows, or give its first frame as an image")
    size = form.model_dump(include=set(Form.model_fields))
    if image is not None:
        return plan(Params(image=image, prompt=prompt, fit=fit, **size), pipeline)
    return text_to_video.plan(text_to_video.Params(prompt=prompt, **size), pipeline)


def _parse(text: str, frames: int, rate: float) -> tuple[str, int]:
    """ "PICTURE@TIME" -> (path, frame)."""
    path, mark, when = text.rpartition("@")
    named = {"first": 0, "middle": frames // 2, "last": frames - 1}
    try:
        at = named[when] if when in named else round(float(when) * rate)
    except ValueError:
        mark, at = "", 0
    if not mark:
        raise UserError(f"keyframe {text!r} names no time: write PICTURE@middle, PICTURE@last or PICTURE@SECONDS")
    if not 0 < at < frames:
        raise UserError(
            f"keyframe {text!r} lies at frame {at}, where the picture already is, or outside of the video of "
            f"{frames / rate:g} s: give a time between"
        )
    return path, at
