"""What a minute of 1080p takes: decoded to a file here, one transformer step measured as far as this machine goes, and
the rest by counting.

    python benchmarks/cost.py [MODEL] [--seconds 60] [-o docs/cost.md] [--short]

The autoencoder decodes latents of 1920x1088 (the next multiple of 16) from a stream into a file, in a process of its
own; bar: the peak resident set within 10% of that of a tenth of the length. The transformer's step is timed at growing
numbers of patches; `Model.flops` says what it costs, and its rate and its memory per patch are carried on to sizes that
do not fit here. Times on GPUs are the counted operations at a stated share of the peak rate: until
`benchmarks/device.py` has run on one, that share is an assumption.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from _machine import GIGA, Report, parser, run

from worldpatch import generate
from worldpatch.dit import packed as backbone
from worldpatch.flow.pack import pack
from worldpatch.generate.pipeline import load_vae
from worldpatch.train.scaling.plan import GPUS
from worldpatch.types import Cond, Plan, Segment, Segments
from worldpatch.vae._pixels import to_uint8
from worldpatch.video.write import write

MODEL = "tabletop"
WIDTH, HEIGHT, RATE = 1920, 1088, 8
BAR, MFU, STEPS = 0.10, 0.30, 25
GPU = "H200"
TERA = 1e12
DEPTHS = {"as shipped": 4, "depth 12": 12, "depth 24": 24}
VIDEOS = (("64x64, 3 s", 64, 64, 3), ("512x288, 4 s", 288, 512, 4), ("1280x720, 10 s", 720, 1280, 10),
          ("1920x1080, 10 s", HEIGHT, WIDTH, 10), ("1920x1080, 60 s", HEIGHT, WIDTH, 60))  # fmt: skip
TRIED = (1, 4, 16, 48)  # thousand patches


def decode(model: str, output: Path, seconds: int) -> None:
    """Random latents of so many seconds, one group at a time, into a video file."""
    vae = load_vae(generate.find(model)).eval()
    count, stride = 1 + seconds * RATE // vae.spec.stride_t, vae.spec.stride_s

    def pixels() -> Iterator[np.ndarray]:
        generator = torch.Generator().manual_seed(0)
        latents = (
            torch.randn(1, vae.spec.channels, 1, HEIGHT // stride, WIDTH // stride, generator=generator)
            for _ in range(count)
        )
        for part in vae.decode_stream(latents):
            yield to_uint8(part[0])

    with torch.no_grad():
        write(output, pixels(), RATE)


def step(model: str, thousands: int) -> None:
    """One guided half of a step at so many thousand patches; prints patches, seconds and the peak resident set."""
    pipeline = generate.load(generate.find(model))
    side = 2 * round((thousands * 1000 / 7) ** 0.5)
    plan = Plan(start=torch.ones(7, side, side), rate=RATE, prompt="a red ball falls")
    made = pack([plan], pipeline.patch, pipeline.spec)
    with torch.no_grad():
        text, lengths = pipeline.network.text.encode([plan.prompt])
        cond = Cond(text=text, text_lengths=lengths, hints=made.hints)
        begun = time.perf_counter()
        pipeline.network.dit(made.tokens, made.position, torch.ones(1), torch.zeros(len(made.tokens), dtype=torch.long),
                             made.segments, cond)  # fmt: skip
        spent = time.perf_counter() - begun
    flops = pipeline.network.dit.flops(made.segments, lengths)
    print(len(made.tokens), spent, flops, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("model", nargs="?", default=MODEL)
    made.add_argument("--seconds", type=int, default=60)
    made.add_argument("--decode", type=int, help=argparse.SUPPRESS)
    made.add_argument("--step", type=int, help=argparse.SUPPRESS)
    arguments = made.parse_args()
    if arguments.decode:
        return decode(arguments.model, arguments.output, arguments.decode)
    if arguments.step:
        return step(arguments.model, arguments.step)
    report = Report("What a minute of 1080p takes", arguments)
    bar = proof(report, arguments)
    bytes_per_patch = measured(report, arguments)
    counted(report, generate.load(generate.find(arguments.model)), bytes_per_patch)
    report.bars([bar])
    report.finish()


def proof(report: Report, arguments: argparse.Namespace) -> tuple[str, str, str, bool]:
    long = 2 if report.short else arguments.seconds
    rows, peaks = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seconds in (max(1, long // 10), long):
            output = Path(folder) / f"{seconds}.mp4"
            spent = run([sys.executable, __file__, arguments.model, "--decode", str(seconds), "-o", str(output)])
            peaks.append(spent.peak)
            frames, size = seconds * RATE + 1, output.stat().st_size
            rows.append((f"{seconds} s, {WIDTH}x{HEIGHT}", frames, f"{spent.seconds:.0f}", f"{size / 1e6:.0f}",
                         f"{spent.peak / GIGA:.2f}"))  # fmt: skip
    report.say("\n## Decoded to a file\n")
    report.table(("video", "frames", "seconds", "file, MB", "peak memory, GB"), rows)
    excess = peaks[1] / peaks[0] - 1
    return "peak memory over that of a tenth of the length", f"within {BAR:.0%}", f"{excess:+.1%}", excess <= BAR


def measured(report: Report, arguments: argparse.Namespace) -> float:
    """Times steps that fit; returns the bytes that a patch more takes."""
    found = []
    for thousands in TRIED[:2] if report.short else TRIED:
        command = [sys.executable, __file__, arguments.model, "--step", str(thousands)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append([float(word) for word in done.stdout.split()])
    report.say("\n## One step of the transformer, measured on this machine\n")
    report.table(
        ("patches", "TFLOP", "seconds", "GFLOP/s", "peak memory, GB"),
        [(f"{n:.0f}", f"{f / TERA:.3f}", f"{s:.2f}", f"{f / s / GIGA:.0f}", f"{m / GIGA:.2f}") for n, s, f, m in found],
    )
    patches, _, _, memory = np.array(found).T
    slope = float(np.polyfit(patches, memory, 1)[0])
    report.say(
        f"\nA patch more takes {slope / 1e3:.1f} kB in float32: the memory is linear in patches, the time is not."
    )
    return slope


def counted(report: Report, pipeline: generate.Pipeline, bytes_per_patch: float) -> None:
    """What a clip takes on GPUs, by counting."""
    spec, rows = pipeline.spec, []
    width = pipeline.network.dit.config.width
    for name, depth in DEPTHS.items():
        network = backbone.Model(backbone.Config(depth=depth, text_width=pipeline.network.dit.config.text_width))
        for told, h, w, seconds in VIDEOS:
            t, i, j = 1 + seconds * RATE // spec.stride_t, -(-h // 16), -(-w // 16)
            segments = whole(t, i, j)
            flops = 2 * STEPS * network.flops(segments, (10,))
            one = flops / (MFU * GPUS[GPU].tflops * TERA)
            memory = t * i * j * bytes_per_patch / 2 * network.config.width / width
            rows.append((name, told, f"{t * i * j:,}", f"{flops / TERA:,.0f}", f"{memory / GIGA:.1f}",
                         clock(one), clock(one / 8)))  # fmt: skip
    report.say(
        f"\n## The rest, counted\n\n{STEPS} guided steps at {RATE} frames/s, every patch seeing every other, at "
        f"{MFU:.0%} of the peak bfloat16 rate of {GPU}s ({GPUS[GPU].tflops:.0f} TFLOP/s each). Memory: half of what a "
        "float32 patch takes here, grown with the width, weights and context left out. Eight GPUs: an eighth of the "
        "time, which is what sharing the sequence comes to where the exchange hides behind attention.\n"
    )
    names = ("network", "video", "patches", "TFLOP", "memory, GB", f"one {GPU}", f"eight {GPU}s")
    report.table(names, rows)


def whole(t: int, i: int, j: int) -> Segments:
    """The segments of a clip of so many patches, without its content."""
    return (Segment(sample=0, start=0, stop=t * i * j, grid=(t, i, j), rate=float(RATE)),)


def clock(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


if __name__ == "__main__":
    main()
