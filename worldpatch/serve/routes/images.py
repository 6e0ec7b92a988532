"""Pictures by OpenAI's image routes: a picture is a video of one frame, drawn by the same queue and workers."""

import asyncio
import base64
import io
import json
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from PIL import Image as Pictures
from sse_starlette import EventSourceResponse

from worldpatch.serve import asked, objects, queue, references, tables
from worldpatch.serve.asked import Draft
from worldpatch.serve.errors import ApiError, invalid
from worldpatch.serve.house import House
from worldpatch.serve.routes.context import Home, Images, Key, accepts, body, own
from worldpatch.serve.routes.videos import submit, tell
from worldpatch.serve.schemas import Image, ImageEdit, NewImage, Video
from worldpatch.serve.schemas import Images as Made
from worldpatch.video.read import open_still

router = APIRouter(tags=["images"])

LOOK, PATIENCE = 0.1, 600.0  # seconds
TOLD = {"draft": "low", "standard": "medium", "high": "high"}  # our words for quality, in OpenAI's


@router.post("/images/generations", openapi_extra=accepts(NewImage), response_model=Made)
async def create(request: Request, response: Response, home: Home, key: Images) -> Any:
    """Pictures of a prompt; the answer comes when they are drawn, or in parts with `stream`."""
    fields: NewImage = await body(request, NewImage)
    draft = _draft("image", {"prompt": fields.prompt}, fields, home)
    return await _answer("image_generation", draft, fields, request, response, home, key)


@router.post("/images/edits", openapi_extra=accepts(ImageEdit), response_model=Made)
async def edit(request: Request, response: Response, home: Home, key: Images) -> Any:
    """A picture changed by a prompt; `strength` says how far. With a mask, only where that is transparent."""
    fields: ImageEdit = await body(request, ImageEdit)
    if fields.mask is None:
        strength = fields.strength / (2 if fields.input_fidelity == "high" else 1)
        params = {"prompt": fields.prompt, "image": fields.image, "strength": strength}
        draft = _draft("image", params, fields, home)
    else:
        mask = await _white(fields.mask, home, key)
        params = {"prompt": fields.prompt, "video": fields.image, "mask": mask}
        draft = _draft("inpaint", params, fields, home)
    return await _answer("image_edit", draft, fields, request, response, home, key)


def _draft(ability: str, params: dict[str, Any], fields: NewImage, home: House) -> Draft:
    model = home.outlines[home.named(fields.model)]
    size = None if fields.size in (None, "auto") else asked.size(fields.size)
    sides, notes = ({}, []) if size is None else asked.drawn_at(size, model)
    return Draft(
        ability=ability, params=params | sides, prompt=fields.prompt, seconds=0.0, size=size, operation="image",
        notes=notes,
    )  # fmt: skip


async def _white(mask: Any, home: House, key: Key) -> dict[str, str]:
    """OpenAI's masks are transparent where to draw, ours white: the name of one of ours."""
    with tempfile.TemporaryDirectory(dir=home.settings.jobs) as folder:
        named = await references.file(mask, "mask", home, key.id, Path(folder))
        path = Path(folder) / "mask.png"
        await asyncio.to_thread(_whiten, named, path)
        return {"file_id": await references.keep(home, key.id, path, "mask.png", references.PURPOSE, 1.0)}


def _whiten(mask: Path, path: Path) -> None:
    picture = open_still(mask)
    if picture is None or "A" not in picture.convert("RGBA" if "transparency" in picture.info else picture.mode).mode:
        raise invalid("mask: a picture without transparency; send a PNG that is transparent where to draw", "mask")
    opaque = np.asarray(picture.convert("RGBA"))[..., 3] >= 128
    Pictures.fromarray(np.where(opaque, 0, 255).astype(np.uint8)).save(path)


# --------------------------------------------------------------------------------------------------------- the answer


