"""Rendering with a pool of processes, in order; clips of a world, each a pure function of its index."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from worldpatch import config
from worldpatch.data.engines import Failure, local
from worldpatch.types import Clip

Job = TypeVar("Job")
Done = TypeVar("Done")


def clips(world: str, options: dict[str, Any], seed: int, indices: Iterable[int], workers: int = 1) -> Iterator[Clip]:
    """Clips `indices` of a world, in that order. With `workers` 0 they are rendered in this process."""
    yield from each(_clip, ((world, options, seed, i) for i in indices), workers)


def each(function: Callable[[Job], Done], jobs: Iterable[Job], workers: int = 1) -> Iterator[Done]:
    """`function` of every job, in their order. With `workers` 0 it is called in this process.

    Raises RuntimeError where a worker dies: clips are rendered all or not at all.
    """
    for outcome in local.each(function, jobs, workers):
        if isinstance(outcome, Failure):
            raise RuntimeError(outcome.reason)
        yield outcome


def _clip(job: tuple[str, dict[str, Any], int, int]) -> Clip:
    world, options, seed, index = job
    module = config.resolve("worlds", world)
    return module.clip(config.build(module.Config, options, f"{world}."), seed, index)
