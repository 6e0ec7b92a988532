"""Clips of a trained model for a suite's tasks: plans with the given frames as known latents, many in one pass."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import UInt8

from worldpatch.evals.suites._task import Task
from worldpatch.flow.guidance import Guidance
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Plan
from worldpatch.video._atomic import atomic

Frames = UInt8[np.ndarray, "t h w 3"]
TOGETHER = 24  # clips sampled in one packed pass


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How clips are drawn; as in `types.Request`. `camera`: whether the model is told the camera's path."""

    steps: int = 25
    guidance: float = 2.0
    sampler: str = "euler"
    camera: bool = True


def sample(
    pipeline: Pipeline, jobs: Sequence[tuple[Task, int]], sampling: Sampling, kept: Path | None = None
) -> Iterator[Frames]:
    """A clip per (task, seed), in order. Given frames come back as they were.

    What is drawn together is written to the folder `kept`, if there is one, and read from there the next time.
    """
    waiting = iter(jobs)
    while group := list(islice(waiting, TOGETHER)):
        path = None if kept is None else kept / f"{_name(group, sampling)}.npz"
        clips = _read(path, group)
        if clips is None:
            clips = _drawn(pipeline, group, sampling)
            if path is not None:
                with atomic(path) as draft, draft.open("wb") as file:
                    np.savez(file, *clips)
        yield from clips


def _drawn(pipeline: Pipeline, group: Sequence[tuple[Task, int]], sampling: Sampling) -> list[Frames]:
    plans = [plan(task, pipeline, sampling.camera) for task, _ in group]
    latents = pipeline.latents(
        plans, [(seed, 0) for _, seed in group], steps=sampling.steps, guidance=Guidance(scale=sampling.guidance),
        sampler=sampling.sampler,
    )  # fmt: skip
    clips = [video.numpy() for video in pipeline.decode(plans, latents)]
    for (task, _), frames in zip(group, clips, strict=True):
        if task.context is not None:
            frames[: len(task.context)] = task.context
    return clips


def _name(group: Sequence[tuple[Task, int]], sampling: Sampling) -> str:
    """Of the file of a group: the same for the same clips of the same model alone."""
    digest = hashlib.sha256(repr(sampling).encode())
    for task, seed in group:
        digest.update(repr((task.key, task.prompt, task.form, seed)).encode())
        for given in (task.context, None if task.camera is None else task.camera.pose):
            digest.update(b"" if given is None else np.ascontiguousarray(given).tobytes())
    return digest.hexdigest()[:32]


def _read(path: Path | None, group: Sequence[tuple[Task, int]]) -> list[Frames] | None:
    """The clips of a file that is there and whole."""
    if path is None or not path.exists():
        return None
    try:
        with np.load(path) as file:
            clips = [file[name] for name in file.files]
    except (OSError, ValueError, BadZipFile):
        return None
    return clips if len(clips) == len(group) else None


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
