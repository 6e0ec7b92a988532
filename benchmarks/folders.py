"""Anybody's clips by the same eyes: the worlds' own renders, renders damaged on purpose, and what a model makes.

    python benchmarks/folders.py [MODEL] [--short] [--count 2] [--work DIR] [--sheet out/folders.png] [-o result.md]

Each contestant is a folder of MP4s beside the manifest that `worldpatch eval export --suite physics --modes image`
writes, judged by `worldpatch eval FOLDER`. Damage is done after the frame that was given. Bars: renders get nearly all
of the skill, also in another size and rate, as a service would send them; every damage costs some, outside of the
interval of the undamaged; who sends nothing gets next to nothing.
"""

import contextlib
import io
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from _machine import Report, parser

from worldpatch.cli import main as worldpatch
from worldpatch.evals import card
from worldpatch.evals.suites._task import Choice, Task
from worldpatch.evals.suites.physics import Physics
from worldpatch.video import resize, write
from worldpatch.video.read import read
from worldpatch.video.sheet import contact_sheet

Frames = np.ndarray
WORKERS = 2
NEAR, FOREIGN, NOTHING = 0.97, 0.9, 0.05
SHOWN = ("bounce-in-00-image", "collision-in-00-image", "occlusion-in-00-image")


# -------------------------------------------------------------------------------------------------------------- damage


def _hue(frames: Frames, degrees: float) -> Frames:
    hsv = np.stack([cv2.cvtColor(f, cv2.COLOR_RGB2HSV) for f in frames])
    hsv[..., 0] = (hsv[..., 0].astype(int) + round(degrees / 2)) % 180
    return np.stack([cv2.cvtColor(f, cv2.COLOR_HSV2RGB) for f in hsv])


def _recoloured(frames: Frames) -> Frames:
    half = len(frames) // 2
    return np.concatenate([frames[:half], _hue(frames[half:], 120.0)])


def _vanished(frames: Frames) -> Frames:
    """From the middle on nothing but the background, the brightest that each pixel ever was."""
    half = len(frames) // 2
    empty = frames.max(0, keepdims=True)
    return np.concatenate([frames[:half], np.repeat(empty, len(frames) - half, 0)])


