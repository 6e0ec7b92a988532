"""Judge a model or a folder of clips on a suite: ask, make, score, sum up.

made = evaluate.model("tabletop", evaluate.find("physics"), Choice(modes=("image",)))
made.card["headline"]
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import combinations
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from jaxtyping import UInt8

from worldpatch import __version__, config, generate
from worldpatch.config import UserError
from worldpatch.evals import _folder, card
from worldpatch.evals._model import Sampling as Sampling
from worldpatch.evals._model import sample
from worldpatch.evals._sets import distances
from worldpatch.evals.card import Sample
from worldpatch.evals.suites._task import Choice, Progress, Suite, Task
from worldpatch.evals.suites._task import Form as Form
from worldpatch.generate.models import fingerprint
from worldpatch.video import write

Frames = UInt8[np.ndarray, "t h w 3"]
SEEDS = 4
DIFFERENT = 2.0  # grey levels: clips that differ by less on average are the same video
MOST_SEEDS = 64
FEW = 48  # clips: scoring fewer is done before a second process has started


@dataclass(frozen=True, kw_only=True)
class Made:
    """A card, and the tasks and clips behind it, in the order of the card's samples."""

    card: dict[str, Any]
    suite: Suite
    samples: list[Sample]
    clips: list[Frames]


def suites() -> list[str]:
    """Names of the suites."""
    return ["physics", "pictures", "prompts_level1", "prompts_level2"]


def find(name: str) -> Suite:
    """The suite of this name. Raises UserError that lists the known."""
    if name == "physics":
        from worldpatch.evals.suites.physics import Physics

        return Physics()
    if name == "pictures":
        from worldpatch.evals.suites.pictures import Pictures

        return Pictures()
    if name in suites():
        from worldpatch.evals.suites.prompts import Prompts

        return Prompts(name=name)
    raise UserError(f"no suite is named {name!r}; known: {', '.join(suites())}")


def usual(pipeline: generate.Pipeline) -> Form:
    """The clips that a model was mostly trained on."""
    u = pipeline.usual
    return Form(height=u.height, width=u.width, rate=u.rate, frames=u.frames)


def model(
    name: str,
    suite: Suite,
    choice: Choice | None = None,
    *,
    tasks: list[Task] | None = None,
    seeds: int = SEEDS,
    sampling: Sampling | None = None,
    device: str = "cpu",
    workers: int = 1,
    progress: Progress | None = None,
    kept: Path | None = None,
) -> Made:
    """A trained model on a suite: by default all of it, at the model's usual size. No best-of-n: every clip counts.

    `tasks` are the suite's for this choice, where they were made already. Clips are kept in a folder of the model's own
    in `kept`, if given, and need not be drawn again where a stopped evaluation goes on. Raises UserError on an unknown
    model or part of a suite, and on a size the model cannot make.
    """
    if not 1 <= seeds <= MOST_SEEDS:
        raise UserError(f"seeds {seeds} is outside 1 to {MOST_SEEDS} clips per task")
    pipeline, sampling = generate.load(generate.find(name), device), sampling or Sampling()
    choice = choice or Choice(form=usual(pipeline), modes=suite.modes)
    pipeline.spec.grid(choice.form.frames, choice.form.height, choice.form.width)
    tasks = suite.tasks(choice, workers, progress) if tasks is None else tasks
    jobs = [(task, _seed(task, s)) for task in tasks for s in range(seeds)]
    clips: list[Frames] = []
    own = None if kept is None else kept / f"{fingerprint(generate.find(name))}-{__version__}"
    for frames in sample(pipeline, jobs, sampling, own):
        clips.append(frames)
        if progress:
            progress("sample", len(clips), len(jobs))
    record = pipeline.record or {}
    subject = {
        "kind": "model", "name": name, "fingerprint": fingerprint(generate.find(name)),
        "recipe": record.get("training", {}).get("run"), "step": record.get("training", {}).get("step"),
        "flops": record.get("training", {}).get("flops"), "shown": record.get("trained_on", {}).get("kinds"),
    }  # fmt: skip
    protocol = _protocol(choice, suite, seeds) | {"sampling": asdict(sampling)}
    return _judge(suite, tasks, [(*job, []) for job in jobs], clips, subject, protocol, workers, progress)


def folder(
    path: Path, suite: Suite | None = None, choice: Choice | None = None, *, workers: int = 1,
    progress: Progress | None = None,
) -> Made:  # fmt: skip
    """A folder of clips; by default on the part of the suite that its manifest says it was made for.

    A task without a clip counts as one clip that shows nothing. Raises UserError where no clip is of any task.
    """
    if choice is None or suite is None:
        manifest = _folder.manifest(path)
        suite, choice = find(manifest["suite"]), _choice(manifest["choice"])
    tasks = suite.tasks(choice, workers, progress)
    found, extra = _folder.sort(path, tasks)
    if not any(found):
        raise UserError(
            f"{path} holds no clip of the suite {suite.name}: name them <key>.mp4 by its manifest, such as "
            f"{tasks[0].key}.mp4"
        )
    notes = [f"{len(extra)} files belong to no task: {', '.join(p.name for p in extra[:3])}"] if extra else []
    if missing := sum(not of for of in found):
        notes.append(f"{missing} of {len(tasks)} tasks have no clip and count as clips that show nothing")
    jobs, clips = [], []
    for task, paths in zip(tasks, found, strict=True):
        for number, file in enumerate(paths or [None]):
            frames, said = _folder.clip(file, task) if file else (_nothing(task), ["missing"])
            jobs.append((task, number, said))
            clips.append(frames)
            if progress:
                progress("read", len(clips), sum(max(1, len(of)) for of in found))
    subject = {"kind": "folder", "name": path.resolve().name, "clips": sum(map(len, found))}
    protocol = _protocol(choice, suite, max(map(len, found))) | {"notes": notes}
    return _judge(suite, tasks, jobs, clips, subject, protocol, workers, progress)


