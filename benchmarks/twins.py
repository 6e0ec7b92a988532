"""Do twins tell physics, and nothing else? Models on twins and on single frames of them, and who predicts nothing.

    python benchmarks/twins.py DATA MODEL [MODEL ...] [--times 8] [--short] [-o result.md]

DATA holds encoded twins (`worldpatch eval twins` builds them). A single frame is never impossible, so on controls every
model must be at 50%. On twins a network before training must be there too. It predicts zero, so that its loss is
|noise - x|^2, and over all noise the possible clips of a couple have the smaller loss with probability Phi(g / 2d),
where g is by how much the impossible latents' squares exceed the possible ones', and d^2 the sum of the squares of
their differences: an exact figure, of whatever else than physics tells them apart.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import NormalDist, mean
from typing import Any

from _machine import Report, parser

from worldpatch import generate
from worldpatch.evals.suites import twins

EVEN = (0.35, 0.65)  # three standard errors of a kind's mean over 32 couples, from 50%


def blind(trials: Sequence[twins.Trial]) -> dict[str, float]:
    """Kind -> share of couples, over all noise, in which a network that predicts zero prefers the possible ones."""
    more, apart = defaultdict(float), defaultdict(float)
    for trial in trials:
        a, b, key = trial.possible.float(), trial.impossible.float(), (trial.kind, trial.couple)
        more[key] += float(b.square().sum() - a.square().sum())
        apart[key] += float((b - a).square().sum())
    chance = {key: NormalDist().cdf(more[key] / (2 * apart[key] ** 0.5)) for key in more}
    return {kind: mean(p for (of, _), p in chance.items() if of == kind) for kind in twins.KINDS}


def main() -> None:
    made = parser(__doc__)
    made.add_argument("data", type=Path)
    made.add_argument("models", nargs="+", metavar="MODEL")
    made.add_argument("--times", type=int, default=8, help="noise times per pair")
    arguments = made.parse_args()
    report, rows = Report("Possible and impossible twins", arguments), []
    for name in arguments.models:
        pipeline = generate.load(generate.find(name))
        found = twins.load(arguments.data, pipeline.spec).first(2 if report.short else twins.PAIRS)
        times = 1 if report.short else arguments.times
        card = twins.report(pipeline.network, found, patch=pipeline.patch, times=times)
        report.say(f"\n## {name}\n\n{times} times per pair, twins {card['version']}\n\n{twins.table(card)}")
        rows.append(_control(name, card["mean"]["control"]))
        if name == arguments.models[0]:
            shares, alone = blind(found.twins), blind(found.controls)
    report.say("## A network that predicts zero")
    report.table(("kind", "twins", "one frame"), [(k, f"{shares[k]:.1%}", f"{alone[k]:.1%}") for k in twins.KINDS])
    rows += [_even("twins", shares), _even("single frames", alone)]
    report.bars(rows)
    report.finish()


def _control(name: str, share: dict[str, Any]) -> tuple[str, str, str, bool]:
    measured = f"{100 * share['preferred']:.0f}% ({100 * share['low']:.0f} to {100 * share['high']:.0f})"
    return f"{name}: mean of all controls", "50% within the interval", measured, share["low"] <= 0.5 <= share["high"]


def _even(what: str, shares: dict[str, float]) -> tuple[str, str, str, bool]:
    least, most = min(shares.values()), max(shares.values())
    low, high = EVEN
    measured = f"{least:.0%} to {most:.0%}, mean {mean(shares.values()):.1%}"
    return f"predicting zero: {what} of every kind", f"{low:.0%} to {high:.0%}", measured, low <= least and most <= high


if __name__ == "__main__":
    main()
