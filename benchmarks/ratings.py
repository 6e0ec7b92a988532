"""How often do the arena's 95% intervals hold the truth? Simulated judgements of models whose strengths are planted.

    python benchmarks/ratings.py [--short] [-o result.md]

Prompts differ: on one of them a model may be better or worse than it is on the whole, by a normal draw of the standard
deviation "unlike" in Elo points, and all judgements of that prompt share it. The truth is what a fit to 4000 prompts
says, for that is the rating more and more prompts lead to. No bar: the result is recorded, and docs/arena.md says what
follows from it.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from _machine import Report, parser

from worldpatch.evals import bradley_terry
from worldpatch.evals.bradley_terry import Estimate, Match, chances

TIE_RATE = 1 / 3
PLENTY = 4000  # prompts that tell the truth


@dataclass(frozen=True)
class Setting:
    """Elo ratings of the models, and each pair of them judged once for each of `prompts`."""

    ratings: tuple[float, ...]
    prompts: int
    unlike: float


SETTINGS = [
    Setting((1050, 950), 10, 0),
    Setting((1050, 950), 100, 0),
    Setting((1100, 1000, 900), 6, 0),
    Setting((1100, 1000, 900), 20, 0),
    Setting((1100, 1000, 900), 20, 200),
    Setting((1100, 1000, 900), 80, 200),
    Setting((1400, 1000, 600), 10, 0),
]


def judged(setting: Setting, prompts: int, rng: np.random.Generator) -> list[Match]:
    """Every pair of models judged once for each prompt."""
    matches = []
    for prompt in range(prompts):
        here = np.array(setting.ratings) + setting.unlike * rng.standard_normal(len(setting.ratings))
        for i, j in itertools.combinations(range(len(here)), 2):
            winner = rng.choice(["first", "second", "neither"], p=chances(here[i], here[j], TIE_RATE))
            matches.append(Match(first=str(i), second=str(j), winner=str(winner), group=str(prompt)))  # type: ignore[arg-type]
    return matches


def coverage(setting: Setting, times: int, resamples: int) -> list[str]:
    """Share of intervals that hold the truth: by curvature, by bootstrap, and the wider one of the two."""
    rng = np.random.default_rng(7)
    truth = bradley_terry.fit(judged(setting, PLENTY, rng), resamples=2).ratings
    held = []
    for seed in range(times):
        found = bradley_terry.fit(judged(setting, setting.prompts, rng), resamples, seed).ratings
        held += [_held(estimate, truth[name].value) for name, estimate in found.items()]
    return [f"{share:.0%}" for share in np.mean(held, axis=0)]


def _held(estimate: Estimate, truth: float) -> tuple[bool, bool, bool]:
    wider = max(estimate.curvature, estimate.bootstrap, key=lambda ends: ends[1] - ends[0])
    curvature, bootstrap, either = (
        low <= truth <= high for low, high in (estimate.curvature, estimate.bootstrap, wider)
    )
    return curvature, bootstrap, either


def main() -> None:
    arguments = parser(__doc__).parse_args()
    report = Report("Intervals of the arena's ratings", arguments)
    times, resamples = (2, 10) if arguments.short else (100, 200)
    report.say(f"\n{times} simulations of each setting, {resamples} resamples; ties between equals {TIE_RATE:.0%}.")
    rows = []
    for setting in SETTINGS[: 2 if arguments.short else None]:
        ratings = ", ".join(f"{rating:.0f}" for rating in setting.ratings)
        rows.append((ratings, setting.prompts, f"{setting.unlike:.0f}", *coverage(setting, times, resamples)))
    report.table(("ratings", "prompts", "unlike", "curvature holds", "bootstrap holds", "the wider holds"), rows)
    report.finish()


if __name__ == "__main__":
    main()
