"""Guidance and the context cache wrap a network without changing what it says."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests import builders
from worldpatch.flow.guidance import Guidance, velocity
from worldpatch.flow.hints import undirected
from worldpatch.types import Cond, Packed

MODEL = builders.backbone("packed")


def inputs() -> tuple[Packed, Cond, Tensor, Tensor]:
    packed, cond = builders.mixed()
    text = Cond(text=cond.text, text_lengths=cond.text_lengths)
    return packed, text, packed.tokens[packed.noisy], packed.time[packed.noisy]


def guided(time: Tensor | None = None, cache: bool = True, **options) -> Tensor:
    packed, text, x, own = inputs()
    with torch.no_grad():
        return velocity(MODEL, packed, text, Guidance(**options), cache)(x, own if time is None else time)


def unconditional() -> Tensor:
    """What the network says without words, camera and paths."""
    packed, text, x, time = inputs()
    packed = replace(packed, hints=undirected(packed.hints))
    text = Cond(text=text.text[:0], text_lengths=(0,) * 5)
    with torch.no_grad():
        return velocity(MODEL, packed, text, Guidance(scale=1.0))(x, time)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_cached_context_equals_recomputed(scale: float):
    torch.testing.assert_close(guided(scale=scale), guided(scale=scale, cache=False), rtol=0, atol=2e-5)


def test_scale_one_is_the_network_itself():
    packed, cond = builders.mixed()
    with torch.no_grad():
        plain = builders.velocity_of(MODEL, packed, cond)[packed.noisy]
    torch.testing.assert_close(guided(scale=1.0), plain, rtol=0, atol=1e-5)


def test_guidance_moves_away_from_the_unconditional():
    empty, plain = unconditional(), guided(scale=1.0)
    assert (plain - empty).abs().max() > 1e-3
    torch.testing.assert_close(guided(scale=3.0), empty + 3 * (plain - empty), rtol=0, atol=5e-5)
    torch.testing.assert_close(guided(scale=0.0), empty, rtol=0, atol=1e-5)


def test_guidance_moves_towards_cameras_and_paths_too():
    """And a picture keeps its role in both halves."""
    packed = inputs()[0]
    assert packed.hints[:, :7].any() and not undirected(packed.hints)[:, :7].any()
    roles = torch.arange(packed.hints.numel()).reshape(packed.hints.shape).float()
    assert torch.equal(undirected(roles)[:, 12:14], roles[:, 12:14]) and undirected(roles).count_nonzero(1).max() == 2
    without = velocity(MODEL, replace(packed, hints=undirected(packed.hints)), inputs()[1], Guidance(scale=3.0))
    with torch.no_grad():
        assert (without(*inputs()[2:]) - guided(scale=3.0)).abs().max() > 1e-3


def test_guidance_acts_in_its_interval_alone():
    time = torch.full_like(inputs()[3], 0.8)
    plain = guided(time, scale=1.0)
    assert torch.allclose(guided(time, scale=3.0, interval=(0.0, 0.7)), plain, atol=1e-5)
    torch.testing.assert_close(guided(time, scale=3.0, interval=(0.5, 0.9)), guided(time, scale=3.0))


def test_each_token_asks_the_interval_for_itself():
    """A sample's guidance must not depend on how noisy its company in the batch is."""
    time = inputs()[3]
    inside = (time >= 0.5)[:, None]
    assert inside.any() and not inside.all()
    mixed = guided(scale=3.0, interval=(0.5, 1.0))
    torch.testing.assert_close(mixed, torch.where(inside, guided(scale=3.0), guided(scale=1.0)), rtol=0, atol=1e-5)


def test_rescaling_keeps_the_size_of_each_sample():
    packed = inputs()[0]
    samples = [torch.full((s.length,), s.sample) for s in packed.segments if s.rule == "noisy"]
    owner = torch.cat(samples)
    plain, full, half, strong = (
        guided(scale=s, rescale=r) for s, r in ((1.0, 0.0), (3.0, 1.0), (3.0, 0.5), (3.0, 0.0))
    )
    for i in range(5):
        size = [x[owner == i].square().mean().sqrt() for x in (plain, full)]
        torch.testing.assert_close(size[1], size[0], rtol=1e-4, atol=0)
    torch.testing.assert_close(half, (full + strong) / 2, rtol=0, atol=1e-4)


def test_rescaling_an_untrained_network_is_no_division_by_zero():
    packed, text, x, time = inputs()
    fresh = builders.backbone("packed", perturbed=False)
    assert not velocity(fresh, packed, text, Guidance(scale=3.0, rescale=0.7))(x, time).any()
