"""Few steps: trajectories are the teacher's own, chords lead from state to state, and jumps come to learn them."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests import builders
from worldpatch import config
from worldpatch.config import UserError
from worldpatch.flow.plan import finish, solve
from worldpatch.train import loop
from worldpatch.train.optim import Optim
from worldpatch.train.stages import distil
from worldpatch.types import Cond


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A tiny teacher that has learned a little, and its data."""
    folder = tmp_path_factory.mktemp("distil")
    made = builders.dit_options(folder)
    run = loop.Run(stage="dit", steps=60, options=made, precision="fp32", optim=Optim(rate=1e-2, warmup=1, ema=0.9))
    export = loop.train(run, folder / "teacher")
    few = {"start_from": str(export), "cache": str(folder / "states"), "recorded": 3, "share": 0.5}
    return {**made, **few, "budget": 120, "teacher_steps": 4, "jumps": 2, "keep_camera": 0.5}


def task(options: dict[str, Any], **more: Any) -> distil.Task:
    return distil.Task(config.build(distil.Config, {**options, **more}), 0, "cpu")


def test_a_batch_is_a_pure_function_of_its_step_and_holds_both_kinds(options):
    one, two = task(options), task(options)
    for step in (3, 0):
        a, b = one.batch(step), two.batch(step)
        assert torch.equal(a.x, b.x) and torch.equal(a.target, b.target) and a.captions == b.captions
        noisy = a.packed.noisy
        assert (a.until < a.packed.time)[noisy & a.jumping].all() and a.jumping.any() and not a.jumping.all()
        assert torch.equal(a.until[~a.jumping], a.packed.time[~a.jumping]), "plain flow matching leads nowhere"
        samples, tokens, flops = one.size(a)
        assert samples == len(a.captions) == a.packed.samples and tokens == len(a.x) and flops > 0


def test_chords_lead_along_the_teachers_own_trajectory(options):
    """From noise, by the chords of all windows in turn, to what the teacher's steps arrive at."""
    found = task(options)
    plans, seeds = found.plans(1)
    at = torch.zeros(0)
    for j in range(2):
        batch = found._jumps(1, plans, seeds, [(2 * j, 2 * j + 2)] * len(plans))
        noisy = batch.packed.noisy
        if j:
            torch.testing.assert_close(batch.x[noisy], at, atol=1e-4, rtol=0)
        at = (batch.x + (batch.until - batch.packed.time)[:, None] * batch.target)[noisy]
    text, lengths = found.network.text.encode([plan.prompt for plan in plans])
    options = {"spec": found.spec, "patch": found.patch, "steps": 4}
    latents = finish(solve(found.network.dit, plans, Cond(text=text, text_lengths=lengths), seeds, **options))
    drawn = torch.cat([latent[:, plan.start > 0].flatten() for latent, plan in zip(latents, plans, strict=True)])
    assert drawn.norm() == pytest.approx(float(at.norm()), rel=1e-3)


def test_recording_goes_on_where_it_was_and_not_with_another_teacher(options, monkeypatch: pytest.MonkeyPatch):
    task(options)
    states = Path(options["cache"])
    before = {path.name: path.stat().st_mtime_ns for path in states.glob("batch-*")}
    (states / "batch-00001.safetensors").write_bytes(b"cut short")
    task(options)
    after = {path.name: path.stat().st_mtime_ns for path in states.glob("batch-*")}
    assert [name for name in before if before[name] != after[name]] == ["batch-00001.safetensors"]
    task(options, guidance=3.0, cache=str(states.parent / "other"))
    solved = []
    monkeypatch.setattr(distil.Task, "_solved", lambda self, number: solved.append(number) or torch.zeros(1, 1, 1))
    task(options, guidance=3.0)
    assert solved == [0, 1, 2], "other guidance, other trajectories"
    task(options, keep_camera=0.9)
    assert solved == [0, 1, 2] * 2, "another mix, other plans"
    task(options, guidance=2.0, jumps=4, keep=0.5)
    assert solved[6:] == [0, 1, 2], "the files hold the other mix's states now"


def test_jumps_are_learned_and_the_model_stays_what_it_was(options, tmp_path: Path):
    few = {**options, "cache": str(tmp_path / "states"), "whole": 1.0}
    run = loop.Run(
        stage="distil", steps=40, options=few, precision="fp32", validate_every=40,
        optim=Optim(rate=3e-3, warmup=1, decay=0.5, ema=0.5),
    )  # fmt: skip
    before = task(few)
    with torch.no_grad():
        untaught = before.validate(before.network)
    export = loop.train(run, tmp_path / "run")
    after = task({**few, "start_from": str(export), "cache": str(tmp_path / "again")})
    after.few, after.seed = before.few, before.seed  # held to the old teacher's trajectories
    with torch.no_grad():
        taught = after.validate(after.network)
    assert taught["jump/1"] < 0.9 * untaught["jump/1"]
    assert taught["val/loss"] < 1.05 * untaught["val/loss"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"teacher_steps": 5}, "5 teacher_steps are no multiple of 2 jumps"),
        ({"share": 1.0}, "share 1.0 must lie between 0 and 1"),
        ({"recorded": 1}, "recorded 1 be above 1"),
    ],
)
def test_what_cannot_be_recorded_is_refused(options, wrong: dict[str, Any], said: str):
    with pytest.raises(UserError, match=said):
        task(options, **wrong)
