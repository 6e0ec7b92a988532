"""The training loop: the same lines for an autoencoder, a transformer and whatever comes.

A stage (`train/stages/<name>.py`) brings a `Config` and a `Task` with the model, `batch(step)`, `loss(model, batch)`,
`validate`, `sheet` and `export`. A batch is a pure function of (seed, step), so a run killed at any step and resumed
goes on bit for bit (on the CPU, with the same threads).
"""

import dataclasses
import hashlib
import json
import math
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from worldpatch import __version__, config
from worldpatch.config import UserError
from worldpatch.train import checkpoint
from worldpatch.train.optim import Average, Clipper, Optim, make_optimisers, schedule

SLACK = 0.02
"""A few clips held out tell losses apart no finer, and later weights are calmer: the rate has fallen. Of a flat curve
the lowest point lay at step 60 of 180; the last step's weights, 1.3% above, got 67% of new prompts right, not 50%."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A whole training run. `options` are the fields of the stage's Config; `steps` counts optimiser steps.

    With `keep_best` what is exported are the (averaged) weights of the best "val/loss", those before the first step
    among them; else the last ones. Of losses within `SLACK` of the lowest the latest counts as best.

    `precision` "auto" is bfloat16 on CUDA, and on a CPU bfloat16 only where its matrix products are measured to be at
    least 1.5 times as fast as float32 (machines with AVX512-BF16 or AMX).
    """

    stage: str
    steps: int
    options: dict[str, Any] = field(default_factory=dict)
    optim: Optim = Optim()
    seed: int = 0
    precision: str = "auto"
    save_minutes: float = 5.0
    sheet_minutes: float = 10.0
    validate_every: int = 500
    keep_best: bool = False


@runtime_checkable
class Task(Protocol):
    """What a stage gives the loop. `fingerprint` is a hash of its data."""

    model: nn.Module
    fingerprint: str

    def batch(self, step: int) -> Any: ...
    def loss(self, model: nn.Module, batch: Any) -> tuple[Tensor, dict[str, float]]: ...
    def size(self, batch: Any) -> tuple[int, int, int]:
        """(samples, tokens, floating-point operations of forward and backward) of a batch."""
        ...

    def validate(self, model: nn.Module) -> dict[str, float]: ...
    def sheet(self, model: nn.Module, path: Path) -> dict[str, float]: ...
    def export(self, model: nn.Module, folder: Path, state: dict[str, Any]) -> None: ...


Report = Callable[[int, int, dict[str, Any]], None]
"""Called after every step with (step, steps, figures); the CLI draws a progress bar from it."""


