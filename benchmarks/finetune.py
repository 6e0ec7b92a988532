"""Can a model be taught a word from 18 clips, and does it keep what it knew? And what do ten real clips give?

    python benchmarks/finetune.py out/finetune -o benchmarks/finetune.md [--real DIR] [--short]

The word is "zorvish", a colour between yellow and green that is in no palette here and that the shipped model has never
drawn (`_zorvish.py`). The clips show nine of the 27 combinations of shape, event and camera, two of each; the prompts
ask for the other 18. The detectors, told the new paint, judge them, as they judge the real renders of the same prompts.
Bars: colour, shape and event all right in 80% of the new prompts; the mean of all criteria on frozen prompts of level 1
at most 5 points lower than before.

With --real, ten of the videos in DIR, two seconds of each at 64 pixels, are learned by name, at twice
the usual rate: that model cannot draw them, but it can learn them by heart, and the curve must show when it does.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import _zorvish
import numpy as np
from _machine import Report, parser

from worldpatch import generate
from worldpatch.config import UserError
from worldpatch.data import shards
from worldpatch.data.build import encode
from worldpatch.evals import detect
from worldpatch.evals._truth import Expected
from worldpatch.evals.metrics import prompt as metric
from worldpatch.evals.suites import prompts
from worldpatch.generate import lora
from worldpatch.generate.models import find
from worldpatch.generate.pipeline import load_vae
from worldpatch.train import curve, prior
from worldpatch.train.loop import Run, train
from worldpatch.train.stages import tune
from worldpatch.types import Clip, Request
from worldpatch.video import read
from worldpatch.video.sheet import contact_sheet

MODEL = "tabletop"
LESSON_SEED, EXAM_SEED = 11, 7
WORD_BAR, OLD_BAR = 0.80, 0.05
TOGETHER = ("colour", "shape", "event")
REAL = 10
SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Prompts with what they promise, and the real clips of it."""

    captions: list[str]
    truths: list[Expected]
    real: list[np.ndarray]


# -------------------------------------------------------------------------------------------------------------- parts


def store(clips: Callable[[], list[Clip]], folder: Path) -> Path:
    """Clips encoded into a set, unless the folder holds one."""
    if not list(folder.glob("shard-*.tar")):
        writer, vae = shards.Writer(folder), load_vae(find(MODEL))
        for i, clip in enumerate(clips()):
            latent = encode(vae, clip, 3, np.random.default_rng([0, i, 1]), "cpu")
            writer.write(f"{folder.name}-{i:03d}", shards.members(clip, latent))
        writer.flush()
    return folder


def remembered(run: Run, path: Path, arguments: argparse.Namespace) -> Path:
    """The model's own clips, as `worldpatch train --from` draws them."""
    return prior.make(MODEL, path, 4 if arguments.short else arguments.prior, tune.captions(run))


def tuned(run: Run, folder: Path) -> tuple[Path, curve.Curve, float]:
    """(adapter, curve, seconds of training) of a run."""
    begun = time.perf_counter()
    export = train(run, folder)
    lasted = time.perf_counter() - begun
    record = folder / "seconds.json"
    if not record.exists():  # a run that is there already takes no time
        record.write_text(json.dumps(lasted))
    return export, curve.read(folder / "log.jsonl"), json.loads(record.read_text())


def drawn(asked: Asked, adapters: Sequence[lora.Use], path: Path) -> list[np.ndarray]:
    """One clip of each prompt, kept in a file."""
    if not path.exists():
        pipeline = generate.load(find(MODEL), adapters=adapters)
        requests = [
            Request(ability="text_to_video", params={"prompt": caption}, seed=i)
            for i, caption in enumerate(asked.captions)
        ]
        np.savez_compressed(path, *(r.frames[0].numpy() for r in generate.run_many(requests, pipeline)))
    with np.load(path) as arrays:
        return [arrays[name] for name in arrays.files]


