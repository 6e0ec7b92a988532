"""What a route is given: the house, and the key that asks."""

import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Depends, Request, Response
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from worldpatch.serve import keys, tables
from worldpatch.serve.errors import ApiError, explained, invalid, missing
from worldpatch.serve.house import House
from worldpatch.serve.keys import Key
from worldpatch.serve.wire import fields

OPEN = Key("key_open", keys.SCOPES, None, None)
"""Who asks where no keys are wanted."""


async def house(request: Request) -> House:  # not in a thread of its own, as plain dependencies are
    return request.app.state.house


def caller(scope: str) -> Callable[..., Awaitable[Key]]:
    """A dependency: the key of a request, which must have a scope and stay within its rate."""

    async def find(request: Request, response: Response) -> Key:
        app = request.app.state
        if app.house.settings.open:
            return OPEN
        kind, _, secret = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not secret.strip():
            raise ApiError(401, "no API key: send Authorization: Bearer KEY, made with `worldpatch keys add NAME`")
        try:
            key = await run_in_threadpool(_found, app.house, secret.strip())
        except ApiError:
            app.rate.guess(request.client.host if request.client else "")
            raise
        key.needs(scope)
        response.headers.update(app.rate.take(key))
        return key

    return find


def _found(home: House, secret: str) -> Key:
    with home.engine.connect() as connection:
        return keys.find(connection, secret)


Home = Annotated[House, Depends(house)]
Videos = Annotated[Key, Depends(caller("videos"))]
Files = Annotated[Key, Depends(caller("files"))]
Images = Annotated[Key, Depends(caller("images"))]
Metrics = Annotated[Key, Depends(caller("metrics"))]
Webhooks = Annotated[Key, Depends(caller("webhooks"))]


async def body(request: Request, model: type[BaseModel]) -> Any:
    """The fields of a request as a model. Raises ApiError on what does not fit it."""
    return parsed(model, await fields(request))


def parsed(model: type[BaseModel], values: dict[str, Any]) -> Any:
    try:
        return model(**values)
    except ValidationError as error:
        raise explained(error.errors()[0]) from error


def accepts(model: type[BaseModel]) -> dict[str, Any]:
    """OpenAPI of a body that may be JSON or a form."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = schema.pop("$defs", {})
    kinds = ("application/json", "multipart/form-data")
    return {
        "requestBody": {"required": True, "content": {kind: {"schema": _flat(schema, definitions)} for kind in kinds}}
    }


def _flat(schema: Any, definitions: dict[str, Any]) -> Any:
    """A schema with what it refers to put in its place."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _flat(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
        return {key: _flat(value, definitions) for key, value in schema.items()}
    return [_flat(item, definitions) for item in schema] if isinstance(schema, list) else schema


def own(connection: sa.Connection, table: sa.FromClause, id: str, key: Key, what: str) -> Any:
    """A row that a key owns. Raises ApiError 404 on all others alike, so that nobody learns what there is."""
    row: Any = connection.execute(sa.select(table).where(table.c.id == id, table.c.owner == key.id)).mappings().first()
    if row is None or row.get("deleted_at"):
        raise missing(what, id)
    return row


def page(
    connection: sa.Connection, table: sa.FromClause, key: Key, *, limit: int, order: str, after: str | None,
    **equal: Any,
) -> tuple[list[Any], bool]:  # fmt: skip
    """(rows, whether there are more) of what a key owns, newest first or last."""
    query = sa.select(table).where(table.c.owner == key.id, *(table.c[name] == value for name, value in equal.items()))
    if "deleted_at" in table.c:
        query = query.where(table.c.deleted_at.is_(None))
    place = sa.tuple_(table.c.created_at, table.c.id)
    if after is not None:
        last = sa.select(table).where(table.c.id == after, table.c.owner == key.id)
        row: Any = connection.execute(last).mappings().first()
        if row is None:
            raise invalid(f"after {after!r}: nothing here has that id; give the last_id of the page before", "after")
        mark = sa.tuple_(sa.literal(row["created_at"]), sa.literal(row["id"]))
        query = query.where(place < mark if order == "desc" else place > mark)
    turn = (lambda column: column.desc()) if order == "desc" else (lambda column: column.asc())
    query = query.order_by(turn(table.c.created_at), turn(table.c.id)).limit(limit + 1)
    rows = connection.execute(query).mappings().all()
    return list(rows[:limit]), len(rows) > limit


def ensure_open(house: House) -> None:
    """The row that everything asked for without a key belongs to."""
    with tables.writing(house.engine) as connection:
        if connection.scalar(sa.select(tables.keys.c.id).where(tables.keys.c.id == OPEN.id)) is None:
            row = {
                "id": OPEN.id, "name": "open", "hash": b"", "hint": "", "scopes": list(OPEN.scopes),
                "created_at": time.time(),
            }  # fmt: skip
            connection.execute(sa.insert(tables.keys).values(**row))
