"""What benchmarks of samplers share: the frozen prompts drawn in one way or another, counted and timed."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldpatch import generate
from worldpatch.evals.suites.prompts import Prompt
from worldpatch.flow import plan as solving
from worldpatch.flow.samplers import Velocity
from worldpatch.types import Plan

PASS = 16  # prompts drawn together
Way = tuple[dict[str, Any], Callable[[Velocity], Any]]
"""Options of `Pipeline.latents`, and what wraps the velocity; it counts what it computes in `computed`."""


class Counted:
    """The velocity itself, its calls counted."""

    def __init__(self, model: Velocity):
        self.model, self.computed = model, 0

    def __call__(self, x: Tensor, *times: Tensor) -> Tensor:
        self.computed += 1
        return self.model(x, *times)


def draw(pipeline: generate.Pipeline, asked: Sequence[Prompt], way: Way) -> tuple[list[Tensor], int, float]:
    """Frames, calls of the network per clip, seconds of sampling."""
    usual, made, frames, spent = pipeline.usual, [], [], 0.0
    grid = pipeline.spec.grid(usual.frames, usual.height, usual.width)
    real, (options, wrap) = solving.velocity, way

    def wrapped(*args: Any, **more: Any) -> Any:
        made.append(wrap(real(*args, **more)))
        return made[-1]

    solving.velocity = wrapped
    try:
        for at in range(0, len(asked), PASS):
            plans = [Plan(start=torch.ones(grid), rate=usual.rate, prompt=p.caption) for p in asked[at : at + PASS]]
            begun = time.perf_counter()
            latents = pipeline.latents(plans, [(at + i, 0) for i in range(len(plans))], **options)
            spent += time.perf_counter() - begun
            frames += pipeline.decode(plans, latents)
    finally:
        solving.velocity = real
    return frames, made[0].computed, spent


def race(
    pipeline: generate.Pipeline, asked: Sequence[Prompt], ways: Mapping[str, Way], rounds: int
) -> dict[str, float]:
    """Seconds that sampling one packed pass takes in each way: the median over rounds, the ways taking turns."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            seconds = draw(pipeline, asked[:PASS], way)[2]
            spent[name] += [seconds] if turn else []  # the first warms up
    return {name: float(np.median(values)) for name, values in spent.items()}


def apart(one: Sequence[Tensor], other: Sequence[Tensor]) -> list[float]:
    """PSNR in dB of each clip to the other's."""
    errors = [float((a.float() - b.float()).square().mean()) for a, b in zip(one, other, strict=True)]
    return [10 * np.log10(255**2 / max(error, 1e-9)) for error in errors]
