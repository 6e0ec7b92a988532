"""Likeness: pictures of a subject, or of a look, that the video is to have. "This object", "in this style"."""

import itertools
from dataclasses import replace

from pydantic import Field

from worldpatch.config import UserError
from worldpatch.generate.ops._files import Guide
from worldpatch.generate.ops._form import Form, note_unseen
from worldpatch.generate.ops._known import likenesses
from worldpatch.generate.ops.animate import begin
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Plan, Role
from worldpatch.video.resize import Rule


class Params(Form):
    """What happens, and pictures of who does it or of how it looks."""

    prompt: str = Field(
        description="what the video shows; the subject may be called 'this object'", json_schema_extra={"position": 0}
    )
    subject: tuple[Guide, ...] = Field(
        default=(), description="pictures or videos of the subject, or @NAME of a saved character"
    )
    look: tuple[Guide, ...] = Field(default=(), description="pictures or videos whose surroundings and style are meant")
    fit: Rule = Field(default="crop", description="crop what hangs over, or pad with black bars")


def plan(params: Params, pipeline: Pipeline) -> Plan:
    """All noise, with the pictures as references of no time. Raises UserError where there is none."""
    if not params.subject and not params.look:
        raise UserError("give at least one picture, as subject or as look; without any, `generate` is what you want")
    note_unseen(pipeline, "references", "pictures of subjects or looks")
    made = begin(params, params.prompt, None, params.fit, pipeline)
    size = made.grid[1] * pipeline.spec.stride_s, made.grid[2] * pipeline.spec.stride_s
    given: dict[Role, tuple[str, ...]] = {"subject": params.subject, "look": params.look}
    found = [likenesses(pictures, role, size, params.fit, pipeline) for role, pictures in given.items()]
    return replace(made, references=tuple(itertools.chain(*found)))
