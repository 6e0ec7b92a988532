"""What happens to videos, as it happens: server-sent events."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
from fastapi import APIRouter, Request
from sse_starlette import EventSourceResponse

from worldpatch.serve import queue, tables
from worldpatch.serve.routes.context import Home, Videos, own
from worldpatch.serve.routes.videos import tell

router = APIRouter(tags=["events"])

LOOK = 0.25  # seconds between two looks at a video


@router.get("/videos/{video_id}/events", response_class=EventSourceResponse)
async def events(video_id: str, request: Request, home: Home, key: Videos) -> EventSourceResponse:
    """`video.queued`, `video.progress`, `video.completed` or `video.failed`, each with the video as it is then: place
    in line, stage, step, seconds left; `video.preview`, with where to fetch it. The stream ends with the video; asked
    again, it begins with where it stands."""
    await asyncio.to_thread(_look, video_id, home, key)  # so that a wrong id is a plain 404
    ending = anyio.Event()  # the server's
    told = _told(video_id, request, home, key, ending)
    return EventSourceResponse(told, ping=15, shutdown_event=ending, shutdown_grace_period=4 * LOOK)


async def _told(id: str, request: Request, home: Any, key: Any, ending: anyio.Event) -> AsyncIterator[dict[str, Any]]:
    yield {"retry": 1000}  # milliseconds until a client comes again to a server that ended
    last, shown = None, 0
    while not (ending.is_set() or await request.is_disconnected()):
        video = await asyncio.to_thread(_look, id, home, key)
        kind = {queue.WAITING: "queued", queue.DRAWN: "progress"}.get(video.status, video.status)
        now = (kind, video.progress, video.queue_position, video.stage, video.step, video.paused)
        if now != last:
            yield {"event": f"video.{kind}", "data": json.dumps(video.model_dump())}
            last = now
        if video.previews > shown:
            shown = video.previews
            url = f"/v1/videos/{id}/content?variant=preview&number={shown}"
            yield {"event": "video.preview", "data": json.dumps({"id": id, "number": shown, "url": url})}
        if video.status in (queue.DONE, queue.FAILED):
            return
        await asyncio.sleep(LOOK)


def _look(id: str, home: Any, key: Any) -> Any:
    with home.engine.connect() as connection:
        return tell(own(connection, tables.videos, id, key, "video"), connection, home)
