"""What a sweep measures: one line of JSON per trained network, and nothing else is kept of it but its export."""

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from worldpatch import config
from worldpatch.config import UserError

PHYSICS = "physics/"
Probe = Callable[[Path], dict[str, float]]
"""Judges an exported model: what it gets wrong, by names that begin with PHYSICS; each becomes a curve."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One trained network; `rate` and `base_width` are its optimiser's.

    `budget` is the training compute it was meant to get, 0 where it only compares learning rates; `flops` what it got,
    counted product by product, the text encoder aside. `parameters` are those of the blocks (N), `tokens` the patches
    trained on (D), `batch` those of one step. `bins` are losses per tenth of noise time; `scores` what the stage's
    sheet and `judge` said of the export.
    """

    name: str
    depth: int
    width: int
    seed: int
    rate: float
    base_width: int
    budget: float
    flops: float
    parameters: int
    tokens: float
    batch: float
    steps: int
    loss: float
    bins: tuple[float, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    precision: str = ""
    export: str = ""  # relative to the sweep's folder


def path(folder: Path) -> Path:
    return folder / "points.jsonl"


def append(folder: Path, point: Point) -> None:
    """One line in one write, so that several processes may append at once."""
    handle = os.open(path(folder), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, _line(point).encode())
    finally:
        os.close(handle)


def judge(folder: Path, probe: Probe) -> list[Point]:
    """Let a probe judge the best network of each budget that none has judged yet; returns all points of the sweep.

    The file is replaced after each, so that a stop loses one at most.
    """
    found = read(folder)
    chosen = best(found)
    for i, point in enumerate(found):
        if point in chosen and not any(name.startswith(PHYSICS) for name in point.scores):
            found[i] = replace(point, scores=point.scores | probe(folder / point.export))
            draft = path(folder).with_suffix(".part")
            draft.write_text("".join(map(_line, found)))
            draft.replace(path(folder))
    return found


def _line(point: Point) -> str:
    values = config.dump(point) | {"loss": point.loss if math.isfinite(point.loss) else None}  # JSON has no nan
    return json.dumps(values) + "\n"


def read(folder: Path) -> list[Point]:
    """All points of a sweep, in the order they were finished. Raises UserError that names a damaged line."""
    if not path(folder).exists():
        return []
    found = []
    for number, line in enumerate(path(folder).read_text().splitlines(), 1):
        try:
            values = json.loads(line)
            found.append(config.build(Point, values | {"loss": math.nan if values["loss"] is None else values["loss"]}))
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{path(folder)}, line {number} is damaged ({error}): delete that line") from error
    return found


def law(points: Sequence[Point]) -> list[Point]:
    """The points that tell of compute, without those whose loss is no number (a rate too high)."""
    return [p for p in points if p.budget and math.isfinite(p.loss)]


def best(points: Sequence[Point]) -> list[Point]:
    """The network of the smallest loss at each budget, in the order of budgets."""
    mine = law(points)
    return [min((p for p in mine if p.budget == b), key=lambda p: p.loss) for b in sorted({p.budget for p in mine})]


def rates(points: Sequence[Point]) -> list[Point]:
    """The points that compare learning rates over widths."""
    return [p for p in points if not p.budget]
