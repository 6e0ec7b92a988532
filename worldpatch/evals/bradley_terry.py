"""Ratings from judged pairs: Bradley and Terry's model with Davidson's ties, on the Elo scale.

With strengths p_i = exp(theta_i), whoever is shown i and j prefers i, prefers j or calls a tie in the proportions

    p_i  :  p_j  :  nu * sqrt(p_i * p_j)

(Bradley and Terry 1952, Biometrika 39; ties: Davidson 1970, JASA 65, p. 317). `nu` says how readily ties are called.
400 points are odds of ten to one, and the mean of all ratings is 1000.

Fitted is the maximum of the likelihood times a normal prior: each theta_i around 0 and log(nu) around 0 (a third of
ties between equals), with a standard deviation of 400 points. It keeps what was never beaten finite, and fades as
judgements come in.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from worldpatch.config import UserError

MEAN = 1000.0
POINTS = 400 / math.log(10)  # Elo points per unit of theta
PRIOR = 400 / POINTS  # standard deviation of theta and of log(nu)
RESAMPLES = 500
SIGMAS = 1.959964  # of a normal distribution, on both sides of 95%


@dataclass(frozen=True, kw_only=True)
class Match:
    """One judged pair: who won, if anyone. Matches of one `group` (a prompt) are not independent of each other, so the
    bootstrap draws them together."""

    first: str
    second: str
    winner: Literal["first", "second", "neither"]
    group: str


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value with two intervals of 95%. `curvature`: from the Hessian at the maximum, every match independent, the
    prior included. `bootstrap`: from fits to groups drawn with replacement, percentiles."""

    value: float
    curvature: tuple[float, float]
    bootstrap: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Ratings by name, best first, and how often equals would be called a tie."""

    ratings: dict[str, Estimate]
    tie_rate: Estimate


def fit(matches: Sequence[Match], resamples: int = RESAMPLES, seed: int = 0) -> Fit:
    """Ratings of everyone who was in a match; the same matches and seed give the same intervals.

    Raises UserError without matches, and where some were never compared with the others, however indirectly: then
    no number says how they stand to each other.
    """
    if not matches:
        raise UserError("there is nothing to rate: no pair was judged yet")
    names = sorted({name for m in matches for name in (m.first, m.second)})
    _check_connected(matches, names)
    counts = _count(matches, names)
    features = _features(len(names))
    best = _maximum(features, counts.sum(0), np.zeros(len(names) + 1))
    draws = np.random.default_rng(seed).multinomial(len(counts), [1 / len(counts)] * len(counts), size=resamples)
    fits = np.array([_maximum(features, np.tensordot(draw, counts, 1), best) for draw in draws])
    low, high = np.quantile(fits, (0.025, 0.975), axis=0)
    spread = SIGMAS * _deviations(features, counts.sum(0), best)

    def estimate(i: int, scale: Callable[[float], float]) -> Estimate:
        return Estimate(
            value=scale(best[i]),
            curvature=(scale(best[i] - spread[i]), scale(best[i] + spread[i])),
            bootstrap=(scale(low[i]), scale(high[i])),
        )

    order = sorted(range(len(names)), key=lambda i: -best[i])
    return Fit(ratings={names[i]: estimate(i, _elo) for i in order}, tie_rate=estimate(len(names), _tie_rate))


def _elo(theta: float) -> float:
    return float(MEAN + POINTS * theta)


def _tie_rate(log_nu: float) -> float:
    """Share of ties between equals: nu / (2 + nu)."""
    return float(1 / (1 + 2 * np.exp(-log_nu)))


def chances(first: float, second: float, tie_rate: float) -> tuple[float, float, float]:
    """How likely the model holds it that the first of two ratings is preferred, the second, and neither."""
    half = (first - second) / POINTS / 2
    _, (a, b, neither) = _softmax(np.array([half, -half, math.log(2 * tie_rate / (1 - tie_rate))]))
    return float(a), float(b), float(neither)


def _check_connected(matches: Sequence[Match], names: list[str]) -> None:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, columns = ([names.index(getattr(m, side)) for m in matches] for side in ("first", "second"))
    graph = coo_array((np.ones(len(matches)), (rows, columns)), shape=(len(names), len(names)))
    count, labels = connected_components(graph, directed=False)
    if count > 1:
        groups = [[n for n, label in zip(names, labels, strict=True) if label == i] for i in range(count)]
        raise UserError(
            f"{' and '.join('{' + ', '.join(g) + '}' for g in groups)} were never compared with each other, so no "
            "common scale exists: judge pairs across them"
        )


def _count(matches: Sequence[Match], names: list[str]) -> Float[np.ndarray, "groups pairs 3"]:
    """How often, by group and by pair of names, the first of the pair won, the second won, and neither."""
    pairs = {pair: i for i, pair in enumerate(itertools.combinations(names, 2))}
    groups = {group: i for i, group in enumerate(dict.fromkeys(m.group for m in matches))}
    counts = np.zeros((len(groups), len(pairs), 3))
    for m in matches:
        ordered = m.first < m.second
        pair = (m.first, m.second) if ordered else (m.second, m.first)
        outcome = ("first", "second", "neither") if ordered else ("second", "first", "neither")
        counts[groups[m.group], pairs[pair], outcome.index(m.winner)] += 1
    return counts


def _features(players: int) -> Float[np.ndarray, "pairs 3 parameters"]:
    """The logits of the three outcomes are linear in (theta, log nu): half the difference, its negative, log nu."""
    pairs = np.array(list(itertools.combinations(range(players), 2)))
    rows = np.arange(len(pairs))
    features = np.zeros((len(pairs), 3, players + 1))
    features[rows, 0, pairs[:, 0]] = features[rows, 1, pairs[:, 1]] = 0.5
    features[rows, 0, pairs[:, 1]] = features[rows, 1, pairs[:, 0]] = -0.5
    features[:, 2, -1] = 1.0
    return features


def _maximum(features: np.ndarray, counts: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Where likelihood times prior is largest. The problem is convex, and the prior keeps the thetas' sum at 0."""
    from scipy.optimize import minimize

    played = counts.sum(-1)

    def loss(x):
        logits = features @ x
        top, shares = _softmax(logits)
        value = played @ top - counts.ravel() @ logits.ravel() + x @ x / (2 * PRIOR**2)
        missed = played[:, None] * shares - counts  # expected less observed
        return value, np.tensordot(missed, features, 2) + x / PRIOR**2

    return minimize(
        loss, start, jac=True, hess=lambda x: _hessian(features, played, x), method="trust-exact", tol=1e-6
    ).x


def _softmax(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log of the sum of exponentials over the last axis, and the shares."""
    largest = logits.max(-1, keepdims=True)
    powers = np.exp(logits - largest)
    total = powers.sum(-1, keepdims=True)
    return (largest + np.log(total))[..., 0], powers / total


def _hessian(features: np.ndarray, played: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Second derivatives of the negative logarithm of likelihood times prior: the features' covariance, match by
    match."""
    _, shares = _softmax(features @ x)
    mean = (shares[:, None] @ features)[:, 0]
    squares = np.tensordot(features, (played[:, None] * shares)[..., None] * features, ((0, 1), (0, 1)))
    return squares - mean.T @ (played[:, None] * mean) + np.eye(len(x)) / PRIOR**2


def _deviations(features: np.ndarray, counts: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Standard deviations of all parameters, of the thetas relative to their mean, which is fixed."""
    players = len(x) - 1
    centre = np.eye(len(x))
    centre[:players, :players] -= 1 / players
    covariance = centre @ np.linalg.inv(_hessian(features, counts.sum(-1), x)) @ centre
    return np.sqrt(np.diag(covariance))
