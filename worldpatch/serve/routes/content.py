"""What was made, as bytes: the video whole, in ranges or while it is written, and what else can be had of it."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from worldpatch.serve import made, objects, queue, ranges
from worldpatch.serve.errors import ApiError, invalid
from worldpatch.serve.house import House
from worldpatch.serve.keys import Key
from worldpatch.serve.routes.context import Home, Videos, own
from worldpatch.serve.routes.videos import tell
from worldpatch.serve.tables import seen

router = APIRouter(tags=["videos"])

Variant = Literal[
    "video", "thumbnail", "spritesheet", "preview", "stream", "gif", "frames", "first_frame", "last_frame", "latents",
    "metadata",
]  # fmt: skip
TYPES = {
    "video": ("video.mp4", "video/mp4"), "thumbnail": ("thumbnail.webp", "image/webp"),
    "spritesheet": ("spritesheet.jpg", "image/jpeg"), "preview": ("preview.webp", "image/webp"),
    "latents": ("drawn.latents.safetensors", "application/octet-stream"), "gif": ("video.gif", "image/gif"),
    "frames": ("frames.zip", "application/zip"), "first_frame": ("first.png", "image/png"),
    "last_frame": ("last.png", "image/png"),
}  # fmt: skip
LOOK = 0.1  # seconds between two looks for the next part of a video that is being written


@router.head("/videos/{video_id}/content", include_in_schema=False)
@router.get("/videos/{video_id}/content", response_class=StreamingResponse)
async def content(
    video_id: str, request: Request, home: Home, key: Videos, variant: Variant = "video",
    index: int = Query(0, ge=0, description="which of n variants"), range: str | None = Header(None),
) -> Response:  # fmt: skip
    """What was made, whole or a range of its bytes. `variant=stream` begins while the video is still being written;
    `gif`, `frames` (a zip of PNGs), `first_frame`, `last_frame`, `latents` and `metadata` are ours."""
    row = await run_in_threadpool(_row, video_id, home, key)
    if index >= row["facts"]["variants"]:
        raise invalid(f"index {index}: this video has {row['facts']['variants']} variants, counted from 0", "index")
    if variant == "stream":
        return await _stream(row, index, request, home, key)
    if variant != "preview":
        _fetchable(row)
    if variant == "metadata":
        return JSONResponse(await asyncio.to_thread(_metadata, row, home))
    file, kind = TYPES[variant]
    name = objects.shown(video_id, file, index)
    size = await asyncio.to_thread(home.objects.size, name)
    if size is None and variant in made.DERIVED:
        size = await asyncio.to_thread(_derive, row, variant, index, home)
    if size is None:
        raise ApiError(
            404, f"{variant} of {video_id} is not there yet: ask again in a while", code="video_not_ready",
            headers={"retry-after": "1"},
        )  # fmt: skip
    span = ranges.asked(range, size)
    start, stop = span or (0, size)
    headers = {"accept-ranges": "bytes", "content-length": str(stop - start), "cache-control": "private"}
    headers["content-disposition"] = f'inline; filename="{video_id}{Path(file).suffix}"'
    if span:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    status = 206 if span else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=kind)
    return StreamingResponse(home.objects.stream(name, start, stop), status, headers, media_type=kind)


def _row(id: str, home: House, key: Key) -> Any:
    with home.engine.connect() as connection:
        return own(connection, seen, id, key, "video")


def _fetchable(row: Any) -> None:
    """Raises ApiError 404 where there is nothing to fetch: not yet, no more, or never."""
    if row["status"] == queue.FAILED:
        raise ApiError(
            404,
            f"video {row['id']} has failed ({row['error']['message']}): there is nothing to fetch",
            code="video_failed",
        )
    if row["status"] != queue.DONE:
        raise ApiError(
            404, f"video {row['id']} is {row['status']}: wait until it is completed", code="video_not_ready",
            headers={"retry-after": "1"},
        )  # fmt: skip
    if row["expires_at"] and row["expires_at"] < time.time():
        raise ApiError(404, f"video {row['id']} has expired: make it again", code="video_expired")


def _derive(row: Any, variant: str, index: int, home: House) -> int | None:
    """Make what nobody has asked for before, and keep it; its bytes."""
    id, (file, _) = row["id"], TYPES[variant]
    with tempfile.TemporaryDirectory(dir=home.settings.jobs) as folder:
        path = Path(folder) / file
        source = home.local(objects.shown(id, "video.mp4", index), Path(folder))
        made.DERIVED[variant](source, path)
        made.sign_derived(path, source, row, index, home)
        home.objects.put(objects.shown(id, file, index), path)
        return path.stat().st_size


def _metadata(row: Any, home: House) -> dict[str, Any]:
    """The video as told, and the request that it was drawn by."""
    with home.engine.connect() as connection:
        return {"video": tell(row, connection, home).model_dump(), "request": row["request"]}


# -------------------------------------------------------------------------------------------- while it is being written


async def _stream(row: Any, index: int, request: Request, home: House, key: Key) -> Response:
    """Fragmented MP4, part by part as the worker writes it; the same bytes however late a client comes."""
    if row["status"] in (queue.DONE, queue.FAILED):
        _fetchable(row)
    parts = _parts(row["id"], index, request, home, key)
    try:
        first = await anext(parts)
    except StopAsyncIteration:
        _fetchable(await run_in_threadpool(_row, row["id"], home, key))
        raise ApiError(404, f"video {row['id']} was not streamed: fetch it whole", code="video_not_ready") from None

    async def all() -> AsyncIterator[bytes]:
        yield first
        async for part in parts:
            yield part

    return StreamingResponse(all(), media_type="video/mp4", headers={"cache-control": "no-store"})


async def _parts(id: str, index: int, request: Request, home: House, key: Key) -> AsyncIterator[bytes]:
    number = 0
    while not await request.is_disconnected():
        row = await run_in_threadpool(_row, id, home, key)
        over = row["status"] in (queue.DONE, queue.FAILED)  # asked before the part: the last one may come in between
        name = objects.part(id, number, index)
        if await asyncio.to_thread(home.objects.size, name) is not None:
            yield await asyncio.to_thread(home.objects.get, name)
            number += 1
        elif over:
            return
        else:
            await asyncio.sleep(LOOK)
