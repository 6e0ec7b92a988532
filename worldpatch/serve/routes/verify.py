"""What a file says of where it comes from: by its credentials, and by its watermark among the videos made here."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Request

from worldpatch.generate.verify import verify
from worldpatch.serve import references
from worldpatch.serve.house import House
from worldpatch.serve.keys import Key
from worldpatch.serve.routes.context import Home, Videos, accepts, body
from worldpatch.serve.schemas import Verdict, Verify
from worldpatch.serve.tables import marks, videos

router = APIRouter(tags=["videos"])


@router.post("/videos/verify", openapi_extra=accepts(Verify))
async def check(request: Request, home: Home, key: Videos) -> Verdict:
    """Whether a picture or video was made here, or by whom else. A file that was re-encoded has lost its credentials,
    yet its watermark may tell; `video_ids` are those of this key's videos that have its number."""
    fields: Verify = await body(request, Verify)
    with tempfile.TemporaryDirectory(dir=home.settings.jobs) as folder:
        path = await references.file(fields.file, "file", home, key.id, Path(folder))
        found = await asyncio.to_thread(verify, path, home.settings.provenance)
    made, own = await asyncio.to_thread(_known, found.mark, home, key)
    told: dict[str, Any] = found.as_dict()
    told.pop("file")
    return Verdict(**told, made_here=made, video_ids=own)


def _known(number: int | None, home: House, key: Key) -> tuple[bool, list[str]]:
    """(whether a watermark is of a video of this server, those of them that are the key's own)."""
    if number is None:
        return False, []
    query = sa.select(videos.c.id, videos.c.owner).join(marks, marks.c.video == videos.c.id)
    with home.engine.connect() as connection:
        rows = connection.execute(query.where(marks.c.number == number)).all()
    return bool(rows), sorted({id for id, owner in rows if owner == key.id})
