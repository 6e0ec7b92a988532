"""Simulate: a sentence is staged and played by a physics engine, and the model paints what it saw: first principles for
what happens, learned pictures for how it looks."""

import json
import logging
from pathlib import Path

import torch
from pydantic import Field

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.generate import media
from worldpatch.generate.ops._files import Document, Local
from worldpatch.generate.ops._form import Form, note_size, note_unseen
from worldpatch.generate.ops._known import strength_to_time
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Clip, Plan
from worldpatch.video._atomic import atomic

log = logging.getLogger(__name__)


class Params(Form):
    """What happens, as a sentence or as a scene that was saved and perhaps changed."""

    prompt: str = Field(default="", description="what happens on a tabletop", json_schema_extra={"position": 0})
    scene: Document | None = Field(default=None, description="instead of staging the prompt: JSON that --save wrote")
    save: Local | None = Field(default=None, description="a JSON file to write the staged scene to")
    strength: float = Field(
        default=0.7, ge=0, le=1, description="0 shows the coarse render, 1 keeps of it only where things go"
    )
    seed: int = Field(default=0, ge=0, description="of the staging")


def plan(params: Params, pipeline: Pipeline) -> Plan:
    """The coarse render noised to one time, with the camera's rays and the tracks of all solids.

    Raises UserError on a sentence that cannot be staged and a scene that cannot be read.
    """
    (height, width), frames, rate = params.sides(pipeline), params.length(pipeline), params.rate(pipeline)
    note_size(pipeline, frames, height, width)
    note_unseen(pipeline, "keep_tracks", "paths")
    clip = _play(params, height, width, frames, rate)
    assert clip.truth is not None
    known = media.encode(clip.frames, pipeline)
    start = torch.full(known.shape[1:], strength_to_time(params.strength, known.shape, pipeline))
    return Plan(
        start=start, rate=rate, prompt=params.prompt or clip.captions["terse"], known=known, camera=clip.camera,
        tracks=clip.truth.places(), kind="image" if frames == 1 else "clip",
    )  # fmt: skip


def _play(params: Params, height: int, width: int, frames: int, rate: float) -> Clip:
    """The scene, staged or read, as the engine plays it."""
    from worldpatch.worlds import tabletop  # needs mujoco, which no other ability does

    form = tabletop.Format(height=height, width=width, rate=rate, frames=frames)
    if params.scene is not None:
        try:
            staged = config.build(tabletop.Staged, json.loads(Path(params.scene).read_text()), "scene.")
        except (OSError, ValueError) as error:
            raise UserError(f"scene {params.scene}: {error}; write one with --save and change that") from error
    else:
        wish = tabletop.read(params.prompt)
        staged = tabletop.perform(wish, form, params.seed)
        if wish.unread:
            log.warning(f"not staged, only told to the model: {', '.join(wish.unread)}")
    log.warning(f"on the table: {staged.caption}")
    if params.save is not None:
        with atomic(params.save) as draft:
            draft.write_text(json.dumps(config.dump(staged), indent=1))
    return tabletop.enact(staged.scene(form), form)
