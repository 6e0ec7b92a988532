"""Where known pixels meet drawn ones: what was drawn is brought over to them, as far as both show the same."""

import pytest
import torch
from torch import Tensor

from worldpatch.generate._seams import seamless
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


def test_a_still_picture_goes_on_and_fades_into_what_was_drawn():
    known, mask = picture(), torch.zeros(20, 32, 32)
    mask[0] = 1
    drawn = torch.full((20, 32, 32, 3), 108.0)
    out = seamless(drawn.byte(), pasted(known, mask), RATE).float()
    away = (out - known).abs().mean((1, 2, 3))
    assert away[0] == 0 and away[1] < 1.5 and (away.diff()[:6] >= 0).all() and away[6] > 4, "less and less of it"
    assert torch.equal(out[7:], drawn[7:]), "and after three quarters of a second nothing"


def test_half_a_shade_is_no_jump():
    known, mask = picture(), torch.zeros(20, 32, 32)
    mask[:10] = 1
    out = seamless((picture() - 8).byte(), pasted(known, mask), RATE).float()
    steps = out.mean((1, 2, 3)).diff()
    assert steps.abs().max() <= 2 and out[-1].mean() == pytest.approx(float(known[-1].mean()) - 8, abs=0.01)


def test_where_the_picture_has_changed_nothing_is_carried():
    known, mask = picture(), torch.zeros(20, 32, 32)
    mask[0] = 1
    drawn = torch.full((20, 32, 32, 3), 108.0)
    drawn[1:, :16] = 200
    out = seamless(drawn.byte(), pasted(known, mask), RATE).float()
    assert torch.equal(out[1:, :12], drawn[1:, :12]) and (out[1, 20:] - known[1, 20:]).abs().mean() < 1.5


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


def test_another_thing_across_the_border_gives_no_glow():
    known = torch.full((1, 32, 32, 3), 40.0)
    mask = torch.zeros(1, 32, 32)
    mask[..., :16] = 1
    drawn = torch.full((1, 32, 32, 3), 220.0)
    out = seamless(drawn.byte(), pasted(known, mask), RATE)
    assert (out[0, :, 16:].int() - 220).abs().max() <= 1
