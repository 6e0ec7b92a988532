"""Runs a grid: every trunk resumes where it was, every end is one line in `points.jsonl`, and what is done is skipped.

<folder>/grid.json                   what was asked for
         points.jsonl                a line per measured network (points.py)
         runs/<name>/trunk/          the run at a constant rate; its checkpoints serve larger budgets to come
         runs/<name>/<steps>/export  a copy of it that was cooled down after so many steps
"""

import json
import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from worldpatch.config import UserError
from worldpatch.train import checkpoint
from worldpatch.train.loop import Run, train
from worldpatch.train.scaling import points
from worldpatch.train.scaling.grid import End, Grid, Trunk, remember, settle, survey
from worldpatch.train.scaling.points import Point

POLL = 1.0  # seconds between looks at the processes

Report = Callable[[float, float, str], None]
"""Called with the training FLOPs that are done, those of the whole sweep, and a line about the last network."""


def sweep(
    grid: Grid, folder: Path, *, jobs: int = 1, device: str = "cpu", report: Report | None = None
) -> list[Point]:  # fmt: skip
    """Train and measure all that the grid asks for and the folder lacks, `jobs` networks at a time; returns all points.

    Ctrl-C and SIGTERM let every network finish its step and save, then raise KeyboardInterrupt.
    """
    grid = settle(grid, folder, device)
    work, setting = survey(grid)
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    remember(grid, setting, folder)
    progress = _Progress(work, grid.base.optim.decay, folder, report)
    if jobs == 1:
        for trunk in work:
            _trunk(trunk, grid.base, folder, device, progress)
    else:
        _pool(work, grid.base, folder, device, progress, jobs)
    return points.read(folder)


def _trunk(trunk: Trunk, base: Run, folder: Path, device: str, done: Callable[[], None]) -> None:
    known = {(p.name, p.budget) for p in points.read(folder)}
    for end in trunk.ends:
        if (trunk.name, end.budget) not in known:
            points.append(folder, _measure(trunk, end, base, folder, device))
            done()


def _measure(trunk: Trunk, end: End, base: Run, folder: Path, device: str) -> Point:
    """Train one end of a trunk and say what came of it."""
    home = folder / "runs" / trunk.name
    branch, run = home / f"{end.steps:08d}", trunk.run(base, end)
    if checkpoint.latest(branch) is None and len(trunk.ends) > 1:
        _fork(home / "trunk", trunk.run(base, trunk.ends[-1]), branch, int(end.steps * (1 - base.optim.decay)), device)
    export = train(run, branch, device=device, report=_watch)
    saved = checkpoint.latest(branch)
    assert saved is not None
    state = json.loads((saved / "state.json").read_text())
    validation, scores = _logged(branch / "log.jsonl")
    for path in branch.glob("step-*"):  # the export is enough
        shutil.rmtree(path)
    loss = validation.get("val/loss")
    return Point(
        name=trunk.name, depth=trunk.depth, width=trunk.width, seed=trunk.seed, rate=trunk.rate,
        base_width=trunk.base_width, budget=end.budget, flops=float(state["flops"]), parameters=trunk.parameters,
        tokens=trunk.tokens * end.steps, batch=trunk.tokens, steps=end.steps,
        loss=float("nan") if loss is None else loss,
        bins=tuple(v for k, v in validation.items() if k.startswith("val/t")), scores=scores,
        seconds=state["seconds"], precision=state["precision"], export=str(export.relative_to(folder)),
    )  # fmt: skip


def _fork(trunk: Path, run: Run, branch: Path, step: int, device: str) -> None:
    """Bring a trunk to a step and copy it. One that is past it lends nothing: the branch goes the whole way alone."""
    at = checkpoint.latest(trunk)
    if at is not None and int(at.name.removeprefix("step-")) > step:
        return
    train(run, trunk, device=device, stop_at=step, report=_watch)
    at = checkpoint.latest(trunk)
    assert at is not None
    draft = branch.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(at, draft / at.name)
    shutil.rmtree(branch, ignore_errors=True)
    draft.rename(branch)


def _logged(log: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """The last validation in a run's log, and the scores of its last sheet."""
    validation, scores = {}, {}
    for line in log.read_text().splitlines():
        try:
            record = json.loads(line)
        except ValueError:  # cut short by a kill
            continue
        if "val/loss" in record:
            validation = record
        scores = {k: v for k, v in record.items() if k.startswith("sheet/")} or scores
    return validation, scores


# ------------------------------------------------------------------------------------------------- several processes


def _pool(work: Sequence[Trunk], base: Run, folder: Path, device: str, progress: "_Progress", jobs: int) -> None:
    """Processes that take trunks from one queue. They stop with us: each is told once, finishes its step and saves."""
    context = multiprocessing.get_context("spawn")  # CUDA and OpenMP do not survive a fork
    waiting = context.Queue()
    for trunk in (*work, *[None] * jobs):
        waiting.put(trunk)
    arguments = (waiting, base, folder, device, max(1, torch.get_num_threads() // jobs))
    processes = [context.Process(target=_worker, args=arguments) for _ in range(jobs)]
    former = signal.signal(signal.SIGTERM, _interrupt)
    try:
        for process in processes:
            process.start()
        while any(process.is_alive() for process in processes):
            time.sleep(POLL)
            progress()
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    finally:
        for process in processes:
            process.join()
        signal.signal(signal.SIGTERM, former)
    if failed := [p.exitcode for p in processes if p.exitcode]:
        raise UserError(
            f"{len(failed)} of {jobs} processes failed, as told above: mend that, and the same command goes on"
        )


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def _worker(waiting: Any, base: Run, folder: Path, device: str, threads: int) -> None:
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C then reaches the parent alone, which asks each of us once
    torch.set_num_threads(threads)
    try:
        while (trunk := waiting.get()) is not None:
            _trunk(trunk, base, folder, device, lambda: None)
    except KeyboardInterrupt:
        return


def _watch(*_: Any) -> None:
    """A report for the loop: ends it where the process that began it is gone, for nobody would stop it otherwise."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        raise KeyboardInterrupt


class _Progress:
    """Counts the points on disk, whoever wrote them, in training FLOPs."""

    def __init__(self, work: Sequence[Trunk], decay: float, folder: Path, report: Report | None):
        self.folder, self.report, self.seen = folder, report, -1
        self.shares: dict[tuple[str, float], float] = {}
        for trunk in work:
            before = 0.0
            for end in trunk.ends:  # its own falling part, and the trunk's way from the last fork to its own
                self.shares[trunk.name, end.budget] = trunk.flops * (end.steps - before)
                before = (1 - decay) * end.steps
        self()

    def __call__(self) -> None:
        found = points.read(self.folder)
        if self.report is None or len(found) == self.seen:
            return
        self.seen = len(found)
        done = {(p.name, p.budget): self.shares.get((p.name, p.budget), 0.0) for p in found}
        last = found[-1] if found else None
        note = f"{last.name}, {last.steps} steps: loss {last.loss:.4f}" if last else f"{len(self.shares)} networks"
        self.report(sum(done.values(), 0.0), sum(self.shares.values(), 0.0), note)
