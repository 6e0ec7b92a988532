"""Steps that are forecast: how much faster, how near to the uncached clips, and do the clips show less? And what a
second more costs.

    python benchmarks/step_cache.py [MODEL] [--short] [-o benchmarks/step_cache.md]

The frozen prompts of level 1 are drawn with 25 guided Euler steps, with the step cache at several tolerances, and with
what else one could do with as many calls of the network: fewer steps, a second-order sampler, and reusing every other
velocity as it is. Bars: twice as fast at 35 dB or more to the uncached clips, no criterion of the prompts lower by more
than its standard error; a second of extension no dearer than that second drawn with its context.
"""

import numpy as np
import torch
from _machine import Report, parser
from _sampling import Counted, Way, apart, draw, race
from torch import Tensor

from worldpatch import generate
from worldpatch.evals.suites import prompts
from worldpatch.flow.samplers import Velocity
from worldpatch.flow.stepcache import StepCache
from worldpatch.types import Request
from worldpatch.video import write

MODEL, CHOSEN = "tabletop", 0.2
SPEED, NEAR = 2.0, 35.0


class EveryOther:
    """Every other velocity is the one before it."""

    def __init__(self, model: Velocity):
        self.model, self.calls, self.computed, self.kept = model, 0, 0, torch.empty(0)

    def __call__(self, x: Tensor, at: Tensor) -> Tensor:
        if self.calls % 2 == 0:
            self.kept, self.computed = self.model(x, at), self.computed + 1
        self.calls += 1
        return self.kept


WAYS: dict[str, Way] = {
    "25 steps": ({}, Counted),
    **{f"step cache {t:g}": ({}, lambda m, t=t: StepCache(m, t)) for t in (0.1, CHOSEN, 0.4)},
    "every other reused": ({}, EveryOther),
    "12 steps": ({"steps": 12}, Counted),
    "12 steps of dpmpp_2m": ({"steps": 12, "sampler": "dpmpp_2m"}, Counted),
}


def main() -> None:
    made = parser(__doc__)
    made.add_argument("model", nargs="?", default=MODEL)
    arguments = made.parse_args()
    report = Report("Steps that are forecast", arguments)
    pipeline = generate.load(generate.find(arguments.model))
    asked = prompts.load(1)[: 4 if report.short else 96]
    bars = [*caches(report, pipeline, asked), extension(report, pipeline)]
    report.bars(bars)
    report.finish()


def caches(
    report: Report, pipeline: generate.Pipeline, asked: list[prompts.Prompt]
) -> list[tuple[str, str, str, bool]]:
    rows, found, seconds = [], {}, race(pipeline, asked, WAYS, 1 if report.short else 5)
    for name, way in WAYS.items():
        frames, computed, _ = draw(pipeline, asked, way)
        rates = prompts.rates([f.numpy() for f in frames], asked)
        whole = found.setdefault("25 steps", (frames, rates))
        near = apart(frames, whole[0])
        found[name] = (frames, rates)
        told = ("-", "-") if name == "25 steps" else (f"{np.median(near):.1f}", f"{min(near):.1f}")
        times = f"{seconds['25 steps'] / seconds[name]:.2f}"
        rows.append((name, computed, f"{seconds[name]:.2f}", times, *told, *(f"{100 * v:.0f}" for v in rates.values())))
    names = ("way", "calls", "seconds a pass", "times as fast", "dB to 25 steps, median", "least")
    report.table((*names, *prompts.metric.CRITERIA), rows)
    chosen = f"step cache {CHOSEN:g}"
    row = next(row for row in rows if row[0] == chosen)
    loss = max(a - b for a, b in zip(found["25 steps"][1].values(), found[chosen][1].values(), strict=True))
    error = (0.25 / len(asked)) ** 0.5
    return [
        (f"times as fast, {chosen}", f"{SPEED:g}", row[3], float(row[3]) >= SPEED),
        ("least PSNR to the uncached clip", f"{NEAR:g} dB", f"{row[5]} dB", float(row[5]) >= NEAR),
        ("largest loss of a criterion", f"{error:.1%}", f"{loss:.1%}", loss <= error),
    ]


def extension(report: Report, pipeline: generate.Pipeline) -> tuple[str, str, str, bool]:
    """One second more of a clip of three, against a clip of the context and that second drawn from nothing."""
    import tempfile
    from pathlib import Path

    usual, stride = pipeline.usual, pipeline.spec.stride_t
    clip = generate.run(Request(ability="text_to_video", params={"prompt": "a red ball falls"}), pipeline)
    context = 1 + 2 * stride  # three latents: what a window takes from before
    second = {"prompt": "a red ball falls", "frames": context + round(usual.rate)}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "clip.mp4")
        write.write(path, clip.frames[0].numpy(), clip.rate)
        asked = {
            "extend by a second": Request(ability="extend", params={"video": path, "seconds": 1.0}),
            "context and a second": Request(ability="text_to_video", params=second),
        }
        spent = {name: [] for name in asked}
        for _ in range(2 if report.short else 9):
            for name, request in asked.items():
                spent[name].append(generate.run(request, pipeline).seconds["denoise"])
    middle = {name: float(np.median(values)) for name, values in spent.items()}
    report.table(("sampling", "seconds, median"), [(name, f"{value:.2f}") for name, value in middle.items()])
    ratio = middle["extend by a second"] / middle["context and a second"]
    return "a second of extension, of what it costs with its context", "1", f"{ratio:.2f}", ratio <= 1


if __name__ == "__main__":
    main()
