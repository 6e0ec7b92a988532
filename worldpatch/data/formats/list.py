"""One list of videos and captions, as most trainers want it: CSV, JSON or JSONL, its columns given by a template.

A template is a JSON file: `file` to write (its suffix decides the form), `folder` of the videos ("" for beside the
list), and `columns`, whose values are "$field" (typed), nested objects and lists of them, or constants. Fields are
`path` (from the list's folder), `name`, `absolute`, `caption`, `aspect_ratio` (height / width), `resolution` (height x
width), `file_size` (bytes), `scores.<name>`, and every simple column of the manifest. Those of the trainers people use
lie in `templates/`, with the page that says what the trainer expects.
"""

import csv
import json
from pathlib import Path
from typing import Any

from worldpatch.config import UserError
from worldpatch.data.formats import _folders
from worldpatch.data.formats._folders import Progress
from worldpatch.data.loader import Report
from worldpatch.data.manifest import Row

TEMPLATES = Path(__file__).parent / "templates"
FORMS = (".csv", ".json", ".jsonl")


def templates() -> list[str]:
    """Names of the templates that are built in."""
    return sorted(path.stem for path in TEMPLATES.glob("*.json"))


def write(folder: Path, out: Path, *, template: str, caption: str = "", progress: Progress | None = None) -> Report:
    """A set's videos and their list in `out`. `template` is a built-in one or a file; `caption` the kind to use.

    Raises UserError on an unknown template or field, where no clip has a video, and where `out` is there already.
    """
    shape = _template(template)
    found, rows, report = _folders.videos(folder)
    with _folders.draft(out) as draft:
        entries = []
        for number, row in enumerate(rows, 1):
            content, path = found.fetch(row, "mp4"), Path(shape["folder"]) / f"{row.clip_id}.mp4"
            (draft / path).parent.mkdir(parents=True, exist_ok=True)
            (draft / path).write_bytes(content)
            fields = _fields(row, path, out.resolve() / path, _folders.caption(row, caption), len(content))
            entries.append(_fill(shape["columns"], fields, template))
            if progress:
                progress(number, len(rows))
        _write(draft / shape["file"], entries)
    return report


def _template(name: str) -> dict[str, Any]:
    path = TEMPLATES / f"{name}.json" if name in templates() else Path(name)
    if not path.is_file():
        raise UserError(f"no template is named {name!r}; known: {', '.join(templates())}, or give a JSON file")
    try:
        shape = json.loads(path.read_text())
        missing = {"file", "columns"} - set(shape)
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is no JSON object ({error})") from error
    if missing or Path(shape["file"]).suffix not in FORMS or not isinstance(shape["columns"], dict):
        raise UserError(f"{path} must have `file` (one of {', '.join(FORMS)}) and `columns`, an object")
    return {"folder": "videos", **shape}


def _fields(row: Row, path: Path, absolute: Path, caption: str, size: int) -> dict[str, Any]:
    width, height = row.width or 0, row.height or 0
    simple = {name: value for name, value in vars(row).items() if isinstance(value, str | int | float | None)}
    return {
        **simple, **{f"scores.{name}": value for name, value in row.scores.items()},
        "path": path.as_posix(), "name": path.name, "absolute": str(absolute), "caption": caption,
        "aspect_ratio": height / width, "resolution": height * width, "file_size": size,
    }  # fmt: skip


def _fill(shape: Any, fields: dict[str, Any], template: str) -> Any:
    if isinstance(shape, dict):
        return {key: _fill(value, fields, template) for key, value in shape.items()}
    if isinstance(shape, list):
        return [_fill(value, fields, template) for value in shape]
    if not isinstance(shape, str) or not shape.startswith("$"):
        return shape
    if shape[1:].startswith("scores."):
        return fields.get(shape[1:])
    if shape[1:] not in fields:
        raise UserError(f"template {template} asks for {shape!r}; known fields: {', '.join(sorted(fields))}")
    return fields[shape[1:]]


def _write(path: Path, entries: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        if path.suffix == ".csv":
            writer = csv.DictWriter(file, list(entries[0]))
            writer.writeheader()
            writer.writerows(entries)
        elif path.suffix == ".json":
            json.dump(entries, file, indent=1, ensure_ascii=False)
        else:
            file.writelines(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
