"""Pictures by OpenAI's image routes: a picture is a video of one frame, drawn by the same queue and workers."""

import asyncio
import base64
import time
from typing import Any

from fastapi import APIRouter, Request, Response

from worldpatch.serve import asked, objects, queue, tables
from worldpatch.serve.asked import Draft
from worldpatch.serve.errors import ApiError
from worldpatch.serve.routes.context import Home, Images, accepts, body, own
from worldpatch.serve.routes.videos import submit
from worldpatch.serve.schemas import Image, ImageEdit, NewImage
from worldpatch.serve.schemas import Images as Made

router = APIRouter(tags=["images"])

LOOK, PATIENCE = 0.1, 600.0  # seconds


@router.post("/images/generations", openapi_extra=accepts(NewImage))
async def create(request: Request, response: Response, home: Home, key: Images) -> Made:
    """Pictures of a prompt; the answer comes when they are drawn."""
    fields: NewImage = await body(request, NewImage)
    return await _drawn(request, response, fields, {}, home, key)


@router.post("/images/edits", openapi_extra=accepts(ImageEdit))
async def edit(request: Request, response: Response, home: Home, key: Images) -> Made:
    """A picture changed by a prompt; `strength` says how far."""
    fields: ImageEdit = await body(request, ImageEdit)
    return await _drawn(request, response, fields, {"image": fields.image, "strength": fields.strength}, home, key)


async def _drawn(
    request: Request, response: Response, fields: Any, params: dict[str, Any], home: Home, key: Images
) -> Made:
    model = home.outlines[home.named(fields.model)]
    size = None if fields.size in (None, "auto") else asked.size(fields.size)
    sides, notes = ({}, []) if size is None else asked.drawn_at(size, model)
    draft = Draft(
        ability="image", params={"prompt": fields.prompt} | sides | params, prompt=fields.prompt, seconds=0.0,
        size=size, operation="image", notes=notes,
    )  # fmt: skip
    video = await submit(request, response, fields, draft, fields.model, home, key)
    until = time.monotonic() + PATIENCE
    while True:
        row = await asyncio.to_thread(_row, video.id, home, key)
        if row["status"] == queue.FAILED:
            raise ApiError(400, row["error"]["message"], code=row["error"]["code"])
        if row["status"] == queue.DONE:
            break
        if time.monotonic() > until or await request.is_disconnected():
            raise ApiError(408, f"not drawn within {PATIENCE:g} s: ask POST /v1/videos with ability image, and poll")
        await asyncio.sleep(LOOK)
    names = [objects.shown(video.id, "picture.png", k) for k in range(fields.n)]
    found = [base64.b64encode(await asyncio.to_thread(home.objects.get, name)).decode() for name in names]
    made = "x".join(map(str, row["result"]["size"]))
    return Made(created=int(row["created_at"]), data=[Image(b64_json=one) for one in found], size=made)


def _row(id: str, home: Home, key: Images) -> Any:
    with home.engine.connect() as connection:
        return own(connection, tables.videos, id, key, "image")
