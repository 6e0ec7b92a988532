"""Characters: somebody or something out of a clip, to be shown again in other videos.

Who is in a clip cannot be told by the server. So a clip that was not made here needs the client's word that whoever is
in it agrees; what was made here is known by its credentials or its watermark.
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
from worldpatch.generate.verify import verify
from worldpatch.serve import tables
from worldpatch.serve.errors import invalid
from worldpatch.serve.house import House
from worldpatch.serve.ids import new
from worldpatch.serve.objects import portrait
from worldpatch.serve.routes.context import Home, Videos, accepts, body, own, page
from worldpatch.serve.routes.videos import judged
from worldpatch.serve.schemas import Character, Deleted, NewCharacter, Page
from worldpatch.video import read

router = APIRouter(tags=["characters"])


@router.post("/videos/characters", openapi_extra=accepts(NewCharacter))
async def create(request: Request, home: Home, key: Videos) -> Character:
    """A character out of the first frame of a clip."""
    fields: NewCharacter = await body(request, NewCharacter)
    await asyncio.to_thread(judged, [fields.name, fields.told], new("req"), home)
    return await asyncio.to_thread(_kept, fields, await _picture(fields, home), home, key)


async def _picture(fields: NewCharacter, home: House) -> Image.Image:
    with tempfile.TemporaryDirectory(dir=home.settings.jobs) as folder:
        path = Path(folder) / "upload"
        await fields.video.save(path)
        try:
            frames, _ = await asyncio.to_thread(read.read, path, frames=1)
            agreed = fields.consent or not home.settings.consent or await asyncio.to_thread(_made_here, path, home)
        except UserError as error:
            told = str(error).replace(str(path), fields.video.name)
            raise invalid(f"video: {told}", "video", "invalid_media") from error
    if not agreed:
        raise invalid(
            "this clip was not made here: send consent=true, which says that all people in it agree to be shown again",
            "consent", "consent_required",
        )  # fmt: skip
    return Image.fromarray(frames[0])


def _made_here(path: Path, home: House) -> bool:
    return verify(path, home.settings.provenance).outcome == "found"


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
