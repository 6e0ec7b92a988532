"""Frozen prompts with known truth: how many of them does a model fulfil?

The captions come from clips that no training sees: a seed of their own, captions that are held out of training word for
word, and colour-shape pairs held out of training among them (`worlds/_holdout.py`). `freeze()` wrote
`prompts_level<n>.json`; scores are comparable as long as those files stay as they are.
"""

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from worldpatch import config as configs
from worldpatch.config import UserError
from worldpatch.evals import detect
from worldpatch.evals._truth import Expected, expected
from worldpatch.evals.metrics import prompt as metric
from worldpatch.evals.metrics._result import Frames
from worldpatch.evals.suites._task import Choice, Metric, Mode, Progress, Scores, Task
from worldpatch.types import Clip
from worldpatch.worlds._holdout import is_caption_held_out, is_held_out

SEED = 31_415_926  # of the clips that captions are taken from; training never uses it
COUNT = 96
POOL = 5  # clips drawn per prompt kept, so that rare strata can be filled
STYLES = ("terse", "dense", "typed")
UNSEEN = {True: "unseen pair", False: "seen pairs"}
UNSEEN_SHARE = 0.25
SIDE = 64  # pixels of the real clips whose motion is the measure


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A caption, the clip it comes from (`level`, `seed`, `index`), what it promises, and the strata it counts in."""

    caption: str
    style: str
    level: int
    seed: int
    index: int
    truth: Expected
    strata: tuple[str, ...]


# ------------------------------------------------------------------------------------------------------------- prompts


def build(level: int, count: int = COUNT, seed: int = SEED) -> list[Prompt]:
    """Prompts drawn by seed from clips of a level, so that each stratum of a kind is met about equally often.

    One prompt at a time is taken, the one whose strata are furthest below their share. Styles of caption take turns.
    """
    pool = list(itertools.islice(_pool(level, seed), POOL * count))
    shares = _shares([p.strata for p in pool])
    chosen: list[Prompt] = []
    met: Counter[str] = Counter()
    while len(chosen) < count:
        style = STYLES[len(chosen) % len(STYLES)]
        best = min((p for p in pool if p.style == style), key=lambda p: sum(met[s] / shares[s] for s in p.strata))
        pool = [p for p in pool if p.index != best.index and p.caption != best.caption]
        met.update(best.strata)
        chosen.append(replace(best, truth=expected(real_clip(best))))
    return chosen


def _pool(level: int, seed: int) -> Iterator[Prompt]:
    """Candidates, each held-out caption of a clip one, from the smallest clips that tell their truth; endless."""
    from worldpatch.worlds import tabletop  # needs a simulator, which scoring does not

    config = tabletop.Config(level=level, height=16, width=16, supersample=1, masks=False)
    for index, clip in enumerate(tabletop.clips(config, seed)):
        truth, strata = expected(clip), _strata(clip)
        for style in STYLES:
            if is_caption_held_out(caption := clip.captions[style]):
                yield Prompt(
                    caption=caption, style=style, level=level, seed=seed, index=index, truth=truth, strata=strata
                )


def _strata(clip: Clip) -> tuple[str, ...]:
    """Number of solids, main event, camera, and whether an unseen colour-shape pair is among them."""
    assert clip.truth is not None
    solids = len(clip.truth.objects)
    return (
        f"{solids} solid{'s' * (solids > 1)}",
        f"event {clip.truth.scene['kind']}",
        f"camera {expected(clip).camera}",
        UNSEEN[is_held_out(clip.truth)],
    )


def _shares(strata: list[tuple[str, ...]]) -> dict[str, float]:
    """The share of prompts wanted in each stratum: equal within a kind, but UNSEEN_SHARE of unseen pairs."""
    shares = {}
    for kind in zip(*strata, strict=True):
        values = set(kind)
        shares |= dict.fromkeys(values, 1 / len(values))
    return shares | {UNSEEN[True]: UNSEEN_SHARE, UNSEEN[False]: 1 - UNSEEN_SHARE}


def path(level: int) -> Path:
    return Path(__file__).parent / f"prompts_level{level}.json"


def freeze(level: int) -> Path:
    """Build and write the suite of a level. Done once: every score refers to the file as committed."""
    path(level).write_text(json.dumps([configs.dump(p) for p in build(level)], indent=1) + "\n")
    return path(level)


def load(level: int) -> list[Prompt]:
    """The frozen prompts of a level. Raises UserError where there are none."""
    if not path(level).exists():
        raise UserError(f"no frozen prompts of level {level}; there are levels 1 and 2")
    return [configs.build(Prompt, values) for values in json.loads(path(level).read_text())]


def fixed32(level: int = 1) -> list[Prompt]:
    """The first 32 frozen prompts, for the sheets of a training run."""
    return load(level)[:32]


# --------------------------------------------------------------------------------------------------------------- score


def rates(frames: Sequence[Frames], prompts: Sequence[Prompt]) -> dict[str, float]:
    """Share of clips that fulfil each criterion; one clip per prompt."""
    verdicts = [metric.judge(detect.detect(f), p.truth) for f, p in zip(frames, prompts, strict=True)]
    return {name: float(np.mean([v[name] for v in verdicts])) for name in metric.CRITERIA}


def real_clip(prompt: Prompt, side: int = SIDE, frames: int = 25, rate: float = 8.0) -> Clip:
    """The clip that a prompt's caption describes, rendered."""
    from worldpatch.worlds import tabletop  # needs a simulator, which scoring does not

    config = tabletop.Config(level=prompt.level, height=side, width=side, frames=frames, rate=rate, masks=False)
    return tabletop.clip(config, prompt.seed, prompt.index)