def rates(clips: Sequence[np.ndarray], asked: Asked) -> dict[str, float]:
    """Share of clips that fulfil each criterion, their mean, and the share with colour, shape and event all right."""
    verdicts = [metric.judge(detect.detect(f), truth) for f, truth in zip(clips, asked.truths, strict=True)]
    found = {name: float(np.mean([v[name] for v in verdicts])) for name in metric.CRITERIA}
    found["mean"] = float(np.mean(list(found.values())))
    found["together"] = float(np.mean([all(v[name] for name in TOGETHER) for v in verdicts]))
    return found


# --------------------------------------------------------------------------------------------------------------- word


def word(report: Report, arguments: argparse.Namespace) -> None:
    folder, short = arguments.folder, report.short
    _zorvish.teach()
    frames, rounds = (9, 1) if short else (25, 2)
    lesson = store(lambda: _zorvish.lesson(LESSON_SEED, rounds, frames=frames), folder / "lesson")
    count = rounds * len(_zorvish.TAUGHT)
    own = remembered(tune.recipe(MODEL, [lesson]), folder / "prior.safetensors", arguments)
    run = tune.recipe(MODEL, [lesson], prior=own)
    run = replace(run, steps=4 if short else run.steps, validate_every=2 if short else run.validate_every)
    export, found, seconds = tuned(run, folder / "word")
    exam, old = questions(arguments, frames)
    adapter = [lora.Use(folder=export)]
    figures: dict[str, dict[str, dict[str, float]]] = {}
    taught: list[np.ndarray] = []
    for name, asked in (("new", exam), ("old", old)):
        before = drawn(asked, [], folder / f"{name}-before.npz")
        after = drawn(asked, adapter, folder / f"{name}-after.npz")
        figures[name] = {k: rates(c, asked) for k, c in (("real", asked.real), ("before", before), ("after", after))}
        taught = taught or [clip for pair in zip(before, after, strict=True) for clip in pair]
    size = (export / lora.WEIGHTS).stat().st_size / 1e6
    report.say("\n## A new word")
    report.say(
        f"\n{count} clips of nine combinations; an adapter of rank {run.options.get('rank', tune.Config.rank)} "
        f"({size:.1f} MB), {run.steps} steps in {seconds / 60:.1f} minutes, the step kept: {found.best}; "
        f"{len(exam.captions)} new prompts, {len(old.captions)} frozen ones of level 1, one seed each; "
        f"{curve.say(found)}."
    )
    heads = [f"{name}: {way}" for name in ("new", "old") for way in ("before", "after", "real")]
    keys = [figures[name][way] for name in ("new", "old") for way in ("before", "after", "real")]
    label = {"together": "colour, shape and event", "mean": "**mean of criteria**"}
    rows = [(label.get(k, k.replace("_", " ")), *(f"{of[k]:.0%}" for of in keys)) for k in keys[0]]
    report.table(("share of clips right", *heads), rows)
    lost = figures["old"]["before"]["mean"] - figures["old"]["after"]["mean"]
    right = figures["new"]["after"]["together"]
    report.bars(
        [
            ("new prompts: colour, shape and event right", f"{WORD_BAR:.0%}", f"{right:.0%}", right >= WORD_BAR),
            ("old prompts: points of the mean lost", "5", f"{100 * lost:.1f}", lost <= OLD_BAR),
        ]
    )
    if report.output:
        sheet = report.output.with_suffix(".png")
        show(exam, taught, sheet)
        report.say(f"\n![New prompts, before and after]({sheet.name})")
        picture = curve.draw(found, report.output.with_name(f"{report.output.stem}_word.png"))
        report.say(f"\n![The curve]({picture.name})")


def questions(arguments: argparse.Namespace, frames: int) -> tuple[Asked, Asked]:
    """(prompts with the new word, frozen ones)."""
    exam = _zorvish.exam(EXAM_SEED, 1 if arguments.short else 2, frames=frames)[: 3 if arguments.short else None]
    old = prompts.load(1)[: 3 if arguments.short else arguments.prompts]
    return (
        Asked(captions=[p.caption for p in exam], truths=[p.truth for p in exam], real=[p.clip.frames for p in exam]),
        Asked(
            captions=[p.caption for p in old], truths=[p.truth for p in old],
            real=[prompts.real_clip(p).frames for p in old],
        ),
    )  # fmt: skip


