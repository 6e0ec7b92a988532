"""What people prefer: an append-only log of their judgements, and a set for preference tuning made from it.

The log is JSON Lines. Each line is a `Preference`, or a `Retraction` that takes an earlier one back; nothing is ever
rewritten. A line is written at once and is on the disk when `append` returns, so that a kill or a power cut costs at
most the judgement that was being written.
"""

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from worldpatch.config import UserError
from worldpatch.video import write
from worldpatch.video._atomic import atomic

log = logging.getLogger(__name__)

NEITHER = ("tie", "both bad")
Picked = int | Literal["tie", "both bad", "skipped"]
Winner = Literal["first", "second", "neither"]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _new_id() -> str:
    return uuid4().hex


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A video that was compared. `model` is the name it is rated under; `request` is the `types.Request` that made it,
    as plain values, where that is known."""

    path: str
    sha256: str
    model: str
    seed: int | None = None
    request: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Preference:
    """One judgement. `rivals` stand in the order they were shown in, left first; `picked` is the index of the best of
    them, or says that none is ("both bad" of two or more) or that nobody judged ("skipped"). `time` is ISO 8601, UTC.
    """

    prompt: str
    rivals: tuple[Rival, ...]
    picked: Picked
    judge: str
    source: Literal["generate", "arena"]
    time: str = field(default_factory=_now)
    id: str = field(default_factory=_new_id)

    def __post_init__(self):
        if len(self.rivals) < 2:
            raise UserError(f"a preference among {len(self.rivals)} videos says nothing: give two or more")
        if isinstance(self.picked, int) and not 0 <= self.picked < len(self.rivals):
            raise UserError(f"picked {self.picked} is none of the {len(self.rivals)} videos, which count from 0")


@dataclass(frozen=True, kw_only=True)
class Retraction:
    """Takes back the preference of that id."""

    retracts: str
    time: str = field(default_factory=_now)


def rival(path: Path, model: str | None = None) -> Rival:
    """The file as a rival, rated under `model`, or else under the name of the model that its recipe states.

    Raises UserError where the file is no video, or nothing says which model made it.
    """
    recipe = write.read_metadata(path)
    request = recipe.get("request") if isinstance(recipe, dict) else None
    known = request if isinstance(request, dict) else {}
    model = model or str(known.get("model", ""))
    if not model:
        raise UserError(f"{path} does not say which model made it: name the model")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    seed = known.get("seed")
    return Rival(
        path=os.path.abspath(path), sha256=digest, model=model, seed=seed if isinstance(seed, int) else None,
        request=known or None,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------- log


def append(path: Path, record: Preference | Retraction) -> None:
    """One more line, on the disk before this returns; half a line that a kill left at the end is cut off first.

    Several processes may append to one log. Raises UserError where the file cannot be written.
    """
    line = json.dumps(asdict(record), ensure_ascii=False).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            _cut_half_line(file)
            if os.write(file.fileno(), line) != len(line):
                raise OSError(None, "the disk is full")
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; free some space or choose another place") from error


def _cut_half_line(file) -> None:
    size = end = file.seek(0, os.SEEK_END)
    while end and (chunk := min(end, 1 << 16)):
        file.seek(end - chunk)
        newline = file.read(chunk).rfind(b"\n")
        if newline >= 0:
            end += newline + 1 - chunk
            break
        end -= chunk
    if end < size:
        file.truncate(end)


def read(path: Path) -> list[Preference]:
    """The preferences in force, in order: those retracted are left out. No file holds none.

    A damaged last line is what a kill leaves: it is skipped with a warning. Raises UserError that names the line for
    damage anywhere else.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; choose another file") from error
    records: dict[str, Preference] = {}
    for number, line in enumerate(lines, 1):
        try:
            record = _record().validate_json(line)
        except ValueError as error:
            if number == len(lines):
                log.warning(f"{path}, line {number}, the last one, is damaged and left out")
                break
            raise UserError(f"{path}, line {number} is no preference ({_reason(error)}): mend or delete it") from error
        if isinstance(record, Retraction):
            records.pop(record.retracts, None)
        else:
            records[record.id] = record
    return list(records.values())


@cache
def _record():
    from pydantic import TypeAdapter

    return TypeAdapter(Preference | Retraction)


def _reason(error: ValueError) -> str:
    """What pydantic found first."""
    first = error.errors()[0]  # type: ignore[attr-defined]
    where = ".".join(str(part) for part in first["loc"][1:])
    return f"{where}: {first['msg']}" if where else first["msg"]


# ------------------------------------------------------------------------------------------------------- what it says


def outcomes(preference: Preference) -> Iterator[tuple[Rival, Rival, Winner]]:
    """The judged pairs in one preference: the one picked against each other rival, or all of them even; none if
    skipped."""
    if isinstance(preference.picked, int):
        best = preference.rivals[preference.picked]
        for i, other in enumerate(preference.rivals):
            if i < preference.picked:
                yield other, best, "second"
            elif i > preference.picked:
                yield best, other, "first"
    elif preference.picked in NEITHER:
        for first, second in combinations(preference.rivals, 2):
            yield first, second, "neither"


def export(preferences: Sequence[Preference], path: Path) -> int:
    """Write a preference set as JSON Lines, which appears whole; returns the number of pairs.

    The columns are those of Hugging Face TRL's preference data sets: "prompt", "chosen", "rejected" (here paths of
    files) and "margin", which reward modelling reads. Judgements of the same two files for the same prompt become one
    line: chosen is what was preferred more often, margin the lead as a share of all judgements, ties included, from
    above 0 to 1. Where neither leads there is no line.
    """
    paths: dict[str, str] = {}
    leads: dict[tuple[str, str, str], list[int]] = {}
    for preference in preferences:
        for first, second, winner in outcomes(preference):
            paths |= {r.sha256: r.path for r in (first, second)}
            low, high = sorted((first.sha256, second.sha256))
            toward = {"first": 1, "second": -1, "neither": 0}[winner]
            leads.setdefault((preference.prompt, low, high), []).append(toward if low == first.sha256 else -toward)
    rows = []
    for (prompt, low, high), votes in leads.items():
        if low != high and (lead := sum(votes)):
            chosen, rejected = (low, high) if lead > 0 else (high, low)
            margin = abs(lead) / len(votes)
            rows.append({"prompt": prompt, "chosen": paths[chosen], "rejected": paths[rejected], "margin": margin})
    with atomic(path) as temporary:
        temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return len(rows)
