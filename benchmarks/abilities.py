"""Every ability once, on fixed inputs: what comes out; and its quality, on worlds whose truth is known.

    python benchmarks/abilities.py [MODEL] [--open DIR] [--only TRIAL]... [-o docs/abilities.md] [--short]

Inputs are renders of the tabletop world that no model was trained on (seed 77), and with --open videos of that folder,
which are not shown on the sheet. A join is where given frames meet drawn ones. Its jump is the mean change from frame
to frame there, over the median of all other such changes in the clip; so is the jump of brightness alone. Half a grey
level, too faint to see, is added to both. The trials and their bars are those of `_directed.py`.
"""

import argparse
import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _directed import SEED, TRIALS, run
from _machine import Report, parser
from PIL import Image

from worldpatch import generate
from worldpatch.evals import directing
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Request
from worldpatch.video import write
from worldpatch.video.sheet import contact_sheet
from worldpatch.worlds import tabletop

MODEL = "tabletop"
REAL = ("dog_catch.mp4", "img_landscape_o6.jpg")


@dataclass(frozen=True, kw_only=True)
class Try:
    """An ability with its parameters, what to say of it, and the frames that begin after a join."""

    ability: str
    params: dict[str, Any]
    told: str
    joins: tuple[int, ...] = ()
    ours: bool = True  # others' videos may not be shown on a page of ours


def main() -> None:
    made = parser(__doc__)
    made.add_argument("model", nargs="?", default=MODEL)
    made.add_argument("--only", action="append", choices=TRIALS, help="these trials alone, and nothing on the sheet")
    made.add_argument("--open", type=Path, help="a folder with the real clips")
    arguments = made.parse_args()
    report = Report("Abilities", arguments)
    pipeline = generate.load(generate.find(arguments.model))
    pictures: list[tuple[str, np.ndarray]] = [] if arguments.only else once(pipeline, report, arguments)
    bars = []
    for trial, found in run(pipeline, report, arguments.only or ()):
        pictures += trial.shown
        bars += found
    if arguments.output:
        sheet = arguments.output.with_suffix(".png")
        told, clips = zip(*pictures, strict=True)
        contact_sheet(clips, told, sheet, columns=1, frames_per_clip=12, scale=1)
        Image.open(sheet).quantize(256).save(sheet, optimize=True)  # a third of the size, for it is in the repository
        report.say(f"\n![Twelve frames of each: every ability once, then the first of each trial]({sheet.name})")
    report.bars(bars)
    report.finish()


def once(pipeline: Pipeline, report: Report, arguments: argparse.Namespace) -> list[tuple[str, np.ndarray]]:
    """Every ability once; the clips that may be shown."""
    rows, pictures = [], []
    with tempfile.TemporaryDirectory() as folder:
        for attempt in tries(Path(folder), arguments):
            request = Request(ability=attempt.ability, params=attempt.params, steps=2 if report.short else 25, seed=1)
            result = generate.run(request, pipeline)
            frames = result.frames[0].numpy()
            jumps = [
                [directing.jump(frames, at, m) for m in (directing.changes, directing.lights)] for at in attempt.joins
            ]
            spent = sum(result.seconds.values())
            joined = ", ".join(f"{change:.1f} / {light:.1f}" for change, light in jumps) or "-"
            rows.append((attempt.ability, attempt.told, len(frames), f"{result.rate:g}", f"{spent:.1f}", joined))
            if attempt.ours:
                pictures.append((f"{attempt.ability}: {attempt.told}", frames))
    report.say(
        f"\nThe model `{arguments.model}`, 25 guided steps, seed 1, nothing chosen. Given frames come back as they "
        "were; what is drawn is as good as a small model is that was trained on a tabletop alone."
    )
    report.table(("ability", "asked for", "frames", "per second", "took, s", "jump at the join: change / light"), rows)
    return pictures