async def _answer(
    kind: str, draft: Draft, fields: NewImage, request: Request, response: Response, home: House, key: Key
) -> Any:
    video = await submit(request, response, fields, draft, fields.model, home, key)
    if fields.stream:
        return EventSourceResponse(_told(kind, video.id, fields, request, home, key), ping=15)
    async for row, _ in _followed(video.id, request, home, key):
        if row["status"] == queue.FAILED:
            raise ApiError(400, row["error"]["message"], code=row["error"]["code"])
    found = [Image(b64_json=await _picture(video.id, k, fields, home)) for k in range(fields.n)]
    return Made(
        created=video.created_at, data=found, size="x".join(map(str, row["result"]["size"])),
        output_format=fields.output_format, quality=TOLD[fields.quality],
    )  # fmt: skip


async def _told(
    kind: str, id: str, fields: NewImage, request: Request, home: House, key: Key
) -> AsyncIterator[dict[str, str]]:
    """Pictures on the way, each further on than the last, then every picture that was asked for."""

    def event(name: str, picture: str, size: str, **more: Any) -> dict[str, str]:
        told = {
            "type": f"{kind}.{name}", "b64_json": picture, "created_at": int(time.time()), "size": size,
            "quality": TOLD[fields.quality], "background": "opaque", "output_format": fields.output_format, **more,
        }  # fmt: skip
        return {"event": told["type"], "data": json.dumps(told)}

    sent = shown = 0
    async for row, video in _followed(id, request, home, key):
        if row["status"] == queue.FAILED:
            yield {"event": "error", "data": json.dumps({"type": "error", "error": row["error"]})}
            return
        if row["status"] == queue.DONE:
            size, none = "x".join(map(str, row["result"]["size"])), {"image_tokens": 0, "text_tokens": 0}
            usage = {"input_tokens": 0, "input_tokens_details": none, "output_tokens": 0, "total_tokens": 0}
            for k in range(fields.n):
                yield event("completed", await _picture(id, k, fields, home), size, usage=usage)
        elif video.previews > shown and sent < fields.partial_images:
            picture = await asyncio.to_thread(home.objects.get, objects.shown(id, "preview.webp"))
            yield event("partial_image", _encoded(picture, fields), fields.size or "auto", partial_image_index=sent)
            sent, shown = sent + 1, video.previews


async def _followed(id: str, request: Request, home: House, key: Key) -> AsyncIterator[tuple[Any, Video]]:
    """The row of a picture, look after look, until it is over. Raises ApiError 408 where that takes too long."""
    until = time.monotonic() + PATIENCE
    while True:
        row, video = await asyncio.to_thread(_look, id, home, key)
        yield row, video
        if row["status"] in (queue.DONE, queue.FAILED):
            return
        if time.monotonic() > until or await request.is_disconnected():
            raise ApiError(408, f"not drawn within {PATIENCE:g} s: ask POST /v1/videos with ability image, and poll")
        await asyncio.sleep(LOOK)


def _look(id: str, home: House, key: Key) -> tuple[Any, Video]:
    with home.engine.connect() as connection:
        row = own(connection, tables.seen, id, key, "image")
        return row, tell(row, connection, home)


async def _picture(id: str, variant: int, fields: NewImage, home: House) -> str:
    content = await asyncio.to_thread(home.objects.get, objects.shown(id, "picture.png", variant))
    return await asyncio.to_thread(_encoded, content, fields)


def _encoded(content: bytes, fields: NewImage) -> str:
    """A picture in base64 and in the format that was asked for."""
    if fields.output_format != "png" or not content.startswith(b"\x89PNG"):
        out = io.BytesIO()
        options: dict[str, Any] = {} if fields.output_format == "png" else {"quality": fields.output_compression}
        Pictures.open(io.BytesIO(content)).convert("RGB").save(out, fields.output_format, **options)
        content = out.getvalue()
    return base64.b64encode(content).decode()
