"""Where clients want to be told: endpoints, their secrets, and a trial."""

import asyncio
import json
import time
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request

from worldpatch.config import UserError
from worldpatch.serve import net, tables, webhooks
from worldpatch.serve.errors import invalid
from worldpatch.serve.ids import new
from worldpatch.serve.routes.context import Home, Webhooks, accepts, body, own, page
from worldpatch.serve.schemas import ChangedEndpoint, Deleted, Endpoint, NewEndpoint, Page, Rotation, Trial, Tried
from worldpatch.serve.tables import endpoints

router = APIRouter(tags=["webhooks"])


@router.get("/webhook_event_types")
def event_types(key: Webhooks) -> dict[str, Any]:
    return {"object": "list", "data": list(webhooks.EVENTS)}


@router.post("/webhook_endpoints", openapi_extra=accepts(NewEndpoint))
async def create(request: Request, home: Home, key: Webhooks) -> Endpoint:
    """An endpoint; its secret is told this once."""
    fields: NewEndpoint = await body(request, NewEndpoint)
    await _reachable(fields.url, home)
    now, secret = time.time(), webhooks.secret()
    row = {
        "id": new("wh"), "owner": key.id, "name": fields.name, "url": fields.url, "event_types": fields.event_types,
        "secrets": [[secret, None]], "created_at": now, "updated_at": now,
    }  # fmt: skip
    await asyncio.to_thread(_write, home, sa.insert(endpoints).values(**row))
    return _told(row, secret)


@router.get("/webhook_endpoints")
def endpoints_of_key(home: Home, key: Webhooks, limit: int = Query(20, ge=1, le=100), after: str | None = None) -> Page:
    with home.engine.connect() as connection:
        rows, more = page(connection, endpoints, key, limit=limit, order="desc", after=after)
    return Page.of([_told(row) for row in rows], more)


@router.get("/webhook_endpoints/{endpoint_id}")
def retrieve(endpoint_id: str, home: Home, key: Webhooks) -> Endpoint:
    with home.engine.connect() as connection:
        return _told(own(connection, endpoints, endpoint_id, key, "webhook endpoint"))


@router.post("/webhook_endpoints/{endpoint_id}", openapi_extra=accepts(ChangedEndpoint))
async def update(endpoint_id: str, request: Request, home: Home, key: Webhooks) -> Endpoint:
    fields: ChangedEndpoint = await body(request, ChangedEndpoint)
    if fields.url is not None:
        await _reachable(fields.url, home)
    await asyncio.to_thread(retrieve, endpoint_id, home, key)
    values = fields.model_dump(exclude_none=True) | {"updated_at": time.time()}
    await asyncio.to_thread(_write, home, sa.update(endpoints).where(endpoints.c.id == endpoint_id).values(**values))
    return await asyncio.to_thread(retrieve, endpoint_id, home, key)


@router.post("/webhook_endpoints/{endpoint_id}/rotate_secret", openapi_extra=accepts(Rotation))
async def rotate(endpoint_id: str, request: Request, home: Home, key: Webhooks) -> Endpoint:
    """A new secret; the old one goes on signing beside it for a day, if asked."""
    fields: Rotation = await body(request, Rotation)

    def turn() -> Endpoint:
        with tables.writing(home.engine) as connection:
            row = own(connection, endpoints, endpoint_id, key, "webhook endpoint")
            now, secret = time.time(), webhooks.secret()
            old = [[row["secrets"][0][0], now + webhooks.KEPT]] if fields.keep_old_secret_active_for_24_hours else []
            values = {"secrets": [[secret, None], *old], "updated_at": now}
            connection.execute(sa.update(endpoints).where(endpoints.c.id == endpoint_id).values(**values))
            return _told({**row, **values}, secret)

    return await asyncio.to_thread(turn)


@router.post("/webhook_endpoints/{endpoint_id}/test", openapi_extra=accepts(Trial))
async def test(endpoint_id: str, request: Request, home: Home, key: Webhooks) -> Tried:
    """Send an event of a kind, about a video that there is not, and tell what the endpoint answered."""
    fields: Trial = await body(request, Trial)
    with home.engine.connect() as connection:
        row = own(connection, endpoints, endpoint_id, key, "webhook endpoint")
    event = webhooks.event(fields.event_type, {"id": new("video")})
    reach = net.Reach(private=home.settings.private_addresses)
    status = await webhooks.send({"event": event["id"], "body": json.dumps(event)}, row, reach)
    return Tried(
        webhook_endpoint_id=endpoint_id, event_type=fields.event_type, status_code=status or None,
        success=200 <= (status or 0) < 300,
    )  # fmt: skip


@router.delete("/webhook_endpoints/{endpoint_id}")
def delete(endpoint_id: str, home: Home, key: Webhooks) -> Deleted:
    with tables.writing(home.engine) as connection:
        own(connection, endpoints, endpoint_id, key, "webhook endpoint")
        connection.execute(sa.delete(endpoints).where(endpoints.c.id == endpoint_id))
    return Deleted(id=endpoint_id, object="webhook_endpoint.deleted")


async def _reachable(url: str, home: Home) -> None:
    try:
        await net.check(url, net.Reach(private=home.settings.private_addresses))
    except UserError as error:
        raise invalid(f"url {error}", "url") from error


def _write(home: Home, statement: Any) -> None:
    with tables.writing(home.engine) as connection:
        connection.execute(statement)


def _told(row: Any, secret: str | None = None) -> Endpoint:
    return Endpoint(
        id=row["id"], created_at=int(row["created_at"]), updated_at=int(row["updated_at"]), name=row["name"],
        url=row["url"], event_types=row["event_types"], signing_secret=secret,
        signing_secret_hint=row["secrets"][0][0][-4:],
    )  # fmt: skip
