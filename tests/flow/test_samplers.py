"""Every sampler solves an equation whose answer is known, at the order that it claims."""

import math

import pytest
import torch

from worldpatch.flow.noise import schedule
from worldpatch.flow.samplers import SAMPLERS, State, sample

ORDER = {"euler": 1, "heun": 2, "dpmpp_2m": 2}


def decay(x: torch.Tensor, time: torch.Tensor, until: torch.Tensor | None = None) -> torch.Tensor:
    """dx/dt = -x/2, so x(0) = x(1) exp(1/2); until another time, the chord of that curve."""
    assert time.shape == x.shape[:1]
    if until is None:
        return -x / 2
    span = (until - time)[:, None]
    return torch.where(span == 0, -x / 2, x * torch.expm1(-span / 2) / torch.where(span == 0, 1.0, span))


def solved(name: str, model, x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
    *_, last = sample(SAMPLERS[name], model, State(x), times)
    return last.x


def error(name: str, steps: int) -> float:
    x = torch.ones(2, 3, dtype=torch.float64)
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)[:, None].expand(-1, 2)
    return float((solved(name, decay, x, times) - math.exp(0.5)).abs().max())


@pytest.mark.parametrize("name", ORDER)
def test_converges_at_its_order(name: str):
    assert error(name, 64) < {1: 1e-2, 2: 1e-4}[ORDER[name]]
    order = math.log2(error(name, 512) / error(name, 1024))
    # Towards its infinite ends in log-SNR the multistep's error is h^2 log(1/h), which still looks like 1.6 here.
    assert order == pytest.approx(ORDER[name], abs=0.5 if name == "dpmpp_2m" else 0.02)


def test_jumps_along_chords_are_exact_however_few():
    assert max(error("jump", steps) for steps in (1, 2, 5)) < 1e-12


@pytest.mark.parametrize("name", SAMPLERS)
def test_each_token_starts_at_its_own_time(name: str):
    start = torch.tensor([1.0, 0.5, 0.25, 0.0], dtype=torch.float64)
    x = torch.ones(4, 1, dtype=torch.float64)
    found = solved(name, decay, x, schedule(200, 2.0).double()[:, None] * start)
    torch.testing.assert_close(found[:, 0], torch.exp(start / 2), rtol=0, atol=5e-3)
    assert found[3] == 1, "a known token was touched"


@pytest.mark.parametrize("name", SAMPLERS)
def test_straight_paths_are_solved_in_one_step(name: str):
    """With x_t = (1 - t) x_0 + t noise the velocity is constant, and one step from 1 to 0 gives x_0."""
    noise, clean = torch.randn(5, 2), torch.randn(5, 2)
    found = solved(name, lambda x, *_: noise - clean, noise, torch.tensor([1.0, 0.0])[:, None].expand(-1, 5))
    torch.testing.assert_close(found, clean)


@pytest.mark.parametrize("name", SAMPLERS)
def test_left_after_any_step_and_gone_on_with_it_comes_to_the_same_bits(name: str):
    times, x = torch.linspace(1, 0, 9)[:, None].expand(-1, 4), torch.randn(4, 2)
    states = list(sample(SAMPLERS[name], decay, State(x), times))
    assert [state.done for state in states] == list(range(1, 9))
    for state in states[:-1]:
        *_, last = sample(SAMPLERS[name], decay, state, times)
        assert torch.equal(last.x, states[-1].x)