def train(
    run: Run, folder: Path, *, device: str = "cpu", report: Report | None = None, stop_at: int | None = None,
    instead: Task | None = None,
) -> Path:  # fmt: skip
    """Train until `run.steps`, resuming whatever `folder` holds; returns the exported model's folder.

    Ctrl-C and SIGTERM finish the step, save and raise KeyboardInterrupt. `stop_at` ends (and saves) early without
    changing the schedule; `instead` stands in for the stage's task. Raises UserError where the folder holds a run of
    another recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(run.seed)
    stage = config.resolve("train/stages", run.stage)
    task: Task = instead or stage.Task(config.build(stage.Config, run.options, "options."), run.seed, device)
    session = _Session(run, task, folder, device)
    # One thread of arithmetic for the batch ahead: a second team of OpenMP threads would spin against the first.
    prefetch = ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,))
    with _Stop() as stop, prefetch as ahead, _Log(folder) as log:
        until = run.steps if stop_at is None else min(stop_at, run.steps)
        if run.keep_best and session.step == 0:
            log.write({"step": 0, **session.validated()})
        pending = ahead.submit(task.batch, session.step)
        while session.step < until and not stop.asked:
            begun = time.perf_counter()
            batch = pending.result()
            waited = time.perf_counter() - begun
            pending = ahead.submit(task.batch, session.step + 1)
            figures = session.advance(batch) | {"waited": waited}
            log.write(figures)
            if report:
                report(session.step, run.steps, figures)
            if session.step % run.validate_every == 0 or session.step == run.steps:
                log.write({"step": session.step, **session.validated()})
            if session.due("sheet", run.sheet_minutes) or session.step == run.steps:
                path = folder / "sheets" / f"{session.step:08d}.png"
                path.parent.mkdir(exist_ok=True)
                log.write({"step": session.step, **session.shipped(lambda m: task.sheet(m, path))})  # noqa: B023
            if session.due("save", run.save_minutes):
                session.save()
        session.save()
        if stop.asked:
            raise KeyboardInterrupt
    export = folder / "export"
    session.shipped(lambda model: task.export(model, export, session.state()) or {})
    return export


class _Session:
    """The moving parts of a run: weights, average, optimisers, clipping and counts."""

    def __init__(self, run: Run, task: Task, folder: Path, device: str):
        self.run, self.task, self.folder, self.device = run, task, folder, device
        self.model = task.model.to(device)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimisers = make_optimisers(self.model, run.optim)
        self.average = Average(self.model, run.optim.ema)
        self.clipper, self.step, self.flops, self.seconds, self.samples = Clipper(), 0, 0, 0.0, 0
        self.best: dict[str, Tensor] = {}
        self.best_at: dict[str, float] = {}  # step and loss, and the lowest loss so far
        self.precision = resolve_precision(run.precision, device)
        self.clocks: dict[str, float] = {"save": time.monotonic(), "sheet": time.monotonic()}
        path = checkpoint.latest(folder)
        if path:
            self._restore(path)

    def advance(self, batch: Any) -> dict[str, Any]:
        """One optimiser step; returns what the log wants to know."""
        begun = time.perf_counter()
        share = schedule(self.step, self.run.steps, self.run.optim)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = share * group["peak"]
        kind = torch.device(self.device).type
        with torch.autocast(kind, dtype=torch.bfloat16, enabled=self.precision == "bf16"):
            loss, metrics = self.task.loss(self.model, batch)
        loss.backward()
        norm, limit = self.clipper(self.parameters)
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.average.update(self.model, self.step)
        self.step += 1
        samples, tokens, flops = self.task.size(batch)
        spent = time.perf_counter() - begun
        self.flops, self.samples, self.seconds = self.flops + flops, self.samples + samples, self.seconds + spent
        return {
            "step": self.step, "loss": float(loss.detach()), **metrics, "norm": norm, "clipped": norm > limit,
            "rate": share, "samples": self.samples, "tokens_per_s": tokens / spent,
            "gflops_per_s": flops / spent / 1e9, "seconds": spent,
        }  # fmt: skip

    def averaged(self, function: Callable[[nn.Module], dict[str, float]]) -> dict[str, float]:
        """Call a function on the averaged weights, without gradients."""
        return self._with(self.average.weights, function)

    def shipped(self, function: Callable[[nn.Module], dict[str, float]]) -> dict[str, float]:
        """Call a function on the weights to be exported."""
        return self._with(self.best or self.average.weights, function)

    def validated(self) -> dict[str, float]:
        """The task's validation; the best weights so far are kept where the run asks for them."""
        figures = self.averaged(self.task.validate)
        if self.run.keep_best:
            loss, lowest = figures["val/loss"], self.best_at.get("lowest", math.inf)
            if loss <= (1 + SLACK) * lowest:
                self.best_at = {"step": self.step, "loss": loss, "lowest": min(loss, lowest)}
                self.best = {n: w.clone() for n, w in self.average.weights.items()}
        return figures

    def _with(self, weights: dict[str, Tensor], function: Callable[[nn.Module], dict[str, float]]) -> dict[str, float]:
        own = {n: p.detach().clone() for n, p in self.model.state_dict().items()}
        self.model.load_state_dict(weights)
        self.model.eval()
        try:
            with torch.no_grad():
                return function(self.model)
        finally:
            self.model.load_state_dict(own)
            self.model.train()

    def due(self, clock: str, minutes: float) -> bool:
        if time.monotonic() - self.clocks[clock] < 60 * minutes:
            return False
        self.clocks[clock] = time.monotonic()
        return True

    def state(self) -> dict[str, Any]:
        return {
            "step": self.step, "samples": self.samples, "flops": self.flops, "seconds": self.seconds,
            "precision": self.precision, "clipper": vars(self.clipper), "run": dataclasses.asdict(self.run),
            "recipe_hash": _hash(self.run), "data_hash": self.task.fingerprint,
            "version": __version__, "torch": torch.__version__,
            "threads": torch.get_num_threads(), "best": self.best_at,
        }  # fmt: skip

    def save(self) -> None:
        optimiser = checkpoint.optimiser_tensors(self.optimisers)
        tensors = {"model": self.model.state_dict(), "average": self.average.weights, "optimiser": optimiser}
        if self.best:
            tensors["best"] = self.best
        checkpoint.save(self.folder, self.step, tensors, self.state())

    def _restore(self, path: Path) -> None:
        tensors, state = checkpoint.load(path)
        if state["recipe_hash"] != _hash(self.run):
            raise UserError(
                f"{self.folder} holds a run of another recipe: give another folder, or delete it to start again"
            )
        self.model.load_state_dict(tensors["model"])
        self.average.weights = {k: v.to(self.device) for k, v in tensors["average"].items()}
        checkpoint.restore_optimisers(self.optimisers, tensors["optimiser"])
        self.step, self.flops, self.samples = state["step"], state["flops"], state["samples"]
        self.seconds, self.precision = state["seconds"], state["precision"]
        self.best, self.best_at = tensors.get("best", {}), state.get("best", {})
        vars(self.clipper).update(state["clipper"])


