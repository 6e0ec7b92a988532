"""Small steps from one group of frames to the next are spread, what trembles is averaged; what moves is left alone."""

import pytest
import torch
from torch import Tensor

from worldpatch.generate._flicker import AT_ONCE, _averaged, _even, _mean_of_alike, steady


def picture(frames: int = 20) -> Tensor:
    """A still scene with fine texture."""
    frame = 100 + 20 * torch.rand(32, 32, 3, generator=torch.Generator().manual_seed(0))
    return frame.expand(frames, -1, -1, -1).round()


def trembling(video: Tensor, by: float = 1.5) -> Tensor:
    noise = by * torch.randn(video.shape, generator=torch.Generator().manual_seed(1))
    return (video + noise).round().clamp(0, 255)


@pytest.mark.parametrize(("frames", "starts"), [(13, (1, 5, 9)), (12, (4, 8))])
def test_light_that_steps_between_groups_rises_evenly_instead(frames: int, starts: tuple[int, ...]):
    stepped = picture(frames) + sum(6 * (torch.arange(frames) >= s)[:, None, None, None] for s in starts)
    out = _even(stepped.byte(), 4).float()
    rise = out.mean((1, 2, 3)).diff()
    assert rise[starts[0] - 1 :].min() >= 0 and rise.max() <= 3, "6 grey levels over four frames, most of it given back"
    assert torch.equal(out[[s + 3 for s in starts]], stepped[[s + 3 for s in starts]]), "the groups' last frames stay"


def test_what_trembles_comes_to_rest_nearer_to_the_truth():
    still = picture(25)
    shown = trembling(still)
    out = steady(shown.byte(), 4).float()
    assert out.diff(dim=0).abs().mean() < 0.5 * shown.diff(dim=0).abs().mean()
    assert (out - still).square().mean() < 0.4 * (shown - still).square().mean()


def test_what_moves_and_trembles_is_not_smeared():
    """A small bright thing that goes by before a still picture."""
    true = picture(25)
    for t in range(25):
        true[t, 12:18, t : t + 6] = torch.tensor([220.0, 30.0, 30.0])
    shown = trembling(true)
    out = steady(shown.byte(), 4).float()
    near = torch.zeros(25, 32, 32, dtype=torch.bool)
    for t in range(25):
        near[t, 10:20, max(0, t - 2) : t + 8] = True
    assert (out - true)[near].square().mean() < 1.1 * (shown - true)[near].square().mean()


def test_what_moves_evenly_or_appears_at_once_is_left_alone():
    moving = (torch.arange(13)[:, None, None, None] * 12 + torch.zeros(13, 32, 32, 3)).byte()
    assert (steady(moving, 4).int() - moving.int()).abs().max() <= 1
    cut = torch.full((13, 32, 32, 3), 40, dtype=torch.uint8)
    cut[5:] = 200
    assert torch.equal(steady(cut, 4), cut)


def test_a_few_frames_at_a_time_are_as_all_at_once():
    shown = trembling(picture(3 * AT_ONCE + 5)).byte()
    assert torch.equal(_averaged(shown, 4), _mean_of_alike(shown.float(), 4).round().byte())


@pytest.mark.parametrize(("frames", "stride"), [(1, 4), (2, 4), (5, 1), (6, 2)])
def test_any_length_and_stride_has_its_groups(frames: int, stride: int):
    still = picture(frames).byte()
    assert torch.equal(steady(still, stride), still)
