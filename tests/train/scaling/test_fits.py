"""The fits find again what was planted, and say how sure they are."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests import builders
from worldpatch.config import UserError
from worldpatch.train.scaling import fits

PLANTED = fits.Parametric(floor=0.4, a=30.0, alpha=0.34, b=60.0, beta=0.30, per_pair=6.0)
BUDGETS = (1e12, 2e12, 4e12, 8e12)


def planted(noise: float, budgets: Sequence[float] = BUDGETS, **more: Any):
    return builders.points(PLANTED, budgets, list(np.geomspace(2e4, 1.3e6, 7)), noise, **more)


def within(value: float, interval: Sequence[float]) -> bool:
    return interval[0] <= value <= interval[1]


def test_parametric_fit_finds_planted_constants():
    found = fits.parametric(planted(0.0), draws=2)
    for name in ("floor", "a", "alpha", "b", "beta", "per_pair"):
        assert getattr(found, name) == pytest.approx(getattr(PLANTED, name), rel=1e-3), name
    assert found.exponent == pytest.approx(0.30 / 0.64, rel=1e-3)


def test_what_the_points_leave_open_is_said():
    assert fits.parametric(planted(0.0), draws=0).at_bound == []
    flat = dataclasses.replace(PLANTED, floor=1e-9, a=1e-9)  # the size makes no difference, and nothing remains
    found = fits.parametric(builders.points(flat, BUDGETS, [2e4 * 2**k for k in range(7)]), draws=0)
    assert "the floor E" in found.at_bound and found.beta == pytest.approx(0.30, rel=1e-2)


def test_parametric_intervals_hold_planted_constants_in_noise():
    found = fits.parametric(planted(2e-3), draws=60)
    for name in ("floor", "alpha", "beta", "exponent"):
        low, high = found.intervals[name]
        assert within(getattr(PLANTED, name), (low, high)), name
        assert 0 < high - low < 0.5, name


def test_isoflop_fit_finds_planted_exponents():
    found = fits.isoflop(planted(2e-3))
    assert all(valley.inside for valley in found.valleys)
    assert within(PLANTED.exponent, found.intervals["parameters"])
    assert within(1 - PLANTED.exponent, found.intervals["tokens"])
    assert found.parameters.exponent == pytest.approx(PLANTED.exponent, abs=0.03)
    for valley in found.valleys:
        best, tokens = PLANTED.best(valley.budget)
        assert valley.parameters == pytest.approx(best, rel=0.15) and valley.tokens == pytest.approx(tokens, rel=0.15)
        assert valley.loss == pytest.approx(PLANTED.loss(best, tokens), rel=5e-3)


def test_the_best_size_is_the_best():
    for budget in (1e12, 1e18):
        n, d = PLANTED.best(budget)
        assert n * d * PLANTED.per_pair == pytest.approx(budget)
        for factor in (0.9, 1.1):
            assert PLANTED.loss(n * factor, d / factor) > PLANTED.loss(n, d)


def test_power_laws_are_found_exactly():
    law = fits.power([1.0, 10.0, 100.0], [3 * x**-0.2 for x in (1.0, 10.0, 100.0)])
    assert law.coefficient == pytest.approx(3) and law.exponent == pytest.approx(-0.2)
    assert law(1e6) == pytest.approx(3 * 1e6**-0.2)


def test_a_lowest_point_at_the_edge_is_said_and_left_out():
    small = [p for p in planted(0.0) if p.budget < BUDGETS[-1] or p.parameters < 1e5]  # its best size is not tried
    found = fits.isoflop(small, draws=5)
    assert [valley.inside for valley in found.valleys] == [True, True, True, False]
    largest = max(p.parameters for p in small if p.budget == BUDGETS[-1])
    assert found.valleys[-1].parameters == pytest.approx(largest)
    assert found.parameters.exponent == pytest.approx(PLANTED.exponent, abs=0.03)


def test_too_little_to_fit_is_refused():
    with pytest.raises(UserError, match="fewer than two lowest points: each budget needs three sizes"):
        fits.isoflop(planted(0.0, budgets=(1e12,)))
    with pytest.raises(UserError, match="5 runs are too few for five constants"):
        fits.parametric(planted(0.0)[:5])


def test_intervals_of_no_draw_are_none():
    assert fits._intervals(lambda: None, 3) == {}
    assert not math.isnan(fits.parametric(planted(0.0), draws=0).alpha)
