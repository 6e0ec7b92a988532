"""The session on a local page: the page itself, the pair at hand, judgements in, and the clips, with byte ranges.

Served is to this machine alone: the socket is bound to 127.0.0.1, requests that name another host are refused, and what
changes something must come as JSON, which pages of other sites may not send here. Clips are asked for by random tokens
that say nothing of where they come from; no path comes from outside.
"""

import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from worldpatch.config import UserError
from worldpatch.evals.arena.schedule import Turn
from worldpatch.evals.arena.session import Session, Verdict
from worldpatch.generate.preferences import Rival

HOST = "127.0.0.1"
PAGE = Path(__file__).parent / "page"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
    "media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Shown:
    """A session as the page sees it: clips are tokens, and names stay unsaid until the report."""

    def __init__(self, session: Session):
        self.session = session
        self.files = {secrets.token_urlsafe(12): Path(clip.path) for clip in session.gallery.clips.values()}
        self.tokens = {str(path): token for token, path in self.files.items()}

    def state(self) -> dict[str, Any]:
        """The pair at hand under its number, where the judge stands, and which clips may be loaded ahead."""
        turn, following = self.session.turn, self.session.following
        done, total = len(self.session.history), self.session.schedule.total
        return {
            "judge": self.session.judge,
            "number": done,
            "total": max(total, done + 1) if turn else done,
            "others": len(self.session.schedule.others),
            "turn": turn and {"prompt": turn.prompt, "left": self._url(turn.left), "right": self._url(turn.right)},
            "ahead": self._urls(following) if following else [],
        }

    def _urls(self, turn: Turn) -> list[str]:
        return [self._url(turn.left), self._url(turn.right)]

    def _url(self, clip: Rival) -> str:
        return f"/clips/{self.tokens[clip.path]}"


def app(session: Session, ratings: Path):
    """The FastAPI application; `ratings` is the JSON file that finishing writes."""
    from fastapi import FastAPI, HTTPException, Request, Response
    from fastapi.responses import FileResponse, JSONResponse
    from fastapi.staticfiles import StaticFiles
    from pydantic import BaseModel
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    class Move(BaseModel):
        number: int  # of the pair on the page: what was meant for another one is refused

    class Judgement(Move):
        verdict: Verdict

    shown = Shown(session)
    web = FastAPI(openapi_url=None)
    web.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])

    @web.middleware("http")
    async def with_headers(request: Request, proceed) -> Response:
        response = await proceed(request)
        response.headers.update(HEADERS)
        return response

    @web.exception_handler(UserError)
    async def explain(request: Request, error: UserError) -> Response:
        return JSONResponse({"detail": str(error)}, 400)

    def check(move: Move) -> None:
        if move.number != len(session.history):
            raise HTTPException(409, "another page has gone on meanwhile")

    @web.get("/state")
    async def state() -> dict[str, Any]:
        return shown.state()

    @web.post("/judgements")
    async def judge(judgement: Judgement) -> dict[str, Any]:
        check(judgement)
        session.record(judgement.verdict)
        return shown.state()

    @web.post("/undo")
    async def undo(move: Move) -> dict[str, Any]:
        check(move)
        session.undo()
        return shown.state()

    @web.get("/report")
    async def report() -> dict[str, Any]:
        found = session.report()
        found.save(ratings)
        return found.values()

    @web.get("/clips/{token}")
    async def clip(token: str) -> FileResponse:
        path = shown.files.get(token)
        if path is None or not path.is_file():
            raise HTTPException(404, "there is no such clip")
        return FileResponse(path, media_type="video/mp4", headers={"Cache-Control": "private, max-age=86400"})

    web.mount("/", StaticFiles(directory=PAGE, html=True))
    return web


def serve(session: Session, ratings: Path, port: int, ready: Callable[[str], None]) -> None:
    """Serve until Ctrl-C. `ready` is told the address once it answers; port 0 is any free one.

    Raises UserError where the port cannot be had.
    """
    import uvicorn

    web = app(session, ratings)
    with _bound(port) as listening:
        ready(f"http://{HOST}:{listening.getsockname()[1]}/")
        server = uvicorn.Server(uvicorn.Config(web, log_level="warning", timeout_graceful_shutdown=1))
        with suppress(KeyboardInterrupt):  # uvicorn has closed everything by then and passes the signal on
            server.run(sockets=[listening])


def _bound(port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen()
    except (OSError, OverflowError) as error:
        listening.close()
        raise UserError(f"port {port} cannot be had ({error}): leave it out to take a free one") from error
    return listening
