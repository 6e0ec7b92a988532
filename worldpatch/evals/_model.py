"""Clips of a trained model for a suite's tasks: plans with the given frames as known latents, many in one pass."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from jaxtyping import UInt8

from worldpatch.evals.suites._task import Task
from worldpatch.flow.guidance import Guidance
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Plan

TOGETHER = 24  # clips sampled in one packed pass


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How clips are drawn; as in `types.Request`. `camera`: whether the model is told the camera's path."""

    steps: int = 25
    guidance: float = 2.0
    sampler: str = "euler"
    camera: bool = True


def sample(
    pipeline: Pipeline, jobs: Sequence[tuple[Task, int]], sampling: Sampling
) -> Iterator[UInt8[np.ndarray, "t h w 3"]]:
    """A clip per (task, seed), in order. Given frames come back as they were."""
    waiting = iter(jobs)
    while group := list(islice(waiting, TOGETHER)):
        plans = [plan(task, pipeline, sampling.camera) for task, _ in group]
        latents = pipeline.latents(
            plans, [(seed, 0) for _, seed in group], steps=sampling.steps,
            guidance=Guidance(scale=sampling.guidance), sampler=sampling.sampler,
        )  # fmt: skip
        for (task, _), video in zip(group, pipeline.decode(plans, latents), strict=True):
            frames = video.numpy()
            if task.context is not None:
                frames[: len(task.context)] = task.context
            yield frames


@torch.no_grad()
def plan(task: Task, pipeline: Pipeline, camera: bool = True) -> Plan:
    """All noise but for the latents of the frames given. Raises ValueError where they do not fill whole latents."""
    form, spec = task.form, pipeline.spec
    grid = spec.grid(form.frames, form.height, form.width)
    start, known = torch.ones(grid), None
    if task.context is not None:
        video = torch.from_numpy(np.ascontiguousarray(task.context)).float().div(127.5).sub(1)
        latent = pipeline.vae.encode(video.permute(3, 0, 1, 2)[None].to(pipeline.device))[0].cpu()
        known = torch.zeros(spec.channels, *grid)
        known[:, : latent.shape[1]] = latent
        start[: latent.shape[1]] = 0.0
    return Plan(
        start=start, rate=form.rate, prompt=task.prompt, known=known, camera=task.camera if camera else None,
        kind="image" if grid[0] == 1 else "clip",
    )  # fmt: skip