# --------------------------------------------------------------------------------------------------------------- suite


BARS = {"colour": 0.90, "no_extra": 0.85, "count": 0.80, "shape": 0.70, "event": 0.70, "camera": 0.80}
ONE_SOLID_BARS = BARS | {"colour": 0.95, "shape": 0.85}
STRATA = ("solids", "event", "camera", "pairs")


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """The suite of a level; see `suites._task.Suite`. A criterion is right (1) or wrong (0)."""

    name: str = "prompts_level1"
    group: str = "suite"
    modes: tuple[Mode, ...] = ("text",)

    @property
    def level(self) -> int:
        return int(self.name.removeprefix("prompts_level"))

    def tasks(self, choice: Choice, workers: int = 1, progress: Progress | None = None) -> list[Task]:
        if choice.modes != self.modes or choice.only:
            raise UserError(f"{self.name} is a list of prompts: it has no modes but text, and no scenarios")
        prompts, found = load(self.level)[: choice.count], []
        bars = ONE_SOLID_BARS if self.level == 1 else BARS
        metrics = {
            name: Metric(unit="share", worst=0.0, best=1.0, higher=True, naive=0.0, bar=bars.get(name))
            for name in metric.CRITERIA
        }
        for number, prompt in enumerate(prompts):
            form = choice.form
            strata = {"suite": self.name, **{k: v.split(" ", 1)[-1] if k in ("event", "camera") else v
                      for k, v in zip(STRATA, prompt.strata, strict=True)}}  # fmt: skip
            clip = real_clip(prompt, min(form.height, form.width)).frames
            still = np.repeat(clip[:1], len(clip), 0)
            found.append(
                Task(
                    key=f"{self.name}-{number:02d}", prompt=prompt.caption, form=form, strata=strata,
                    reference=prompt, metrics=metrics,
                    baselines={"real": _verdicts(clip, prompt), "copy": _verdicts(still, prompt)},
                )
            )  # fmt: skip
            if progress:
                progress("render", number + 1, len(prompts))
        return found

    def score(self, task: Task, frames: Frames) -> Scores:
        return _verdicts(frames, task.reference)

    def real(self, task: Task) -> Frames:
        return real_clip(task.reference, min(task.form.height, task.form.width)).frames


def _verdicts(frames: Frames, prompt: Prompt) -> Scores:
    return {name: float(right) for name, right in metric.judge(detect.detect(frames), prompt.truth).items()}


if __name__ == "__main__":
    for number in (1, 2):
        print(freeze(number))
