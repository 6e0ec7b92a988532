"""Rendering with a pool of processes, in order; clips of a world, each a pure function of its index."""

import itertools
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import torch

from worldpatch import config
from worldpatch.types import Clip

AHEAD = 8  # jobs in flight per worker

Job = TypeVar("Job")
Done = TypeVar("Done")


def clips(world: str, options: dict[str, Any], seed: int, indices: Iterable[int], workers: int = 1) -> Iterator[Clip]:
    """Clips `indices` of a world, in that order. With `workers` 0 they are rendered in this process."""
    yield from each(_clip, ((world, options, seed, i) for i in indices), workers)


def each(function: Callable[[Job], Done], jobs: Iterable[Job], workers: int = 1) -> Iterator[Done]:
    """`function` of every job, in their order. With `workers` 0 it is called in this process."""
    if workers == 0:
        yield from map(function, jobs)
        return
    jobs = iter(jobs)
    # A fresh interpreter per worker: an OpenGL context does not survive a fork.
    with multiprocessing.get_context("spawn").Pool(workers, _quiet) as pool:
        # Asked for as they are taken: a pool's own map would pile up frames where encoding is slower than rendering.
        waiting = deque(pool.apply_async(function, (job,)) for job in itertools.islice(jobs, AHEAD * workers))
        while waiting:
            done = waiting.popleft().get()
            waiting.extend(pool.apply_async(function, (job,)) for job in itertools.islice(jobs, 1))
            yield done


def _quiet() -> None:
    """A worker is one core's worth of work; the parent counts cores. Rendering yields to training."""
    torch.set_num_threads(1)
    os.nice(5)


def _clip(job: tuple[str, dict[str, Any], int, int]) -> Clip:
    world, options, seed, index = job
    module = config.resolve("worlds", world)
    return module.clip(config.build(module.Config, options, f"{world}."), seed, index)
