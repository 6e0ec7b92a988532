"""Files that a request names: uploads, earlier files and videos, addresses, characters - never paths.

On the way in each becomes a name that is ours and that its key owns: `file-...`, `video_...`, `@char_...`. A worker
turns these into files of its machine.
"""

import asyncio
import json
import re
import tempfile
import time
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel

from worldpatch.config import UserError
from worldpatch.generate import characters
from worldpatch.generate.ops._files import FileMark, with_files
from worldpatch.generate.provenance import RELATIONSHIPS
from worldpatch.safety.credentials import Ingredient
from worldpatch.serve import net, objects, tables
from worldpatch.serve.errors import invalid, missing
from worldpatch.serve.house import House
from worldpatch.serve.ids import new
from worldpatch.serve.wire import Upload
from worldpatch.video import read

NAMED = re.compile(r"(file-[0-9a-f]{32}|video_[0-9a-f]{32}|@char_[0-9a-f]{32})(@[A-Za-z0-9.]{1,16})?")
LONGEST_IMAGE = 32 * 2**20  # bytes behind an image_url
PURPOSE = "vision"  # of files that came with a request


async def keep(house: House, owner: str, path: Path, name: str, purpose: str, hours: float | None = None) -> str:
    """Makes a file object of a file on disk; returns its id."""
    id, now = new("file", "-"), time.time()
    await asyncio.to_thread(house.objects.put, f"files/{id}", path)
    row = {
        "id": id, "owner": owner, "name": _plain(name), "purpose": purpose,
        "bytes": path.stat().st_size, "created_at": now, "expires_at": None if hours is None else now + 3600 * hours,
    }  # fmt: skip
    with tables.writing(house.engine) as connection:
        connection.execute(sa.insert(tables.files).values(**row))
    return id


def _plain(name: str) -> str:
    """What a client calls a file, as far as it can be shown: no folders, nothing that hides or turns text around."""
    shown = "".join(c for c in name.replace("\\", "/").rpartition("/")[2] if c.isprintable())
    return shown[-255:] or "upload"


async def named(model: type[BaseModel], values: dict[str, Any], house: House, owner: str) -> dict[str, Any]:
    """The parameters of an ability with every file under a name of ours. Raises ApiError on what is none, or is
    somebody else's."""
    found: dict[str, Any] = {}

    def note(mark: FileMark, value: Any, where: str) -> Any:
        if mark.kind == "local":
            raise invalid(f"{where} is for the command line, whose files are its own: leave it out", where)
        found[where] = (mark, value)
        return value

    with_files(model, values, note)
    known = {where: await _name(mark, value, where, house, owner) for where, (mark, value) in found.items()}
    return with_files(model, values, lambda mark, value, where: known[where])


async def file(value: Any, where: str, house: House, owner: str, folder: Path) -> Path:
    """A file that a client sends or names, on this machine (under `folder`, unless the store is one). Raises ApiError
    as `named` does."""
    name = await _name(FileMark("media"), value, where, house, owner)
    match = NAMED.fullmatch(name)
    if match is None or not match[1].startswith("file-"):
        raise invalid(f"{where} {name!r}: send a file, or name one", where)
    return await asyncio.to_thread(house.local, f"files/{match[1]}", folder)


async def _name(mark: FileMark, value: Any, where: str, house: House, owner: str) -> Any:
    if mark.kind == "json":
        return _document(value, where)
    if mark.kind == "who" and not str(value).startswith(characters.MARK):
        return value
    if isinstance(value, Upload):
        return await _uploaded(value, where, house, owner)
    if isinstance(value, BaseModel):  # as the routes of OpenAI's own shapes have read it
        value = value.model_dump(exclude_none=True)
    if isinstance(value, dict):
        if len(value) != 1:
            raise invalid(f"{where}: give one of file_id, image_url and id", where)
        ((kind, given),) = value.items()
        if kind == "image_url":
            return await _fetched(str(given), where, house, owner)
        if kind not in ("file_id", "id"):
            raise invalid(f"{where}: {kind!r} is unknown; give one of file_id, image_url and id", where)
        value = given
    match = NAMED.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        told = repr(value)[:80]
        raise invalid(f"{where} {told}: give the id of a file or a video, {{'image_url': ...}} or an upload", where)
    await asyncio.to_thread(_owned, match[1], where, house, owner)
    return value


