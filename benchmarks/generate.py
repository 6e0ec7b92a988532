"""What a video costs: the shipped model makes a 3 s clip of 128x128 at 12 frames/s in 25 steps with guidance.

    python benchmarks/generate.py [--short] [--model tabletop] [-o result.md]

Bars: at most 20 s end to end on two cores and under 2 GB, for the whole command with Python's start, loading and the
MP4; the denoiser at 55% or more of the fp32 matrix product measured in the same run. The denoiser is the whole solution
of the plan (context, guidance, sampler), over the operations it cannot do without: those of 25 guided steps with cached
context, and of the context once. The cache's gain is over the same solution with the context recomputed at each step.
"""

import math
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from _machine import GEMM, GIGA, MEGA, Report, Work, gemm, parameters, parser, race, run

from worldpatch import generate
from worldpatch.flow.guidance import Guidance
from worldpatch.flow.pack import pack, twice
from worldpatch.flow.plan import finish, solve
from worldpatch.generate.ops import text_to_video
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Cond, Plan

SECONDS, BYTES, SHARE = 20.0, 2e9, 0.55
PROMPT = "a red ball falls"


@dataclass(frozen=True, kw_only=True)
class Job:
    """The clip to make; `side` in pixels."""

    model: str
    side: int = 128
    seconds: float = 3.0
    fps: int = 12
    steps: int = 25
    scale: float = 4.0

    def command(self, output: Path) -> list[str]:
        return [
            sys.executable, "-m", "worldpatch", "generate", PROMPT, "--model", self.model, "--quiet",
            "--size", f"{self.side}x{self.side}", "--seconds", str(self.seconds), "--fps", str(self.fps),
            "--steps", str(self.steps), "--guidance", str(self.scale), "--output", str(output),
        ]  # fmt: skip

    def plan(self, pipeline: Pipeline) -> Plan:
        params = text_to_video.Params(
            prompt=PROMPT, width=self.side, height=self.side, seconds=self.seconds, frames=None, fps=self.fps
        )
        return text_to_video.plan(params, pipeline)


def end_to_end(report: Report, job: Job, times: int) -> list[tuple[str, str, str, bool]]:
    """The command as a user types it."""
    with tempfile.TemporaryDirectory() as folder:
        spent = [run(job.command(Path(folder) / "clip.mp4")) for _ in range(times)]
    seconds, peak = statistics.median(s.seconds for s in spent), max(s.peak for s in spent)
    rows = [(i + 1, f"{s.seconds:.1f}", f"{s.peak / MEGA:.0f}") for i, s in enumerate(spent)]
    report.say("\nThe whole command, `worldpatch generate`:")
    report.table(("run", "seconds", "peak memory, MB"), rows)
    return [
        ("a clip end to end", f"<= {SECONDS:.0f} s", f"{seconds:.1f} s", seconds <= SECONDS),
        ("its peak memory", f"< {BYTES / MEGA:.0f} MB", f"{peak / MEGA:.0f} MB", peak < BYTES),
    ]


def flops(pipeline: Pipeline, plan: Plan, job: Job) -> tuple[float, float]:
    """Operations of (one guided step with cached context, both halves' context run once)."""
    segments = pack([plan], pipeline.patch, pipeline.spec).segments
    tokens = max(s.stop for s in segments)
    _, lengths = pipeline.network.text.encode([plan.prompt])
    both, halves = twice(segments, tokens, 1), (*lengths, 0)
    cached = pipeline.network.dit.flops(both, halves, cached=True)
    return float(cached), float(pipeline.network.dit.flops(both, halves) - cached)


@torch.no_grad()
def denoiser(report: Report, pipeline: Pipeline, job: Job, rounds: int) -> list[tuple[str, str, str, bool]]:
    """The plan solved with and without the context cache, in turn with the matrix product, and the decoder."""
    plan = job.plan(pipeline)
    step, context = flops(pipeline, plan, job)

    def solution(cache: bool) -> list[torch.Tensor]:
        text, lengths = pipeline.network.text.encode([plan.prompt])
        solving = solve(
            pipeline.network.dit, [plan], Cond(text=text, text_lengths=lengths), [(0, 0)], spec=pipeline.spec,
            patch=pipeline.patch, steps=job.steps, guidance=Guidance(scale=job.scale), cache=cache,
        )  # fmt: skip
        return finish(solving)

    latents = solution(True)
    works = {
        GEMM: gemm(),
        "context cached": Work(lambda: solution(True), job.steps * step + context),
        "context recomputed": Work(lambda: solution(False), job.steps * (step + context)),
        "decoding": Work(lambda: pipeline.decode([plan], latents), _decoding(pipeline, plan)),
    }
    took = race(works, 0.0, rounds)
    rates = {name: work.flops / took[name] / GIGA for name, work in works.items()}
    rows = []
    for name, work in works.items():
        figures = (f"{took[name]:.2f}", f"{work.flops / GIGA:.0f}", f"{rates[name]:.1f}")
        rows.append((name, *figures, f"{rates[name] / rates[GEMM]:.0%}"))
    tokens = math.prod(plan.grid) // math.prod(pipeline.patch)
    report.say(
        f"\nThe denoiser: {job.steps} guided steps on {tokens} tokens, {step / GIGA:.1f} GFLOP a step; all in turn:"
    )
    report.table(("what", "seconds", "GFLOP", "GFLOP/s", "of the product"), rows)
    gain, share = took["context recomputed"] / took["context cached"], rates["context cached"] / rates[GEMM]
    report.say(f"\nThe context cache makes the denoiser {gain:.2f} times as fast.")
    return [("denoiser, of the fp32 product", f">= {SHARE:.0%}", f"{share:.0%}", share >= SHARE)]


def _decoding(pipeline: Pipeline, plan: Plan) -> float:
    t, h, w = plan.grid
    stride = pipeline.spec.stride_s
    return float(pipeline.vae.flops(pipeline.spec.frames(t), h * stride, w * stride)["decode"])


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--model", default="tabletop", help="name of a shipped model, or a folder")
    arguments = made.parse_args()
    job = Job(model=arguments.model)
    if arguments.short:
        job = Job(model=arguments.model, side=64, seconds=0.75, steps=2)
    report = Report("A clip of 3 s, 128x128, 12 frames/s, 25 steps with guidance", arguments)
    bars = end_to_end(report, job, 1 if arguments.short else 3)
    pipeline = generate.load(generate.find(job.model))
    count = parameters(pipeline.network.dit) / 1e6
    report.say(f"\nModel `{job.model}`: transformer of {count:.1f}M parameters.")
    bars += denoiser(report, pipeline, job, 1 if arguments.short else 5)
    report.bars(bars)
    report.finish()


if __name__ == "__main__":
    main()
