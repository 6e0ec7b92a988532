"""What a suite found: verdicts per clip, their rates over all and over strata, as JSON and as Markdown."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from worldpatch.evals.metrics.prompt import CRITERIA

BARS = {"colour": 0.90, "no_extra": 0.85, "count": 0.80, "shape": 0.70, "event": 0.70, "camera": 0.80}
ONE_SOLID_BARS = {"colour": 0.95, "shape": 0.85}
ONE_SOLID = "1 solid"


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One clip's verdicts; `motion` is its amount over the real clip's, `sample` counts the prompt's clips."""

    prompt: int
    sample: int
    caption: str
    strata: tuple[str, ...]
    verdicts: dict[str, bool]
    motion: float


@dataclass(frozen=True, kw_only=True)
class Report:
    """All clips' verdicts. `diversity`: share of prompts whose clips differ from each other, None with one each."""

    clips: tuple[Scored, ...]
    diversity: float | None
    size: tuple[int, int, int]  # frames, height, width

    def rates(self, stratum: str = "") -> dict[str, float]:
        """Share of clips that fulfil each criterion, in a stratum or overall."""
        of = [c.verdicts for c in self.clips if not stratum or stratum in c.strata]
        return {name: float(np.mean([v[name] for v in of])) for name in CRITERIA} if of else {}

    def count(self, stratum: str = "") -> int:
        return sum(not stratum or stratum in c.strata for c in self.clips)

    def overall(self, stratum: str = "") -> float:
        """The arithmetic mean of the rates; nan where no clip is of the stratum."""
        rates = self.rates(stratum)
        return float(np.mean(list(rates.values()))) if rates else float("nan")

    @property
    def strata(self) -> list[str]:
        """Every stratum met, in order of first appearance."""
        return list(dict.fromkeys(s for c in self.clips for s in c.strata))

    def dump(self) -> str:
        """JSON: the rates, overall, of one solid and by stratum, and every clip's verdicts."""
        summary = {
            "size": self.size,
            "clips": self.count(),
            "overall": self.overall(),
            "rates": self.rates(),
            "diversity": self.diversity,
            "motion_median": float(np.median([c.motion for c in self.clips])),
            "one_solid": {"clips": self.count(ONE_SOLID), "overall": self.overall(ONE_SOLID), **self.rates(ONE_SOLID)},
            "strata": {s: {"clips": self.count(s), "overall": self.overall(s), **self.rates(s)} for s in self.strata},
            "verdicts": [asdict(c) for c in self.clips],
        }
        return json.dumps(_without_nan(summary), indent=1)

    def table(self, real: "Report") -> str:
        """Markdown: each rate beside the same detectors' accuracy on real renders, and the bar; then the strata."""
        t, h, w = self.size
        lines = [
            f"{self.count()} clips of {w}x{h}, {t} frames; real: {real.count()} renders read by the same detectors.",
            "",
            "| criterion | generated | real | bar | one solid | real | bar |",
            "|---|---|---|---|---|---|---|",
        ]
        alone, alone_real = self.rates(ONE_SOLID), real.rates(ONE_SOLID)
        for name, rate in self.rates().items():
            cells = [rate, real.rates()[name], BARS.get(name)]
            cells += [alone.get(name), alone_real.get(name), ONE_SOLID_BARS.get(name)]
            lines.append(f"| {name.replace('_', ' ')} | " + " | ".join(map(_percent, cells)) + " |")
        row = [f(s) for s in ("", ONE_SOLID) for f in (self.overall, real.overall, _nothing)]
        lines.append("| **mean** | " + " | ".join(map(_percent, row)) + " |")
        if self.diversity is not None:
            lines.append(f"| two seeds differ | {_percent(self.diversity)} | | | | | |")
        lines += ["", "| stratum | clips | mean of criteria | real |", "|---|---|---|---|"]
        for s in sorted(self.strata):
            lines.append(f"| {s} | {self.count(s)} | {_percent(self.overall(s))} | {_percent(real.overall(s))} |")
        return "\n".join(lines) + "\n"


_nothing: Callable[[str], None] = lambda _: None  # noqa: E731


def _percent(rate: float | None) -> str:
    return "" if rate is None or np.isnan(rate) else f"{100 * rate:.0f}%"


def _without_nan(value):
    """JSON has no nan: null instead."""
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    return None if isinstance(value, float) and np.isnan(value) else value
