"""From points to a law, its prediction of the largest budget, its report and pictures, and a plan."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from tests import builders
from worldpatch import config
from worldpatch.config import UserError
from worldpatch.dit import _attention, packed
from worldpatch.flow.pack import pack
from worldpatch.train.scaling import fits, law, plan, plots, points, report
from worldpatch.types import Cond, LatentSpec, Plan

PLANTED = fits.Parametric(floor=0.4, a=30.0, alpha=0.34, b=60.0, beta=0.30, per_pair=6.0)
BUDGETS = (1e12, 2e12, 4e12, 8e12, 16e12)


@pytest.fixture(scope="module")
def found() -> list[points.Point]:
    sweep = builders.points(PLANTED, BUDGETS, list(np.geomspace(2e4, 2e6, 7)), noise=1e-3)
    sweep = [dataclasses.replace(p, scores={"physics/in": 1 / p.loss, "physics/out": 2 / p.loss}) for p in sweep]
    return [*sweep, *builders.rate_points(-1.0), *builders.rate_points(0.0, base_width=64)]


@pytest.fixture(scope="module")
def made(found) -> law.Law:
    return law.make(found, builders.setting(), draws=5)


def test_the_largest_budget_is_held_out_and_predicted(found, made):
    assert [v.budget for v in made.isoflop.valleys] == list(BUDGETS[:-1]) and made.held_out.valley.budget == BUDGETS[-1]
    best, tokens = PLANTED.best(BUDGETS[-1])
    assert made.held_out.isoflop_parameters == pytest.approx(best, rel=0.15)
    assert made.held_out.parametric_loss == pytest.approx(PLANTED.loss(best, tokens), rel=5e-3)
    assert len(made.held_out.errors) == 7 and max(map(abs, made.held_out.errors)) < 0.02
    spoilt = [dataclasses.replace(p, loss=9 * p.loss) if p.budget == BUDGETS[-1] else p for p in found]
    assert law.make(spoilt, builders.setting(), draws=5).isoflop == made.isoflop, "no fit has seen it"


def test_a_law_survives_its_file(made, tmp_path: Path):
    law.write(made, tmp_path / "law.json")
    again = law.read(tmp_path / "law.json")
    assert config.dump(again) == config.dump(law.read(tmp_path / "law.json"))
    assert plan.plan(again, 1e15) == plan.plan(made, 1e15)
    with pytest.raises(UserError, match="other.json is missing: make one with `worldpatch scale run`"):
        law.read(tmp_path / "other.json")
    (tmp_path / "law.json").write_text("{}")
    with pytest.raises(UserError, match="is damaged.*make it again"):
        law.read(tmp_path / "law.json")


def test_too_few_budgets_are_refused(found):
    with pytest.raises(UserError, match="2 budgets: a law needs 3 budgets"):
        law.make([p for p in found if p.budget < 3e12], builders.setting(), draws=5)


def test_report_and_pictures_say_what_was_found(found, made, tmp_path: Path):
    pictures = plots.draw(made, found, tmp_path)
    names = {"loss_compute.png", "isoflop.png", "loss_times.png", "rates.png", "physics_compute.png"}
    assert {p.name for p in pictures} == names and all(p.stat().st_size > 5000 for p in pictures)
    text = report.markdown(made, found, pictures)
    assert all(f"({name})" in text for name in names)
    assert "it does not transfer" in text and "it transfers" in text and "1.6e+13 (held out)" in text
    assert "- out: " in text and all(f"\n| {p.name} |" in text for p in found)


def test_scores_stand_in_where_no_probe_was():
    point = builders.points(PLANTED, (1e12,), (1e5,))[0]
    judged = dataclasses.replace(point, scores={"sheet/colour": 0.8, "sheet/shape": 0.4})
    ((name, pairs),) = plots.score_curves([judged]).items()
    assert "stands in for physics" in name and pairs == [(1e12, pytest.approx(0.4))]
    assert plots.score_curves([point]) == {}


def test_points_survive_their_file(found, tmp_path: Path):
    lost = dataclasses.replace(found[0], loss=math.nan)
    for point in (found[0], lost, found[-1]):
        points.append(tmp_path, point)
    first, second, third = points.read(tmp_path)
    assert (first, third) == (found[0], found[-1]) and math.isnan(second.loss)
    assert points.law([first, second, third]) == [first] and points.rates([first, second, third]) == [third]
    points.path(tmp_path).write_text(points.path(tmp_path).read_text() + '{"name": "half')
    with pytest.raises(UserError, match="line 4 is damaged.*delete that line"):
        points.read(tmp_path)


def test_a_probe_may_come_after_the_sweep(tmp_path: Path):
    sweep = [*builders.points(PLANTED, (1e12, 2e12), (1e5,)), *builders.rate_points(0.0)[:1]]
    sweep.append(dataclasses.replace(sweep[0], loss=9.0))
    sweep = [dataclasses.replace(p, export=f"{p.name}-{p.budget:.0e}", scores={"sheet/colour": 0.5}) for p in sweep]
    for point in sweep:
        points.append(tmp_path, point)
    asked: list[str] = []

    def probe(export: Path) -> dict[str, float]:
        asked.append(export.name)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return {"physics/in": 0.1}

    with pytest.raises(KeyboardInterrupt):
        points.judge(tmp_path, probe)
    found = points.judge(tmp_path, probe)
    assert asked == [sweep[0].export, sweep[1].export, sweep[1].export], "only the best, and nobody twice"
    assert found == points.read(tmp_path) and found[2:] == sweep[2:]
    assert found[0].scores == found[1].scores == {"sheet/colour": 0.5, "physics/in": 0.1}


# --------------------------------------------------------------------------------------------------------------- plans


@pytest.mark.parametrize("flops", [1e13, 1e15, 1e18])
def test_a_plan_adds_up(made, flops: float):
    found = plan.plan(made, flops, "H100", count=8, mfu=0.4, price=2.0)
    assert found.flops == pytest.approx(flops, rel=0.01)
    ratio = found.flops / found.parameters / found.tokens
    assert 5 < ratio < 9, "6ND and attention, less what only the prefix meets"
    assert found.tokens == pytest.approx(found.batch * found.steps) and found.clips == pytest.approx(found.tokens / 112)
    assert found.hours == pytest.approx(found.flops / (8 * 0.4 * 989e12) / 3600)
    assert found.price == pytest.approx(8 * found.hours * 2.0)
    assert abs(math.log(found.parameters / made.isoflop.parameters(flops))) < 0.6, "the nearest whole depth"
    assert found.width == 32 * found.depth and found.learning_rate == 8e-3
    assert any("extrapolation" in note for note in found.notes) == (flops > 1.6e14)


def test_plans_count_flops_as_the_network_does(made):
    parameters, total, per_clip = plan.count_flops(made.setting, 2, 64)
    model = packed.Model(packed.Config(depth=2, width=64, head_width=32, text_width=64))
    assert (parameters, total) == (sum(p.numel() for p in model.blocks.parameters()), _count(model))
    batch = _batch(model, clips=8)
    with FlopCounterMode(display=False) as counter, torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        model(*batch).square().sum().backward()
    assert 8 * per_clip == pytest.approx(counter.get_total_flops())


def test_memory_is_what_autograd_keeps(made, monkeypatch: pytest.MonkeyPatch):
    """Activations of a bfloat16 step, as the hooks of autograd count them, against the plan's formula."""
    monkeypatch.setattr(_attention, "_kernel", lambda q: F.scaled_dot_product_attention)  # as on a GPU
    for depth, width in ((2, 128), (4, 256)):
        model = packed.Model(packed.Config(depth=depth, width=width, head_width=32, text_width=64))
        own = {p.untyped_storage().data_ptr() for p in model.parameters()}
        kept: dict[int, Any] = {}

        def keep(x: torch.Tensor, own=own, kept=kept) -> torch.Tensor:
            if x.untyped_storage().data_ptr() not in own:
                kept[x.untyped_storage().data_ptr()] = x.untyped_storage()
            return x

        batch = _batch(model, clips=4)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x), torch.autocast("cpu", torch.bfloat16):
            model(*batch)
        copies = 2 * _count(model)  # autocast keeps bfloat16 weights, too
        measured = sum(storage.nbytes() for storage in kept.values()) - copies
        stated = 448 * width * (plan.BLOCK_BYTES * depth + plan.OUTER_BYTES)
        assert stated == pytest.approx(measured, rel=0.15)