def resolve_precision(precision: str, device: str) -> str:
    """ "auto" -> "bf16" or "fp32"; see Run."""
    if precision not in ("auto", "bf16", "fp32"):
        raise UserError(f"precision {precision!r} is unknown; known: auto, bf16, fp32")
    if precision != "auto":
        return precision
    if torch.device(device).type == "cuda":
        return "bf16"
    return "bf16" if _gemm_seconds(torch.bfloat16) * 1.5 < _gemm_seconds(torch.float32) else "fp32"


def _gemm_seconds(dtype: torch.dtype, size: int = 512) -> float:
    a, b = torch.ones(size, size, dtype=dtype), torch.ones(size, size, dtype=dtype)
    best = float("inf")
    for _ in range(5):
        begun = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - begun)
    return best


def _hash(run: Run) -> str:
    """Identity of what determines the weights; how often one saves or looks, and how long one goes on, does not."""
    free = {"save_minutes", "sheet_minutes", "validate_every", "steps"}
    values = {k: v for k, v in dataclasses.asdict(run).items() if k not in free}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


class _Stop:
    """Turns Ctrl-C and SIGTERM into a wish that the loop grants between steps; a second Ctrl-C is immediate."""

    asked = False

    def __enter__(self) -> "_Stop":
        def ask(*_: Any) -> None:
            if self.asked:
                raise KeyboardInterrupt
            self.asked = True

        try:
            self.former = {s: signal.signal(s, ask) for s in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread: whoever owns it stops us
            self.former = {}
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self.former.items():
            signal.signal(number, handler)


class _Log:
    """JSON lines, and TensorBoard where it is installed."""

    def __init__(self, folder: Path):
        self.lines = open(folder / "log.jsonl", "a", buffering=1)  # noqa: SIM115
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.board = None
        else:
            self.board = SummaryWriter(str(folder / "tensorboard"))

    def __enter__(self) -> "_Log":
        return self

    def __exit__(self, *_: Any) -> None:
        self.lines.close()
        if self.board:
            self.board.close()

    def write(self, figures: dict[str, Any]) -> None:
        # JSON has no nan or infinity, which a gradient's norm can be: null instead.
        known = {k: v if not isinstance(v, float) or math.isfinite(v) else None for k, v in figures.items()}
        self.lines.write(json.dumps({"at": round(time.time(), 1), **known}) + "\n")
        if self.board:
            for key, value in known.items():
                if key != "step" and value is not None:
                    self.board.add_scalar(key, value, figures["step"])
