"""What a log of judgements says: ratings with intervals, who won how often, how steady each judge is."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from worldpatch.config import UserError
from worldpatch.evals import bradley_terry
from worldpatch.evals.arena.gallery import Identity, Key, identity, key
from worldpatch.evals.bradley_terry import Estimate, Fit, Match
from worldpatch.generate.preferences import Preference, Rival, Winner, outcomes
from worldpatch.video._atomic import atomic

FEW = 20  # prompts; below, the bootstrap's intervals were found too narrow (docs/arena.md)


@dataclass(frozen=True, kw_only=True)
class Judge:
    """One judge's work in arenas. Of the pairs that came again with sides swapped, `alike` were judged as before and
    `reversed` the other way round; the rest changed to or from neither. `left` of `picks` went to the left clip."""

    name: str
    judgements: int
    repeated: int
    alike: int
    reversed: int
    left: int
    picks: int

    @property
    def summary(self) -> str:
        said = [f"{self.name}: {_number(self.judgements, 'judgement')}"]
        if self.repeated:
            again = f"{_number(self.repeated, 'pair')} came again with sides swapped"
            said.append(f"{again}: {self.alike} judged alike, {self.reversed} reversed")
        else:
            said.append("no pair came again yet, so how steady they are is not known")
        return "; ".join([*said, f"of {_number(self.picks, 'pick')} {self.left} went to the left clip"])


@dataclass(frozen=True, kw_only=True)
class Score:
    """One against another: judgements won, tied (both bad among them) and lost."""

    name: str
    other: str
    won: int
    tied: int
    lost: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """Ratings, or the reason why there are none, and what they rest on: `judgements` are the judged pairs that count,
    `notes` say what is left out and what to mind."""

    judgements: int
    prompts: int
    fit: Fit | None
    reason: str
    scores: tuple[Score, ...]
    judges: tuple[Judge, ...]
    notes: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Everyone compared, best first where there are ratings."""
        return list(self.fit.ratings) if self.fit else sorted({s.name for s in self.scores})

    @property
    def basis(self) -> str:
        return f"{_number(self.judgements, 'judgement')} of {_number(self.prompts, 'prompt')}"

    def totals(self, name: str) -> tuple[int, int, int]:
        """Judgements won, tied and lost by one against all others."""
        mine = [s for s in self.scores if s.name == name]
        return sum(s.won for s in mine), sum(s.tied for s in mine), sum(s.lost for s in mine)

    def values(self) -> dict[str, Any]:
        """All of it as plain values, for JSON."""
        values: dict[str, Any] = asdict(self) | {"basis": self.basis}
        values["judges"] = [asdict(judge) | {"summary": judge.summary} for judge in self.judges]
        if self.fit is not None:  # a list keeps their order wherever it is read
            values["fit"]["ratings"] = [{"name": name} | asdict(value) for name, value in self.fit.ratings.items()]
        return values

    def save(self, path: Path) -> None:
        """Write the values as JSON; the file appears whole."""
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(self.values(), indent=1, ensure_ascii=False) + "\n")

    def table(self) -> str:
        """Markdown: the ratings, the matrix of wins, ties and losses, the judges, the notes."""
        remarks = [f"- {line}" for line in (*(judge.summary for judge in self.judges), *self.notes)]
        return "\n".join([f"{self.basis}.", "", *self._ratings(), *self._matrix(), *remarks]).rstrip() + "\n"

    def _ratings(self) -> list[str]:
        if self.fit is None:
            return [f"No ratings: {self.reason}.", ""]
        lines = [
            "| | rating | 95%, prompts redrawn | 95%, curvature | won | tied | lost |",
            "|---|---|---|---|---|---|---|",
        ]
        for name, estimate in self.fit.ratings.items():
            counts = " | ".join(map(str, self.totals(name)))
            lines.append(f"| {name} | {estimate.value:.0f} | {_intervals(estimate, '{:.0f}')} | {counts} |")
        tie = self.fit.tie_rate
        return [*lines, f"| ties between equals | {tie.value:.0%} | {_intervals(tie, '{:.0%}')} | | | |", ""]

    def _matrix(self) -> list[str]:
        names, cells = self.names, {(s.name, s.other): f"{s.won} / {s.tied} / {s.lost}" for s in self.scores}
        if not names:
            return []
        lines = ["| won / tied / lost against | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        for name in names:
            lines.append(f"| {name} | " + " | ".join(cells.get((name, other), "") for other in names) + " |")
        return [*lines, ""]


def _intervals(estimate: Estimate, form: str) -> str:
    return " | ".join(
        f"{form.format(low)} to {form.format(high)}" for low, high in (estimate.bootstrap, estimate.curvature)
    )


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


# ---------------------------------------------------------------------------------------------------------- making it


def report(preferences: Sequence[Preference], notes: Sequence[str] = (), seed: int = 0) -> Report:
    """What these judgements say. A pair that a judge met again in an arena is judged by the first time; the second one
    measures the judge."""
    judged = [p for p in preferences if p.picked != "skipped"]
    repeats = _repeats(judged)
    counted = [p for p in judged if p.id not in {again.id for _, again in repeats}]
    every = [_match(p, *outcome) for p in counted for outcome in outcomes(p)]
    matches = [m for m in every if m.first != m.second]
    prompts = len({m.group for m in matches})
    fit, reason = _fit(matches, seed)
    remarks = {
        "ties that are 'both bad'": sum(p.picked == "both bad" for p in counted),
        "skipped": len(preferences) - len(judged),
        "repetitions, which measure the judges and are not rated": len(repeats),
        "pairs of one model, which do not compare models": len(every) - len(matches),
    }
    few = [f"fewer than {FEW} prompts: go by the wider of the two intervals"] if fit and prompts < FEW else []
    return Report(
        judgements=len(matches), prompts=prompts, fit=fit, reason=reason, scores=_scores(matches),
        judges=_judges(judged, repeats),
        notes=(*notes, *(f"{remark}: {count}" for remark, count in remarks.items() if count), *few),
    )  # fmt: skip


def _match(preference: Preference, first: Rival, second: Rival, winner: Winner) -> Match:
    return Match(first=first.model, second=second.model, winner=winner, group=preference.prompt)


def _fit(matches: Sequence[Match], seed: int) -> tuple[Fit | None, str]:
    try:
        return bradley_terry.fit(matches, seed=seed), ""
    except UserError as error:
        return None, str(error)


def _repeats(judged: Sequence[Preference]) -> list[tuple[Preference, Preference]]:
    """What a judge of an arena said of a pair at first, and when it came again."""
    first: dict[tuple[str, Key], Preference] = {}
    found = []
    for p in judged:
        if p.source == "arena":
            before = first.setdefault((p.judge, key(p.rivals)), p)
            if before is not p:
                found.append((before, p))
    return found


def _scores(matches: Sequence[Match]) -> tuple[Score, ...]:
    counts: Counter[tuple[str, str, str]] = Counter()
    for m in matches:
        winner = {"first": m.first, "second": m.second, "neither": ""}[m.winner]
        for name, other in ((m.first, m.second), (m.second, m.first)):
            counts[name, other, "won" if winner == name else "lost" if winner == other else "tied"] += 1
    pairs = sorted({(name, other) for name, other, _ in counts})
    return tuple(
        Score(name=a, other=b, won=counts[a, b, "won"], tied=counts[a, b, "tied"], lost=counts[a, b, "lost"])
        for a, b in pairs
    )


def _judges(judged: Sequence[Preference], repeats: Sequence[tuple[Preference, Preference]]) -> tuple[Judge, ...]:
    arena = [p for p in judged if p.source == "arena"]
    judges = []
    for name in sorted({p.judge for p in arena}):
        picks = [p.picked for p in arena if p.judge == name and isinstance(p.picked, int)]
        twice = [(_winner(a), _winner(b)) for a, b in repeats if a.judge == name]
        judges.append(
            Judge(
                name=name,
                judgements=sum(p.judge == name for p in arena),
                repeated=len(twice),
                alike=sum(a == b for a, b in twice),
                reversed=sum(None not in (a, b) and a != b for a, b in twice),
                left=picks.count(0),
                picks=len(picks),
            )  # fmt: skip
        )
    return tuple(judges)


def _winner(preference: Preference) -> Identity | None:
    """The clip that was picked; None where neither was."""
    return identity(preference.rivals[preference.picked]) if isinstance(preference.picked, int) else None
