"""What judging costs: the physics suite without generation, and the scoring of large clips.

    python benchmarks/physics.py [--short] [-o result.md]

Bars: twelve scenarios of 16 scenes, rendered, scored, and their baselines with them (still, constant velocity,
simulator refitted to five given frames), in under 3 minutes on 2 cores; 100 clips of 64 frames at 256x256 scored in
under a minute. All of the suite's scenarios are run; the time is scaled to twelve.
"""

import os
import time
from dataclasses import replace

from _machine import Report, parser

from worldpatch.evals import evaluate
from worldpatch.evals.suites._task import Choice, Form, Task
from worldpatch.evals.suites.physics import SCENES, SPLITS, Physics, metrics, names
from worldpatch.evals.suites.physics._scene import probe

SUITE, SCORING = 180.0, 60.0  # seconds
CORE = 12  # scenarios that the bar counts
CLIPS = 100
LARGE = Form(height=256, width=256, rate=24.0, frames=65, given=5)  # 64 would not fill whole latents
WORKERS = 2


def suite(report: Report, count: int, only: tuple[str, ...]) -> float:
    """Seconds of the suite, for CORE scenarios."""
    form, begun = Form(), time.perf_counter()
    tasks = Physics().tasks(Choice(form=form, modes=("video",), count=count, only=only), WORKERS)
    seconds = time.perf_counter() - begun
    scaled = seconds * CORE / len(only or names())
    what = f"{form.width}x{form.height}, {form.frames} frames at {form.rate:g}/s"
    report.table(
        ("clips", "scenes", "seconds", f"for {CORE} scenarios"),
        [(what, len(tasks), f"{seconds:.0f}", f"{scaled:.0f}")],
    )
    return scaled


def scoring(report: Report, clips: int) -> float:
    """Seconds for scoring CLIPS large clips with two processes, the start of the processes included."""
    form = replace(LARGE, frames=9) if report.short else LARGE
    tasks = [_task(name, form) for name in (("free_fall",) if report.short else names())]
    asked = [tasks[i % len(tasks)] for i in range(clips)]
    real = [Physics().real(task) for task in asked]
    begun = time.perf_counter()
    scored = list(evaluate.scores(Physics(), asked, real, WORKERS))
    seconds = time.perf_counter() - begun
    report.say(f"\n{len(scored)} clips of {form.frames} frames at {form.width}x{form.height}: {seconds:.1f} s")
    return seconds * CLIPS / clips


def _task(name: str, form: Form) -> Task:
    """A scenario's first scene, as the suite asks for it, without its baselines."""
    drawn = probe(name, "in", 0, form).mode(form.given)
    assert drawn.real  # seen once, with the scene, and kept
    return Task(
        key=name, prompt=drawn.scene.caption, form=form, strata={}, reference=drawn, metrics=metrics(name, "video")
    )


def main() -> None:
    made = parser(__doc__)
    arguments = made.parse_args()
    report = Report("What judging costs", arguments)
    report.say(f"\n{WORKERS} processes on {os.cpu_count()} cores; {SCENES} scenes of each of {len(SPLITS)} splits.")
    took = suite(report, 1 if report.short else SCENES, ("free_fall",) if report.short else ())
    each = scoring(report, 4 if report.short else CLIPS)
    report.bars(
        [
            (f"{CORE} scenarios x 16 scenes, 64x64", f"< {SUITE:.0f} s", f"{took:.0f} s", took < SUITE),
            (f"{CLIPS} clips of 64 frames, 256x256", f"< {SCORING:.0f} s", f"{each:.0f} s", each < SCORING),
        ]
    )
    report.finish()


if __name__ == "__main__":
    main()
