"""Whether the server lives, whether it can work, and its numbers."""

import time

import sqlalchemy as sa
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from worldpatch.serve import queue
from worldpatch.serve.errors import ApiError
from worldpatch.serve.routes.context import Home, Metrics
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


@router.get("/metrics")
def metrics(request: Request, key: Metrics) -> Response:
    """Numbers for Prometheus, for keys of the scope `metrics`: from where a request comes tells nothing behind a
    proxy."""
    return Response(request.app.state.metrics.text(), media_type=CONTENT_TYPE_LATEST)