def show(exam: Asked, pairs: Sequence[np.ndarray], path: Path) -> None:
    """Some new prompts, before on the left, after on the right."""
    count = len(exam.captions)
    chosen = np.linspace(0, count - 1, min(SHOWN, count)).round().astype(int)
    clips = [pairs[2 * i + way] for i in chosen for way in (0, 1)]
    captions = [f"{way}: {exam.captions[i]}" for i in chosen for way in ("before", "after")]
    contact_sheet(clips, captions, path, columns=2, frames_per_clip=5, scale=1)


# ---------------------------------------------------------------------------------------------------------- real clips


def real(report: Report, arguments: argparse.Namespace) -> None:
    folder, count = arguments.folder, 3 if report.short else REAL
    files = sorted(p for p in arguments.real.iterdir() if p.suffix in (".mp4", ".webm", ".mkv", ".mov"))
    usable = (clip for file in files if not file.stem.startswith("bad_") and (clip := cut(file)))
    clips = store(lambda: list(islice(usable, count)), folder / "real")
    own = remembered(tune.recipe(MODEL, [clips]), folder / "real-prior.safetensors", arguments)
    run = tune.recipe(MODEL, [clips], prior=own)
    run = replace(run, optim=replace(run.optim, rate=2 * run.optim.rate))
    if report.short:
        run = replace(run, steps=4, validate_every=2)
    _, found, seconds = tuned(run, folder / "real-tuned")
    report.say("\n## Ten real clips")
    report.say(
        f"\n{count} videos of {arguments.real.name}, two seconds of each at 64 pixels, told by their file names: "
        f"{run.steps} steps in {seconds / 60:.1f} minutes. {curve.say(found)}. Of the clips trained on: "
        f"{found.fit[0]:.4f} -> {found.fit[-1]:.4f}."
    )
    if report.output:
        picture = curve.draw(found, report.output.with_name(f"{report.output.stem}_real.png"))
        report.say(f"\n![The curve]({picture.name})")
    report.bars([("the curve shows over-fitting", "yes", "yes" if found.over_fitted else "no", found.over_fitted)])


def cut(file: Path) -> Clip | None:
    """Two seconds from the middle of a file at 8 per second, its shorter side 64 pixels; None where that cannot be."""
    try:
        info = read.probe(file)
        if info.seconds < 2.2:
            return None
        start = (info.seconds - 2.2) / 2
        rate, frames = read.stream(file, 128)
        taken = [f for i, f in enumerate(frames) if start <= i / rate < start + 2.2]
    except (UserError, OSError):
        return None
    at = np.minimum(np.round(np.arange(17) * rate / 8).astype(int), len(taken) - 1)
    picked = np.stack([taken[i] for i in at])
    h, w = picked.shape[1:3]
    short = 64 / min(h, w)
    height, width = (16 * min(8, max(4, round(side * short / 16))) for side in (h, w))
    return Clip(
        frames=read.fit(picked, height, width), rate=8.0, captions={"own": file.stem.replace("_", " ")},
        source=file.name,
    )  # fmt: skip


def main() -> None:
    made = parser(__doc__)
    made.add_argument("folder", type=Path, help="where everything is kept; what is there is not made again")
    made.add_argument("--prompts", type=int, default=48, help="frozen prompts of level 1")
    made.add_argument("--prior", type=int, default=48, help="clips of the model's own")
    made.add_argument("--real", type=Path, help="a folder of videos")
    arguments = made.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    report = Report("Fine-tuning", arguments)
    word(report, arguments)
    if arguments.real:
        real(report, arguments)
    report.finish()


if __name__ == "__main__":
    main()
