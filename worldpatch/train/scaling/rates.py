"""Does the best learning rate depend on the width? A parabola per width, and how far the best rate drifts.

A network whose rates are scaled by width (`Optim.base_width`, muP) should not drift; one with a rate for all does, by
about 1 / width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worldpatch.train.scaling.points import Point


@dataclass(frozen=True, kw_only=True)
class Best:
    """A width's best rate and its loss; not `inside` where the lowest loss is at an end of the rates tried."""

    width: int
    rate: float
    loss: float
    inside: bool


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """The best rates over widths of one parametrisation.

    `drift` is how many times larger the best rate of the narrowest network is than that of the widest; `step` the ratio
    of neighbouring rates; `penalty` the widest one's loss at the narrowest one's best rate, above its own best.
    """

    base_width: int
    best: tuple[Best, ...]
    drift: float
    step: float
    penalty: float

    @property
    def told(self) -> bool:
        """Whether the rates tried reach far enough on both sides to tell."""
        return all(best.inside for best in self.best)

    @property
    def transfers(self) -> bool:
        """Whether the best rate stays within a step of the grid."""
        return self.told and 1 / self.step <= self.drift <= self.step


def transfers(points: Sequence[Point]) -> list[Transfer]:
    """One per base width that has two widths with three rates or more; `points` compare rates."""
    found = []
    for base_width in sorted({p.base_width for p in points}):
        mine = [p for p in points if p.base_width == base_width]
        groups = [[p for p in mine if p.width == w] for w in sorted({p.width for p in mine})]
        groups = [g for g in groups if len({p.rate for p in g if np.isfinite(p.loss)}) >= 3]
        if len(groups) >= 2:
            found.append(_transfer(base_width, groups))
    return found


def _transfer(base_width: int, groups: Sequence[Sequence[Point]]) -> Transfer:
    best = tuple(_best(g) for g in groups)
    rates = sorted({p.rate for g in groups for p in g})
    widest = sorted((p for p in groups[-1] if np.isfinite(p.loss)), key=lambda p: p.rate)
    x, y = np.log([p.rate for p in widest]), [p.loss for p in widest]
    borrowed = float(np.interp(np.log(best[0].rate), x, y))
    return Transfer(
        base_width=base_width, best=best, drift=best[0].rate / best[-1].rate,
        step=float(np.exp(np.diff(np.log(rates)).max())), penalty=borrowed - min(y),
    )  # fmt: skip


def _best(group: Sequence[Point]) -> Best:
    """The lowest point of the parabola, in log rate, through the best measured rate and its neighbours."""
    group = sorted((p for p in group if np.isfinite(p.loss)), key=lambda p: p.rate)
    at = int(np.argmin([p.loss for p in group]))
    best = Best(width=group[at].width, rate=group[at].rate, loss=group[at].loss, inside=0 < at < len(group) - 1)
    if not best.inside:
        return best
    near = group[at - 1 : at + 2]
    curve = np.polyfit(np.log([p.rate for p in near]), [p.loss for p in near], 2)
    lowest = -curve[1] / (2 * curve[0])
    return Best(
        width=best.width, rate=float(np.exp(lowest)), loss=float(np.polyval(curve, lowest)), inside=True
    )  # fmt: skip