def tries(folder: Path, arguments: argparse.Namespace) -> Iterator[Try]:
    """All of them, their inputs written to a folder."""
    config = tabletop.Config(level=1, height=64, width=64, frames=25, masks=False)
    rendered = (tabletop.clip(config, SEED, i) for i in itertools.count())
    moving = (clip for clip in rendered if {"rolls", "slides"} & set(clip.captions["terse"].split()))
    clips = list(itertools.islice(moving, 2))
    told = [clip.captions["terse"] for clip in clips]
    names = [str(folder / f"{i}.mp4") for i in range(2)]
    for clip, name in zip(clips, names, strict=True):
        write.write(Path(name), clip.frames, clip.rate)
    one, other, first = names[0], names[1], str(folder / "first.png")
    write.write(Path(first), clips[0].frames[:1], 1.0)
    count = len(clips[0].frames)
    yield Try(ability="animate", params={"image": first, "prompt": told[0]}, told=told[0], joins=(1,))
    yield Try(ability="extend", params={"video": one, "seconds": 4.0}, told="four seconds more", joins=(count,))
    back = {"video": one, "seconds": 2.0, "direction": "backward"}
    yield Try(ability="extend", params=back, told="two seconds before", joins=(16,))
    yield Try(ability="loop", params={"video": one}, told="back to its beginning", joins=(count,))
    both = {"video": one, "other": other}
    yield Try(ability="bridge", params=both, told=f"{told[0]} - {told[1]}", joins=(count, count + 12))
    yield Try(ability="blend", params=both, told="one leads over to the other")
    colour = "blue" if "blue" not in told[0] else "red"
    words = told[0].split()
    recoloured = " ".join([words[0], colour, *words[2:]])
    yield Try(ability="remix", params={"video": one, "prompt": recoloured, "strength": 0.5}, told=recoloured)
    half = {"video": one, "prompt": told[0], "box": (0.5, 0.0, 0.5, 1.0)}
    yield Try(ability="inpaint", params=half, told="its right half")
    swap = {"video": one, "old": told[0], "new": recoloured}
    yield Try(ability="swap", params=swap, told=f"the same by swapping: {recoloured}")
    yield Try(ability="reframe", params={"video": one, "width": 96, "height": 64}, told="from 1:1 to 3:2")
    yield Try(
        ability="camera", params={"prompt": "a red ball stands still", "orbit": 60.0}, told="60 degrees to the right"
    )
    cards = [
        {"text": "{character} falls", "seconds": 3.0},
        {"text": "{character} rolls to the left", "seconds": 2.0},
        {"text": "a yellow box slides to the right", "cut": True},
    ]
    story = {"cards": cards, "character": "a blue ball"}
    yield Try(ability="storyboard", params=story, told="a blue ball falls, rolls to the left; cut; a yellow box slides")
    yield Try(
        ability="motion", params={"prompt": "a red ball", "path": ("0.2,0.5 0.8,0.6",)}, told="a red ball, a path"
    )
    subject = {"prompt": "this object falls", "subject": (first,)}
    yield Try(ability="likeness", params=subject, told="this object falls")
    yield Try(ability="simulate", params={"prompt": "a red ball hits a blue box"}, told="a red ball hits a blue box")
    yield Try(ability="image", params={"prompt": told[1]}, told=told[1])
    yield Try(ability="upscale", params={"video": one, "space": 1, "time": 2}, told="twice the frames")
    yield Try(ability="recut", params={"video": one, "reverse": True, "speed": 2.0}, told="backwards, twice as fast")
    if arguments.open:
        video, picture = (str(arguments.open / name) for name in REAL)
        yield Try(ability="animate", params={"image": picture}, told="a real picture", joins=(1,), ours=False)
        yield Try(
            ability="recut", params={"video": video, "stop": 3.0}, told="three seconds of a real video", ours=False
        )
        yield Try(ability="extend", params={"video": video, "seconds": 1.0}, told="a real video goes on", ours=False)


if __name__ == "__main__":
    main()
