"""Does training at native size pay? The same network on the same clips of many shapes, prepared in three ways.

    python benchmarks/native_size.py out/native_size -o benchmarks/native_size.md [--short]

  native   clips of aspects 1:2 to 2:1, one frame to 25, 6 to 12 per second, packed as they are
  square   the middle of each clip, cut to a square and scaled to 64x64, as image models are often trained
  bucket   native clips, batched with those of like shape and padded to the largest of their bucket

Equal FLOPs, network, optimiser, seed, clips and captions. Padding is masked, so that it changes nothing but the cost:
it is charged, not computed. Solids stand off the centre: each clip is a window of a larger render that holds all of the
solid's way where one can, put at random among those that do, as one would film it.

Measured: loss on held-out clips at their native shapes; how often the solid is cut by the frame or missing, by masks in
the training clips and by detectors in generated ones; tokens spent on padding. The folder keeps everything: a run that
was stopped goes on. `--clips`, `--flops`, `--depth`, `--width` and `--device` make it larger.
"""

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from _machine import Report, parser
from safetensors.torch import load_file

from worldpatch import config
from worldpatch.data import render, shards
from worldpatch.data.build import encode
from worldpatch.data.loader import Item
from worldpatch.evals import detect
from worldpatch.flow.guidance import Guidance
from worldpatch.generate import find
from worldpatch.generate.pipeline import Pipeline, load_vae
from worldpatch.train.loop import Run, train
from worldpatch.train.optim import Optim
from worldpatch.train.stages import dit
from worldpatch.types import Clip, Plan, Segment
from worldpatch.vae._pixels import to_uint8
from worldpatch.video import resize
from worldpatch.video.sheet import contact_sheet

ARMS = ("native", "square", "bucket")
SHAPES = ((48, 96), (48, 80), (64, 80), (64, 64), (80, 64), (80, 48), (96, 48))  # height, width; all of a like area
GROUPS = {"2:1": SHAPES[:1], "5:3": SHAPES[1:2], "5:4": SHAPES[2:3], "1:1": SHAPES[3:4],
          "4:5": SHAPES[4:5], "3:5": SHAPES[5:6], "1:2": SHAPES[6:]}  # fmt: skip
FRAMES, RATES, IMAGES = (9, 13, 17, 21, 25), (6.0, 8.0, 12.0), 0.1
LARGER = 1.5  # the render's sides over the window's
SQUARE = 64
PER_SHARD = 25


# -------------------------------------------------------------------------------------------------------------- clips


def grid_of(item: Item) -> tuple[int, int, int]:
    _, t, h, w = item.latent.shape
    return t, h, w


def shape_of(seed: int, index: int) -> dict[str, Any]:
    """The window's size, the rate and the number of frames of a clip."""
    rng = np.random.default_rng([seed, index])
    height, width = SHAPES[rng.integers(len(SHAPES))]
    frames = 1 if rng.random() < IMAGES else int(rng.choice(FRAMES))
    return {"height": height, "width": width, "rate": float(rng.choice(RATES)), "frames": frames}


def film(job: tuple[int, int]) -> tuple[Clip, dict[str, float]]:
    """A clip, cut out of a larger render, and the share of its solid that is lost in it and in its middle square."""
    from worldpatch.worlds import tabletop

    seed, index = job
    form = shape_of(seed, index)
    height, width = form["height"], form["width"]
    sides = {"height": round(LARGER * height), "width": round(LARGER * width)}
    whole = tabletop.clip(tabletop.Config(level=1, supersample=1, **{**form, **sides}), seed, index)
    assert whole.truth is not None and whole.truth.masks is not None
    mask = whole.truth.masks > 0
    top, left = window(mask, height, width, np.random.default_rng([seed, index, 1]))
    cut = (slice(None), slice(top, top + height), slice(left, left + width))
    inside = mask[cut]
    side = min(height, width)
    down, right = (height - side) // 2, (width - side) // 2
    middle = inside[:, down : down + side, right : right + side]
    lost = {"native": 1 - inside.sum() / mask.sum(), "square": 1 - middle.sum() / mask.sum()}
    clip = replace(whole, frames=np.ascontiguousarray(whole.frames[cut]), camera=None, truth=None)
    return clip, {name: float(share) for name, share in lost.items()}


