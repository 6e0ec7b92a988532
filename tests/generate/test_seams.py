"""Where known pixels meet drawn ones, what the autoencoder lost of the known is carried over, as far as it holds; and
small steps from one group of frames to the next are spread over the group."""

import pytest
import torch
from torch import Tensor

from worldpatch.generate._seams import even, seamless
from worldpatch.types import Paste

RATE = 8.0


def pasted(known: Tensor, mask: Tensor) -> Paste:
    """Grey levels "t h w 3" and a mask "t h w" as a plan has them."""
    return Paste(frames=(known / 127.5 - 1).movedim(-1, 0), mask=mask[None])


def picture(frames: int = 20) -> Tensor:
    """A still scene with fine texture."""
    frame = 100 + 20 * torch.rand(32, 32, 3, generator=torch.Generator().manual_seed(0))
    return frame.expand(frames, -1, -1, -1).round()


def test_known_pixels_come_back_as_they_were():
    known, drawn = picture(), torch.full((20, 32, 32, 3), 90.0)
    mask = torch.zeros(20, 32, 32)
    mask[:5], mask[8, :, 10:] = 1, 1
    out = seamless(drawn.byte(), pasted(known, mask), RATE)
    assert torch.equal(out[mask > 0.5], known.byte()[mask > 0.5])


def test_a_still_picture_goes_on_with_its_texture_which_fades():
    known, mask = picture(), torch.zeros(20, 32, 32)
    mask[0] = 1
    drawn = torch.full((20, 32, 32, 3), 108.0)
    out = seamless(drawn.byte(), pasted(known, mask), RATE).float()
    away = (out - known).abs().mean((1, 2, 3))
    assert away[0] == 0 and away[1] < 1 and (away.diff()[:11] >= 0).all() and away[11] > 4, "less and less of it"
    assert torch.equal(out[13:], drawn[13:]), "and after a second and a half nothing"


def test_where_the_picture_has_changed_nothing_is_carried():
    known, mask = picture(), torch.zeros(20, 32, 32)
    mask[0] = 1
    drawn = torch.full((20, 32, 32, 3), 108.0)
    drawn[1:, :16] = 200
    out = seamless(drawn.byte(), pasted(known, mask), RATE).float()
    assert torch.equal(out[1:, :12], drawn[1:, :12]) and (out[1, 20:] - known[1, 20:]).abs().mean() < 1


def test_light_reaches_over_the_border_of_a_region_but_texture_does_not():
    known = picture(1) + 10
    mask = torch.zeros(1, 32, 32)
    mask[..., :16] = 1
    drawn = torch.full((1, 32, 32, 3), 108.0)
    out = seamless(drawn.byte(), pasted(known, mask), RATE).float()[0].mean(-1)
    light = out.mean(0)
    assert light[16] - 108 > 5, "its neighbours are as bright as it"
    assert (light[26:] - 108).abs().max() < 1, "and those far away are as they were"
    assert out[:, 16].std() < 0.5 * known[0, :, 15].mean(-1).std()


@pytest.mark.parametrize(("frames", "starts"), [(13, (1, 5, 9)), (12, (4, 8))])
def test_light_that_steps_between_groups_rises_evenly_instead(frames: int, starts: tuple[int, ...]):
    stepped = picture(frames) + sum(8 * (torch.arange(frames) >= s)[:, None, None, None] for s in starts)
    out = even(stepped.byte(), 4).float()
    rise = out.mean((1, 2, 3)).diff()
    assert rise[starts[0] - 1 :].min() >= 0 and rise.max() < 4, "8 grey levels over four frames, most of it given back"
    assert torch.equal(out[[s + 3 for s in starts]], stepped[[s + 3 for s in starts]]), "the groups' last frames stay"


def test_what_moves_evenly_or_appears_at_once_is_left_alone():
    moving = (torch.arange(13)[:, None, None, None] * 6 + torch.zeros(13, 32, 32, 3)).byte()
    assert torch.equal(even(moving, 4), moving)
    cut = torch.full((13, 32, 32, 3), 40, dtype=torch.uint8)
    cut[5:] = 200
    assert torch.equal(even(cut, 4), cut)


@pytest.mark.parametrize(("frames", "stride"), [(1, 4), (2, 4), (5, 1), (6, 2)])
def test_any_length_and_stride_has_its_groups(frames: int, stride: int):
    still = picture(frames).byte()
    assert torch.equal(even(still, stride), still)
