"""Does the loader keep up? Random clips per second from shards, how full batches are, how long a training step waits.

    python benchmarks/loader.py [--source VIDEO] [--short] [-o result.md]

Clips: 16 frames at random places of 456x256 H.264 videos as `data build` encodes them, on two threads, against PyAV on
the same videos as loose files (its default colours, a grey level too dark), PyAV on loose files that were not encoded
for random access (a keyframe every 250 frames), and the webdataset library, which streams (each video it passes gives
one random clip). The contestants take turns. Other work on the machine slows all of them; the time on the processor,
which it does not touch, is given beside the wall clock.

Waiting: a stage `dit` is trained on mixed shapes with every latent read from disk (nothing kept in memory); the loop
says how long each step waited for its batch.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from _machine import MEGA, Report, parser

from worldpatch import config
from worldpatch.data import _order, loader, manifest, pixels, shards
from worldpatch.train import loop
from worldpatch.train.stages import dit
from worldpatch.vae import causal
from worldpatch.video import write

BAR, FILL_BAR, WAIT_BAR = 60.0, 0.95, 0.01
FRAMES, RATE, SIZE, THREADS = 16, 24, (256, 456), 2
BUDGET, PATCH = 5376, (1, 2, 2)

MIXES: dict[str, list[int]] = {
    "one size": [448],
    "images and videos": [16, 64, 448, 1024],
    "native shapes, 1 to 65 frames": [t * h * w for t in (1, 3, 5, 9, 17) for h, w in ((8, 8), (6, 10), (10, 6))],
    "anything up to three quarters of the budget": list(range(100, 4000)),
    "clips of 56% and 39% of the budget, and images": [3000, 2100, 64, 36],
}


# --------------------------------------------------------------------------------------------------------- random clips


def films(folder: Path, source: str, count: int, seconds: int) -> None:
    """A set of videos from the frames of `source`; the same as loose files, with keyframes near and far apart."""
    writer = shards.Writer(folder, 20)
    frames = _frames(source)
    for number in range(count):
        chunk = [next(frames) for _ in range(seconds * RATE)]
        for spacing in (12, 250):
            write.encode(folder / f"gop{spacing}-{number}.mp4", chunk, SIZE, RATE, gop=spacing)
        size = {"height": SIZE[0], "width": SIZE[1], "frames": len(chunk), "rate": float(RATE), "captions": {}}
        content = (folder / f"gop12-{number}.mp4").read_bytes()
        writer.write(f"film-{number:04d}", {"json": json.dumps(size).encode(), "mp4": content})
        writer.rest()
    writer.flush()
    manifest.write(folder)


def _frames(source: str) -> Iterator[av.VideoFrame]:
    """Its frames, scaled, again and again."""
    while True:
        with av.open(source, "r", format="lavfi" if source.startswith("mandelbrot") else None) as container:
            container.streams.video[0].thread_type = "AUTO"
            for frame in container.decode(video=0):
                yield frame.reformat(width=SIZE[1], height=SIZE[0], format="yuv420p")


def loose(folder: Path, spacing: int, count: int, length: int) -> Callable[[int], object]:
    """PyAV on whole files: open, seek, decode."""

    def clip(number: int) -> object:
        rng = np.random.default_rng(number)
        start = int(rng.integers(length - FRAMES + 1))
        with av.open(str(folder / f"gop{spacing}-{rng.integers(count)}.mp4")) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            assert stream.time_base
            first = round(Fraction(start, RATE) / stream.time_base)
            container.seek(first, stream=stream)
            frames = (f.to_ndarray(format="rgb24") for f in container.decode(stream) if (f.pts or 0) >= first)
            return np.stack([next(frames) for _ in range(FRAMES)])

    return clip


def streamed(folder: Path, length: int) -> Callable[[int], object]:
    """The webdataset library over the same shards: the next video, and a random clip of it."""
    from webdataset.compat import WebDataset

    names = [str(path) for path in shards.names(folder)]
    samples = iter(WebDataset(names, shardshuffle=False).repeat())

    def clip(number: int) -> object:
        start = int(np.random.default_rng(number).integers(length - FRAMES + 1))
        return pixels.decode(next(samples)["mp4"], start, FRAMES)

    return clip


def race(makers: dict[str, Callable[[int], object]], rounds: int, clips: int) -> dict[str, tuple[float, float]]:
    """Clips per second of wall time and per second of processor time, the median over rounds, taken in turn."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in makers}
    for turn in range(rounds + 1):
        for name, make in makers.items():
            numbers = range(turn * clips, (turn + 1) * clips)
            threads = 1 if name.startswith("webdataset") else THREADS  # an iterator serves one at a time
            begun, worked = time.perf_counter(), time.process_time()
            for _ in loader.ahead(make, numbers, workers=threads):
                pass
            spent = time.perf_counter() - begun, time.process_time() - worked
            if turn:  # the first fills the disk cache
                found[name].append((clips / spent[0], clips / spent[1]))
    return {
        name: (float(np.median([v[0] for v in f])), float(np.median([v[1] for v in f]))) for name, f in found.items()
    }