def test_rates_follow_the_width_where_they_do_not_transfer(found):
    plain = law.make(found, builders.setting(base_width=0), draws=5)
    assert plan.learning_rate(plain, 64) == pytest.approx(8e-3)
    assert plan.learning_rate(plain, 512) == pytest.approx(1e-3, rel=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gpu": "V100"}, "GPU 'V100' is unknown; known: A100, H100, H200"),
        ({"flops": math.nan}, "flops nan is outside"),
        ({"flops": -1e18}, "flops -1e\\+18 is outside"),
        ({"mfu": 40.0}, "mfu 40 is outside 0.001 to 1"),
        ({"count": 0}, "gpus 0 is outside"),
        ({"price": -1.0}, "price -1 is outside"),
    ],
)
def test_bad_plans_are_refused(made, change: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message):
        plan.plan(made, **{"flops": 1e15, **change})


def _count(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def _batch(model: packed.Model, clips: int) -> tuple[Any, ...]:
    """A forward pass of whole clips of 7x4x4 patches at times of their own, with ten text tokens each."""
    zeros, ones = (0.0,) * 16, (1.0,) * 16
    spec = LatentSpec(
        channels=16, stride_t=4, stride_s=8, first_mean=zeros, first_std=ones, later_mean=zeros, later_std=ones
    )
    plans = [Plan(start=torch.full((7, 8, 8), (i + 1) / 10), rate=8.0) for i in range(clips)]
    made = pack(plans, model.config.patch, spec)
    text = torch.randn(10 * clips, 64, requires_grad=True)
    cond = Cond(text=text, text_lengths=(10,) * clips, hints=made.hints)
    times, index = torch.unique(made.time, return_inverse=True)
    return made.tokens, made.position, times, index, made.segments, cond