def _half_speed(frames: Frames) -> Frames:
    return frames[np.arange(len(frames)) // 2]


def _shuffled(frames: Frames) -> Frames:
    return frames[[0, *(1 + np.random.default_rng(3).permutation(len(frames) - 1))]]


DAMAGE: dict[str, Callable[[Frames], Frames]] = {
    "half the speed": _half_speed,
    "recoloured midway": _recoloured,
    "vanished midway": _vanished,
    "everything twice": lambda f: np.concatenate([f[:1], np.minimum(f, np.roll(f, f.shape[2] // 3, 2))[1:]]),
    "frames shuffled": _shuffled,
    "backwards": lambda f: np.concatenate([f[:1], f[:0:-1]]),
    "frozen": lambda f: np.repeat(f[:1], len(f), 0),
    "black": np.zeros_like,
}


# ------------------------------------------------------------------------------------------------------------- folders


def folder(asked: Path, path: Path, clips: dict[str, Frames], rate: float) -> Path:
    """A copy of what was asked, with an answer for each key."""
    shutil.copytree(asked, path)
    for key, frames in clips.items():
        write.write(path / f"{key}.mp4", frames, rate)
    return path


def _twice(frames: Frames) -> Frames:
    """128x128 at 24 frames/s, by enlarging and repeating."""
    return resize.resize(frames, 128, 128).repeat(3, 0)[:-2]


def judged(path: Path, out: Path, workers: int) -> dict[str, Any]:
    """The card that the command writes."""
    with contextlib.redirect_stdout(io.StringIO()):
        code = worldpatch(["eval", str(path), "-o", str(out), "--workers", str(workers), "-q"])
    assert code == 0, f"worldpatch eval {path} ended with {code}"
    return card.load(out)


def row(name: str, made: dict[str, Any]) -> tuple[str, ...]:
    head = made["headline"]
    low, high = head["interval"]
    notes = sum(bool(s["notes"]) for s in made["samples"])
    worst = sorted(made["groups"], key=lambda g: g["skill"])[:2]
    told = ", ".join(f"{g['name'].replace('_', ' ')} {g['skill']:.0%}" for g in worst)
    return name, f"{head['skill']:.0%}", f"{low:.0%} to {high:.0%}", f"{head['geometric']:.0%}", told, str(notes)


def run(arguments: Namespace, report: Report, work: Path) -> None:
    count, only, workers = (1, ("bounce",), 1) if report.short else (arguments.count, (), WORKERS)
    asked = work / "asked"
    flags = ["--suite", "physics", "--modes", "image", "--count", str(count), "--only", ",".join(only)]
    flags += ["--size", "64x64", "--rate", "8", "--frames", "25", "--workers", str(workers), "-q"]
    with contextlib.redirect_stdout(io.StringIO()):
        assert worldpatch(["eval", "export", *flags, "-o", str(asked)]) == 0
        command = ["eval", arguments.model, *flags, "--seeds", "1", "--clips", "-o", str(work / "model")]
        assert worldpatch(command) == 0
    tasks: list[Task] = Physics().tasks(Choice(modes=("image",), count=count, only=only), workers)
    real, rate = {t.key: Physics().real(t) for t in tasks}, tasks[0].form.rate
    folders = {
        "the worlds' own renders": folder(asked, work / "real", real, rate),
        "the same at 128x128, 24 frames/s": folder(
            asked, work / "foreign", {k: _twice(f) for k, f in real.items()}, 3 * rate
        ),
        "every other clip missing": folder(asked, work / "half", dict(list(real.items())[::2]), rate),
    }
    for i, (name, harm) in enumerate(DAMAGE.items()):
        folders[name] = folder(asked, work / f"damage-{i}", {k: harm(f) for k, f in real.items()}, rate)
    folders[f"the model {arguments.model}"] = work / "model" / "clips"
    cards = {name: judged(path, work / "cards" / str(i), workers) for i, (name, path) in enumerate(folders.items())}
    report.say(f"\n{len(tasks)} tasks of the physics suite, mode image, one clip each.")
    head = ("folder", "skill", "95%", "geometric", "worst scenarios", "clips with notes")
    report.table(head, [row(name, made) for name, made in cards.items()])
    sheet(folders, arguments.sheet)
    report.say(f"\nThe same three tasks in every folder: {arguments.sheet}")
    skill = {name: made["headline"]["skill"] for name, made in cards.items()}
    whole, foreign, missing, *_ = skill.values()
    low = cards["the worlds' own renders"]["headline"]["interval"][0]
    harmed = {name: skill[name] for name in DAMAGE}
    least = max(harmed, key=lambda name: harmed[name])
    report.bars(
        [
            ("renders", f">= {NEAR:.0%}", f"{whole:.0%}", whole >= NEAR),
            ("renders in another size and rate", f">= {FOREIGN:.0%}", f"{foreign:.0%}", foreign >= FOREIGN),
            ("every damage", f"below {low:.0%}", f"at most {harmed[least]:.0%} ({least})", harmed[least] < low),
            ("half of the clips", "between nothing and all", f"{missing:.0%}", harmed["black"] < missing < low),
            ("black clips", f"<= {NOTHING:.0%}", f"{harmed['black']:.0%}", harmed["black"] <= NOTHING),
        ]
    )


def sheet(folders: dict[str, Path], path: Path) -> None:
    """A row of clips per folder."""
    clips, captions = [], []
    for name, home in folders.items():
        keys = [k for k in SHOWN if any(home.glob(f"{k}*.mp4"))]
        for key in keys:
            clips.append(read(next(home.glob(f"{key}*.mp4")))[0])
            captions.append(f"{name}\n{key}")
    path.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(clips, captions, path, columns=len(SHOWN))


def main() -> None:
    made = parser(__doc__)
    made.add_argument("model", nargs="?", default="tabletop")
    made.add_argument("--count", type=int, default=2, help="scenes of each scenario and split")
    made.add_argument("--work", type=Path, help="keeps the folders here")
    made.add_argument("--sheet", type=Path, default=Path("out/folders.png"))
    arguments = made.parse_args()
    report = Report("Folders of anybody's clips", arguments)
    with tempfile.TemporaryDirectory() as temporary:
        run(arguments, report, arguments.work or Path(temporary))
    report.finish()


if __name__ == "__main__":
    main()
