"""Bodies of requests as clients put them on the wire -> one dict of fields, files among them.

The SDK sends JSON or multipart, as its version pleases; in multipart, dicts arrive as `video[id]`, lists as repeated
`refs[]`, and lists of dicts as columns, `cards[][text]`. An empty part for a file says nothing.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Request
from pydantic_core import core_schema
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from worldpatch.serve.errors import ApiError, invalid

KEY = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")
LONE = re.compile(r"[\ud800-\udfff]")  # half of a character
MOST_FIELDS, MOST_FILES, LONGEST_FIELD = 1000, 20, 24 * 2**20  # a data URL of 20,971,520 characters among them


@dataclass(frozen=True)
class Upload:
    """A file that came with a request: its content is on disk, its name and type are only what the client says."""

    file: UploadFile
    name: str
    size: int

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        return core_schema.is_instance_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, str]:
        return {"type": "string", "format": "binary"}

    async def save(self, path: Path) -> None:
        await self.file.seek(0)
        with path.open("wb") as out:
            while chunk := await self.file.read(2**20):
                out.write(chunk)


async def fields(request: Request) -> dict[str, Any]:
    """All fields of a request's body. Raises ApiError on what is neither JSON nor a form, or does not parse."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        found = await _form(request)
    elif kind in ("application/json", ""):
        found = _json(await request.body())
    else:
        raise ApiError(415, f"content-type {kind!r}: send application/json or multipart/form-data")
    _check_text(found)
    return found


def _check_text(found: dict[str, Any]) -> None:
    """Raises ApiError on text that databases do not keep: NUL, and halves of characters, however deep they lie."""
    waiting: list[tuple[str, Any]] = [(name, part) for name, value in found.items() for part in (name, value)]
    while waiting:
        where, value = waiting.pop()
        if isinstance(value, str) and ("\0" in value or LONE.search(value)):
            raise invalid(f"{where} holds a NUL or half a character: leave it out", where)
        if isinstance(value, dict):
            waiting += [(where, part) for pair in value.items() for part in pair]
        elif isinstance(value, list):
            waiting += [(where, part) for part in value]


def _json(body: bytes) -> dict[str, Any]:
    if not body.strip():
        return {}
    try:
        found = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise invalid(f"the body is no JSON: {error}", code="invalid_json") from error
    if not isinstance(found, dict):
        raise invalid(f"the body is a JSON {type(found).__name__}: send an object", code="invalid_json")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


async def _form(request: Request) -> dict[str, Any]:
    try:
        form = await request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS, max_part_size=LONGEST_FIELD)
    except HTTPException as error:  # starlette's, of a form that it cannot read
        raise invalid(f"the form cannot be read: {error.detail}", code="invalid_form") from error
    found: dict[str, Any] = {}
    for key, value in form.multi_items():
        if isinstance(value, UploadFile):
            if not value.size:
                continue
            value = Upload(value, value.filename or "upload", value.size)
        _put(found, key, value)
    return {name: _rows(name, value) for name, value in found.items()}


class _Columns(dict):
    """Values of a list of dicts, by their keys."""


def _put(found: dict[str, Any], key: str, value: Any) -> None:
    """`a[b]` is a key of a dict, `a[]` an item of a list, `a[][b]` an item of a column."""
    match = KEY.match(key)
    if match is None:
        raise invalid(f"field {key!r}: brackets do not match; write name[key] or name[]", key)
    name, path = match[1], re.findall(r"\[([^\[\]]*)\]", match[2])
    held = found.get(name)
    if not path:
        if held is not None and not (isinstance(held, dict) and isinstance(value, Upload)):
            raise invalid(f"field {key!r} comes twice: send it once, or as {key}[] for a list", name)
        found.setdefault(name, value)
    elif path == [""]:
        _within(found, name, list, key).append(value)
    elif path[0] == "" and len(path) == 2:
        _within(found, name, _Columns, key).setdefault(path[1], []).append(value)
    else:
        here = _within(found, name, dict, key)
        for part in path[:-1]:
            here = _within(here, part, dict, key)
        here[path[-1]] = value


def _within(found: dict[str, Any], name: str, kind: type, key: str) -> Any:
    """The list or dict under a name, begun where there is none. A file of the same name loses against `name[id]`."""
    held = found.get(name)
    if held is None or isinstance(held, Upload):
        held = found[name] = kind()
    if type(held) is not kind:
        raise invalid(f"field {key!r} does not go with the other fields of that name: send {name} as JSON", name)
    return held


def _rows(name: str, value: Any) -> Any:
    """Columns of equal length become a list of dicts again."""
    if not isinstance(value, _Columns):
        return value
    lengths = {len(column) for column in value.values()}
    if len(lengths) > 1:
        raise invalid(
            f"{name}: its items have different keys, which a form cannot tell apart; send {name} as a JSON string", name
        )
    return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
