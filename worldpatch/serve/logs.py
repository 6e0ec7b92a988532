"""What the processes of a server say on stderr: a line per event, as text or JSON, without prompts unless allowed.

Who says it (process, worker) and of what (request, video) is bound around the work, and stands in every line. A prompt
may be logged as the field `prompt` alone, which is left out unless it is allowed; and what an exception says may hold
what a client sent, so of one that nobody expected only its type and places are told then.
"""

import json
import logging
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from worldpatch.serve.settings import Settings

PLAIN = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_bound: ContextVar[dict[str, Any]] = ContextVar("bound", default={})  # noqa: B039 (never changed, only replaced)


def begin(settings: Settings, process: str) -> None:
    """Everything that is logged in this process goes one way: by libraries and as warnings, too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines(process, settings.log_format == "json", settings.log_prompts))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    levels = {"uvicorn": logging.WARNING, "uvicorn.error": logging.WARNING, "httpx2": logging.WARNING}
    for name, level in {
        **levels,
        "dbos": logging.ERROR,
    }.items():  # it warns 20 times a second of a database that is out
        own = logging.getLogger(name)
        own.handlers.clear()
        own.propagate = True
        own.setLevel(level)


@contextmanager
def about(**facts: Any) -> Iterator[None]:
    """What is logged within tells these facts: request, video, batch, worker."""
    token = _bound.set({**_bound.get(), **facts})
    try:
        yield
    finally:
        _bound.reset(token)


class Lines(logging.Formatter):
    """A record as one line of JSON (`time`, `level`, `process`, `message`, what was given as `extra`), or as text."""

    def __init__(self, process: str, as_json: bool, prompts: bool):
        super().__init__()
        self.process, self.as_json, self.prompts = process, as_json, prompts

    def format(self, record: logging.LogRecord) -> str:
        extra = {name: value for name, value in vars(record).items() if name not in PLAIN}
        facts = {**_bound.get(), **extra}
        if not self.prompts:
            facts.pop("prompt", None)
        if record.exc_info and record.exc_info[1] is not None:
            facts["error"] = self._error(record.exc_info[1])
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z"
        head = {"time": at, "level": record.levelname.lower(), "process": self.process, "message": record.getMessage()}
        if self.as_json:
            return json.dumps(head | facts, default=str, ensure_ascii=False)
        told = " ".join(f"{name}={value}" for name, value in facts.items())
        return " ".join([at, record.levelname, self.process, head["message"], told]).rstrip()

    def _error(self, error: BaseException) -> str:
        if self.prompts:
            return "".join(traceback.format_exception(error))
        places = traceback.extract_tb(error.__traceback__)
        return f"{type(error).__name__} at " + ", ".join(f"{p.filename}:{p.lineno} {p.name}" for p in places)
