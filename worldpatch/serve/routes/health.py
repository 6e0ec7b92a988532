"""Whether the server lives, and whether it can work."""

import time

import sqlalchemy as sa
from fastapi import APIRouter

from worldpatch.serve import queue
from worldpatch.serve.errors import ApiError
from worldpatch.serve.routes.context import Home
from worldpatch.serve.tables import workers

router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(home: Home) -> dict[str, object]:
    """The database answers and a worker lives; 503 otherwise."""
    with home.engine.connect() as connection:
        alive = list(connection.scalars(sa.select(workers.c.id).where(workers.c.beat_at > time.time() - queue.STALE)))
    if not alive:
        raise ApiError(503, "no worker lives: start one with `worldpatch serve --workers 1`", code="no_worker")
    return {"status": "ready", "workers": alive}
