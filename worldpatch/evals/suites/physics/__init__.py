"""Does a video model know how things move? Scenes whose truth a physics engine knows, measured in pixels.

    tasks = Physics().tasks(Choice(modes=("video",)), workers=2)

A scenario is a file of this folder; `_scene.py` says what it defines.
"""

import itertools
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from worldpatch.config import UserError
from worldpatch.evals.suites._task import Choice, Form, Metric, Mode, Progress, Scores, Task, allowed, bounded, chosen
from worldpatch.evals.suites.physics import _baselines, _identity
from worldpatch.evals.suites.physics._scene import SPLITS, Probe, Split, module, names, probe
from worldpatch.evals.suites.physics._seen import observe

SCENES = 4  # of each split
GIVEN: dict[Mode, int] = {"text": 0, "image": 1}

Frames = UInt8[np.ndarray, "t h w 3"]
Job = tuple[str, Split, int, Form, tuple[Mode, ...]]


@dataclass(frozen=True, kw_only=True)
class Physics:
    """The suite; see `suites._task.Suite`."""

    name: str = "physics"
    group: str = "scenario"
    modes: tuple[Mode, ...] = ("text", "image", "video")

    def tasks(self, choice: Choice, workers: int = 1, progress: Progress | None = None) -> list[Task]:
        if "action" in choice.modes:
            raise UserError("mode 'action': no scenario of this suite has actions; choose text, image or video")
        scenarios = chosen(names(), choice.only, "scenario")
        of = itertools.product(scenarios, SPLITS, range(choice.count or SCENES))
        jobs: list[Job] = [(*each, choice.form, choice.modes) for each in of]
        found: list[Task] = []
        for done, tasks in enumerate(_map(jobs, workers), 1):
            found += tasks
            if progress:
                progress("render", done, len(jobs))
        return found

    def score(self, task: Task, frames: Frames) -> Scores:
        return score(task.reference, frames, task.metrics)

    def real(self, task: Task) -> Frames:
        return task.reference.clip.frames


def metrics(scenario: str, mode: Mode) -> dict[str, Metric]:
    """What is measured of a scenario's clips in a mode."""
    return allowed({**module(scenario).METRICS, **_identity.METRICS}, mode)


def score(reference: Probe, frames: Frames, of: dict[str, Metric]) -> Scores:
    """Bounded scores of a clip of a probe's size and length."""
    seen = observe(frames, reference.clip)
    found = module(reference.scenario).measure(seen, reference) | _identity.measure(seen, reference)
    return bounded(found, of)


def _map(jobs: Sequence[Job], workers: int) -> Iterator[list[Task]]:
    if workers < 2:
        yield from map(_tasks, jobs)
        return
    # A fresh interpreter per worker: an OpenGL context does not survive a fork.
    with multiprocessing.get_context("spawn").Pool(workers, os.nice, (5,)) as pool:
        yield from pool.imap(_tasks, jobs, chunksize=2)


def _tasks(job: Job) -> list[Task]:
    """A scene's task in every mode, with the scores of its baselines."""
    name, split, index, form, modes = job
    drawn = probe(name, split, index, form)
    return [_task(drawn.mode(GIVEN.get(mode, form.given)), mode) for mode in modes]


def _task(drawn: Probe, mode: Mode) -> Task:
    of = metrics(drawn.scenario, mode)
    strata: dict[str, Any] = {"scenario": drawn.scenario, "split": drawn.split, "mode": mode}
    return Task(
        key=f"{drawn.scenario}-{drawn.split}-{drawn.index:02d}-{mode}",
        prompt=drawn.scene.caption,
        form=drawn.cast.form,
        strata=strata,
        context=drawn.clip.frames[: drawn.given] if drawn.given else None,
        camera=drawn.clip.camera,
        reference=drawn,
        metrics=of,
        baselines={name: score(drawn, clip, of) for name, clip in _baselines.clips(drawn).items()},
    )


def shown_by(scenario: str) -> tuple[str, ...]:
    """The kinds of tabletop scenes that show a scenario's like to a model."""
    return module(scenario).SHOWN_BY
