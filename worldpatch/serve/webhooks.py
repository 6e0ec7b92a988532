"""Events to endpoints: signed as Standard Webhooks, sent at least once under one id, tried again with back-off.

An event becomes rows of `deliveries` in the transaction that ends a video, so none is lost; a sender takes what is due.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from worldpatch.config import UserError
from worldpatch.serve import net
from worldpatch.serve.ids import new
from worldpatch.serve.tables import deliveries, endpoints, writing

EVENTS = ("video.completed", "video.failed")
KEPT = 86400.0  # seconds that a replaced secret may go on signing
BACKOFF = (5, 30, 120, 600, 3600, 4 * 3600, 12 * 3600, 24 * 3600)  # seconds, as Standard Webhooks proposes
LEASE = 60.0  # seconds until another sender may take what one has taken


def secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(24)).decode()}"


def sign(body: str, id: str, at: int, using: Iterable[str]) -> dict[str, str]:
    """The headers of a delivery: one signature for each secret that is valid."""
    signed = f"{id}.{at}.{body}".encode()
    marks = [hmac.new(base64.b64decode(s.removeprefix("whsec_")), signed, hashlib.sha256).digest() for s in using]
    told = " ".join(f"v1,{base64.b64encode(mark).decode()}" for mark in marks)
    return {"webhook-id": id, "webhook-timestamp": str(at), "webhook-signature": told}


def event(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"object": "event", "id": new("evt"), "type": kind, "created_at": int(time.time()), "data": data}


def emit(connection: sa.Connection, owner: str, kind: str, data: dict[str, Any]) -> None:
    """Put an event in line for every endpoint of a key that wants its kind."""
    told = event(kind, data)
    rows = connection.execute(sa.select(endpoints).where(endpoints.c.owner == owner)).mappings()
    for endpoint in rows:
        if kind in endpoint["event_types"]:
            row = {"event": told["id"], "endpoint": endpoint["id"], "body": json.dumps(told)}
            connection.execute(sa.insert(deliveries).values(**row, due_at=time.time(), at=time.time()))


async def send_due(engine: sa.Engine, reach: net.Reach, most: int = 20) -> int:
    """Send what is due; how many were tried. One that fails is due again later, and given up after a day or so."""
    rows, known = await asyncio.to_thread(_take, engine, most)
    for row in rows:
        status = await send(row, known.get(row["endpoint"]), reach)
        tries = row["tries"] + 1
        over = status is None or 200 <= status < 300 or tries > len(BACKOFF)
        due = None if over else time.time() + BACKOFF[tries - 1]
        await asyncio.to_thread(_note, engine, row, due_at=due, tries=tries, status=status)
    return len(rows)


def _take(engine: sa.Engine, most: int) -> tuple[list[Any], dict[str, Any]]:
    """(deliveries that are due, and this sender's for a while; all endpoints by their ids)."""
    query = sa.select(deliveries).where(deliveries.c.due_at <= time.time()).limit(most)
    with engine.connect() as connection:  # mostly there are none: the lock of writers is not taken for that
        if not connection.execute(query.limit(1)).first():
            return [], {}
    with writing(engine) as connection:
        rows = connection.execute(query.with_for_update(skip_locked=True)).mappings().all()
        for row in rows:
            _update(connection, row, due_at=time.time() + LEASE)
        return list(rows), {e["id"]: e for e in connection.execute(sa.select(endpoints)).mappings()}


def _note(engine: sa.Engine, row: Any, **values: Any) -> None:
    with writing(engine) as connection:
        _update(connection, row, **values)


async def send(row: Any, endpoint: Any, reach: net.Reach) -> int | None:
    """The status of the answer, 0 where there was none; None where the endpoint is gone."""
    if endpoint is None:
        return None
    now = time.time()
    valid = [s for s, until in endpoint["secrets"] if until is None or until > now]
    headers = {"content-type": "application/json", **sign(row["body"], row["event"], int(now), valid)}
    try:
        return await net.post(endpoint["url"], row["body"].encode(), headers, reach)
    except (UserError, net.httpx2.HTTPError, OSError):
        return 0


def _update(connection: sa.Connection, row: Any, **values: Any) -> None:
    both = (deliveries.c.event == row["event"], deliveries.c.endpoint == row["endpoint"])
    connection.execute(sa.update(deliveries).where(*both).values(**values))
