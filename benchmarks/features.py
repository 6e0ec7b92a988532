"""Do distances in the video encoder's features grow with damage, and can attributes be read from them?

    python benchmarks/features.py [--open ../shared/clips/open] [--cache out/features] [--short] [-o result.md]

Two disjoint sets of tabletop clips that no training saw: one is the reference, the other is damaged more and more
(blur, noise, share of frames out of order, share of clips whose first solid is left out of the picture: the same scene,
camera and events, photographed without it). Distances must grow with every step. The peer reads pixels: 8x8 of every
sixth frame, on the principal axes of all sets of this run together. Then attributes, read by the linear heads of
training, from clips as rendered and as the shipped autoencoder decodes them; and the same damage done to real videos.
"""

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from _machine import Report, parser
from torch import Generator, Tensor

from worldpatch.config import UserError
from worldpatch.data import bank, damage, render
from worldpatch.embed import _shipped
from worldpatch.evals._features import features
from worldpatch.evals.metrics import frechet, kernel
from worldpatch.evals.metrics._distances import frechet as frechet_distance
from worldpatch.evals.metrics._distances import polynomial_mmd
from worldpatch.generate import find
from worldpatch.generate.pipeline import load_vae
from worldpatch.train.stages import embed as stage
from worldpatch.train.stages._attributes import ATTRIBUTES, UNASKED, labels
from worldpatch.types import Clip
from worldpatch.vae._pixels import to_tensor, to_uint8
from worldpatch.video.read import probe, read
from worldpatch.worlds._tabletop.stage import Stage

FIRST = 30_000_000  # index of the clips, which no other set of the project contains
LEVELS = {1: 0.15, 2: 0.3, 3: 0.2, 4: 0.35}  # about as in training
STEPS = {
    "blur, pixels": (0.4, 0.8, 1.2, 1.6, 2.0),
    "noise, of a range of 2": (0.03, 0.06, 0.12, 0.2, 0.3),
    "frames out of order, share": (0.2, 0.4, 0.6, 0.8, 1.0),
    "clips without a solid, share": (0.2, 0.4, 0.6, 0.8, 1.0),
}
REMOVAL = list(STEPS)[-1]
Harm = Callable[[Tensor, float, Generator], Tensor]
HARMS: dict[str, Harm] = dict(zip(STEPS, (
    lambda clip, amount, _: damage.blur(clip, amount),
    damage.noise,
    lambda clip, amount, generator: clip[:, damage.shuffled(clip.shape[1], amount, generator)],
), strict=False))  # fmt: skip


# --------------------------------------------------------------------------------------------------------------- clips


def clips(cache: Path, count: int) -> list[Clip]:
    """Clips of all levels, mixed."""
    made = []
    for level, share in LEVELS.items():
        indices = range(FIRST, FIRST + round(share * count))
        found = bank.load(cache / f"level{level}-{len(indices)}", "tabletop", {"level": level}, 0, indices, workers=0)
        made += [found.clip(k) for k in range(len(found))]
    return [made[i] for i in np.random.default_rng(0).permutation(len(made))]


@contextlib.contextmanager
def unseen(objects: tuple[int, ...]) -> Iterator[None]:
    """Meanwhile these objects of every scene are there, and do what they do, but are not photographed."""
    posed = Stage.pose

    def pose(self: Stage, qpos: np.ndarray, time: float) -> None:
        posed(self, qpos, time)
        self.model.geom_rgba[self._geom[np.isin(self._owner, objects)], 3] = 0.0

    with mock.patch.object(Stage, "pose", pose):
        yield


def without_first(clip: Clip) -> np.ndarray:
    """The frames of the same scene without its first solid."""
    assert clip.truth is not None and clip.seed is not None
    with unseen((0,)):
        options = {"level": clip.truth.scene["level"], "masks": False}
        return next(render.clips("tabletop", options, 0, [clip.seed], workers=0)).frames


def harmed(name: str, frames: Sequence[np.ndarray], amount: float) -> list[np.ndarray]:
    """The clips with this much of a damage, each by its own draw, the same at every amount."""
    return [to_uint8(HARMS[name](to_tensor(f), amount, Generator().manual_seed(i))) for i, f in enumerate(frames)]


# ------------------------------------------------------------------------------------------------------------ distances


