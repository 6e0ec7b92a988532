"""Ray Data: the same jobs on many machines, which share the folder that results are written to."""

import itertools
import logging
import multiprocessing
import pickle
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from worldpatch.config import UserError
from worldpatch.data import engines
from worldpatch.data.engines import Failure, Outcome

BLOCKS = 2000  # at most: with more jobs several share a block, and its fate
LOST = pickle.dumps(Failure(reason="its worker died: the file may crash a decoder"))


def each(function: Callable[[Any], Any], jobs: Iterable[Any], workers: int, address: str = "") -> Iterator[Outcome]:
    """`function` of every job, in their order, by so many workers (0: one).

    `address` is that of a running cluster; without one Ray is started here and ended with the last job. Its driver is a
    process of its own: a thread of Ray Data outlives `ray.shutdown`, and one of its name has crashed (docs/LOG.md).
    """
    if find_spec("ray") is None:
        raise UserError("this engine needs Ray: pip install 'worldpatch[ray]', or use --engine local")
    context = multiprocessing.get_context("spawn")
    answers, told = context.Pipe(duplex=False)
    driver = context.Process(target=_drive, args=(told, function, list(jobs), workers, address))
    driver.start()
    told.close()  # here, so that the driver's end is the last and its death is seen
    try:
        while (answer := _next(answers, driver)) is not None:
            yield pickle.loads(answer)
    except BaseException:
        driver.terminate()  # Ray's handler of this signal ends what it started
        raise
    finally:
        driver.join()


def _next(answers: Connection, driver: BaseProcess) -> bytes | None:
    """One pickled outcome; None after the last."""
    try:
        answer = answers.recv()
    except EOFError:
        driver.join()
        raise RuntimeError(f"Ray's driver ended with status {driver.exitcode}; its words are above") from None
    if isinstance(answer, BaseException):
        raise answer
    return answer


def _drive(told: Connection, function: Callable[[Any], Any], jobs: list[Any], workers: int, address: str) -> None:
    import ray

    engines.follow()
    try:
        ray.init(address=address or None, log_to_driver=False, include_dashboard=False, configure_logging=False)
        for outcome in _run(function, jobs, workers):
            told.send(outcome)
        told.send(None)
    except Exception as error:
        told.send(RuntimeError(f"Ray: {error}"))
    finally:
        ray.shutdown()


def _run(function: Callable[[Any], Any], jobs: list[Any], workers: int) -> Iterator[bytes]:
    """Pickled outcomes."""
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
    # A job is tried twice; Ray's default is to try for ever what kills its worker.
    done = blocks.map(worker, fn_constructor_args=(function,), compute=pool, max_task_retries=1)
    for row in done.iter_rows():
        yield from itertools.repeat(LOST, row["number"] - expected)
        expected = row["number"] + 1
        yield row["outcome"]
    yield from itertools.repeat(LOST, len(jobs) - expected)


class _Worker:
    """The function on Ray's rows. Values travel pickled, for a column has one type and outcomes have many."""

    def __init__(self, function: Callable[[Any], Any]):
        self.function = function
        engines.watch()

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"number": row["number"], "outcome": pickle.dumps(self.function(pickle.loads(row["job"])))}
