"""Short trainings from nothing, alike in all but one thing: what `optimiser.py` and `context.py` share."""

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from _machine import parser

from worldpatch import config
from worldpatch.train.loop import Run, train
from worldpatch.train.optim import Optim
from worldpatch.train.stages import dit


def trial_parser(description: str | None) -> argparse.ArgumentParser:
    """The options of every benchmark, the data, and the size of the network and of the run."""
    made = parser(description)
    for name in ("data", "validation", "vae"):
        made.add_argument(name)
    made.add_argument("--steps", type=int, default=200)
    made.add_argument("--depth", type=int, default=2)
    made.add_argument("--budget", type=int, default=16 * 112, help="patch tokens per step")
    return made


def run(arguments: argparse.Namespace, optim: Optim) -> Run:
    """A run of so many steps with an optimiser's rate; a tenth of it warms up, the last 30% decay."""
    options = {
        "data": [arguments.data], "validation": arguments.validation, "vae": arguments.vae, "budget": arguments.budget,
        "model": {"depth": arguments.depth}, "text": {"width": 64, "depth": 1}, "sheet_level": 0,
        "validation_clips": 10 if arguments.short else 96,
    }  # fmt: skip
    steps = 4 if arguments.short else arguments.steps
    optim = dataclasses.replace(optim, warmup=steps // 10, decay=0.3, ema=0.98)
    return Run(stage="dit", steps=steps, options=options, optim=optim, sheet_minutes=1e9, validate_every=10**9)


def trained(run: Run, judge: Callable[[dit.Task], tuple[float, ...]]) -> tuple[float, ...]:
    """What `judge` says of the trained network, as a task that holds it, and the seconds that training took."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        export = train(run, Path(folder))
        spent = time.perf_counter() - begun
        task = dit.Task(config.build(dit.Config, {**run.options, "start_from": str(export)}), run.seed, "cpu")
    task.model.eval()
    with torch.no_grad():
        return (*judge(task), spent)


def validation_loss(task: dit.Task) -> float:
    """Flow-matching loss on held-out clips, the mean of ten bins of noise time."""
    return task.validate(task.model)["val/loss"]
