"""The server: routes, what surrounds every request, and what runs beside them."""

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worldpatch import __version__
from worldpatch.serve import errors, expiry, logs, net, tables, webhooks
from worldpatch.serve.errors import ApiError
from worldpatch.serve.house import House
from worldpatch.serve.ids import new
from worldpatch.serve.keys import Rate
from worldpatch.serve.metrics import Metrics
from worldpatch.serve.routes import characters, content, context, events, files, health, images, models, verify, videos
from worldpatch.serve.routes import webhooks as endpoints
from worldpatch.serve.settings import Settings

log = logging.getLogger("worldpatch.serve")

VIDEO = re.compile(r"video_[0-9a-f]{32}")
THREADS = 8  # of each kind: Starlette's for the database, asyncio's for files and long work, which no reader waits for
TURNS = 2  # videos put in line at once: one judged, one written down; a rush of them keeps no reader waiting
SLOW = 30.0  # seconds between two parts of a body


def make(settings: Settings) -> FastAPI:
    """The application over a house; workers are processes of their own (`worker`)."""
    house = House(settings)
    app = FastAPI(
        title="worldpatch", version=__version__, lifespan=_beside,
        description="OpenAI's Videos API, and more: every field and route that OpenAI does not have is optional.",
    )  # fmt: skip
    app.state.house, app.state.rate, app.state.metrics = house, Rate(), Metrics(house)
    app.state.turns = asyncio.Semaphore(TURNS)
    if settings.open:
        context.ensure_open(house)
    errors.install(app)
    parts = (characters, verify, videos, content, events, files, images, endpoints, models)
    for part in parts:  # fixed paths before {video_id}
        app.include_router(part.router, prefix="/v1")
    app.include_router(health.router)
    app.add_middleware(Around, largest=settings.largest_upload, metrics=app.state.metrics)
    return app


@asynccontextmanager
async def _beside(app: FastAPI) -> AsyncIterator[None]:
    house: House = app.state.house
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
    tasks = [asyncio.create_task(_webhooks(house)), asyncio.create_task(expiry.run(house))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _webhooks(house: House) -> None:
    reach = net.Reach(private=house.settings.private_addresses)
    while True:
        try:
            sent = await webhooks.send_due(house.engine, reach)
        except tables.OUT as error:
            sent = 0
            log.warning("webhooks wait for the database: %s", tables.told(error))
        await asyncio.sleep(0.05 if sent else 0.5)


class Around:
    """Around every request: an id, a limit to its body and to how slowly that comes, a line in the log, its count."""

    def __init__(self, app: ASGIApp, largest: int, metrics: Metrics):
        self.app, self.largest, self.metrics = app, largest, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        id, begun, seen, status = new("req"), time.perf_counter(), 0, 0
        declared = dict(scope["headers"]).get(b"content-length", b"0")

        async def limited() -> Message:
            nonlocal seen
            try:
                message = await asyncio.wait_for(receive(), SLOW if seen < self.largest else None)
            except TimeoutError:
                raise ApiError(408, f"nothing has come for {SLOW:g} s: send the body faster") from None
            seen += len(message.get("body", b""))
            if seen > self.largest:
                raise ApiError(413, f"a body of more than {self.largest} bytes: send a smaller file")
            return message

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", id.encode())]
            await send(message)

        try:
            if declared.isdigit() and int(declared) > self.largest:
                raise ApiError(413, f"a body of {int(declared)} bytes: at most {self.largest} are taken")
            with logs.about(request=id):
                await self.app(scope, limited if _has_body(scope) else receive, told)
        except ApiError as error:
            if status == 0:
                scope["code"] = error.code
                await error.response()(scope, receive, told)
        except Exception as error:
            log.error("a request failed", exc_info=error, extra={"request": id})
            if status != 0:  # what has begun cannot be taken back: the connection is cut
                raise
            scope["code"] = "server_error"
            known = "the server has failed on this request; it is in its log under x-request-id"
            await ApiError(500, known).response()(scope, receive, told)
        finally:
            seconds, route = time.perf_counter() - begun, _route(scope)
            self.metrics.answered(route, scope["method"], status, seconds, scope.get("code"))
            facts = {"request": id, "method": scope["method"], "route": route, "status": status}
            if VIDEO.fullmatch(video := scope.get("path_params", {}).get("video_id", "")):
                facts["video"] = video
            log.info("answered", extra={**facts, "milliseconds": round(1000 * seconds, 1)})


def _route(scope: Scope) -> str:
    """The template of a path: what clients put into it is in no log and no count."""
    found = getattr(scope.get("route"), "path", None)
    if found is None:
        return "none"
    return found if found.startswith("/v1/") or not scope["path"].startswith("/v1/") else f"/v1{found}"


def _has_body(scope: Any) -> bool:
    return scope["method"] in ("POST", "PUT", "PATCH")
