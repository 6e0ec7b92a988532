"""A run that is killed, stopped or resumed goes on bit for bit, and its export is a model that can be loaded."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import builders
from worldpatch import config
from worldpatch.config import UserError
from worldpatch.generate import pipeline
from worldpatch.train.loop import Run, resolve_precision, train
from worldpatch.train.optim import Optim
from worldpatch.train.stages import dit

ROOT = Path(__file__).parents[2]
STEPS = 12
NEVER = 1e9


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return builders.dit_options(tmp_path_factory.mktemp("train"))


def tiny(options: dict[str, Any], **more: Any) -> Run:
    optim = Optim(warmup=3, rate=3e-3)
    values = {"stage": "dit", "steps": STEPS, "options": options, "optim": optim, "precision": "fp32"}
    return Run(**{**values, "save_minutes": NEVER, "sheet_minutes": NEVER, "validate_every": 1000, **more})


def losses(folder: Path) -> list[tuple[int, float]]:
    """(step, loss) of every line of the log, those that a restart repeats included."""
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(r["step"], r["loss"]) for r in records if "loss" in r]


@pytest.fixture(scope="module")
def unbroken(options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[int, float], Path]:
    """The losses of a run that nothing disturbs, and what it exports."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("unbroken")
    export = train(tiny(options), folder)
    return dict(losses(folder)), export


def check(folder: Path, expected: dict[int, float]) -> None:
    found = losses(folder)
    assert {step for step, _ in found} == set(range(1, STEPS + 1))
    for step, loss in found:
        assert loss == expected[step], f"step {step}"


CHILD = """
import json, sys, time
import torch
torch.set_num_threads(1)
from pathlib import Path
from worldpatch import config
from worldpatch.train.loop import Run, train
run = config.build(Run, json.loads(sys.argv[1]))
def report(step, steps, figures):
    print(step, flush=True)
    time.sleep(0.02)
train(run, Path(sys.argv[2]), report=report)
"""


def test_a_killed_run_resumes_bit_for_bit(options, unbroken, tmp_path: Path):
    """kill -9 at a random step, with saves every few; steps since the last one are done again, with the same bits."""
    run = tiny(options, save_minutes=0.001)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-c", CHILD, json.dumps(config.dump(run)), str(tmp_path)]
    child = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT)
    assert child.stdout is not None
    kill_at = random.SystemRandom().randint(3, STEPS - 3)
    for line in child.stdout:
        if int(line) >= kill_at:
            break
    child.kill()
    child.wait()
    child.stdout.close()
    assert child.returncode == -signal.SIGKILL
    assert list(tmp_path.glob("step-*")), "it has saved"
    assert not (tmp_path / "export").exists()
    train(run, tmp_path)
    check(tmp_path, unbroken[0])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_saves_and_resumes(options, unbroken, tmp_path: Path, number: signal.Signals):
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach the main thread alone")
    former = signal.getsignal(number)

    def report(step: int, steps: int, figures: dict[str, Any]) -> None:
        if step == 5:
            os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt):
        train(tiny(options), tmp_path, report=report)
    assert signal.getsignal(number) is former
    assert [p.name for p in tmp_path.glob("step-*")] == ["step-00000005"]
    train(tiny(options), tmp_path)
    check(tmp_path, unbroken[0])


def test_stop_at_ends_early_without_changing_the_schedule(options, unbroken, tmp_path: Path):
    for stop in (4, STEPS):
        train(tiny(options), tmp_path, stop_at=stop)
    check(tmp_path, unbroken[0])


def test_muon_resumes_bit_for_bit(options, tmp_path: Path):
    run = tiny(options, steps=4, optim=Optim(name="muon", warmup=2))
    train(run, tmp_path / "whole")
    for stop in (2, 4):
        train(run, tmp_path / "parts", stop_at=stop)
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")


def test_another_recipe_is_refused(options, tmp_path: Path):
    train(tiny(options), tmp_path, stop_at=1)
    for other in (tiny(options, seed=1), tiny({**options, "budget": 50}), tiny(options, optim=Optim(rate=1.0))):
        with pytest.raises(UserError, match="holds a run of another recipe: give another folder"):
            train(other, tmp_path)
    train(tiny(options, steps=STEPS + 5, validate_every=7), tmp_path, stop_at=2)  # a run may be lengthened


def test_unknown_options_and_stages_are_refused(options, tmp_path: Path):
    with pytest.raises(UserError, match="unknown key 'options.bugdet' for Config; known: data, validation"):
        train(tiny({**options, "bugdet": 3}), tmp_path)
    with pytest.raises(UserError, match="unknown key 'model.dpeth'"):
        train(tiny({**options, "model": {"dpeth": 3}}), tmp_path)
    with pytest.raises(UserError, match="no train/stages is named 'dti'.*known: .*dit"):
        train(tiny(options, stage="dti"), tmp_path)
    with pytest.raises(UserError, match="'fp8' is unknown; known: auto, bf16, fp32"):
        resolve_precision("fp8", "cpu")
    assert resolve_precision("auto", "cuda") == "bf16" and resolve_precision("auto", "cpu") in ("bf16", "fp32")


def test_it_learns_and_logs_what_happens(unbroken):
    found, export = unbroken
    assert found[STEPS] < found[1]
    last = json.loads((export.parent / "log.jsonl").read_text().splitlines()[STEPS - 1])
    assert {"step", "loss", "norm", "clipped", "rate", "samples", "tokens_per_s", "gflops_per_s"} <= set(last)
    records = [json.loads(line) for line in (export.parent / "log.jsonl").read_text().splitlines()]
    validation = next(r for r in records if "val/loss" in r)
    assert validation["step"] == STEPS and 0 < validation["val/loss"] < 10
    assert validation["val/loss"] == pytest.approx(sum(validation[f"val/t{b}"] for b in range(10)) / 10)
    state = json.loads((export.parent / f"step-{STEPS:08d}" / "state.json").read_text())
    assert state["step"] == STEPS and state["flops"] > 0 and state["run"]["stage"] == "dit"


def test_an_export_is_a_model_that_loads(unbroken, options):
    found = pipeline.load(unbroken[1])
    assert found.patch == builders.PATCH and found.spec.channels == builders.CHANNELS and found.record is not None
    assert {"red", "ball", "orbits"} <= set(found.record["words"]) and "nothing" in found.record["captions"]
    assert found.record["trained_on"]["clips"] == 12
    plan = builders.plan((1, 4, 4), 1.0, prompt="a red ball falls")
    latents = found.latents([plan], [(0, 0)], steps=2)
    assert latents[0].shape == plan.known.shape and latents[0].isfinite().all()
    task = dit.Task(config.build(dit.Config, {**options, "start_from": str(unbroken[1])}), 0, "cpu")
    for a, b in zip(task.model.parameters(), found.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert found.record["earlier"] == [] and task.earlier == [found.record["training"]]
