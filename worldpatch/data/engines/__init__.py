"""Who does the work: a function of one job, done for many. One file per engine, each with

    each(function, jobs, workers, address="") -> Iterator[Outcome]    in the order of the jobs

Jobs and outcomes must pickle. Outcomes are given as they come, so what is held does not grow with their number. A job
whose worker dies or hangs becomes a Failure; it never ends the others.
"""

import multiprocessing
import os
import signal
import threading
from dataclasses import dataclass
from typing import Any

SILENCE = 120  # seconds without a `beat`, and a worker counts as hung


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A job that could not be done, and why."""

    reason: str


Outcome = Any | Failure

_watched = False


def follow() -> None:
    """This process ends with its parent, however that ends, and leaves Ctrl-C to it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def watch() -> None:
    """This process is a worker: it ends, whatever it hangs in, when it has not beaten for long."""
    global _watched
    _watched = True
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # no handler: one in Python would wait for the codec to return


def beat() -> None:
    """A job gets on. Those that call into decoders say so now and then."""
    if _watched:
        signal.alarm(SILENCE)


def rest() -> None:
    """A job is done."""
    if _watched:
        signal.alarm(0)
