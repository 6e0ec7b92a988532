"""Fits of loss against parameters, tokens and compute (Hoffmann et al. 2022, "Chinchilla", approaches 2 and 3).

Approach 2: at each budget a parabola of the loss in log N; its lowest point is the best size, and best sizes and tokens
over budgets are power laws. Approach 3: L(N, D) = E + A / N^alpha + B / D^beta, one fit of all points. Intervals are
bootstraps of the residuals. The fits see all budgets but the largest, which they must predict.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from worldpatch.config import UserError
from worldpatch.train.scaling.points import Point

Vector = Float[np.ndarray, " n"]  # a number per point
Constants = Float[np.ndarray, " five"]  # log A, alpha, log B, beta, log E
Intervals = dict[str, Sequence[float]]  # low and high of each constant
DELTA = 1e-3  # of the Huber loss on log losses, as Hoffmann et al.
CONFIDENCE = 0.95
LOWEST, HIGHEST = 1e-3, 4.0  # that alpha and beta may be
NOTHING = 1e-3  # of a loss, for a floor
EXPONENTS = np.linspace(0.05, 1.5, 12)  # starts for alpha and beta
STARTS = 6  # of the grid's best, polished
NEAR = 5  # sizes around the best one that a parabola is fitted to: further away the loss is no parabola of log N


@dataclass(frozen=True, kw_only=True)
class Power:
    """y = coefficient * x^exponent."""

    coefficient: float
    exponent: float

    def __call__(self, x: float) -> float:
        return self.coefficient * x**self.exponent


@dataclass(frozen=True, kw_only=True)
class Valley:
    """A budget's parabola: loss = sum of `curve` times (log N)^(2, 1, 0), and its lowest point.

    `inside`: it opens upwards and its lowest point lies among the sizes tried. Else the lowest measured one stands.
    """

    budget: float
    curve: tuple[float, float, float]
    parameters: float
    tokens: float
    loss: float
    inside: bool


@dataclass(frozen=True, kw_only=True)
class IsoFlop:
    """Approach 2. `frontier` is the best loss against compute, without a floor as in arXiv 2410.08184."""

    valleys: tuple[Valley, ...]
    parameters: Power
    tokens: Power
    frontier: Power
    intervals: Intervals = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Parametric:
    """Approach 3; `per_pair` is the compute per parameter and token (6 and what attention adds), a mean."""

    floor: float  # E
    a: float
    alpha: float
    b: float
    beta: float
    per_pair: float
    intervals: Intervals = field(default_factory=dict)

    def loss(self, parameters: float, tokens: float) -> float:
        return self.floor + self.a * parameters**-self.alpha + self.b * tokens**-self.beta

    def best(self, flops: float) -> tuple[float, float]:
        """Parameters and tokens of the lowest loss at so much compute (Hoffmann et al. 2022, eq. 4)."""
        ratio = (self.alpha * self.a / (self.beta * self.b)) ** (1 / (self.alpha + self.beta))
        parameters = ratio * (flops / self.per_pair) ** self.exponent
        return parameters, flops / self.per_pair / parameters

    @property
    def at_bound(self) -> list[str]:
        """The constants that the points leave open: exponents at an end of what is allowed, a floor of nothing."""
        ends = [name for name in ("alpha", "beta") if not LOWEST * 1.01 < getattr(self, name) < HIGHEST * 0.99]
        return [*ends, *(["the floor E"] if self.floor < NOTHING else [])]

    @property
    def exponent(self) -> float:
        """Of the best size against compute."""
        return self.beta / (self.alpha + self.beta)


# --------------------------------------------------------------------------------------------------------- approach 2


def isoflop(points: Sequence[Point], draws: int = 200, seed: int = 0) -> IsoFlop:
    """Approach 2 with bootstrap intervals of its exponents.

    Raises UserError where fewer than two budgets have three sizes and a lowest point among them.
    """
    groups = [_near(g) for g in _by_budget(points).values() if len({p.parameters for p in g}) >= 3]
    fitted = _isoflop(groups, [np.array([p.loss for p in g]) for g in groups])
    if fitted is None:
        raise UserError(
            f"{len(points)} runs over {len(_by_budget(points))} budgets show fewer than two lowest points: each budget "
            "needs three sizes or more, of which the best is neither the smallest nor the largest"
        )
    models = [np.polyval(v.curve, _logs(g)) for v, g in zip(fitted.valleys, groups, strict=True)]
    spare = sum(len(m) - 3 for m in models)
    residuals = np.concatenate([[p.loss for p in g] - m for g, m in zip(groups, models, strict=True)])
    residuals = residuals * np.sqrt(len(residuals) / max(1, spare))
    random = np.random.default_rng(seed)

    def draw() -> dict[str, float] | None:
        again = _isoflop(groups, [m + random.choice(residuals, len(m)) for m in models])
        return None if again is None else _exponents(again)

    intervals = _intervals(draw, draws)
    return IsoFlop(
        valleys=fitted.valleys, parameters=fitted.parameters, tokens=fitted.tokens, frontier=fitted.frontier,
        intervals=intervals,
    )  # fmt: skip


def _near(group: Sequence[Point]) -> list[Point]:
    """The points of the NEAR sizes closest to the best one."""
    best = min(group, key=lambda p: p.loss).parameters
    sizes = sorted({p.parameters for p in group}, key=lambda n: abs(np.log(n / best)))
    return [p for p in group if p.parameters in sizes[:NEAR]]


def valley(points: Sequence[Point]) -> Valley:
    """The parabola of one budget's points; with fewer than three sizes it is the lowest point alone."""
    near = _near(points)
    if len({p.parameters for p in near}) < 3:
        best = min(points, key=lambda p: p.loss)
        return Valley(
            budget=best.budget, curve=(0.0, 0.0, best.loss), parameters=float(best.parameters), tokens=best.tokens,
            loss=best.loss, inside=False,
        )  # fmt: skip
    return _valley(near, np.array([p.loss for p in near]))


