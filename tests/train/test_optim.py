"""The schedule, adaptive clipping, the moving average, and optimisers that survive a checkpoint."""

import math

import pytest
import torch
from torch import nn

from tests import builders
from worldpatch.config import UserError
from worldpatch.train import checkpoint
from worldpatch.train.optim import Average, Clipper, Optim, make_optimisers, schedule


def test_schedule_warms_up_stays_and_decays():
    optim = Optim(warmup=10, decay=0.2)
    shares = [schedule(step, 100, optim) for step in range(100)]
    assert shares[0] == 0.1 and shares[4] == 0.5
    assert set(shares[9:81]) == {1.0}
    assert shares[90] == pytest.approx(0.5) and 0 < shares[99] == pytest.approx(0.05)
    assert shares[9:] == sorted(shares[9:], reverse=True)
    assert shares[:80] == [schedule(step, 200, optim) for step in range(80)], "a run can be lengthened"


def gradient(norm: float) -> list[nn.Parameter]:
    parameters = [nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(1))]
    parameters[0].grad = torch.tensor([norm, 0.0, 0.0])
    return parameters


def test_clipper_leaves_what_is_normal_and_clips_what_is_not():
    clipper, generator = Clipper(), torch.Generator().manual_seed(0)
    clipped = 0
    for _ in range(200):
        norm = 1 + 0.1 * float(torch.randn((), generator=generator))
        clipped += clipper(gradient(norm))[0] > clipper.limit()
    assert clipped <= 4, "ordinary gradients pass"
    spike = gradient(50.0)
    before, limit = clipper(spike)
    assert before == 50 and 1 < limit < 2
    assert spike[0].grad is not None and float(spike[0].grad.norm()) == pytest.approx(limit, rel=1e-4)
    assert clipper.limit() < 2, "one spike does not teach it to let the next one pass"


@pytest.mark.parametrize("norm", [math.nan, math.inf])
def test_clipper_zeroes_what_is_no_number_and_forgets_it(norm: float):
    clipper = Clipper()
    clipper(gradient(1.0))
    state = dict(vars(clipper))
    parameters = gradient(norm)
    assert not math.isfinite(clipper(parameters)[0])
    assert parameters[0].grad is not None and not parameters[0].grad.any() and vars(clipper) == state


def test_average_follows_the_weights():
    model = nn.Linear(2, 2)
    average = Average(model, 0.9)
    nn.init.ones_(model.weight)
    for step in range(300):
        average.update(model, step)
    torch.testing.assert_close(average.weights["weight"], torch.ones(2, 2))
    nn.init.zeros_(model.weight)
    average.update(model, 1000)
    torch.testing.assert_close(average.weights["weight"], torch.full((2, 2), 0.9))
    average.update(model, 0)  # young averages are short: 1/10 stays
    torch.testing.assert_close(average.weights["weight"], torch.full((2, 2), 0.09))


def small(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
    return nn.ModuleDict({"dit": nn.ModuleDict({"blocks": blocks}), "out": nn.Linear(4, 4)})


def move(model: nn.Module, optimisers: list[torch.optim.Optimizer], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        p.grad = torch.randn(p.shape, generator=generator)
    for optimiser in optimisers:
        optimiser.step()


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_optimisers_round_trip(name: str, tmp_path):
    """The step after a restore gives the same bits as without one."""
    model, optim = small(0), Optim(name=name)
    optimisers = make_optimisers(model, optim)
    assert len(optimisers) == (2 if name == "muon" else 1)
    for seed in range(3):
        move(model, optimisers, seed)
    tensors = checkpoint.optimiser_tensors(optimisers)
    path = checkpoint.save(tmp_path, 3, {"model": model.state_dict(), "average": {}, "optimiser": tensors}, {})
    loaded, _ = checkpoint.load(path)
    other = small(1)
    other.load_state_dict(loaded["model"])
    restored = make_optimisers(other, optim)
    checkpoint.restore_optimisers(restored, loaded["optimiser"])
    for m, o in ((model, optimisers), (other, restored)):
        move(m, o, 9)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_wide_matrices_have_rates_of_their_own():
    """What reads four times as many numbers as at the base width learns a fourth as fast, all else at the full rate."""
    model = nn.ModuleDict({"dit": builders.backbone(width=256), "text": nn.Linear(256, 24)})
    (optimiser,) = make_optimisers(model, Optim(rate=0.4, base_width=64))
    rates = {id(p): g["lr"] for g in optimiser.param_groups for p in g["params"]}
    found = {name: rates[id(p)] for name, p in model.named_parameters()}
    slow = {name for name, rate in found.items() if rate != 0.4}
    blocks = {
        f"dit.blocks.{i}.{m}.weight" for i in (0, 1) for m in ("qkv", "answer", "project", "feed.into", "feed.out")
    }
    ends = {f"dit.{m}.weight" for m in ("modulate", "modulate_out", "out", "time.mlp.2", "until.mlp.2")}
    assert slow == blocks | ends
    feeds = {f"dit.blocks.{i}.feed.out.weight" for i in (0, 1)}  # 704 against 192: the hidden width is rounded
    assert {found[name] for name in slow - feeds} == {0.1} and {found[name] for name in feeds} == {0.4 / (704 / 192)}
    assert all(g["peak"] == g["lr"] for g in optimiser.param_groups)


def test_the_base_width_itself_changes_nothing():
    model = nn.ModuleDict({"dit": builders.backbone(width=64)})
    plain, scaled = (make_optimisers(model, Optim(base_width=base))[0].param_groups for base in (0, 64))
    assert [(g["lr"], g["weight_decay"], len(g["params"])) for g in plain] == [
        (g["lr"], g["weight_decay"], len(g["params"])) for g in scaled
    ]
    with pytest.raises(UserError, match="base_width 64 is for a model with a backbone"):
        make_optimisers(nn.Linear(2, 2), Optim(base_width=64))


def test_every_parameter_is_optimised_once():
    for name, base_width in (("adamw", 0), ("muon", 0), ("adamw", 64)):
        model = nn.ModuleDict({"dit": builders.backbone()}) if base_width else small(0)
        optim = Optim(name=name, base_width=base_width)
        groups = [g for o in make_optimisers(model, optim) for g in o.param_groups]
        held = [id(p) for g in groups for p in g["params"]]
        assert sorted(held) == sorted(id(p) for p in model.parameters())
        assert all(g["weight_decay"] == 0 for g in groups for p in g["params"] if p.ndim < 2)
    with pytest.raises(ValueError, match="'lion' is unknown; known: adamw, muon"):
        make_optimisers(small(0), Optim(name="lion"))
