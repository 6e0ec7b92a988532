"""The audit log: a line of JSON per decision, and one for whatever is turned off. No line holds a prompt.

Every line is one write to a file opened for appending, so that any number of processes may share it, and the file is
opened anew each time, so that logrotate may move it away.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from worldpatch.config import UserError
from worldpatch.safety.policy.decision import Decision
from worldpatch.safety.policy.settings import Settings


class Audit:
    """A file of decisions. Raises UserError where it cannot be written."""

    def __init__(self, path: str | Path, settings: Settings):
        self.path, self._settings = Path(path), settings.digest
        for what in settings.turned_off:
            self._write({"event": "off", "what": what})

    def decided(self, decision: Decision, subject: str) -> None:
        """Put a decision on record. `subject` is the id of the request or video that it is about, never its prompt."""
        self._write({"event": "decision", "subject": subject, **decision.as_dict()})

    def _write(self, values: dict[str, Any]) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, **values, "settings": self._settings}, ensure_ascii=False) + "\n"
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        except OSError as error:
            raise UserError(
                f"the audit log {self.path} cannot be written ({error.strerror}): give another file"
            ) from error
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)
