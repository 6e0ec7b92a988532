"""Clips of the world beside real ones, by general measures of pictures: likeness, flicker, motion, sharpness, colour.

Nothing here knows solids or physics. Likeness (PSNR, SSIM, edges) is asked only where frames were given, for a prompt
leaves open what one sees; the others compare how much a clip flickers, moves or drifts with how much the real one does.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt8

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.evals.metrics._result import perturb
from worldpatch.evals.suites._task import Choice, Metric, Mode, Progress, Scores, Task, allowed, bounded

SEED = 16_180_339  # of the clips; training never uses it
COUNT = 64  # as many as the Frechet distance needs
LEVEL = 2
GIVEN: dict[Mode, int] = {"text": 0, "image": 1}
# Perfection in PSNR is what one grey level of noise leaves; naive values are those of known damage in
# benchmarks/metrics.md: bent frames, a flicker of 3 grey levels, a slow blur, a slow warming.
METRICS = {
    "psnr": Metric(unit="dB", worst=0.0, higher=True, best=50.0, needs="video"),
    "ssim": Metric(unit="", worst=0.0, higher=True, best=1.0, needs="video"),
    "edges": Metric(unit="F-score", worst=0.0, higher=True, best=1.0, needs="video"),
    "epipolar": Metric(unit="pixels", worst=2.0, naive=0.4),
    "flicker": Metric(unit="grey levels", worst=10.0, naive=6.0),
    "motion": Metric(unit="factor", worst=8.0, best=1.0),
    "sharpness": Metric(unit="factor", worst=4.0, best=1.0, naive=2.5),
    "colour_drift": Metric(unit="delta E", worst=20.0, naive=6.0),
}

Frames = UInt8[np.ndarray, "t h w 3"]


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The suite; see `suites._task.Suite`."""

    name: str = "pictures"
    group: str = "suite"
    modes: tuple[Mode, ...] = ("text", "image", "video")

    def tasks(self, choice: Choice, workers: int = 1, progress: Progress | None = None) -> list[Task]:
        from worldpatch.data import render  # needs a simulator

        if choice.only or "action" in choice.modes:
            raise UserError("pictures has no scenarios and no actions: choose modes text, image or video")
        form, count, found = choice.form, choice.count or COUNT, []
        options = {
            "level": LEVEL, "height": form.height, "width": form.width, "rate": form.rate, "frames": form.frames,
            "masks": False,
        }  # fmt: skip
        clips = render.clips("tabletop", options, SEED, range(count), workers if workers > 1 else 0)
        for number, clip in enumerate(clips):
            for mode in choice.modes:
                given = GIVEN.get(mode, form.given)
                task = Task(
                    key=f"pictures-{number:02d}-{mode}", prompt=clip.captions["terse"], form=form,
                    strata={"suite": self.name, "mode": mode}, camera=clip.camera, reference=clip.frames,
                    context=clip.frames[:given] if given else None, metrics=allowed(METRICS, mode),
                )  # fmt: skip
                still = clip.frames.copy()
                still[max(given - 1, 0) :] = still[max(given - 1, 0)]
                kinds = {"real": perturb(clip.frames), "copy": still}
                found.append(replace(task, baselines={k: self.score(task, v) for k, v in kinds.items()}))
            if progress:
                progress("render", number + 1, count)
        return found

    def score(self, task: Task, frames: Frames) -> Scores:
        """Over the frames that were not given."""
        given = 0 if task.context is None else len(task.context)
        pair = [frames[given:]], [task.reference[given:]]
        found = {name: config.resolve("evals/metrics", name).score(*pair).per_clip[0] for name in task.metrics}
        return bounded(found, task.metrics)

    def real(self, task: Task) -> Frames:
        return task.reference
