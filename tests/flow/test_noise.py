"""Noise times, their mix in training, and the losses that read them."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator

from tests import builders
from worldpatch.flow.loss import flow_matching_loss, loss_per_bin
from worldpatch.flow.noise import noised, sample_times, schedule, shift_of, shifted, training_plan
from worldpatch.types import Plan, Reference


def test_time_zero_is_clean_and_one_is_noise():
    clean, noise = torch.randn(3, 4), torch.randn(3, 4)
    x, velocity = noised(clean, noise, torch.tensor([0.0, 1.0, 0.25]))
    torch.testing.assert_close(x, torch.stack((clean[0], noise[1], 0.75 * clean[2] + 0.25 * noise[2])))
    torch.testing.assert_close(x - torch.tensor([0.0, 1.0, 0.25])[:, None] * velocity, clean)


@builders.PATIENT
@given(st.integers(1, 60), st.floats(1, 10))
def test_schedules_fall_from_one_to_zero(steps: int, shift: float):
    times = schedule(steps, shift)
    assert len(times) == steps + 1 and times[0] == pytest.approx(1) and times[-1] == 0 and (times.diff() < 0).all()


def test_more_tokens_mean_more_noise():
    assert shift_of(1) == shift_of(3) == 1 and shift_of(12) == 2
    assert shifted(torch.tensor(0.5), 3.0) == 0.75
    few, many = (sample_times(4000, shift_of(n), Generator().manual_seed(0)) for n in (3, 48))
    assert few.median() == pytest.approx(0.5, abs=0.02) and many.median() > 0.75
    assert few.min() > 0 and many.max() <= 1


def draws(count: int, grid: tuple[int, int, int], keyframes: int = 2, **mix: float) -> list[Plan]:
    generator = Generator().manual_seed(1)
    latent = torch.randn(builders.CHANNELS, *grid)
    references = tuple(Reference(latent=latent[:, 0], time=0.1 * i) for i in range(keyframes))
    plan = Plan(start=torch.ones(grid), known=latent, rate=8.0, prompt="a")
    return [training_plan(plan, generator, tokens=100, keyframes=references, **mix) for _ in range(count)]


def family(plan: Plan) -> str:
    """Which part of the mix a plan comes from."""
    noisy = plan.start[plan.start > 0]
    if plan.references:
        return "keyframes"
    if (plan.start == 0).any():
        return "clean"
    return "whole" if (noisy == noisy[0]).all() else "frames"


def test_training_mix_has_its_shares():
    plans = draws(4000, (4, 6, 6))
    shares = {k: v / len(plans) for k, v in Counter(map(family, plans)).items()}
    # The box of a sixteenth of the samples may fill the grid, and then belongs to the whole clips.
    assert shares["whole"] == pytest.approx(0.5, abs=0.03)
    assert shares["frames"] == pytest.approx(0.25, abs=0.03)
    assert shares["clean"] + shares["keyframes"] == pytest.approx(0.25, abs=0.03)
    assert shares["keyframes"] == pytest.approx(0.25 * 0.15, abs=0.02)
    ends = [plan.start[[0, -1], 0, 0] == 0 for plan in plans if (plan.start.amax((1, 2)) == 0).any()]
    both, first, last = (Counter(map(tuple, (e.tolist() for e in ends)))[k] for k in ((1, 1), (1, 0), (0, 1)))
    assert first > 2 * last > 0 and both > 50, "beginnings, ends and both, in the order of what they are used for"


def test_the_share_of_whole_clips_can_be_set():
    plans = draws(1000, (4, 6, 6), whole=0.8)
    assert Counter(map(family, plans))["whole"] / len(plans) == pytest.approx(0.8, abs=0.04)
    assert {family(p) for p in draws(50, (4, 6, 6), whole=1.0)} == {"whole"}


def test_training_plans_can_be_learned_from():
    for plan in draws(300, (4, 6, 6)):
        assert (plan.start > 0).any() and plan.start.max() <= 1 and plan.prompt == "a"
        assert plan.start[plan.start > 0].min() >= 1e-3, "a noisy token must not be clean"
        if family(plan) == "frames":
            assert (plan.start == plan.start[:, :1, :1]).all() and plan.start[:, 0, 0].unique().numel() == 4
        # Known and noisy latents never share a patch, so that context is clean in all of its patch.
        patches = (plan.start > 0).float().unfold(1, 2, 2).unfold(2, 2, 2).mean((-1, -2))
        assert ((patches == 0) | (patches == 1)).all()
        assert [r.time for r in plan.references] == sorted(r.time or 0 for r in plan.references)


def test_of_pictures_a_part_is_known_or_nothing():
    assert {family(p) for p in draws(50, (1, 4, 4), keyframes=2)} == {"whole", "clean"}


def test_training_plans_are_fixed_by_the_generator():
    first, second = ([p.start for p in draws(20, (3, 4, 4))] for _ in range(2))
    torch.manual_seed(123)  # the global generator has no say
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


# --------------------------------------------------------------------------------------------------------------- losses


def test_the_loss_sees_noisy_tokens_alone():
    target, noisy = torch.randn(6, 4), torch.tensor([True, False, True, True, False, True])
    velocity = target + torch.where(noisy, 0.0, 100.0)[:, None]
    assert flow_matching_loss(velocity, target, noisy) == 0
    assert flow_matching_loss(velocity + 2, target, noisy) == pytest.approx(4)


def test_bins_add_up_to_the_loss():
    velocity, target, time = torch.randn(50, 4), torch.randn(50, 4), torch.rand(50)
    time[0], noisy = 1.0, torch.arange(50) % 3 > 0
    noisy[0] = True
    total, count = loss_per_bin(velocity, target, noisy, time, bins=10)
    assert count.sum() == noisy.sum() and count[9] >= 1
    torch.testing.assert_close(total.sum() / count.sum(), flow_matching_loss(velocity, target, noisy))
    chosen = noisy & (time >= 0.3) & (time < 0.4)
    assert count[3] == chosen.sum()
