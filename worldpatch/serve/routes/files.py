"""Files of clients: kept to be named later, by OpenAI's routes."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from worldpatch.serve import references, tables
from worldpatch.serve.routes.context import Files, Home, accepts, body, own, page
from worldpatch.serve.schemas import Deleted, FileObject, NewFile, Page

router = APIRouter(tags=["files"])


@router.post("/files", openapi_extra=accepts(NewFile))
async def create(request: Request, home: Home, key: Files) -> FileObject:
    """Keep a file, until it is deleted or, with `expires_after`, for so long."""
    fields: NewFile = await body(request, NewFile)
    hours = None if fields.expires_after is None else fields.expires_after.seconds / 3600
    with tempfile.TemporaryDirectory(dir=home.settings.jobs) as folder:
        path = Path(folder) / "upload"
        await fields.file.save(path)
        id = await references.keep(home, key.id, path, fields.file.name, fields.purpose, hours)
    return await asyncio.to_thread(retrieve, id, home, key)


@router.get("/files")
def files(
    home: Home, key: Files, limit: int = Query(100, ge=1, le=10_000), order: Literal["asc", "desc"] = "desc",
    after: str | None = None, purpose: str | None = None,
) -> Page:  # fmt: skip
    equal: dict[str, Any] = {} if purpose is None else {"purpose": purpose}
    with home.engine.connect() as connection:
        rows, more = page(connection, tables.files, key, limit=limit, order=order, after=after, **equal)
    return Page.of([_told(row) for row in rows], more)


@router.get("/files/{file_id}")
def retrieve(file_id: str, home: Home, key: Files) -> FileObject:
    with home.engine.connect() as connection:
        return _told(own(connection, tables.files, file_id, key, "file"))


@router.get("/files/{file_id}/content", response_class=StreamingResponse)
async def content(file_id: str, home: Home, key: Files) -> StreamingResponse:
    """As bytes without a type: whatever a file holds, no browser takes it for a page of this server."""
    found = await asyncio.to_thread(retrieve, file_id, home, key)
    headers = {"content-disposition": "attachment", "x-content-type-options": "nosniff"}
    headers["content-length"] = str(found.bytes)
    stream = home.objects.stream(f"files/{file_id}", 0, found.bytes)
    return StreamingResponse(stream, headers=headers, media_type="application/octet-stream")


@router.delete("/files/{file_id}")
def delete(file_id: str, home: Home, key: Files) -> Deleted:
    with tables.writing(home.engine) as connection:
        own(connection, tables.files, file_id, key, "file")
        connection.execute(sa.delete(tables.files).where(tables.files.c.id == file_id))
    home.objects.remove(f"files/{file_id}")
    return Deleted(id=file_id, object="file")


def _told(row: Any) -> FileObject:
    return FileObject(
        id=row["id"], bytes=row["bytes"], created_at=int(row["created_at"]), filename=row["name"],
        purpose=row["purpose"], expires_at=row["expires_at"] and int(row["expires_at"]),
    )  # fmt: skip
