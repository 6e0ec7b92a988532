"""Ray Data: the same jobs on many machines, which share the folder that results are written to."""

import itertools
import logging
import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from worldpatch.config import UserError
from worldpatch.data import engines
from worldpatch.data.engines import Failure, Outcome

BLOCKS = 2000  # at most: with more jobs several share a block, and its fate
LOST = Failure(reason="its worker died: the file may crash a decoder")


def each(function: Callable[[Any], Any], jobs: Iterable[Any], workers: int, address: str = "") -> Iterator[Outcome]:
    """`function` of every job, in their order, by so many workers (0: one).

    `address` is that of a running cluster; without one Ray is started here and ended with the last job.
    """
    try:
        import ray
    except ImportError as error:
        raise UserError("this engine needs Ray: pip install 'worldpatch[ray]', or use --engine local") from error
    ours = not ray.is_initialized()
    if ours:
        ray.init(address=address or None, log_to_driver=False, include_dashboard=False, configure_logging=False)
    try:
        yield from _run(function, list(jobs), workers)
    finally:
        if ours:
            ray.shutdown()


def _run(function: Callable[[Any], Any], jobs: list[Any], workers: int) -> Iterator[Outcome]:
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    logging.getLogger("ray").setLevel(logging.ERROR)
    context.execution_options.preserve_order = True
    context.max_errored_blocks = -1  # a worker that dies takes its own block only
    rows = [{"number": i, "job": pickle.dumps(job)} for i, job in enumerate(jobs)]
    blocks = ray.data.from_items(rows, override_num_blocks=max(1, min(len(rows), BLOCKS)))
    expected = 0
    worker: Any = _Worker
    # One job at a time each: a worker that may take several ahead leaves the others idle.
    pool = ray.data.ActorPoolStrategy(size=max(1, workers), max_tasks_in_flight_per_actor=1)
    for row in blocks.map(worker, fn_constructor_args=(function,), compute=pool).iter_rows():
        yield from itertools.repeat(LOST, row["number"] - expected)
        expected = row["number"] + 1
        yield pickle.loads(row["outcome"])
    yield from itertools.repeat(LOST, len(jobs) - expected)


class _Worker:
    """The function on Ray's rows. Values travel pickled, for a column has one type and outcomes have many."""

    def __init__(self, function: Callable[[Any], Any]):
        self.function = function
        engines.watch()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"number": row["number"], "outcome": pickle.dumps(self.function(pickle.loads(row["job"])))}
