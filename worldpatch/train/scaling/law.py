"""A law: what the fits say, what the largest budget said of them, and how learning rates move with the width."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.train.scaling import fits, points, rates
from worldpatch.train.scaling.fits import IsoFlop, Parametric, Valley
from worldpatch.train.scaling.grid import Setting
from worldpatch.train.scaling.points import Point
from worldpatch.train.scaling.rates import Transfer

LEAST_BUDGETS = 3  # two to fit and one to predict


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """The largest budget, which no fit has seen: its valley, and what both approaches had predicted for it."""

    valley: Valley
    isoflop_parameters: float
    isoflop_loss: float
    parametric_parameters: float
    parametric_loss: float
    errors: tuple[float, ...]  # of the parametric fit at each of its points, as a share of the loss


@dataclass(frozen=True, kw_only=True)
class Law:
    setting: Setting
    isoflop: IsoFlop
    parametric: Parametric
    held_out: HeldOut
    transfers: tuple[Transfer, ...]


def make(found: Sequence[Point], setting: Setting, draws: int = 200) -> Law:
    """The law of a sweep, its intervals from so many bootstrap draws.

    Raises UserError where its budgets or sizes are too few.
    """
    of_law = points.law(found)
    budgets = sorted({p.budget for p in of_law})
    if len(budgets) < LEAST_BUDGETS:
        raise UserError(
            f"{len(of_law)} finished runs over {len(budgets)} budgets: a law needs {LEAST_BUDGETS} budgets, of which "
            "it predicts the largest"
        )
    seen, last = ([p for p in of_law if (p.budget == budgets[-1]) == largest] for largest in (False, True))
    isoflop, parametric = fits.isoflop(seen, draws), fits.parametric(seen, draws)
    held_out = _held_out(last, isoflop, parametric)
    transfers = tuple(rates.transfers(points.rates(found)))
    return Law(setting=setting, isoflop=isoflop, parametric=parametric, held_out=held_out, transfers=transfers)


def _held_out(last: Sequence[Point], isoflop: IsoFlop, parametric: Parametric) -> HeldOut:
    budget = last[0].budget
    best = parametric.best(budget)
    return HeldOut(
        valley=fits.valley(last), isoflop_parameters=isoflop.parameters(budget), isoflop_loss=isoflop.frontier(budget),
        parametric_parameters=best[0], parametric_loss=parametric.loss(*best),
        errors=tuple(parametric.loss(float(p.parameters), p.tokens) / p.loss - 1 for p in last),
    )  # fmt: skip


def write(law: Law, path: Path) -> None:
    path.write_text(json.dumps(config.dump(law), indent=1) + "\n")


def read(path: Path) -> Law:
    """Raises UserError where the file is missing or damaged."""
    if not path.exists():
        raise UserError(f"{path} is missing: make one with `worldpatch scale run` and `worldpatch scale fit`")
    try:
        return config.build(Law, json.loads(path.read_text()), "law.")
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): make it again with `worldpatch scale fit`") from error
