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
from worldpatch.evals.metrics import motion
from worldpatch.evals.metrics import prompt as metric
from worldpatch.evals.metrics._result import Frames
from worldpatch.evals.suites._report import Report, Scored
from worldpatch.types import Clip
from worldpatch.worlds._holdout import is_caption_held_out, is_held_out

SEED = 31_415_926  # of the clips that captions are taken from; training never uses it
COUNT = 96
POOL = 5  # clips drawn per prompt kept, so that rare strata can be filled
STYLES = ("terse", "dense", "typed")
UNSEEN = {True: "unseen pair", False: "seen pairs"}
UNSEEN_SHARE = 0.25
DIFFERENT = 2.0  # grey levels: clips that differ by less on average are the same video
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


def score(frames_per_prompt: Sequence[Sequence[Frames]], prompts: Sequence[Prompt]) -> Report:
    """Verdicts on every clip; `frames_per_prompt` holds the clips of each prompt, one per seed."""
    if len(frames_per_prompt) != len(prompts) or not prompts or not all(map(len, frames_per_prompt)):
        raise UserError(f"{len(frames_per_prompt)} lists of clips, {len(prompts)} prompts: give clips for each prompt")
    scored = []
    for p, (clips, prompt) in enumerate(zip(frames_per_prompt, prompts, strict=True)):
        for s, frames in enumerate(clips):
            seen = detect.detect(frames)
            scored.append(
                Scored(
                    prompt=p,
                    sample=s,
                    caption=prompt.caption,
                    strata=prompt.strata,
                    verdicts=metric.judge(seen, prompt.truth),
                    motion=motion.ratio_of_amounts(seen.motion, prompt.truth.motion),
                )
            )
    t, h, w, _ = frames_per_prompt[0][0].shape
    return Report(clips=tuple(scored), diversity=_diversity(frames_per_prompt), size=(t, h, w))


def _diversity(frames_per_prompt: Sequence[Sequence[Frames]]) -> float | None:
    """Share of prompts whose every two clips differ by more than DIFFERENT grey levels."""
    pairs = [list(itertools.combinations(clips, 2)) for clips in frames_per_prompt]
    if not all(pairs):
        return None
    return float(np.mean([all(_difference(a, b) > DIFFERENT for a, b in of) for of in pairs]))


def _difference(a: Frames, b: Frames) -> float:
    return float(np.abs(a.astype(np.int16) - b).mean()) if a.shape == b.shape else np.inf


def real_clip(prompt: Prompt, side: int = SIDE, frames: int = 25, rate: float = 8.0) -> Clip:
    """The clip that a prompt's caption describes, rendered."""
    from worldpatch.worlds import tabletop  # needs a simulator, which scoring does not

    config = tabletop.Config(level=prompt.level, height=side, width=side, frames=frames, rate=rate, masks=False)
    return tabletop.clip(config, prompt.seed, prompt.index)


def real_baseline(prompts: Sequence[Prompt], side: int = SIDE) -> Report:
    """The score of the real clips: what the detectors make of perfection."""
    return score([[real_clip(p, side).frames] for p in prompts], prompts)


if __name__ == "__main__":
    for number in (1, 2):
        print(freeze(number))
