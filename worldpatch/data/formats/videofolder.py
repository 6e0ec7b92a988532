"""Hugging Face VideoFolder: video files and a `metadata.parquet` whose `file_name` names them.

    OUT/metadata.parquet   file_name, caption, fps, ... and `record`, the whole of `<key>.json`
    OUT/videos/<key>.mp4
    OUT/members/<key>.*    what else a clip has: camera, actions, latent

`datasets.load_dataset("videofolder", data_dir=OUT)` reads it. There and back is lossless, byte for byte. Folders of
other tools are read too: `metadata.parquet`, `.jsonl` or `.csv` with `file_name`, and `caption`, `text` or `prompt`.
"""

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from worldpatch.config import UserError
from worldpatch.data.formats import _folders
from worldpatch.data.formats._folders import Progress
from worldpatch.data.loader import Report
from worldpatch.data.manifest import Manifest, Row, import_pyarrow

TEXTS = ("caption", "text", "prompt")
COLUMNS = (
    "fps", "num_frames", "duration_s", "width", "height", "source_uri", "license", "split", "codec", "seed",
)  # fmt: skip


def write(folder: Path, out: Path, *, caption: str = "", progress: Progress | None = None) -> Report:
    """A set as a VideoFolder; `caption` is the kind that fills the caption column.

    Raises UserError where no clip has a video, and where `out` is there already.
    """
    import_pyarrow()
    import pyarrow as pa
    from pyarrow import parquet

    found, rows, report = _folders.videos(folder)
    with _folders.draft(out) as draft:
        lines = []
        for number, row in enumerate(rows, 1):
            lines.append(_line(found, row, draft, caption))
            if progress:
                progress(number, len(rows))
        parquet.write_table(pa.Table.from_pylist(lines), draft / "metadata.parquet", compression="zstd")
    return report


def _line(found: Manifest, row: Row, out: Path, kind: str) -> dict[str, Any]:
    for member in row.members:
        if member.suffix != "json":
            path = out / ("videos" if member.suffix == "mp4" else "members") / f"{row.clip_id}.{member.suffix}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(found.fetch(row, member.suffix))
    return {
        "file_name": f"videos/{row.clip_id}.mp4", "caption": _folders.caption(row, kind),
        **{name: getattr(row, name) for name in COLUMNS},
        "record": found.fetch(row, "json").decode(), "members": [m.suffix for m in row.members],
    }  # fmt: skip


def read(source: Path, out: Path, *, licence: str = "", progress: Progress | None = None) -> Report:
    """A VideoFolder as a set. Files that are no MP4 are left out and counted: `worldpatch data build` encodes them.

    `licence` is noted where the folder names none. Raises UserError where there is no metadata, or it names a file that
    is not there.
    """
    lines = _lines(source)
    _folders.names([_key(line["file_name"]) for line in lines if _is_mp4(line)])
    left = tuple(line["file_name"] for line in lines if not _is_mp4(line))
    chosen = [line for line in lines if _is_mp4(line)]
    if not chosen:
        raise UserError(f"{source} names no .mp4: build a set from these files with `worldpatch data build`")

    def clips() -> Iterator[tuple[str, dict[str, bytes]]]:
        for number, line in enumerate(chosen, 1):
            yield _key(line["file_name"]), _members(source, line, licence)
            if progress:
                progress(number, len(chosen))

    with _folders.draft(out) as draft:
        _folders.store(clips(), draft)
    return Report(clips=len(lines), unused={"that are no MP4": left} if left else {})


def _key(name: str) -> str:
    """videos/a.mp4 -> a, sub/a.mp4 -> sub-a: names of a tar's members have no folders."""
    return name.removeprefix("videos/").rsplit(".", 1)[0].replace("/", "-").replace(".", "_")


def _is_mp4(line: dict[str, Any]) -> bool:
    return line["file_name"].lower().endswith(".mp4")


def _members(source: Path, line: dict[str, Any], licence: str) -> dict[str, bytes]:
    """A clip's members, in the order in which they were."""
    video = _content(source, line["file_name"])
    if not line.get("record"):
        return {"json": _folders.as_json(_record(line, video, licence)), "mp4": video}
    key = _key(line["file_name"])
    read = {"json": lambda: line["record"].encode(), "mp4": lambda: video}
    return {s: read[s]() if s in read else _content(source, f"members/{key}.{s}") for s in line["members"]}


def _record(line: dict[str, Any], video: bytes, licence: str) -> dict[str, Any]:
    """What can be said of another tool's clip."""
    text = next((str(line[name]) for name in TEXTS if line.get(name)), "")
    try:
        facts = _folders.describe(video)
    except UserError as error:
        raise UserError(f"{line['file_name']} {error}: take it out of the metadata") from error
    return {
        "captions": {"original": text} if text else {}, **facts, "seed": None, "source": line["file_name"],
        "licence": line.get("license") or line.get("licence") or licence,
        "source_sha256": hashlib.sha256(video).hexdigest(),
    }  # fmt: skip


def _content(source: Path, name: str) -> bytes:
    path = source / name
    if not path.resolve().is_relative_to(source.resolve()):
        raise UserError(f"{source}: the metadata names {name!r}, which lies outside of the folder")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{source}: the metadata names {name!r}, which cannot be read ({error.strerror})") from error


def _lines(source: Path) -> list[dict[str, Any]]:
    """The rows of the folder's metadata, in any of its three forms."""
    for name, reader in (("metadata.parquet", _parquet), ("metadata.jsonl", _jsonl), ("metadata.csv", _csv)):
        if (source / name).exists():
            try:
                lines = reader(source / name)
            except (ValueError, OSError) as error:
                raise UserError(f"{source / name} is damaged ({error})") from error
            if not lines or any(not isinstance(line.get("file_name"), str) for line in lines):
                raise UserError(f"{source / name} must have a file_name in every row")
            return lines
    raise UserError(f"{source} is no VideoFolder: it holds no metadata.parquet, metadata.jsonl or metadata.csv")


def _parquet(path: Path) -> list[dict[str, Any]]:
    import_pyarrow()
    from pyarrow import parquet

    return parquet.read_table(path).to_pylist()


def _jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


def _csv(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
