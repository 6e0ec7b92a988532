"""Few jumps instead of many guided steps: how much faster, how much is lost, and has anything collapsed?

    python benchmarks/few_steps.py [MODEL] [--short] [-o benchmarks/few_steps.md]

The frozen prompts of levels 1 and 2 are drawn with 25 guided Euler steps, in jumps that the model has learned
(`train/stages/distil.py`), and with what else one could do with as few calls. Bars: in 4 jumps an eighth of the time,
no criterion more than 5 points lower, nothing collapsed; a clip of three seconds, decoded, in at most 3 s.
"""

import time

import numpy as np
from _machine import Report, parser
from _sampling import Counted, Way, apart, draw, race

from worldpatch import generate
from worldpatch.evals import collapse
from worldpatch.evals.suites import prompts
from worldpatch.flow.guidance import Guidance
from worldpatch.flow.stepcache import StepCache
from worldpatch.types import Request

MODEL, FULL, CHOSEN = "tabletop", "25 steps", "4 jumps"
TIMES, POINTS, SECONDS = 8.0, 0.05, 3.0
VARIANTS = 4  # clips of a prompt, to see how they differ
WAYS: dict[str, Way] = {
    FULL: ({}, Counted),
    CHOSEN: ({"sampler": "jump", "steps": 4}, Counted),
    "6 jumps": ({"sampler": "jump", "steps": 6}, Counted),
    "2 jumps": ({"sampler": "jump", "steps": 2}, Counted),
    "4 steps": ({"steps": 4}, Counted),
    "4 steps without guidance": ({"steps": 4, "guidance": Guidance(scale=1.0)}, Counted),
    "4 steps of dpmpp_2m": ({"steps": 4, "sampler": "dpmpp_2m"}, Counted),
    "step cache 0.2": ({}, lambda model: StepCache(model, 0.2)),
}


def main() -> None:
    made = parser(__doc__)
    made.add_argument("model", nargs="?", default=MODEL)
    arguments = made.parse_args()
    report = Report("Few jumps", arguments)
    pipeline = generate.load(generate.find(arguments.model))
    levels = {level: prompts.load(level)[: 2 if report.short else 96] for level in (1, 2)}
    seconds = race(pipeline, levels[1], WAYS, 1 if report.short else 5)
    rows, found = [], {}
    for name, way in WAYS.items():
        rates, near = {}, []
        for level, asked in levels.items():
            frames, computed, _ = draw(pipeline, asked, way)
            found[name, level] = frames, prompts.rates([f.numpy() for f in frames], asked)
            rates |= {f"{level}: {k}": v for k, v in found[name, level][1].items()}
            near += apart(frames, found[FULL, level][0])
        told = "-" if name == FULL else f"{np.median(near):.1f}"
        calls = (computed, f"{seconds[name]:.2f}", f"{seconds[FULL] / seconds[name]:.2f}", told)
        rows.append((name, *calls, *(f"{100 * v:.0f}" for v in rates.values())))
    criteria = (f"{level}: {c}" for level in levels for c in prompts.metric.CRITERIA)
    report.table(("way", "calls", "seconds a pass", "times as fast", "dB to 25 steps, median", *criteria), rows)
    report.bars([*lost(found, seconds), *collapsed(report, pipeline, levels[1]), clip(report, pipeline)])
    report.finish()


def lost(found: dict, seconds: dict[str, float]) -> list[tuple[str, str, str, bool]]:
    times = seconds[FULL] / seconds[CHOSEN]
    worst = {
        level: max(
            (full - few, name)
            for (name, full), few in zip(found[FULL, level][1].items(), found[CHOSEN, level][1].values(), strict=True)
        )
        for level in (1, 2)
    }
    return [(f"times as fast, {CHOSEN}", f"{TIMES:g}", f"{times:.1f}", times >= TIMES)] + [
        (
            f"largest loss of a criterion at level {level}, points", f"{100 * POINTS:g}", f"{100 * loss:.1f} ({name})",
            loss <= POINTS,
        )
        for level, (loss, name) in worst.items()
    ]  # fmt: skip


def collapsed(
    report: Report, pipeline: generate.Pipeline, asked: list[prompts.Prompt]
) -> list[tuple[str, str, str, bool]]:
    """Several clips of each of some prompts: do they differ as much, are they as sharp, colourful and moving?"""
    several = [p for p in asked[:: max(1, len(asked) // 12)] for _ in range(VARIANTS)]
    groups = {}
    for name in (FULL, CHOSEN):
        frames = [f.numpy() for f in draw(pipeline, several, WAYS[name])[0]]
        groups[name] = [frames[i : i + VARIANTS] for i in range(0, len(frames), VARIANTS)]
    ratios = collapse.compare(groups[CHOSEN], groups[FULL])
    report.table((f"{CHOSEN} over {FULL}", "ratio"), [(k, f"{v:.2f}") for k, v in ratios.items()])
    told = ", ".join(collapse.alarms(ratios)) or "nothing"
    return [("collapse: what the alarm names", "nothing", told, told == "nothing")]


def clip(report: Report, pipeline: generate.Pipeline) -> tuple[str, str, str, bool]:
    """One clip of three seconds alone, from the request to its frames."""
    request = Request(ability="text_to_video", params={"prompt": "a red ball falls"}, sampler="jump", steps=4)
    spent = []
    for _ in range(2 if report.short else 7):
        begun = time.perf_counter()
        generate.run(request, pipeline)
        spent.append(time.perf_counter() - begun)
    middle = float(np.median(spent[1:]))
    return "seconds for a clip of 3 s", f"{SECONDS:g}", f"{middle:.2f}", middle <= SECONDS


if __name__ == "__main__":
    main()