def _isoflop(groups: Sequence[Sequence[Point]], losses: Sequence[Vector]) -> IsoFlop | None:
    valleys = tuple(_valley(g, loss) for g, loss in zip(groups, losses, strict=True))
    good = [v for v in valleys if v.inside]
    if len(good) < 2:
        return None
    budgets = [v.budget for v in good]
    return IsoFlop(
        valleys=valleys,
        parameters=power(budgets, [v.parameters for v in good]),
        tokens=power(budgets, [v.tokens for v in good]),
        frontier=power(budgets, [v.loss for v in good]),
    )


def _valley(group: Sequence[Point], losses: Vector) -> Valley:
    x = _logs(group)
    curve = np.polyfit(x, losses, 2)
    lowest = -curve[1] / (2 * curve[0]) if curve[0] > 0 else np.inf
    inside = bool(x.min() < lowest < x.max())
    if not inside:
        lowest = x[np.argmin(losses)]
    tokens = power([float(p.parameters) for p in group], [p.tokens for p in group])
    return Valley(
        budget=group[0].budget, curve=(float(curve[0]), float(curve[1]), float(curve[2])),
        parameters=float(np.exp(lowest)), tokens=tokens(float(np.exp(lowest))),
        loss=float(np.polyval(curve, lowest)), inside=inside,
    )  # fmt: skip


def _exponents(fit: IsoFlop) -> dict[str, float]:
    return {"parameters": fit.parameters.exponent, "tokens": fit.tokens.exponent, "frontier": fit.frontier.exponent}


def power(x: Sequence[float], y: Sequence[float]) -> Power:
    """Least squares in logarithms."""
    exponent, offset = np.polyfit(np.log(x), np.log(y), 1)
    return Power(coefficient=float(np.exp(offset)), exponent=float(exponent))


# --------------------------------------------------------------------------------------------------------- approach 3


def parametric(points: Sequence[Point], draws: int = 200, seed: int = 0) -> Parametric:
    """Approach 3 with bootstrap intervals. Raises UserError on fewer points than it has numbers to find."""
    if len(points) < 6 or len({p.parameters for p in points}) < 3:
        raise UserError(f"{len(points)} runs are too few for five constants: run at least six, of three sizes")
    n, d = (np.log([getattr(p, name) for p in points]) for name in ("parameters", "tokens"))
    losses = np.log([p.loss for p in points])
    found = _polish(n, d, losses, _starts(n, d, losses))
    model = _log_loss(found, n, d)
    residuals = (losses - model) * np.sqrt(len(losses) / max(1, len(losses) - 5))
    random = np.random.default_rng(seed)

    def draw() -> dict[str, float]:
        again = model + random.choice(residuals, len(model))
        return _named(_polish(n, d, again, [found, *_starts(n, d, again)[:1]]))

    per_pair = float(np.mean([p.flops / p.parameters / p.tokens for p in points]))
    values = _named(found)
    del values["exponent"]
    return Parametric(**values, per_pair=per_pair, intervals=_intervals(draw, draws))


