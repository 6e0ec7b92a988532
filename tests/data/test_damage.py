"""Damage is done in the amounts it is asked for."""

import pytest
import torch

from worldpatch.data import damage


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("deviation", [0.5, 1.0, 2.0])
def test_blur_spreads_a_point_by_its_deviation(deviation: float):
    frames = torch.zeros(3, 2, 33, 41)
    frames[:, :, 16, 20] = 1
    spread = damage.blur(frames, deviation)
    torch.testing.assert_close(spread.sum((-1, -2)), torch.ones(3, 2), atol=1e-4, rtol=0)
    rows = (spread.sum(-1) * (torch.arange(33) - 16.0) ** 2).sum(-1)
    assert rows[0, 0].sqrt() == pytest.approx(deviation, rel=0.1 if deviation < 1 else 0.01)


def test_blur_keeps_what_is_even_up_to_the_edges():
    torch.testing.assert_close(damage.blur(torch.full((3, 8, 8), 0.7), 3.0), torch.full((3, 8, 8), 0.7))
    frames = torch.rand(3, 8, 8)
    assert damage.blur(frames, 0.0) is frames


def test_noise_has_its_deviation_and_stays_in_range():
    noisy = damage.noise(torch.zeros(3, 9, 64, 64), 0.1, generator())
    assert noisy.std() == pytest.approx(0.1, rel=0.02)
    assert damage.noise(torch.ones(3, 8, 8), 0.5, generator()).max() == 1
    assert torch.equal(noisy, damage.noise(torch.zeros(3, 9, 64, 64), 0.1, generator()))


@pytest.mark.parametrize("share, moved", [(0.0, 0), (0.05, 0), (0.1, 2), (0.5, 10), (1.0, 20)])
def test_just_so_many_frames_change_places(share: float, moved: int):
    order = damage.shuffled(20, share, generator())
    assert sorted(order.tolist()) == list(range(20)) and int((order != torch.arange(20)).sum()) == moved


def test_one_frame_has_no_order():
    assert damage.shuffled(1, 1.0, generator()).tolist() == [0]