def window(mask: np.ndarray, height: int, width: int, rng: np.random.Generator) -> tuple[int, int]:
    """(top, left) of a window that holds as much of the mask as one can, drawn among those that do."""
    total = np.zeros(np.add(mask.shape[1:], 1), np.int64)
    total[1:, 1:] = mask.sum(0).cumsum(0).cumsum(1)
    inside = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    best = np.argwhere(inside == inside.max())
    top, left = best[rng.integers(len(best))]
    return int(top), int(left)


def squared(clip: Clip) -> Clip:
    return replace(clip, frames=resize.fit(clip.frames, SQUARE, SQUARE, "crop"))


def build(folder: Path, name: str, seed: int, count: int, vae: Any, device: str, workers: int) -> None:
    """Encodes the clips as they are, and cut to squares, to folder/<name>-native and -square; goes on where it was."""
    native, square = folder / f"{name}-native", folder / f"{name}-square"
    lines = folder / f"{name}.jsonl"
    done = min(PER_SHARD * len(list(f.glob("shard-*.tar"))) for f in (native, square))
    if done >= count:
        return
    folder.mkdir(parents=True, exist_ok=True)
    kept = lines.read_text().splitlines()[:done] if lines.exists() else []
    writers = shards.Writer(native, PER_SHARD), shards.Writer(square, PER_SHARD)
    rng = np.random.default_rng(0)  # draws nothing: no keyframes
    jobs = ((seed, index) for index in range(done, count))
    for index, (clip, lost) in enumerate(render.each(film, jobs, workers), start=done):
        for writer, form in zip(writers, (clip, squared(clip)), strict=True):
            writer.write(f"{name}-{index:06d}", shards.members(form, encode(vae, form, 0, rng, device)))
        kept.append(json.dumps({"index": index, **lost}))
        if (index + 1) % PER_SHARD == 0 or index + 1 == count:
            for writer in writers:
                writer.flush()
            lines.write_text("\n".join(kept) + "\n")
            print(f"{name}: {index + 1}/{count} clips", flush=True)


# ------------------------------------------------------------------------------------------------------------ buckets


def bucket_of(grid: tuple[int, int, int]) -> tuple[int, int, int]:
    """The latent grid that a clip is padded to: wide, square or tall, an image, short or long."""
    t, h, w = grid
    sides = {-1: (6, 12), 0: (10, 10), 1: (12, 6)}[0 if max(h, w) / min(h, w) < 1.3 else int(np.sign(h - w))]
    return next(most for most in (1, 4, 7) if t <= most), *sides


