"""What has been done, in a file that is only ever appended to: one line of JSON per finished job.

A line that was cut short by a kill is the last one; it is dropped and its job is done again.
"""

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from worldpatch.config import UserError

FORMAT = 1


class Ledger:
    """(stage, key) -> value, in memory and on disk. One process writes."""

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise UserError(f"{path.parent} is being built by another process: wait for it, or end it") from None
        self.values, whole = _parsed(path)
        self._file.truncate(whole)
        if not whole:
            self._write({"ledger": FORMAT})

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def get(self, stage: str, key: str) -> Any:
        """The outcome of a job; None where it is not done."""
        return self.values.get((stage, key))

    def put(self, stage: str, key: str, value: Any) -> None:
        """Record an outcome; it is on the disk when this returns."""
        self.values[stage, key] = value
        self._write({"stage": stage, "key": key, "value": value})

    def _write(self, line: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}; free some space and run it again") from error


def _parsed(path: Path) -> tuple[dict[tuple[str, str], Any], int]:
    """The values, and how many bytes of the file are whole lines."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    try:
        lines = [json.loads(line) for line in content[:whole].splitlines()]
        if lines and lines[0].get("ledger") != FORMAT:
            raise UserError(f"{path} is of another version of worldpatch: give another folder, or delete it")
        return {(line["stage"], line["key"]): line["value"] for line in lines[1:]}, whole
    except (ValueError, KeyError, AttributeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is damaged ({error}): delete the line, or the file to begin again") from error