def pixels(frames: Sequence[np.ndarray]) -> np.ndarray:
    """The peer's features: 8x8 averages of every sixth frame."""
    small = [f[::6].reshape(-1, 8, f.shape[1] // 8, 8, f.shape[2] // 8, 3).mean((2, 4)).ravel() / 255 for f in frames]
    return np.stack(small)


def whitened(sets: list[np.ndarray], axes: int) -> list[np.ndarray]:
    """All sets on their common principal axes, of unit variance."""
    everything = np.concatenate(sets)
    mean = everything.mean(0)
    _, singular, basis = np.linalg.svd(everything - mean, full_matrices=False)
    scale = singular[:axes] / np.sqrt(len(everything))
    return [(x - mean) @ basis[:axes].T / scale for x in sets]


def growth(report: Report, rendered: list[Clip]) -> None:
    """The table of distances, and whether each column grows within each damage."""
    half = len(rendered) // 2
    reference, clean = [c.frames for c in rendered[:half]], [c.frames for c in rendered[half:]]
    emptied = [without_first(c) for c in rendered[half:]]
    rows, sets = [("none", 0.0)], [reference, clean]
    for name, amounts in STEPS.items():
        for amount in amounts:
            rows.append((name, amount))
            sets.append(
                emptied[: round(amount * half)] + clean[round(amount * half) :]
                if name == REMOVAL
                else harmed(name, clean, amount)
            )
    ours = [features(s) for s in sets]
    peer = whitened([pixels(s) for s in sets], frechet.AXES)
    columns = {
        "Frechet": [frechet_distance(x[:, : frechet.AXES], ours[0][:, : frechet.AXES]) for x in ours[1:]],
        "kernel": [polynomial_mmd(x, ours[0]) for x in ours[1:]],
        "Frechet, pixels": [frechet_distance(x, peer[0]) for x in peer[1:]],
        "kernel, pixels": [polynomial_mmd(x, peer[0]) for x in peer[1:]],
    }
    report.say(f"\nDistances of {half} damaged clips from {half} others; 64x64, 25 frames, levels 1 to 4:")
    report.table(
        ("damage", "amount", *columns),
        [(*row, *(f"{values[i]:.3f}" for values in columns.values())) for i, row in enumerate(rows)],
    )
    report.bars([
        (f"{column} grows with {name.split(',')[0]}", "at every step", *verdict(rows, values, name))
        for column, values in columns.items() if "pixels" not in column for name in STEPS
    ])  # fmt: skip
    report.say("\nThe peer, pixels, is not judged:")
    report.table(
        ("distance", *(name.split(",")[0] for name in STEPS)),
        [(c, *(verdict(rows, v, name)[0] for name in STEPS)) for c, v in columns.items() if "pixels" in c],
    )


def verdict(rows: list[tuple[str, float]], values: list[float], name: str) -> tuple[str, bool]:
    """How many of the steps of a damage grow, from none on; and whether all do."""
    course = [values[0], *(v for row, v in zip(rows, values, strict=True) if row[0] == name)]
    grown = sum(b > a for a, b in itertools.pairwise(course))
    return f"{grown} of {len(course) - 1}", grown == len(course) - 1


def few_clips(report: Report, rendered: list[Clip]) -> None:
    """What distances make of few clips: two draws of so many from one distribution, mean and spread of 20 draws."""
    found, rng, rows = features([c.frames for c in rendered]), np.random.default_rng(0), []
    for count in (8, 16, 32, 64, 128, 192):
        if 2 * count > len(found):
            break
        order = [rng.permutation(len(found)) for _ in range(20)]
        pairs = [(found[o[:count]], found[o[count : 2 * count]]) for o in order]
        ours = [frechet_distance(a[:, : frechet.AXES], b[:, : frechet.AXES]) for a, b in pairs]
        kernels = [polynomial_mmd(a, b) for a, b in pairs]
        told = [", refused" * (count < metric.LEAST) for metric in (frechet, kernel)]
        cells = [f"{np.mean(v):.3f} ± {np.std(v):.3f}{t}" for v, t in zip((ours, kernels), told, strict=True)]
        rows.append((count, *cells))
    report.say(f"\nTwo draws of so many clips from one distribution, 20 times; Frechet on {frechet.AXES} axes:")
    report.table(("clips in each", "Frechet", "kernel"), rows)


# ----------------------------------------------------------------------------------------------------------- attributes


@torch.no_grad()
def decoded(clip: Clip, vae: Any) -> Clip:
    """The clip after the shipped autoencoder."""
    return replace(clip, frames=to_uint8(vae.decode(vae.encode(to_tensor(clip.frames)[None]))[0]))


def usual(rendered: list[Clip], name: str) -> float:
    """Share of clips right if the most frequent answer were always given."""
    answers = [tuple(labels(clip, whole=True)[name]) for clip in rendered]
    asked = [a for a in answers if any(x != UNASKED for x in a)]
    return Counter(asked).most_common(1)[0][1] / len(asked)


def attributes(report: Report, rendered: list[Clip], vae: Any) -> None:
    network, redone = stage.load(_shipped.find()), [decoded(clip, vae) for clip in rendered]
    real, made = (stage.accuracy(network, clips) for clips in (rendered, redone))
    report.say(f"\n{len(rendered)} clips of 25 frames: share of which all that an attribute asks is answered rightly.")
    report.table(
        ("attribute", "questions", "answers each", "as rendered", "decoded", "the usual answer"),
        [
            (name, len(ATTRIBUTES[name].questions), len(ATTRIBUTES[name].classes), f"{value:.0%}", f"{made[name]:.0%}",
             f"{usual(rendered, name):.0%}")
            for name, value in real.items()
        ],
    )  # fmt: skip
    half = len(rendered) // 2
    values = [features([c.frames for c in part]) for part in (rendered[:half], rendered[half:], redone[half:])]
    near, far = (frechet_distance(v[:, : frechet.AXES], values[0][:, : frechet.AXES]) for v in values[1:])
    kernels = [polynomial_mmd(v, values[0]) for v in values[1:]]
    report.say(
        f"\nDistances of {half} clips from {half} others, as rendered and decoded: Frechet {near:.3f} and {far:.3f}, "
        f"kernel {kernels[0]:.3f} and {kernels[1]:.3f}."
    )


# ---------------------------------------------------------------------------------------------------------- real videos


def real_clips(folder: Path, most: int) -> list[np.ndarray]:
    """The first 17 frames of every file that has them, at most 128 pixels wide or high."""
    found = []
    for path in sorted(folder.iterdir()):
        try:
            info = probe(path)
            scale = min(1.0, 128 / max(info.height, info.width))
            frames = read(path, frames=17, height=round(info.height * scale), width=round(info.width * scale))[0]
        except UserError:
            continue  # the broken ones; what is said of each is tested in tests/video
        if len(frames) == 17 and len(found) < most:
            found.append(frames)
    return found


def displacement(report: Report, sets: dict[str, list[np.ndarray]]) -> None:
    """Whether a single clip's features move further with every step of damage."""
    rows = []
    for name in HARMS:
        cells = []
        for frames in sets.values():
            clean, steps = features(frames), [features(harmed(name, frames, amount)) for amount in STEPS[name]]
            far = np.stack([np.linalg.norm(step - clean, axis=1) for step in steps])
            cells.append(f"{(np.diff(far, axis=0) > 0).mean():.0%}")
        rows.append((name.split(",")[0], *cells))
    report.say(
        "\nOne clip at a time, share of steps of damage with which its features move further from where they were:"
    )
    report.table(("damage", *(f"{len(frames)} {name}" for name, frames in sets.items())), rows)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--open", type=Path, default=Path("../shared/clips/open"), help="folder of real videos")
    made.add_argument("--cache", type=Path, default=Path("out/features"), help="where rendered clips are kept")
    made.add_argument("--count", type=int, default=320, help="clips, half of them the reference")
    arguments = made.parse_args()
    report = Report("Features of the video encoder", arguments)
    rendered = clips(arguments.cache, 20 if arguments.short else arguments.count)
    growth(report, rendered)
    few_clips(report, rendered)
    attributes(report, rendered[: 8 if arguments.short else 160], load_vae(find("tabletop")))
    sets = {"tabletop clips": [c.frames for c in rendered[: 4 if arguments.short else 60]]}
    if arguments.open.is_dir():
        sets["real videos"] = real_clips(arguments.open, 4 if arguments.short else 1000)
    displacement(report, sets)
    report.finish()


if __name__ == "__main__":
    main()