class Bucketed(dit.Task):
    """Batches of one bucket each; what a step costs is that of the padded batch."""

    def _items(self, step: int) -> list[Item]:
        buckets = self._buckets()
        size = {b: math.prod(b) // math.prod(self.patch) for b in buckets}
        # A bucket's turn comes as often as its clips need, so that every clip is seen as often as every other.
        weights = np.array([len(clips) * size[b] for b, clips in buckets.items()], float)
        rng = np.random.default_rng([self.seed, step])
        bucket = list(buckets)[rng.choice(len(buckets), p=weights / weights.sum())]
        clips, count = buckets[bucket], max(1, self.options.budget // size[bucket])
        return [clips[i] for i in rng.choice(len(clips), count, replace=count > len(clips))]

    @cache  # noqa: B019
    def _buckets(self) -> dict[tuple[int, int, int], list[Item]]:
        found: dict[tuple[int, int, int], list[Item]] = {}
        for item in self.data:
            found.setdefault(bucket_of(grid_of(item)), []).append(item)
        return found

    def size(self, batch: tuple) -> tuple[int, int, int]:
        packed, _, captions = batch
        segments, at = [], 0
        for s in packed.segments:
            grid = bucket_of((s.grid[0], 2 * s.grid[1], 2 * s.grid[2]))
            tokens = grid[0] * grid[1] * grid[2] // 4
            segments.append(Segment(sample=s.sample, start=at, stop=at + tokens, grid=s.grid, rate=s.rate, kind=s.kind))
            at += tokens
        longest = max(self.network.text.lengths(captions))
        lengths, times = [longest] * len(captions), len(torch.unique(packed.time))
        flops = self.network.dit.flops(tuple(segments), lengths, times=times, training=True)
        return len(captions), len(packed.tokens), flops


# ------------------------------------------------------------------------------------------------------------ training


def options(arguments: argparse.Namespace, arm: str) -> dict[str, Any]:
    folder = arguments.folder
    return {
        "data": [str(folder / f"train-{'square' if arm == 'square' else 'native'}")],
        "validation": str(folder / "test-native"), "vae": str(find("tabletop")),
        "model": {"depth": arguments.depth, "width": arguments.width}, "text": {"depth": 1, "width": 96},
        "budget": arguments.tokens, "whole": 1.0, "keep_camera": 0.0, "images": 0.0, "continuations": 0.0,
        "sheet_level": 0, "validation_clips": arguments.test,
    }  # fmt: skip


def trained(arguments: argparse.Namespace, arm: str, seed: int) -> tuple[dit.Task, dict[str, Any]]:
    """The task of an arm with its network trained, and the figures of its run."""
    folder = arguments.folder / f"{arm}-{seed}"
    values = options(arguments, arm)
    kind = Bucketed if arm == "bucket" else dit.Task
    torch.manual_seed(seed)
    task = kind(config.build(dit.Config, values), seed, arguments.device)
    cost = np.array([task.size(task.batch(step)) for step in range(30)], float)
    steps = max(1, round(arguments.flops / cost[:, 2].mean()))
    optim = Optim(rate=arguments.rate, warmup=max(1, steps // 20), decay=0.3, ema=0.99)
    run = Run(stage="dit", steps=steps, options=values, optim=optim, seed=seed, validate_every=10**9,
              sheet_minutes=1e9, save_minutes=2.0, precision=arguments.precision)  # fmt: skip
    export = folder / "export"
    if not (export / "model.json").exists():
        print(f"{arm}, seed {seed}: {steps} steps", flush=True)
        train(run, folder, device=arguments.device, instead=cast(Any, task))
    task.model.load_state_dict({k: v.float() for k, v in load_file(export / "model.safetensors").items()})
    task.model.to(arguments.device).eval()
    state = json.loads((export / "model.json").read_text())["training"]
    tokens = cost[:, 1].mean() * steps
    return task, {"steps": steps, "flops": state["flops"], "seconds": state["seconds"], "tokens": tokens}


def fill(task: dit.Task, arm: str) -> float:
    """Share of the tokens paid for that are clip, over all clips."""
    if arm != "bucket":
        return 1.0
    grids = [grid_of(item) for item in task.data]
    return sum(map(math.prod, grids)) / sum(math.prod(bucket_of(grid)) for grid in grids)


# ------------------------------------------------------------------------------------------------------------- judging


@torch.no_grad()
def losses(task: dit.Task) -> dict[str, float]:
    """Flow-matching loss on the held-out clips of each shape, the mean of ten bins of noise time."""
    found = {}
    for name, shapes in GROUPS.items():
        grids = [(h // 8, w // 8) for h, w in shapes]
        clips = [item for item in task.validation if tuple(item.latent.shape[2:]) in grids]
        found[name] = float(np.mean(task._bins(task.model, clips)))
    return found


@torch.no_grad()
def drawn(task: dit.Task, vae: Any, items: Sequence[Item], grids: Sequence[tuple[int, int, int]]) -> list[np.ndarray]:
    """Clips of the items' captions on these latent grids."""
    pipeline = Pipeline(vae=vae, network=task.model, spec=task.spec, patch=task.patch, device=task.device)
    frames: list[np.ndarray] = []
    for first in range(0, len(items), 16):
        some = range(first, min(first + 16, len(items)))
        plans = [Plan(start=torch.ones(grids[i]), rate=items[i].rate, prompt=items[i].captions["terse"]) for i in some]
        latents = pipeline.latents(plans, [(7, i) for i in some], steps=20, guidance=Guidance(scale=2.0))
        frames += [f.numpy() for f in pipeline.decode(plans, latents)]
    return frames


def framing(clips: Sequence[np.ndarray]) -> tuple[float, float]:
    """(share of frames in which the largest solid is cut by the edge, share in which no solid is seen)."""
    cut, missing, count = 0, 0, 0
    for frames in clips:
        seen = detect.detect(frames)
        for blobs in seen.blobs:
            largest = max(blobs, key=lambda blob: blob.area, default=None)
            missing += largest is None
            cut += largest is not None and largest.touches_border()
            count += 1
    return cut / count, missing / count


def moving(items: Sequence[Item], most: int) -> list[Item]:
    return [item for item in items if item.latent.shape[1] > 1][:most]


def real_frames(arguments: argparse.Namespace, vae: Any, items: Sequence[Item]) -> list[np.ndarray]:
    """The held-out clips, decoded from their latents."""
    with torch.no_grad():
        videos = [vae.decode(item.latent.float()[None].to(arguments.device))[0] for item in items]
    return [to_uint8(v) for v in videos]


def judge(arguments: argparse.Namespace, arm: str, seed: int, vae: Any) -> dict[str, Any]:
    """All figures of an arm and a seed, kept in a file."""
    path = arguments.folder / f"{arm}-{seed}.json"
    if path.exists():
        return json.loads(path.read_text())
    task, figures = trained(arguments, arm, seed)
    items = moving(task.validation, arguments.drawn)
    own = [grid_of(item) for item in items]
    square = [(t, SQUARE // 8, SQUARE // 8) for t, _, _ in own]
    at_own, at_square = drawn(task, vae, items, own), drawn(task, vae, items, square)
    figures |= {
        "loss": losses(task), "fill": fill(task, arm), "own": framing(at_own), "square": framing(at_square),
    }  # fmt: skip
    if seed == 0:
        np.savez_compressed(arguments.folder / f"{arm}-drawn.npz", *at_own[:6], *at_square[:2])
    path.write_text(json.dumps(figures, indent=1))
    return figures


# -------------------------------------------------------------------------------------------------------------- report


def tell(report: Report, arguments: argparse.Namespace, found: dict[tuple[str, int], dict], real: dict) -> None:
    seeds = sorted({seed for _, seed in found})

    def spread(arm: str, read: Any, form: str = "{:.4f}") -> str:
        return " / ".join(form.format(read(found[arm, seed])) for seed in seeds if (arm, seed) in found)

    report.say(
        f"\n{arguments.clips} clips of level 1 in {len(SHAPES)} shapes, {arguments.test} held out; network of depth "
        f"{arguments.depth} and width {arguments.width}; {arguments.flops:.3g} FLOPs each, {arguments.tokens} tokens a "
        f"step; seeds {', '.join(map(str, seeds))}, one figure each."
    )
    report.say("\n## What the same compute bought")
    report.table(
        ("", *ARMS),
        [
            ("FLOPs", *(spread(a, lambda f: f["flops"], "{:.3g}") for a in ARMS)),
            ("steps", *(spread(a, lambda f: f["steps"], "{}") for a in ARMS)),
            ("tokens of clips seen", *(spread(a, lambda f: f["tokens"] / 1e6, "{:.2f}M") for a in ARMS)),
            ("tokens wasted on padding", *(spread(a, lambda f: 1 - f["fill"], "{:.1%}") for a in ARMS)),
        ],
    )
    report.say("\n## Loss on held-out clips at native shape\n\nThe square arm has seen no other shape than 1:1.")
    rows = [(name, *(spread(a, lambda f: f["loss"][name]) for a in ARMS)) for name in GROUPS]  # noqa: B023
    mean = [("mean", *(spread(a, lambda f: float(np.mean(list(f["loss"].values())))) for a in ARMS))]
    report.table(("width:height", *ARMS), rows + mean)
    report.say("\n## Framing\n\nShare of the solid's pixels that the training clips lose, by masks:")
    lost = [(name, f"{lost['native']:.1%}", f"{lost['square']:.1%}") for name, lost in real["lost"].items()]
    report.table(("width:height", "native and bucket", "square"), lost)
    report.say(
        "\nGenerated clips of held-out captions: share of frames with the largest solid cut by the edge; with none."
    )
    rows = [
        (f"{where}, {what}", f"{real[key][i]:.1%}", *(spread(a, lambda f: f[key][i], "{:.1%}") for a in ARMS))  # noqa: B023
        for key, where in (("own", "native shapes"), ("square", "64x64"))
        for i, what in enumerate(("cut by the edge", "no solid"))
    ]
    report.table(("", "real clips", *ARMS), rows)
    verdict(report, found)


def verdict(report: Report, found: dict[tuple[str, int], dict]) -> None:
    """Where native is better in every seed that all arms have."""
    seeds = [s for s in range(1 + max(seed for _, seed in found)) if all((arm, s) in found for arm in ARMS)]

    def row(claim: str, other: str, read: Any, form: str) -> tuple[str, str, str, bool]:
        pairs = [(read(found["native", s]), read(found[other, s])) for s in seeds]
        text = "; ".join(f"{form.format(a)} against {form.format(b)}" for a, b in pairs)
        return f"native {claim} than {other}", "every seed", text, all(a < b for a, b in pairs)

    report.bars(
        [
            *(row("loses less (mean)", a, lambda f: np.mean(list(f["loss"].values())), "{:.3f}") for a in ARMS[1:]),
            row("loses less at 1:1", "square", lambda f: f["loss"]["1:1"], "{:.3f}"),
            *(row("cuts fewer, at native shapes,", a, lambda f: f["own"][0], "{:.0%}") for a in ARMS[1:]),
            *(row("cuts fewer, at 64x64,", a, lambda f: f["square"][0], "{:.0%}") for a in ARMS[1:]),
        ]
    )  # fmt: skip


def draw(arguments: argparse.Namespace, path: Path) -> None:
    """The same captions drawn by each arm, six at native shape and two at 64x64."""
    task_items = moving(list(dit.LatentSet([arguments.folder / "test-native"])), 6)
    clips, captions = [], []
    for arm in ARMS:
        with np.load(arguments.folder / f"{arm}-drawn.npz") as arrays:
            for i, name in enumerate(arrays.files):
                clips.append(arrays[name])
                captions.append(f"{arm}: {task_items[i % 6].captions['terse']}")
    contact_sheet(clips, captions, path, columns=len(clips) // len(ARMS), frames_per_clip=3, scale=1)


def measured(arguments: argparse.Namespace, vae: Any) -> dict[str, Any]:
    """What the clips themselves lose, and what detectors make of real ones."""
    path = arguments.folder / "real.json"
    if path.exists():
        return json.loads(path.read_text())
    lines = [json.loads(line) for line in (arguments.folder / "train.jsonl").read_text().splitlines()]
    lost: dict[str, dict[str, float]] = {}
    for name, shapes in GROUPS.items():
        of = [x for x in lines if (s := shape_of(1, x["index"]))["frames"] > 1 and (s["height"], s["width"]) in shapes]
        lost[name] = {way: float(np.mean([x[way] for x in of])) for way in ("native", "square")}
    found: dict[str, Any] = {"lost": lost}
    for key in ("own", "square"):
        folder = arguments.folder / f"test-{'native' if key == 'own' else 'square'}"
        items = moving(list(dit.LatentSet([folder]))[: arguments.test], arguments.drawn)
        found[key] = framing(real_frames(arguments, vae, items))
    path.write_text(json.dumps(found, indent=1))
    return found


def arms(arguments: argparse.Namespace) -> Iterator[tuple[str, int]]:
    yield from ((arm, seed) for seed in range(arguments.seeds) for arm in ARMS)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("folder", type=Path)
    for name, value in (("clips", 700), ("test", 75), ("seeds", 2), ("depth", 3), ("width", 128), ("tokens", 1280),
                        ("drawn", 48), ("workers", 1)):  # fmt: skip
        made.add_argument(f"--{name}", type=int, default=value)
    made.add_argument("--flops", type=float, default=3e12, help="of each training")
    made.add_argument("--rate", type=float, default=3e-3)
    made.add_argument("--precision", default="auto")
    made.add_argument("--device", default="cpu")
    made.add_argument("--only", choices=("data", *ARMS, "report"), help="this part; report: of what is finished")
    arguments = made.parse_args()
    if arguments.short:
        vars(arguments).update(clips=50, test=50, seeds=1, depth=2, width=64, flops=2e9, drawn=4)
    vae = load_vae(find("tabletop")).to(arguments.device)
    for name, seed, count in (("train", 1, arguments.clips), ("test", 2, arguments.test)):
        build(arguments.folder, name, seed, count, vae, arguments.device, arguments.workers)
    found = {}
    for arm, seed in arms(arguments):
        finished = arguments.only == "report" and (arguments.folder / f"{arm}-{seed}.json").exists()
        if finished or arguments.only in (None, arm):
            found[arm, seed] = judge(arguments, arm, seed, vae)
    if arguments.only not in (None, "report"):
        return
    report = Report("Training at native size, in squares, in buckets", arguments)
    tell(report, arguments, found, measured(arguments, vae))
    if arguments.output:
        draw(arguments, arguments.output.with_suffix(".png"))
        report.say(f"\n![The same captions by each arm]({arguments.output.with_suffix('.png').name})")
    report.finish()


if __name__ == "__main__":
    main()
