"""What happens to videos, as it happens: server-sent events."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import anyio
import sqlalchemy as sa
from fastapi import APIRouter, Request
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool

from worldpatch.serve import queue
from worldpatch.serve.house import House
from worldpatch.serve.keys import Key
from worldpatch.serve.routes.context import Home, Videos, own
from worldpatch.serve.routes.videos import tell
from worldpatch.serve.schemas import Video
from worldpatch.serve.tables import seen

router = APIRouter(tags=["events"])

LOOK, WAIT = 0.25, 1.0  # seconds between two looks at a video that is drawn or next, at one that waits for others
AGO = 60.0  # seconds for which a video that is over is looked at still


@router.get("/videos/{video_id}/events", response_class=EventSourceResponse)
async def events(video_id: str, request: Request, home: Home, key: Videos) -> EventSourceResponse:
    """`video.queued`, `video.progress`, `video.completed` or `video.failed`, each with the video as it is then: place
    in line, stage, step, seconds left; `video.preview`, with where to fetch it. The stream ends with the video; asked
    again, it begins with where it stands."""
    look = partial(_one, video_id, home, key)
    await run_in_threadpool(look)  # so that a wrong id is a plain 404
    return _stream(look, request, ends=True)


@router.get("/events", response_class=EventSourceResponse)
async def events_of_key(request: Request, home: Home, key: Videos) -> EventSourceResponse:
    """The same of all videos of a key: those that are not over, and those that come. It does not end by itself."""
    return _stream(partial(_all, time.time(), home, key), request, ends=False)


def _stream(look: Callable[[], list[Video]], request: Request, *, ends: bool) -> EventSourceResponse:
    ending = anyio.Event()  # the server's
    told = _told(look, request, ending, ends=ends)
    return EventSourceResponse(told, ping=15, shutdown_event=ending, shutdown_grace_period=4 * LOOK)


def _one(id: str, home: House, key: Key) -> list[Video]:
    with home.engine.connect() as connection:
        return [tell(own(connection, seen, id, key, "video"), connection, home)]


def _all(since: float, home: House, key: Key) -> list[Video]:
    """Videos of a key that are not over, or were ended after a moment, until they have surely been told."""
    open = seen.c.status.in_((queue.WAITING, queue.DRAWN)) | (seen.c.completed_at > max(since, time.time() - AGO))
    mine = (seen.c.owner == key.id, seen.c.deleted_at.is_(None), open)
    with home.engine.connect() as connection:
        rows = connection.execute(sa.select(seen).where(*mine).order_by(seen.c.created_at)).mappings().all()
        return [tell(row, connection, home) for row in rows]


async def _told(
    look: Callable[[], list[Video]], request: Request, ending: anyio.Event, *, ends: bool
) -> AsyncIterator[dict[str, Any]]:
    """What changes, look after look, until nobody listens or, with `ends`, all is over."""
    yield {"retry": 1000}  # milliseconds until a client comes again to a server that ended
    known: dict[str, Any] = {}
    while not (ending.is_set() or await request.is_disconnected()):
        found = await run_in_threadpool(look)
        for video in found:
            state, previews = known.get(video.id, (None, 0))
            now = (video.status, video.progress, video.queue_position, video.stage, video.step, video.paused)
            if now != state:
                kind = {queue.WAITING: "queued", queue.DRAWN: "progress"}.get(video.status, video.status)
                yield {"event": f"video.{kind}", "data": json.dumps(video.model_dump())}
            if video.previews > previews:
                url = f"/v1/videos/{video.id}/content?variant=preview&number={video.previews}"
                told = {"id": video.id, "number": video.previews, "url": url}
                yield {"event": "video.preview", "data": json.dumps(told)}
            known[video.id] = now, video.previews
        if ends and all(video.status in (queue.DONE, queue.FAILED) for video in found):
            return
        known = {video.id: known[video.id] for video in found}
        soon = any(video.status == queue.DRAWN or video.queue_position == 0 for video in found)
        await asyncio.sleep(LOOK if soon else WAIT)