def export(path: Path, suite: Suite, choice: Choice, workers: int = 1, progress: Progress | None = None) -> Path:
    """Write what a suite asks, for models that are not ours; returns the manifest's path."""
    tasks = suite.tasks(choice, workers, progress)
    return _folder.export(path, tasks, {"suite": suite.name, "choice": asdict(choice)})


def keep(made: Made, path: Path, progress: Progress | None = None) -> None:
    """Write the clips and their manifest to a folder that can be judged again, and compared by people with another."""
    tasks = list({s.task.key: s.task for s in made.samples}.values())
    _folder.export(path, tasks, {"suite": made.suite.name, "choice": made.card["protocol"]["choice"]})
    for done, (each, clip) in enumerate(zip(made.samples, made.clips, strict=True), 1):
        told = {
            "params": {"prompt": each.task.prompt},
            "suite": made.suite.name,
            "key": each.task.key,
            "seed": each.seed,
        }
        write.write(path / f"{each.task.key}-{each.seed % MOST_SEEDS}.mp4", clip, each.task.form.rate, told)
        if progress:
            progress("write", done, len(made.clips))


def again(old: dict[str, Any], device: str = "cpu", workers: int = 1, progress: Progress | None = None) -> Made:
    """The evaluation of a card run again. Raises UserError where its model is not here, or has other weights."""
    subject, protocol = old["subject"], old["protocol"]
    suite, choice = find(old["suite"]), _choice(protocol["choice"])
    if subject["kind"] != "model":
        raise UserError(f"this card is of the folder {subject['name']!r}: run `worldpatch eval` on that folder instead")
    if fingerprint(generate.find(subject["name"])) != subject["fingerprint"]:
        raise UserError(
            f"the card is of other weights ({subject['fingerprint']}) than {subject['name']} has now: make a new card"
        )
    return model(
        subject["name"], suite, choice, seeds=protocol["seeds"], sampling=Sampling(**protocol["sampling"]),
        device=device, workers=workers, progress=progress,
    )  # fmt: skip


def _judge(
    suite: Suite, tasks: list[Task], jobs: Sequence[tuple[Task, int, list[str]]], clips: list[Frames],
    subject: dict[str, Any], protocol: dict[str, Any], workers: int, progress: Progress | None,
) -> Made:  # fmt: skip
    samples = []
    scored = scores(suite, [task for task, _, _ in jobs], clips, workers)
    for (task, seed, notes), found in zip(jobs, scored, strict=True):
        samples.append(Sample(task=task, seed=seed, scores=found, notes=tuple(notes)))
        if progress:
            progress("score", len(samples), len(jobs))
    made = card.build(suite, tasks, samples, subject, protocol)
    made |= card.plain({"variety": _variety(samples, clips), "distances": distances(suite, samples, clips)})
    return Made(card=made, suite=suite, samples=samples, clips=clips)


def scores(suite: Suite, tasks: Sequence[Task], clips: Sequence[Frames], workers: int) -> Iterator[dict[str, float]]:
    """The scores of every clip, in order; many of them by several processes."""
    if workers < 2 or len(clips) < FEW:
        yield from map(suite.score, tasks, clips)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(suite.score, tasks, clips, chunksize=4)


def _seed(task: Task, number: int) -> int:
    """The seed of a clip. No two tasks share their noise, for with few seeds in all a few backgrounds would decide
    the score; and a part of a suite is given the clips that the whole is."""
    return crc32(task.key.encode()) // MOST_SEEDS * MOST_SEEDS + number


def _variety(samples: Sequence[Sample], clips: Sequence[Frames]) -> float | None:
    """Share of tasks whose every two clips differ by more than DIFFERENT grey levels; None with one clip each."""
    of: dict[str, list[Frames]] = {}
    for each, clip in zip(samples, clips, strict=True):
        of.setdefault(each.task.key, []).append(clip)
    pairs = [list(combinations(found, 2)) for found in of.values() if len(found) > 1]
    differ = [all(np.abs(a.astype(np.int16) - b).mean() > DIFFERENT for a, b in found) for found in pairs]
    return float(np.mean(differ)) if pairs else None


def _nothing(task: Task) -> Frames:
    return np.zeros((task.form.frames, task.form.height, task.form.width, 3), np.uint8)


def _protocol(choice: Choice, suite: Suite, seeds: int) -> dict[str, Any]:
    return {"suite": suite.name, "choice": card.plain(asdict(choice)), "seeds": seeds}


def _choice(values: dict[str, Any]) -> Choice:
    return config.build(Choice, values, "choice.")
