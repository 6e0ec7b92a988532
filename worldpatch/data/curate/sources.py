"""Which files there are: in folders, in lists, or named one by one, with what stands beside them.

A caption is taken from a list's row, from the folder's `metadata.csv`, `.jsonl` or `.parquet` (Hugging Face's
VideoFolder), or from a text file of the same name (`cat.mp4`, `cat.txt`), whichever there is, in this order.
"""

import csv
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from worldpatch.config import UserError
from worldpatch.data.curate.records import Source
from worldpatch.video.read import STILL_SUFFIXES

VIDEO_SUFFIXES = {
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".3gp", ".flv", ".wmv",
    ".ogv", ".vob", ".y4m", ".mxf",
}  # fmt: skip
SUFFIXES = VIDEO_SUFFIXES | STILL_SUFFIXES
LISTS = {".csv", ".json", ".jsonl", ".parquet"}
PATH = ("path", "file_name", "file", "video_path", "video", "media_path", "cap_path", "image")
CAPTION = ("caption", "text", "cap", "prompt", "description")
LICENCE = ("licence", "license")
ORIGIN = ("origin", "source_uri", "source", "url")


def discover(wanted: Iterable[str], licence: str = "") -> tuple[list[Source], list[tuple[str, str]]]:
    """The files that are asked for, each once, by name; and (place, reason) of what could not be looked at.

    `licence` is that of all that say nothing of theirs. Raises UserError where a place that was named is not there, or
    nowhere is any file to be found.
    """
    problems: list[tuple[str, str]] = []
    found: dict[str, Source] = {}
    for place in wanted:
        for source in _in(Path(place), problems):
            found.setdefault(os.path.realpath(source.path), source)
    if not found:
        said = "; ".join(f"{place}: {reason}" for place, reason in problems)
        raise UserError(
            f"no video or picture in {', '.join(wanted)}: give files, folders or lists{said and f' ({said})'}"
        )
    sources = sorted(found.values(), key=lambda s: s.path)
    return [s if s.licence else _with(s, licence=licence) for s in sources], problems


def _in(place: Path, problems: list[tuple[str, str]]) -> Iterator[Source]:
    if place.is_dir():
        yield from _folder(place, problems)
    elif not place.exists():
        raise UserError(f"{place} does not exist; check the path")
    elif place.suffix.lower() in LISTS:
        yield from _list(place)
    else:
        yield _beside(Source(path=str(place)))


def _folder(top: Path, problems: list[tuple[str, str]]) -> Iterator[Source]:
    """All of a folder and those in it; a link that leads back is not followed twice."""
    seen: set[str] = set()

    def unreadable(error: OSError) -> None:
        problems.append((str(error.filename), f"cannot be listed: {error.strerror}"))

    for folder, inside, names in os.walk(top, followlinks=True, onerror=unreadable):
        real = os.path.realpath(folder)
        if real in seen:
            problems.append((folder, "leads back to a folder that was already looked at"))
            inside.clear()
            continue
        seen.add(real)
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        described = _metadata(Path(folder), names, problems)
        for name in sorted(names):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                path = os.path.join(folder, name)
                yield described.get(os.path.realpath(path)) or _beside(Source(path=path))


def _metadata(folder: Path, names: list[str], problems: list[tuple[str, str]]) -> dict[str, Source]:
    """What the folder's metadata file says, by real path."""
    for name in ("metadata.csv", "metadata.jsonl", "metadata.parquet"):
        if name in names:
            try:
                return {os.path.realpath(s.path): s for s in _list(folder / name)}
            except UserError as error:
                problems.append((str(folder / name), str(error)))
    return {}


def _beside(source: Source) -> Source:
    """With the caption from a text file of the same name, and what a JSON file of that name says."""
    text, record = Path(source.path).with_suffix(".txt"), Path(source.path).with_suffix(".json")
    try:
        values = json.loads(record.read_text()) if record.is_file() else {}
        caption = text.read_text().strip() if text.is_file() else ""
    except (OSError, ValueError):
        return source
    values = values if isinstance(values, dict) else {}
    return _with(
        source,
        caption=_first(values, CAPTION) or caption,
        licence=_first(values, LICENCE),
        origin=_first(values, ORIGIN),
    )


def _list(path: Path) -> Iterator[Source]:
    """The rows of a list. Raises UserError where it cannot be read, or has no column that names files."""
    try:
        rows = _rows(path)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the list {path} ({error}): give CSV, JSON, JSONL or Parquet") from error
    for row in rows:
        if not (name := _first(row, PATH)):
            raise UserError(f"a row of {path} names no file: {row!r}; name the column one of {', '.join(PATH)}")
        source = Source(path=str(path.parent / name))
        told = {"caption": _first(row, CAPTION), "licence": _first(row, LICENCE), "origin": _first(row, ORIGIN)}
        yield _with(_beside(source), **{k: v for k, v in told.items() if v})


def _rows(path: Path) -> list[dict[str, Any]]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        import pyarrow.parquet

        return pyarrow.parquet.read_table(path).to_pylist()
    text = path.read_text(encoding="utf-8-sig")
    if suffix == ".csv":
        return list(csv.DictReader(text.splitlines()))
    values = (
        [json.loads(line) for line in text.splitlines() if line.strip()] if suffix == ".jsonl" else json.loads(text)
    )
    if not isinstance(values, list) or not all(isinstance(row, dict) for row in values):
        raise ValueError("it is no list of objects")
    return values


def _first(row: dict[str, Any], names: tuple[str, ...]) -> str:
    """The first of these fields that says something."""
    values = (row.get(name) for name in names)
    return next((v.strip() for v in values if isinstance(v, str) and v.strip()), "")


def _with(source: Source, **fields: str) -> Source:
    return Source(**{**vars(source), **fields})
