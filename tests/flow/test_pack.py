"""Plans become patches at physical places, and patches become latents again."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests import builders
from tests.builders import PATCH, SPEC
from worldpatch.flow.pack import noisy_only, pack, patchify, positions, seconds, twice, unpack, unpatchify


@builders.PATIENT
@given(st.tuples(*[st.integers(1, 3)] * 3), st.tuples(*[st.integers(1, 3)] * 3), st.integers(1, 4))
def test_unpatchify_undoes_patchify(grid: tuple[int, int, int], patch: tuple[int, int, int], channels: int):
    x = torch.randn(channels, *(g * p for g, p in zip(grid, patch, strict=True)))
    assert torch.equal(unpatchify(patchify(x, patch), grid, patch), x)


def test_patches_follow_time_then_height_then_width():
    x = torch.arange(2 * 4 * 4.0).reshape(1, 2, 4, 4)
    tokens = patchify(x, PATCH)
    assert tokens[:2].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7]] and tokens[4, 0] == 16


def test_a_patch_that_does_not_divide_the_grid_is_refused():
    with pytest.raises(ValueError, match=r"\(1, 3, 4\).*\(1, 2, 2\)"):
        patchify(torch.zeros(1, 1, 3, 4), PATCH)


def test_pack_and_unpack_round_trip():
    plans = builders.mixed_plans()
    packed = pack(plans, PATCH, SPEC)
    for plan, latent in zip(plans, unpack(packed, packed.tokens, plans, PATCH), strict=True):
        assert torch.equal(latent, plan.known)


def test_segments_tell_known_from_noisy():
    plans = builders.mixed_plans()
    packed = pack(plans, PATCH, SPEC)
    assert packed.samples == 5 and packed.segments[-1].stop == len(packed.tokens)
    assert all(a.stop == b.start for a, b in zip(packed.segments, packed.segments[1:], strict=False))
    assert (packed.time[packed.noisy] > 0).all() and not packed.time[~packed.noisy].any()
    rules = [[(s.rule, s.kind, s.length) for s in packed.segments if s.sample == i] for i in range(5)]
    assert rules[0] == [("noisy", "clip", 18)]
    assert rules[1] == [("noisy", "image", 4)]
    assert rules[2] == [("context", "continuation", 6), ("noisy", "continuation", 6)]
    assert rules[3] == [("context", "image", 4), ("context", "image", 4), ("noisy", "clip", 8)]
    assert rules[4] == [("context", "clip", 10), ("noisy", "clip", 2)]
    keyframe = next(s for s in packed.segments if s.sample == 3)
    assert (packed.position[keyframe.start : keyframe.stop, 0] == 0.5).all()
    assert torch.equal(
        packed.tokens[keyframe.start : keyframe.stop], patchify(plans[3].references[0].latent[:, None], PATCH)
    )


def test_a_patch_is_known_only_where_all_of_it_is():
    start = torch.zeros(1, 4, 4)
    start[0, 0, 0], start[0, 3, 3] = 0.5, 1.0
    packed = pack([builders.plan((1, 4, 4), start)], PATCH, SPEC)
    assert packed.noisy.sum() == 2 and sorted(packed.time.tolist()) == [0, 0, 0.5, 1]


def test_without_known_latents_the_content_is_zero():
    packed = pack([dataclasses.replace(builders.plan((2, 4, 4), 1.0), known=None)], PATCH, SPEC)
    assert packed.tokens.shape == (8, 16) and not packed.tokens.any()


def test_noisy_only_and_twice_keep_every_field_in_step():
    packed, _ = builders.mixed()
    noisy = noisy_only(packed)
    assert torch.equal(noisy.tokens, packed.tokens[packed.noisy]) and noisy.noisy.all()
    assert torch.equal(noisy.position, packed.position[packed.noisy])
    assert noisy.segments[-1].stop == len(noisy.tokens)
    both = twice(packed.segments, len(packed.tokens), packed.samples)
    again = both[len(packed.segments) :]
    assert [s.sample for s in again] == [s.sample + 5 for s in packed.segments] and again[0].start == len(packed.tokens)


# ------------------------------------------------------------------------------------------------------------ positions


def test_seconds_do_not_depend_on_the_rate():
    """One second into a clip is one second into it, at any frame rate; every latent sits amid the frames it spans."""
    assert seconds("clip", 3, 4, 8.0).tolist() == [0, 2.5 / 8, 6.5 / 8]
    assert seconds("continuation", 2, 4, 8.0).tolist() == [1.5 / 8, 5.5 / 8]
    for rate in (8.0, 12.0, 24.0):
        frames = torch.arange(1, 9).reshape(2, 4).float().mean(1) / rate
        torch.testing.assert_close(seconds("clip", 3, 4, rate)[1:], frames)
    assert seconds("clip", 25, 4, 24.0)[-1] == pytest.approx(float(seconds("clip", 9, 4, 8.0)[-1]), abs=0.15)


@builders.PATIENT
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5))
def test_places_are_centred(t: int, h: int, w: int):
    place = positions(builders.plan((t, 2 * h, 2 * w)), PATCH, SPEC)
    torch.testing.assert_close(place[:, 1:].mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    assert place[:, 1].max() == h - 1 and place[:, 2].max() == w - 1  # patches of 2, from the centre of the frame
