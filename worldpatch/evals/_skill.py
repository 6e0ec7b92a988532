"""From scores to skills: how far from a naive clip (0) towards a real one (1), with bootstrap intervals.

A metric's skill in a group of tasks is (naive - value) / (naive - real) of its means, cut to 0..1, where `real` is what
the same scorer makes of the real clips (its floor) and `naive` what a copy of the last given frame gets. A metric whose
floor is not well under that difference cannot see the effect: it is marked, and does not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from worldpatch.evals.suites._task import Metric, Scores, Task

RESAMPLES = 1000
SHARE = 1 / 3  # of the naive clip's distance from perfection that a metric's floor may have
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A metric in a group: means of the clips judged, of real, naive and other baseline clips; `sees` as above."""

    metric: str
    unit: str
    value: float
    real: float
    naive: float
    baselines: dict[str, float]
    tasks: int
    sees: bool
    skill: float
    interval: tuple[float, float]
    bar: float | None = None


@dataclass(frozen=True, kw_only=True)
class Group:
    """A group's skill: the mean over its metrics, families of metrics first, with an interval over tasks."""

    name: str
    tasks: int
    skill: float
    interval: tuple[float, float]
    baselines: dict[str, float]
    metrics: tuple[Measured, ...]


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The arithmetic mean of the groups' skills with its interval, and their smoothed geometric mean (Hafner 2021,
    Crafter: exp(mean(log(1 + percent))) - 1), which one skill near zero pulls down; both from 0 to 1."""

    skill: float
    interval: tuple[float, float]
    geometric: float
    baselines: dict[str, float]


def summarise(tasks: Sequence[Task], scores: Sequence[Sequence[Scores]], group: str) -> tuple[Headline, list[Group]]:
    """Skills by the values of a stratum. `scores` holds for each task those of its clips, one per seed."""
    names = list(dict.fromkeys(t.strata[group] for t in tasks))
    parts = [[i for i, t in enumerate(tasks) if t.strata[group] == name] for name in names]
    groups, draws, bases = [], [], []
    for name, part in zip(names, parts, strict=True):
        found, drawn, base = _group(name, [tasks[i] for i in part], [scores[i] for i in part])
        if found is not None:
            groups.append(found)
            draws.append(drawn)
            bases.append(base)
    skills = [g.skill for g in groups]
    headline = Headline(
        skill=float(np.mean(skills)) if skills else float("nan"),
        interval=_interval(np.mean(draws, axis=0)) if draws else (float("nan"), float("nan")),
        geometric=geometric(skills),
        baselines={k: float(np.mean([b[k] for b in bases])) for k in (bases[0] if bases else {})},
    )
    return headline, groups


def geometric(skills: Sequence[float]) -> float:
    """Smoothed geometric mean of shares."""
    return float(np.expm1(np.mean(np.log1p(100 * np.asarray(skills)))) / 100) if len(skills) else float("nan")


def _group(
    name: str, tasks: Sequence[Task], scores: Sequence[Sequence[Scores]]
) -> tuple[Group | None, Float[np.ndarray, " r"], dict[str, float]]:
    """A group, the skills of its resamples, and the skills of its baselines; None where no metric sees anything."""
    metrics: dict[str, Metric] = {k: m for t in tasks for k, m in t.metrics.items()}
    others = [b for b in tasks[0].baselines if b != "real"]
    draw = np.random.default_rng(0).integers(len(tasks), size=(RESAMPLES, len(tasks)))
    measured, resampled, weights, base = [], [], [], {b: [] for b in others}
    for key, metric in metrics.items():
        value = np.array([_mean([s[key] for s in of if key in s]) for of in scores])
        table = {b: np.array([t.baselines[b].get(key, np.nan) for t in tasks]) for b in tasks[0].baselines}
        if not np.isfinite(value).any():
            continue
        naive = np.full(len(tasks), metric.naive) if metric.naive is not None else table["copy"]
        sees = _sees(metric, _mean(table["real"]), _mean(naive))
        drawn = _skill(*(_means(v[draw]) for v in (value, table["real"], naive)))
        skill = float(_skill(*(np.array(_mean(v)) for v in (value, table["real"], naive))))
        measured.append(
            Measured(
                metric=key, unit=metric.unit, value=_mean(value), real=_mean(table["real"]), naive=_mean(naive),
                baselines={b: _mean(table[b]) for b in others}, tasks=int(np.isfinite(value).sum()), sees=sees,
                skill=skill, interval=_interval(drawn), bar=metric.bar,
            )
        )  # fmt: skip
        if sees:
            resampled.append(drawn)
            weights.append(metric.family or key)
            for b in others:
                base[b].append(float(_skill(np.array(_mean(table[b])), np.array(_mean(table["real"])), _mean(naive))))
    if not resampled:
        return None, np.zeros(RESAMPLES), {}
    weight = np.array([1 / weights.count(w) for w in weights]) / len(set(weights))
    skills = np.array([m.skill for m in measured if m.sees])
    drawn = weight @ np.array(resampled)
    bases = {b: float(weight @ np.array(base[b])) for b in others}
    group = Group(
        name=name, tasks=len(tasks), skill=float(weight @ skills), interval=_interval(drawn), baselines=bases,
        metrics=tuple(measured),
    )  # fmt: skip
    return group, drawn, bases


def _sees(metric: Metric, real: float, naive: float) -> bool:
    """Whether real clips are far nearer to perfection than naive ones."""
    return bool(abs(real - metric.best) <= SHARE * abs(naive - metric.best)) and naive != real


def _skill(value, real, naive):
    """0 for the naive value, 1 for the real one, cut to that range; 0 where the two are equal."""
    gap = np.where(naive == real, np.inf, naive - real)
    return np.clip((naive - value) / gap, 0.0, 1.0)


def _interval(draws: Float[np.ndarray, " r"]) -> tuple[float, float]:
    low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _mean(values) -> float:
    values = np.asarray(values, dtype=float)
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _means(values: Float[np.ndarray, "r n"]) -> Float[np.ndarray, " r"]:
    """Means of rows over what is known; a row that knows nothing takes the mean of all."""
    known = np.isfinite(values)
    sums, counts = np.where(known, values, 0).sum(1), known.sum(1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), _mean(values))
