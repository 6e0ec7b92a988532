"""A pool of processes on this machine."""

import itertools
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from worldpatch.data import engines
from worldpatch.data.engines import Failure, Outcome

AHEAD = 4  # jobs in flight per worker


def each(function: Callable[[Any], Any], jobs: Iterable[Any], workers: int, address: str = "") -> Iterator[Outcome]:
    """`function` of every job, in their order. With `workers` 0 it is called in this process.

    An exception is raised here; a worker that dies (a codec's crash, memory) takes no other job with it: those that
    were under way are done again, each alone, and the one that kills its worker once more becomes a Failure.
    """
    if workers == 0:
        yield from map(function, jobs)
        return
    jobs, pool = iter(jobs), _pool(workers)
    waiting: deque[tuple[Any, Future]] = deque()
    try:
        while True:
            for job in itertools.islice(jobs, AHEAD * workers - len(waiting)):
                waiting.append((job, pool.submit(function, job)))
            if not waiting:
                return
            job, future = waiting.popleft()
            try:
                yield future.result()
            except BrokenProcessPool:
                pool.shutdown(cancel_futures=True)
                yield _alone(function, job)
                again = [job for job, _ in waiting]
                waiting.clear()
                for job in again:  # one of them may be to blame as well
                    yield _alone(function, job)
                pool = _pool(workers)
    finally:
        pool.shutdown(cancel_futures=True)


def _alone(function: Callable[[Any], Any], job: Any) -> Outcome:
    """A job in a process of its own."""
    with _pool(1) as pool:
        try:
            return pool.submit(function, job).result()
        except BrokenProcessPool:
            return Failure(reason="its worker died or hung twice: what it worked on may crash a codec")


def _pool(workers: int) -> ProcessPoolExecutor:
    # A fresh interpreter per worker: neither an OpenGL context nor torch's threads survive a fork.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin)


def _begin() -> None:
    """A worker is one core's worth of work."""
    engines.follow()
    engines.watch()
    os.environ["OMP_NUM_THREADS"] = "1"
