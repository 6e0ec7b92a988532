"""Forecast steps: exact where the velocity changes evenly, never where it may be off by more than allowed."""

import pytest
import torch
from torch import Tensor

from worldpatch.flow.samplers import State, Velocity, euler, sample
from worldpatch.flow.stepcache import LONGEST, StepCache

TIMES = torch.linspace(1, 0, 26)[:, None].expand(-1, 5)
NOISE = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


def solved(model: Velocity, begin: State | None = None) -> Tensor:
    *_, last = sample(euler, model, begin or State(NOISE), TIMES)
    return last.x


def even(x: Tensor, time: Tensor) -> Tensor:
    return 1 + 2 * time[:, None] + 0 * x


def bent(x: Tensor, time: Tensor) -> Tensor:
    return 1 + torch.sin(8 * time[:, None]) - 0.5 * x


def test_an_even_change_is_forecast_exactly():
    cache = StepCache(even, 1e-3)
    torch.testing.assert_close(solved(cache), solved(even))
    assert cache.computed + cache.forecast == 25 and cache.forecast / cache.computed > 0.6 * LONGEST


def test_a_smaller_tolerance_computes_more_and_errs_less():
    exact = solved(bent)
    errors, computed = [], []
    for tolerance in (1e-6, 0.02, 0.1, 0.5):
        cache = StepCache(bent, tolerance)
        errors.append(float((solved(cache) - exact).norm() / exact.norm()))
        computed.append(cache.computed)
    assert errors == sorted(errors) and computed == sorted(computed, reverse=True)
    assert computed[0] == 25 and errors[0] == 0 and computed[-1] < 15
    assert errors[1] < 0.02 and errors[2] < 0.1, "all steps together err by less than one may"


def test_one_time_twice_is_computed():
    """A second-order sampler asks for the velocity at one time from two places."""
    cache, calls = StepCache(even, 1.0), []
    cache.model = lambda x, time: calls.append(time) or even(x, time)
    for time in (1.0, 0.8, 0.8):
        cache(NOISE, torch.full((5,), time))
    assert len(calls) == 3
    assert cache(NOISE, torch.full((5,), 0.6)) == pytest.approx(even(NOISE, torch.full((5,), 0.6)))
    assert len(calls) == 4, "a line through two values of one time leads nowhere"


@pytest.mark.parametrize("left", [1, 2, 7, 20])
def test_what_it_remembers_is_gone_on_with(left: int):
    """Another cache, given the memory of the first one after some steps, forecasts and computes the same."""
    first = StepCache(bent, 0.1)
    states = sample(euler, first, State(NOISE), TIMES)
    state = [next(states) for _ in range(left)][-1]
    second = StepCache(bent, 0.1, first.memory)
    assert torch.equal(solved(second, state), solved(StepCache(bent, 0.1)))
    assert second.computed + second.forecast == 25