def _document(value: Any, where: str) -> Any:
    """What the command line reads from a JSON file is JSON here."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise invalid(f"{where} is no JSON: {error}", where) from error
    if not isinstance(value, list | dict):
        raise invalid(f"{where} {value!r}: give JSON, a list or an object", where)
    return value


def _owned(name: str, where: str, house: House, owner: str) -> None:
    """Raises ApiError where a key does not own what it names, or that is not there to be used."""
    kinds = {"file": tables.files, "vide": tables.videos, "@cha": tables.characters}
    table, id = kinds[name[:4]], name.removeprefix("@")
    with house.engine.connect() as connection:
        row: Any = (
            connection.execute(sa.select(table).where(table.c.id == id, table.c.owner == owner)).mappings().first()
        )
    if row is None or row.get("deleted_at"):
        raise missing(id.replace("-", "_").split("_")[0], id, where)
    if table is tables.videos and row["status"] != "completed":
        raise invalid(f"{where}: {id} is {row['status']}; wait until it is completed", where, "video_not_ready")


async def _uploaded(upload: Upload, where: str, house: House, owner: str) -> str:
    with tempfile.TemporaryDirectory(dir=house.settings.jobs) as folder:
        path = Path(folder) / "upload"
        await upload.save(path)
        return await _media(path, upload.name, where, house, owner)


async def _fetched(url: str, where: str, house: House, owner: str) -> str:
    try:
        content = await net.fetch(url, net.Reach(private=house.settings.private_addresses), LONGEST_IMAGE)
    except UserError as error:
        raise invalid(f"{where}: {error}", where) from error
    with tempfile.TemporaryDirectory(dir=house.settings.jobs) as folder:
        path = Path(folder) / "fetched"
        path.write_bytes(content)
        return await _media(path, "fetched", where, house, owner)


async def _media(path: Path, name: str, where: str, house: House, owner: str) -> str:
    """A file that is a picture or a video by what it holds, whatever its name and type say."""
    try:
        await asyncio.to_thread(read.probe, path)
    except UserError as error:
        told = str(error).replace(str(path), name)
        raise invalid(f"{where}: {told}", where, "invalid_media") from error
    return await keep(house, owner, path, name, PURPOSE, house.settings.keep_hours)


# ------------------------------------------------------------------------------------------------------- in the worker


def local(model: type[BaseModel], values: dict[str, Any], house: House, folder: Path) -> dict[str, Any]:
    """The same parameters with paths in the place of names. Raises UserError on what is gone."""

    def path(mark: FileMark, value: Any, where: str) -> str:
        if mark.kind == "json":
            written = folder / f"{where}.json"
            written.write_text(json.dumps(value))
            return str(written)
        if mark.kind == "who" and not value.startswith(characters.MARK):
            return value
        match = NAMED.fullmatch(value)
        assert match, value
        name, place = match[1], match[2] or ""
        if name.startswith("@"):
            _save(name, house, folder)
        return (name if name.startswith("@") else str(_local(name, house, folder))) + place

    return with_files(model, values, path)


def lineage(model: type[BaseModel], values: dict[str, Any], house: House, folder: Path) -> tuple[Ingredient, ...]:
    """What a video is made of, for its credentials: of our own videos what was shown and signed."""
    found: dict[str, Ingredient] = {}

    def note(mark: FileMark, value: Any, where: str) -> Any:
        match = NAMED.fullmatch(value) if mark.kind in ("media", "who") else None
        if match is not None:
            id = match[1].removeprefix(characters.MARK)
            kind = id.replace("-", "_").partition("_")[0]
            name = {"file": f"files/{id}", "video": objects.shown(id, "video.mp4"), "char": objects.portrait(id)}[kind]
            part = Ingredient(path=house.local(name, folder), relationship=RELATIONSHIPS[mark.role], title=id)
            found.setdefault(id, part)
        return value

    with_files(model, values, note)
    return tuple(found.values())


def _save(name: str, house: House, folder: Path) -> None:
    """A character of a client becomes one of this worker's, under its id."""
    id = name.removeprefix("@")
    with house.engine.connect() as connection:
        told = connection.scalar(sa.select(tables.characters.c.told).where(tables.characters.c.id == id))
    characters.save(id, house.local(objects.portrait(id), folder), told or "")


def _local(name: str, house: House, folder: Path) -> Path:
    if name.startswith("file-"):
        return house.local(f"files/{name}", folder)
    if house.objects.size(objects.latents(name)) is not None:
        house.local(objects.latents(name), folder)  # beside the clip, where `generate.stored` looks for them
    return house.local(objects.drawn(name), folder)
