"""Solving plans: known latents stay, seeds decide, company in the batch does not."""

import dataclasses

import pytest
import torch
from torch import Tensor

from tests import builders
from tests.builders import PATCH, SPEC, TEXT_WIDTH
from worldpatch.flow.guidance import Guidance
from worldpatch.flow.pack import pack
from worldpatch.flow.plan import draw_noise, finish, solve
from worldpatch.flow.samplers import SAMPLERS
from worldpatch.types import Cond, Plan

MODEL = builders.backbone("packed")
SEEDS = [(4, 0), (4, 1), (5, 0), (6, 0), (7, 0)]


def solved(
    plans: list[Plan], text: list[Tensor], seeds: list[tuple[int, int]], told=lambda state: None, **options
) -> list[Tensor]:
    lengths = tuple(len(t) for t in text)
    cond = Cond(text=torch.cat([*text, torch.zeros(0, TEXT_WIDTH)]), text_lengths=lengths)
    with torch.no_grad():
        return finish(solve(MODEL, plans, cond, seeds, **{"spec": SPEC, "patch": PATCH, "steps": 3, **options}), told)


def test_noise_is_fixed_by_seed_and_variant_alone():
    plans = builders.mixed_plans()
    packed = pack(plans, PATCH, SPEC)
    together = draw_noise(plans, packed, SEEDS)
    assert not together[~packed.noisy].any()
    for i, plan in enumerate(plans):
        alone = pack([plan], PATCH, SPEC)
        rows = torch.cat([torch.arange(s.start, s.stop) for s in packed.segments if s.sample == i])
        assert torch.equal(draw_noise([plan], alone, [SEEDS[i]]), together[rows])
    other = draw_noise([plans[0]], pack([plans[0]], PATCH, SPEC), [(4, 1)])
    assert (other != together[:18]).all()


@pytest.mark.parametrize("seed", [0, 2**31, 2**63 - 1, 2**64])
def test_any_seed_will_do(seed: int):
    plan = builders.plan((1, 4, 4), 1.0)
    assert draw_noise([plan], pack([plan], PATCH, SPEC), [(seed, 3)]).std() > 0.5


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_company_changes_nothing(sampler: str):
    """The promise: packed with other requests, latents agree to 1e-4, whatever the others' sizes and times."""
    plans, text = builders.mixed_plans(), builders.mixed_text()
    plans.append(builders.plan((4, 16, 16), 1.0))  # more than 64 tokens, which shifts its own schedule
    text.append(text[0])
    options = {"sampler": sampler, "guidance": Guidance(scale=2.0, interval=(0.1, 0.8))}
    together = solved(plans, text, [*SEEDS, (8, 0)], **options)
    for i in (0, 2, 4, 5):
        alone = solved([plans[i]], [text[i]], [[*SEEDS, (8, 0)][i]], **options)[0]
        torch.testing.assert_close(together[i], alone, rtol=0, atol=1e-4)


def test_known_latents_come_back_untouched():
    plans = builders.mixed_plans()
    for plan, latent in zip(plans, solved(plans, builders.mixed_text(), SEEDS), strict=True):
        assert plan.known is not None and latent.shape == plan.known.shape and latent.isfinite().all()
        known = (plan.start == 0).expand_as(latent)
        assert torch.equal(latent[known], plan.known[known])
        assert (latent[~known] != plan.known[~known]).any()


def test_the_cache_changes_nothing():
    plans, text = builders.mixed_plans(), builders.mixed_text()
    for a, b in zip(solved(plans, text, SEEDS), solved(plans, text, SEEDS, cache=False), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-4)


def test_the_same_request_gives_the_same_bits_and_another_seed_others():
    plan, text = builders.plan((2, 4, 4), 1.0), builders.mixed_text()[0]
    first, again, other = (solved([plan], [text], [(s, 0)])[0] for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.allclose(first, other, atol=0.1)


def test_a_late_start_stays_near_what_is_known():
    text = builders.mixed_text()[0]
    near, far = (solved([builders.plan((2, 4, 4), s, seed=1)], [text], [(0, 0)])[0] for s in (0.05, 1.0))
    known = builders.plan((2, 4, 4), seed=1).known
    assert known is not None and (near - known).square().mean() < 0.1 * (far - known).square().mean()


def test_progress_counts_the_steps_and_an_unknown_sampler_is_refused():
    plan, told = dataclasses.replace(builders.plan((1, 4, 4), 1.0), known=None), []
    solved([plan], [builders.mixed_text()[0]], [(0, 0)], told=lambda state: told.append(state.done))
    assert told == [1, 2, 3]
    with pytest.raises(ValueError, match="'ddim' is unknown; known: euler, heun, dpmpp_2m"):
        solved([plan], [builders.mixed_text()[0]], [(0, 0)], sampler="ddim")
