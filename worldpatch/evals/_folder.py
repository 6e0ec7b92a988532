"""A folder of anybody's clips, scored like a model's: `export` says what to make, `read` takes what was made.

    manifest.json          the tasks: key, prompt, size, rate, frames, and the file of the frames given
    given/<key>.png|.mp4   the first frame, or the frames to continue
    <key>.mp4              what you make; <key>-0.mp4, <key>-1.mp4, ... where there are several

Clips of another size, rate or length are brought to what the suite asks, which the card notes.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from worldpatch.config import UserError
from worldpatch.evals.suites._task import Task
from worldpatch.video import read, resize, write

MANIFEST = "manifest.json"
CLIPS = (".mp4", ".webm", ".mov", ".mkv", ".avi", ".gif")
STRANGE = 20.0  # grey levels of mean difference from the frames given

Frames = UInt8[np.ndarray, "t h w 3"]


def export(folder: Path, tasks: Sequence[Task], choice: dict) -> Path:
    """Write what a suite asks of a model that is not ours: the manifest and the frames given. `choice` says how the
    suite was cut, so that scoring draws the same tasks."""
    given = folder / "given"
    given.mkdir(parents=True, exist_ok=True)
    rows = []
    for task in tasks:
        row = {"key": task.key, "prompt": task.prompt, **asdict(task.form), **task.strata}
        row.pop("given")
        if task.context is not None:
            path = given / f"{task.key}{'.png' if len(task.context) == 1 else '.mp4'}"
            write.write(path, task.context, task.form.rate)
            row |= {"given": path.relative_to(folder).as_posix(), "given_frames": len(task.context)}
        rows.append(row)
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps({**choice, "tasks": rows}, indent=1) + "\n")
    return manifest


def manifest(folder: Path) -> dict:
    """The manifest in a folder. Raises UserError where there is none, or a damaged one."""
    path = folder / MANIFEST
    if not path.exists():
        raise UserError(f"{folder} has no {MANIFEST}: write one with `worldpatch eval export`, or name the suite's cut")
    try:
        found = json.loads(path.read_text())
        return {key: found[key] for key in ("suite", "choice", "tasks")}
    except (ValueError, KeyError) as error:
        raise UserError(f"{path} is damaged ({error}): export it again") from error


def is_suites(path: Path) -> bool:
    """Whether a file is the manifest of a suite's clips."""
    try:
        return path.name == MANIFEST and "tasks" in json.loads(path.read_text())
    except ValueError:
        return False


def sort(folder: Path, tasks: Sequence[Task]) -> tuple[list[list[Path]], list[Path]]:
    """(the clips of each task, clips that belong to none), by file name."""
    number = {task.key: i for i, task in enumerate(tasks)}
    found: list[list[Path]] = [[] for _ in tasks]
    extra = []
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in CLIPS):
        match = re.fullmatch(r"(.+)-\d+", path.stem)
        key = path.stem if path.stem in number else match[1] if match else ""
        if key in number:
            found[number[key]].append(path)
        else:
            extra.append(path)
    return found, extra


def clip(path: Path, task: Task) -> tuple[Frames, list[str]]:
    """A file's frames as the task asks for them, and notes on what was done to them.

    What cannot be read is a black clip with a note, and is scored as such.
    """
    form = task.form
    try:
        frames, rate = read.read(path)
    except (UserError, OSError) as error:
        return np.zeros((form.frames, form.height, form.width, 3), np.uint8), [f"unreadable: {error}"]
    notes = []
    if frames.shape[1:3] != (form.height, form.width):
        notes.append(f"{frames.shape[2]}x{frames.shape[1]} resized to {form.width}x{form.height}")
        frames = resize.fit(frames, form.height, form.width)
    at = np.round(np.arange(form.frames) * rate / form.rate).astype(int)
    if not np.isclose(rate, form.rate):
        notes.append(f"{rate:g} frames/s read at {form.rate:g}")
    if at[-1] >= len(frames):
        notes.append(f"{len(frames) / rate:.3g} s long, its last frame held")
    frames = frames[np.minimum(at, len(frames) - 1)].copy()
    if task.context is not None:
        off = np.abs(frames[: len(task.context)].astype(int) - task.context).mean()
        if off > STRANGE:
            notes.append(f"does not begin with the frames given ({off:.0f} grey levels off)")
        frames[: len(task.context)] = task.context
    return frames, notes
