"""The stages of captioner and expander: a run goes through, what is held out stays out, and what is exported writes."""

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import builders
from worldpatch import config
from worldpatch.config import UserError
from worldpatch.data import build
from worldpatch.data.captioners import own
from worldpatch.generate import expand
from worldpatch.generate.pipeline import load_vae
from worldpatch.text import _writer
from worldpatch.train.loop import train
from worldpatch.train.stages import captioner, expander


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model and a tiny set of eight clips, each in two colourings."""
    folder = tmp_path_factory.mktemp("captioner")
    builders.exported(folder / "tiny")
    small = {"level": 1, "height": 32, "width": 32, "frames": 5, "supersample": 1}
    plan = build.Build(world="tabletop", clips=10, options=small, recolours=1, workers=0)
    build.build(plan, folder / "set", load_vae(folder / "tiny"))
    return folder


def options(home: Path, **changes: Any) -> dict[str, Any]:
    return {
        "data": (str(home / "set"),), "autoencoder": str(home / "tiny"), "cache": str(home / "tokens"),
        "validation": 0.3, "batch": 3, "writer": {"width": 32, "depth": 1, "heads": 2, "vocabulary": 300}, **changes,
    }  # fmt: skip


def task(home: Path, **changes: Any) -> captioner.Task:
    return captioner.Task(config.build(captioner.Config, options(home, **changes)), 0, "cpu")


def test_scenes_are_held_out_whole_and_tokens_are_kept(home: Path, monkeypatch: pytest.MonkeyPatch):
    first = task(home)
    seen, unseen = ({item.record["seed"] for item in items} for items in (first.train, first.held_out))
    assert seen and unseen and not seen & unseen
    assert all(item.captions for item in first.train)
    monkeypatch.setattr(captioner.Task, "_tokens", None)  # not asked again
    again = task(home)
    assert np.array_equal(again.train[0].tokens, first.train[0].tokens) and again.fingerprint == first.fingerprint
    assert first.batch(3).captions == again.batch(3).captions != again.batch(4).captions


def test_a_run_goes_through_and_captions_clips(home: Path, tmp_path: Path):
    run = importlib.import_module("recipes.captioner").short_captioner()
    folder = train(replace(run, options=options(home), steps=2), tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert any("val/loss" in line and "val/colour" in line for line in lines)
    assert list((tmp_path / "run" / "sheets").glob("*.png"))
    record = json.loads((folder / "writer.json").read_text())
    assert record["training"]["step"] == 2 and record["config"]["features"] == 192
    (answer,) = own.Captioner(own.Config(folder=str(folder))).caption([("a", np.zeros((5, 32, 32, 3), np.uint8), 8.0)])
    assert answer.clip_id == "a"


def test_sets_of_other_sizes_are_refused(home: Path, tmp_path: Path):
    small = {"level": 1, "height": 48, "width": 32, "frames": 9, "supersample": 1}
    plan = build.Build(world="tabletop", clips=2, options=small, workers=0)
    build.build(plan, tmp_path / "other", load_vae(home / "tiny"))
    with pytest.raises(UserError, match="differ in size"):
        task(home, data=(str(home / "set"), str(tmp_path / "other")), cache=str(tmp_path / "tokens"))


def test_an_expander_learns_pairs_that_lose_nothing(home: Path, tmp_path: Path):
    run = importlib.import_module("recipes.captioner").short_expander()
    values = {"data": (str(home / "set"),), "validation": 0.3, "batch": 4, "expander": options(home)["writer"]}
    one = expander.Task(config.build(expander.Config, values), 0, "cpu")
    assert one.train and not set(one.train) & set(one.held_out)
    folder = train(replace(run, options=values, steps=2), tmp_path / "run")
    assert expand.expand("a red ball falls", expand.Own(folder), cache=tmp_path).text


def test_a_step_of_learning_helps(home: Path):
    torch.manual_seed(0)
    some = task(home)
    batch, optimiser = some.batch(0), torch.optim.AdamW(some.model.parameters(), lr=3e-3)
    losses = []
    for _ in range(8):
        loss, _ = some.loss(some.model, batch)
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < losses[0] - 0.5
    assert some.size(batch)[0] == 3 and isinstance(some.model, _writer.Writer)