def random_clips(report: Report, arguments: argparse.Namespace) -> tuple[str, str, str, bool]:
    count, seconds = (3, 2) if arguments.short else (16, 6)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        films(folder, arguments.source, count, seconds)
        sizes = [sum(f.stat().st_size for f in folder.glob(f"gop{g}-*.mp4")) / count / MEGA for g in (12, 250)]
        ours = pixels.VideoSet([folder], frames=FRAMES)
        makers: dict[str, Callable[[int], object]] = {
            "worldpatch, byte ranges of shards": ours.clip,
            "PyAV, loose files, keyframe every 12": loose(folder, 12, count, seconds * RATE),
            "PyAV, loose files, keyframe every 250": loose(folder, 250, count, seconds * RATE),
            "webdataset, streaming, one thread": streamed(folder, seconds * RATE),
        }
        found = race(makers, *((1, 4) if arguments.short else (5, 40)))
    report.say(
        f"\n{count} videos of {seconds} s, {SIZE[1]}x{SIZE[0]}, from {Path(arguments.source).name}: {sizes[0]:.2f} MB "
        f"each with a keyframe every 12 frames, {sizes[1]:.2f} MB with one every 250."
    )
    report.table(
        ("16-frame clips", "per second, wall", f"per {THREADS} s on the processor"),
        [(name, f"{wall:.0f}", f"{THREADS * cpu:.0f}") for name, (wall, cpu) in found.items()],
    )
    wall, cpu = found["worldpatch, byte ranges of shards"]
    measured = f"{wall:.0f} wall, {THREADS * cpu:.0f} by processor time"
    return "random 16-frame clips per second on 2 cores", f"{BAR:.0f}", measured, wall >= BAR


# ----------------------------------------------------------------------------------------------------- fill and waiting


def fill(report: Report, short: bool) -> tuple[str, str, str, bool]:
    rows, shares, number = [], [], 300 if short else 20000
    for name, kinds in MIXES.items():
        sizes = np.random.default_rng(0).choice(kinds, number).tolist()
        begun = time.process_time()
        batches = _order.pack(range(number), sizes, BUDGET)
        spent = (time.process_time() - begun) / number
        shares.append(sum(sizes) / (BUDGET * len(batches)))
        in_order = _next_fit(sizes)
        rows.append((name, f"{shares[-1]:.1%}", f"{in_order:.1%}", f"{spent * 1e6:.1f}"))
    report.table((f"sizes, in batches of {BUDGET} tokens", "fill", "cut in order", "us per clip"), rows)
    worst = min(shares[:-1])
    return "fill of mixed batches (all but the last mix)", f"{FILL_BAR:.0%}", f"{worst:.1%}", worst >= FILL_BAR


def _next_fit(sizes: list[int]) -> float:
    """How full batches are that take clips in order until the next does not fit: what the loader did before."""
    batches, used = 1, 0
    for size in sizes:
        if used + size > BUDGET:
            batches, used = batches + 1, 0
        used += size
    return sum(sizes) / (BUDGET * batches)


def latents(folder: Path, clips: int) -> None:
    """Encoded clips of mixed shapes, of random content."""
    generator, writer = torch.Generator().manual_seed(0), shards.Writer(folder)
    for number in range(clips):
        t, h, w = ((5, 8, 8), (1, 16, 16), (3, 12, 8), (9, 8, 8), (3, 16, 16))[number % 5]
        latent = {"latent": torch.randn(16, t, h, w, generator=generator).half()}
        latent |= {"keyframes": torch.randn(3, 16, h, w, generator=generator).half(), "times": torch.arange(3) / 10}
        size = {"frames": 4 * t - 3, "height": 8 * h, "width": 8 * w, "rate": 12.0}
        captions = {"terse": "a red ball falls", "dense": "a red ball falls on a green table beside a box"}
        record = json.dumps({**size, "captions": captions}).encode()
        writer.write(f"clip-{number:06d}", {"json": record, "latent.safetensors": shards.write_latent(latent, "")})
        writer.rest()
    writer.flush()
    manifest.write(folder)


def waiting(report: Report, short: bool) -> tuple[str, str, str, bool]:
    torch.set_num_threads(THREADS)
    loader._cache.limit = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        latents(folder / "data", 100 if short else 4000)
        latents(folder / "validation", 10)
        model = causal.Model(causal.Config())
        (folder / "vae.json").write_text(json.dumps({"spec": config.dump(model.spec)}))
        options = {
            "data": [str(folder / "data")], "validation": str(folder / "validation"), "vae": str(folder),
            "budget": 3584, "sheet_level": 0, "model": {"depth": 4}, "text": {"depth": 3, "width": 192},
        }  # fmt: skip
        run = loop.Run(stage="dit", steps=3 if short else 16, options=options)
        loop.train(run, folder / "run", report=None)
        batch = _batch_seconds(options)
        lines = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if "waited" in line][1:]  # the first batch is waited for in full
    waited, worked = sum(s["waited"] for s in steps), sum(s["seconds"] for s in steps)
    share = waited / (waited + worked)
    report.say(
        f"\n{len(steps)} steps of the shipped model's size (3584 tokens), {worked / len(steps):.2f} s each, every "
        f"latent read from disk: waited {1000 * waited / len(steps):.2f} ms a step. A batch, with its noise and "
        f"packing, takes {1000 * batch:.1f} ms of one processor, made while the step before it runs."
    )
    return "share of a training step spent waiting", f"{WAIT_BAR:.0%}", f"{share:.2%}", share <= WAIT_BAR


def _batch_seconds(options: dict[str, Any]) -> float:
    """Processor time of the thread that makes a batch ahead, the median of some."""
    task = dit.Task(config.build(dit.Config, options), 1, "cpu")
    spent = []
    for number in range(10):
        begun = time.thread_time()
        task.batch(number)
        spent.append(time.thread_time() - begun)
    return float(np.median(spent))


def main() -> None:
    made = parser(__doc__)
    default = "mandelbrot=size=456x256:rate=24"
    made.add_argument("--source", default=default, help="a video to take frames from  [default: FFmpeg's mandelbrot]")
    arguments = made.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    report = Report("The loader", arguments)
    bars = [random_clips(report, arguments), fill(report, arguments.short), waiting(report, arguments.short)]
    report.bars(bars)
    report.finish()


if __name__ == "__main__":
    main()
