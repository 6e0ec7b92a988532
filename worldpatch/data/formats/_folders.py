"""What all formats share: folders that appear whole or not at all, videos of a set, and members of a new one."""

import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError

from worldpatch.config import UserError
from worldpatch.data import manifest, shards
from worldpatch.data.loader import Report
from worldpatch.data.manifest import Manifest, Row

Progress = Callable[[int, int], None]
PER_SHARD = 250


@contextmanager
def draft(out: Path) -> Iterator[Path]:
    """A folder to write to that takes the name `out` at the end, and vanishes if the block fails.

    Raises UserError where `out` is there and not empty, or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is there already: give another folder, or delete it")
    temporary = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        if out.exists():
            out.rmdir()
        temporary.rename(out)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}; free some space or choose another place") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def videos(folder: Path) -> tuple[Manifest, list[Row], Report]:
    """A set's manifest, the rows that have a video, and a report on the others. Raises UserError where none has."""
    found = manifest.find(folder)
    unused: dict[str, list[str]] = {}
    rows = []
    for row in found.rows:
        reason = "damaged" if row.problem else "" if row.member("mp4") else "without a video"
        if reason:
            unused.setdefault(reason, []).append(row.clip_id)
        else:
            rows.append(row)
    report = Report(clips=len(found), unused={reason: tuple(names) for reason, names in unused.items()})
    if not rows:
        raise UserError(f"{folder}: {report}: only sets that keep their frames can be exported")
    return found, rows, report


def caption(row: Row, kind: str = "") -> str:
    """A clip's caption of a kind; without one its first by a model, else its first, else nothing."""
    if kind:
        return next((c.text for c in row.captions if c.kind == kind), "")
    ordered = sorted(row.captions, key=lambda c: not c.model)
    return ordered[0].text if ordered else ""


def store(clips: Iterable[tuple[str, dict[str, bytes]]], folder: Path) -> None:
    """Clips as shards with their manifest."""
    writer = shards.Writer(folder, PER_SHARD)
    for key, members in clips:
        writer.write(key, members)
        writer.rest()
    writer.flush()
    manifest.write(folder)


def describe(content: bytes) -> dict[str, Any]:
    """What the file says of a video, as keys of a record. Raises UserError where it is none."""
    try:
        with av.open(io.BytesIO(content), "r") as container:
            stream = container.streams.video[0]
            times = [packet.pts for packet in container.demux(stream) if packet.pts is not None]
            rate = stream.average_rate or stream.guessed_rate
            if not times or not rate:
                raise UserError("holds no frames")
            return {
                "rate": float(rate), "frames": len(times), "height": stream.height, "width": stream.width,
                "codec": stream.codec.canonical_name, "pix_fmt": stream.codec_context.pix_fmt,
            }  # fmt: skip
    except (FFmpegError, IndexError) as error:
        raise UserError(f"is no video ({error})") from error


def names(keys: Sequence[str]) -> None:
    """Raises UserError where two clips would share a name, or one cannot be a member of a tar."""
    seen: set[str] = set()
    for key in keys:
        if key in seen or "." in key or not key:
            raise UserError(f"clip name {key!r} is {'used twice' if key in seen else 'empty or has a dot'}: rename it")
        seen.add(key)


def as_json(record: dict[str, Any]) -> bytes:
    return json.dumps(record, default=shards.plain).encode()


def seconds(frames: int, rate: Fraction | float) -> float:
    return float(frames / Fraction(rate).limit_denominator(1001))
