"""How far a job is: bars with the time left on a terminal, a line now and then elsewhere, nothing if quiet."""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

EVERY = 10.0  # seconds between lines where there is no terminal


@runtime_checkable
class Meter(Protocol):
    def __call__(self, phase: str, done: int, total: int, note: str = "") -> None:
        """`done` of `total` units of a phase are finished; phases may follow one another."""
        ...


@contextmanager
def meter(quiet: bool = False) -> Iterator[Meter]:
    """A meter for a job, and while it runs the notes of the package shown on stderr."""
    logger, handler = logging.getLogger("worldpatch"), _Notes()
    level = logger.level
    logger.setLevel(logging.ERROR if quiet else logging.INFO)
    logger.addHandler(handler)
    try:
        if quiet:
            yield lambda phase, done, total, note="": None
        elif sys.stderr.isatty():
            with _bars() as bars:
                yield bars
        else:
            yield _Lines()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


class _Notes(logging.Handler):
    """Shows each note once. Looks stderr up each time, for a live bar puts itself in its place."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self.shown:
            print(f"note: {message}", file=sys.stderr)
        self.shown.add(message)


class _Lines:
    """A line at the end of a phase, and every ten seconds before."""

    def __init__(self):
        self.phase, self.begun, self.first, self.last = "", 0.0, 0, 0.0

    def __call__(self, phase: str, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if phase != self.phase:
            self.phase, self.begun, self.first, self.last = phase, now, done, now
        if done < total and now - self.last < EVERY:
            return
        self.last = now
        made = done - self.first
        left = f"about {clock((total - done) * (now - self.begun) / made)} left" if made > 0 and done < total else ""
        print(", ".join(part for part in (f"{phase} {done}/{total}", note, left) if part), file=sys.stderr, flush=True)


@contextmanager
def _bars() -> Iterator[Meter]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:>8}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True)) as bars:

        def show(phase: str, done: int, total: int, note: str = "") -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(phase, total=total, completed=done, note=note)
            bars.update(tasks[phase], completed=done, total=total, note=note)

        yield show


def clock(seconds: float) -> str:
    """Seconds as people say them: "8.1 s", "3 min 20 s", "2 h 5 min"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def amount(count: int) -> str:
    """Bytes as people say them: "12 kB", "3.4 MB"."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
