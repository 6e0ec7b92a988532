"""Rendering many clips of a world with a pool of processes, in order, each a pure function of its index."""

import itertools
import multiprocessing
import os
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from worldpatch import config
from worldpatch.types import Clip

AHEAD = 8  # clips in flight per worker


def clips(world: str, options: dict[str, Any], seed: int, indices: Iterable[int], workers: int = 1) -> Iterator[Clip]:
    """Clips `indices` of a world, in that order. With `workers` 0 they are rendered in this process."""
    jobs = ((world, options, seed, i) for i in indices)
    if workers == 0:
        yield from map(_clip, jobs)
        return
    # A fresh interpreter per worker: an OpenGL context does not survive a fork.
    with multiprocessing.get_context("spawn").Pool(workers, _quiet) as pool:
        # Asked for as they are taken: a pool's own map would pile up frames where encoding is slower than rendering.
        waiting = deque(pool.apply_async(_clip, (job,)) for job in itertools.islice(jobs, AHEAD * workers))
        while waiting:
            clip = waiting.popleft().get()
            waiting.extend(pool.apply_async(_clip, (job,)) for job in itertools.islice(jobs, 1))
            yield clip


def _quiet() -> None:
    """A worker is one core's worth of work; the parent counts cores. Rendering yields to training."""
    torch.set_num_threads(1)
    os.nice(5)


def _clip(job: tuple[str, dict[str, Any], int, int]) -> Clip:
    world, options, seed, index = job
    module = config.resolve("worlds", world)
    return module.clip(config.build(module.Config, options, f"{world}."), seed, index)
