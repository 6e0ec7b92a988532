"""Characters: somebody or something out of a clip, to be shown again in other videos.

Whether the people of a clip have agreed to it is written down as the client says it; nothing depends on it yet.
"""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from fastapi import APIRouter, Query, Request
from PIL import Image

from worldpatch.config import UserError
from worldpatch.serve import tables
from worldpatch.serve.errors import invalid
from worldpatch.serve.ids import new
from worldpatch.serve.objects import portrait
from worldpatch.serve.routes.context import Home, Videos, accepts, body, own, page
from worldpatch.serve.schemas import Character, Deleted, NewCharacter, Page
from worldpatch.serve.wire import Upload
from worldpatch.video import read

router = APIRouter(tags=["characters"])


@router.post("/videos/characters", openapi_extra=accepts(NewCharacter))
async def create(request: Request, home: Home, key: Videos) -> Character:
    """A character out of the first frame of a clip."""
    fields: NewCharacter = await body(request, NewCharacter)
    return await asyncio.to_thread(_kept, fields, await _picture(fields.video, home), home, key)


async def _picture(video: Upload, home: Home) -> Image.Image:
    with tempfile.TemporaryDirectory(dir=home.settings.jobs) as folder:
        path = Path(folder) / "upload"
        await video.save(path)
        try:
            frames, _ = await asyncio.to_thread(read.read, path, frames=1)
        except UserError as error:
            raise invalid(f"video: {error}".replace(str(path), video.name), "video", "invalid_media") from error
    return Image.fromarray(frames[0])


def _kept(fields: NewCharacter, picture: Image.Image, home: Home, key: Videos) -> Character:
    row = {
        "id": new("char"), "owner": key.id, "name": fields.name, "told": fields.told, "consent": fields.consent,
        "created_at": time.time(),
    }  # fmt: skip
    with tempfile.TemporaryDirectory(dir=home.settings.jobs) as folder:
        path = Path(folder) / "picture.png"
        picture.save(path)
        home.objects.put(portrait(row["id"]), path)
    with tables.writing(home.engine) as connection:
        connection.execute(sa.insert(tables.characters).values(**row))
    return _told(row)


@router.get("/videos/characters")
def characters(
    home: Home, key: Videos, limit: int = Query(20, ge=0, le=100), order: Literal["asc", "desc"] = "desc",
    after: str | None = None,
) -> Page:  # fmt: skip
    with home.engine.connect() as connection:
        rows, more = page(connection, tables.characters, key, limit=limit, order=order, after=after)
    return Page.of([_told(row) for row in rows], more)


@router.get("/videos/characters/{character_id}")
def retrieve(character_id: str, home: Home, key: Videos) -> Character:
    with home.engine.connect() as connection:
        return _told(own(connection, tables.characters, character_id, key, "character"))


@router.delete("/videos/characters/{character_id}")
def delete(character_id: str, home: Home, key: Videos) -> Deleted:
    with tables.writing(home.engine) as connection:
        own(connection, tables.characters, character_id, key, "character")
        connection.execute(sa.delete(tables.characters).where(tables.characters.c.id == character_id))
    home.objects.remove(f"characters/{character_id}")
    return Deleted(id=character_id, object="video.character.deleted")


def _told(row: Any) -> Character:
    return Character(id=row["id"], name=row["name"], created_at=int(row["created_at"]))