def _log_loss(values: Constants, n: Vector, d: Vector) -> Vector:
    """log L as the log-sum-exp of its three terms."""
    return np.logaddexp(np.logaddexp(values[0] - values[1] * n, values[2] - values[3] * d), values[4])


def _starts(n: Vector, d: Vector, losses: Vector) -> list[Constants]:
    """Starting points over a grid of exponents, the best first: given those, E, A and B are a linear problem.

    Hoffmann et al. start from a grid of all five; the linear step replaces three of its axes.
    """
    from scipy.optimize import nnls

    found = []
    for alpha in EXPONENTS:
        for beta in EXPONENTS:
            columns = np.stack([np.exp(-alpha * (n - n.mean())), np.exp(-beta * (d - d.mean())), np.ones_like(n)], 1)
            (a, b, e), miss = nnls(columns / np.exp(losses)[:, None], np.ones_like(n))
            a, b, e = np.log(np.maximum((a, b, e), 1e-6))
            found.append((miss, np.array([a + alpha * n.mean(), alpha, b + beta * d.mean(), beta, e])))
    found.sort(key=lambda pair: pair[0])
    return [values for _, values in found[:STARTS]]


def _polish(n: Vector, d: Vector, losses: Vector, starts: Sequence[Constants]) -> Constants:
    """The lowest Huber loss that L-BFGS reaches from the starts.

    In units of DELTA: unscaled, its values are so small that L-BFGS stops too soon (Besiroglu et al. 2024 found that in
    the original fit).
    """
    from scipy.optimize import minimize

    def objective(values: Constants) -> tuple[float, Constants]:
        model = _log_loss(values, n, d)
        a, b, e = (np.exp(t - model) for t in (values[0] - values[1] * n, values[2] - values[3] * d, values[4]))
        miss = (model - losses) / DELTA
        slope = np.clip(miss, -1, 1) / DELTA
        huber = np.where(np.abs(miss) < 1, miss**2 / 2, np.abs(miss) - 0.5)
        return float(huber.sum()), np.array([slope @ a, -slope @ (a * n), slope @ b, -slope @ (b * d), slope @ e])

    options = {"maxiter": 5000, "maxfun": 20000, "ftol": 1e-14, "gtol": 1e-8}
    bounds = [(None, None), (LOWEST, HIGHEST), (None, None), (LOWEST, HIGHEST), (None, None)]
    tried = [minimize(objective, s, jac=True, method="L-BFGS-B", bounds=bounds, options=options) for s in starts]
    return min(tried, key=lambda result: result.fun).x


def _named(values: Constants) -> dict[str, float]:
    a, alpha, b, beta, e = map(float, values)
    named = {"floor": np.exp(e), "a": np.exp(a), "alpha": alpha, "b": np.exp(b), "beta": beta}
    return {k: float(v) for k, v in named.items()} | {"exponent": beta / (alpha + beta)}


# ------------------------------------------------------------------------------------------------------------- shared


def _intervals(draw: Callable[[], dict[str, float] | None], draws: int) -> Intervals:
    """Percentile intervals of what `draw` returns; draws without a fit are left out."""
    drawn = [values for values in (draw() for _ in range(draws)) if values is not None]
    tail = 50 * (1 - CONFIDENCE)
    table = {k: np.percentile([values[k] for values in drawn], (tail, 100 - tail)) for k in (drawn[0] if drawn else ())}
    return {k: (float(low), float(high)) for k, (low, high) in table.items()}


def _by_budget(points: Sequence[Point]) -> dict[float, list[Point]]:
    """Points of each budget, rising."""
    return {b: [p for p in points if p.budget == b] for b in sorted({p.budget for p in points})}


def _logs(points: Sequence[Point]) -> Vector:
    return np.log([p.parameters for p in points])
