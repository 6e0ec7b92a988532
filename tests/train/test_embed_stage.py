"""The video encoder's stage: what is asked is true, what is shown is damaged as it says, and a run goes through."""

import dataclasses
import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.embed import _shipped
from worldpatch.train.loop import train
from worldpatch.train.stages import _attributes as attributes
from worldpatch.train.stages import _views as views
from worldpatch.train.stages import embed as stage
from worldpatch.types import Clip, Truth
from worldpatch.vae._pixels import to_tensor
from worldpatch.worlds import tabletop

UNASKED = attributes.UNASKED


def clip(frames: int = 8, **scene: Any) -> Clip:
    """A red ball that moves 4 pixels to the right per frame, and a blue box too small to be sure of."""
    masks = np.zeros((frames, 64, 64), np.uint8)
    for t in range(frames):
        masks[t, 16:32, 4 * t : 4 * t + 16] = 1
    masks[:, 40:43, 40:42] = 2
    pictures = np.full((frames, 64, 64, 3), 200, np.uint8)
    pictures[masks == 1] = (200, 20, 20)
    told = {
        "kind": "roll", "camera": "dolly in", "cuts": [], "look": "clay", "floor": "cream", "pattern": "tiled",
        "gloss": False, "beats": [{"kind": "roll", "objects": [0], "direction": "right"}],
    }  # fmt: skip
    objects = ({"shape": "ball", "colour": "red"}, {"shape": "box", "colour": "blue"})
    states = np.zeros((frames, 2, 7), np.float32)
    truth = Truth(
        objects=objects, events=(), pose=states, velocity=states[..., :6], masks=masks, scene={**told, **scene}
    )
    return Clip(frames=pictures, rate=8.0, truth=truth)


def word(found: attributes.Labels, name: str, question: int = 0) -> str:
    number = found[name][question]
    return "?" if number == UNASKED else attributes.ATTRIBUTES[name].classes[number]


# ----------------------------------------------------------------------------------------------------------- questions


def test_answers_are_those_of_the_truth():
    found = attributes.labels(clip(), whole=True)
    red, blue, green = (attributes.ALL.index(c) for c in ("red", "blue", "green"))
    assert [word(found, "colours", c) for c in (red, blue, green)] == ["there", "?", "absent"]
    assert [word(found, "shape", c) for c in (red, blue, green)] == ["ball", "?", "?"]
    assert word(found, "count") == "?", "whether the small one counts is not clear"
    told = {n: word(found, n) for n in ("event", "direction", "camera", "look", "floor", "pattern")}
    assert list(told.values()) == ["roll", "right", "zoom in", "clay", "cream", "tiled"]


def test_a_part_of_a_clip_is_not_asked_for_its_story():
    part = attributes.labels(clip(), whole=False)
    assert [word(part, n) for n in ("event", "direction", "camera")] == ["?", "?", "zoom in"]
    cut = attributes.labels(clip(camera="cut to a close-up", cuts=[4]), whole=False)
    assert word(cut, "camera") == "?"
    image = attributes.labels(clip(frames=1), whole=True)
    assert [word(image, n) for n in ("event", "camera", "floor")] == ["?", "?", "cream"]


def test_every_clip_of_the_world_can_be_asked():
    for level in (1, 4):
        for i in range(6):
            shown = tabletop.clip(tabletop.Config(level=level, height=32, width=32, frames=9, supersample=1), 5, i)
            found = attributes.labels(shown, whole=True)
            for name in ("event", "direction", "camera", "look", "floor", "pattern"):
                assert word(found, name) != "?", f"{name} of {shown.truth and shown.truth.scene}"


def test_cells_know_what_fills_them_and_how_it_moves():
    found, motion = attributes.cells(clip(8), (2, 4, 4), 4)
    colour = found["cell colour"].reshape(2, 4, 4)
    red = 1 + attributes.ALL.index("red")
    assert colour[0, 1, 0] == red and colour[1, 1, 1] == red and colour[0, 3, 0] == 0 and colour[0, 2, 2] == UNASKED
    assert (
        found["cell shape"].reshape(2, 4, 4)[0, 1, 0] == 0 and found["cell shape"].reshape(2, 4, 4)[0, 3, 0] == UNASKED
    )
    moved = motion.reshape(2, 4, 4, 2)
    np.testing.assert_allclose(moved[0, 1, 0], [4 / 64 / attributes.PACE, 0], atol=1e-5)
    assert np.isnan(moved[0, 3, 0]).all()


def test_a_clip_is_filled_up_in_front_like_the_encoder_does():
    found, motion = attributes.cells(clip(5), (2, 4, 4), 4)
    assert len(found["cell colour"]) == len(motion) == 32
    assert np.allclose(motion.reshape(2, 4, 4, 2)[0, 1, 0], 0), "the first frame, four times, stands still"


def test_guessing_costs_one_and_knowing_nothing():
    answers = {"pattern": torch.tensor([[0], [2], [UNASKED]])}
    blind = attributes.losses({"pattern": torch.zeros(3, 1, 3)}, answers)
    sure = attributes.losses({"pattern": 50.0 * torch.eye(3)[[0, 2, 1]][:, None]}, answers)
    assert blind["pattern"].item() == pytest.approx(1) and sure["pattern"].item() == pytest.approx(0, abs=1e-6)
    marks = attributes.right({"pattern": torch.eye(3)[[0, 1, 1]][:, None]}, answers)
    assert marks["pattern"].flatten().tolist() == [1, 0, UNASKED]


def test_partners_are_found_where_they_are_alike():
    pairs = torch.eye(4).repeat_interleave(2, 0)
    assert stage.find_partner(pairs).item() < 0.1 < 0.9 < stage.find_partner(torch.eye(8)).item()
    assert stage.find_partner(pairs.roll(1, 0)).item() > 2


# --------------------------------------------------------------------------------------------------------------- views


class Grid:
    """What a view asks of an encoder."""

    stride_t = 4

    def grid(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        return -(-frames // 4), 4, 4


def of_clip(seed: int, shown: Clip) -> views.View:
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    return views.of_clip(rng, generator, shown, Grid(), whole=True)


def test_what_damage_hides_is_not_asked():
    shown, met = clip(), set()
    for seed in range(60):
        view = of_clip(seed, shown)
        blur, noise, shuffle, order, event = (
            int(view.answers[n]) for n in ("blur", "noise", "shuffle", "order", "event")
        )
        met.add((shuffle > 0, order))
        assert (order == UNASKED) == (shuffle > 0)
        assert (event == UNASKED) == (shuffle > 0 or order == 1)
        if not (blur or noise or shuffle):
            frames = to_tensor(shown.frames)
            assert torch.equal(view.frames, frames.flip(1) if order == 1 else frames)
    assert met == {(True, UNASKED), (False, 0), (False, 1)}


def test_cells_move_with_the_frames():
    """Run backwards, what went to the right goes to the left."""
    backwards = next(v for v in (of_clip(seed, clip()) for seed in range(60)) if int(v.answers["order"]) == 1)
    motion = backwards.motion[backwards.motion.isfinite().all(-1)]
    assert len(motion) and (motion[:, 0] < 0).all()


def test_what_stands_still_has_no_order():
    still = clip()
    still = dataclasses.replace(still, frames=still.frames[:1].repeat(8, 0))
    assert all(int(of_clip(s, still).answers[n]) == UNASKED for s in range(9) for n in ("order", "shuffle"))


def test_of_a_texture_only_the_damage_is_asked():
    rng, generator = np.random.default_rng(1), torch.Generator().manual_seed(1)
    view = views.of_texture(rng, generator, torch.rand(3, 9, 64, 64) * 2 - 1, Grid())
    assert view.frames.shape == (3, 9, 64, 64) and not view.motion.isfinite().any()
    asked = {n for n, value in {**view.answers, **view.cells}.items() if (value != UNASKED).any()}
    assert asked == set(views.DAMAGES)


@pytest.mark.parametrize(
    "form, frames, stride", [("whole", 9, 1), ("every other", 5, 2), ("half", 5, 1), ("one", 1, 1)]
)
def test_windows_lie_within_the_clip(form: str, frames: int, stride: int):
    rng = np.random.default_rng(0)
    for _ in range(20):
        chosen = views.window(rng, form, 9)
        assert len(chosen) == frames and chosen[0] >= 0 and chosen[-1] < 9 and (np.diff(chosen) == stride).all()


# ---------------------------------------------------------------------------------------------------------------- task


@pytest.fixture(scope="module", autouse=True)
def brief():
    """Statistics of fewer views than real runs take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "FITTING", 24)
        patch.setattr(stage, "WHITENING", 20)
        yield


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Those of the short recipe, rendered here and in this process."""
    run = importlib.import_module("recipes.embed").short_embed()
    return {**run.options, "workers": 0, "cache": str(tmp_path_factory.mktemp("bank"))}


@pytest.fixture(scope="module")
def task(options: dict[str, Any]) -> stage.Task:
    return stage.Task(config.build(stage.Config, options), 0, "cpu")


def test_batches_are_pairs_of_views_and_a_function_of_the_step(task: stage.Task):
    for step in range(4):
        a, b = task.batch(step), task.batch(step)
        assert torch.equal(a.frames, b.frames) and torch.equal(a.answers["shape"], b.answers["shape"])
        assert len(a.frames) % 2 == 0 and torch.equal(a.answers["floor"][::2], a.answers["floor"][1::2])
        samples, tokens, flops = task.size(a)
        assert samples == len(a.frames) and tokens == a.motion.shape[0] * a.motion.shape[1] and flops > 0
    assert len(task.train) == 12 and len(task.held_out) == 4


def test_every_parameter_learns(task: stage.Task):
    task.model.zero_grad()
    batches = [task.batch(step) for step in range(6)]
    losses = [task.loss(task.model, batch) for batch in batches]
    torch.stack([loss for loss, _ in losses]).sum().backward()
    missing = [n for n, p in task.model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not missing and all(p.grad.isfinite().all() for p in task.model.parameters() if p.grad is not None)
    task.model.zero_grad()


def test_a_short_run_exports_an_encoder_that_comes_back(options: dict[str, Any], tmp_path: Path):
    run = dataclasses.replace(importlib.import_module("recipes.embed").short_embed(), options=options, precision="fp32")
    folder = train(run, tmp_path)
    encoder, network = _shipped.load(folder), stage.load(folder)
    record = json.loads((folder / "embed.json").read_text())
    assert record["embed"] == "conv" and record["training"]["step"] == run.steps
    again = stage.Task(config.build(stage.Config, options), 0, "cpu")
    features = torch.cat([encoder.encode(again.batch(stage.FAR + s).frames) for s in range(stage.WHITENING)])
    covariance = torch.cov(features.T)
    assert features.mean(0).abs().max() < 0.3 and covariance.diag()[:4].tolist() == pytest.approx([1] * 4, abs=0.3)
    clips = [bank.clip(k) for bank, k in again.held_out]
    assert 0 <= stage.accuracy(network, clips)["floor"] <= 1
    assert all(isinstance(told, str) for told in stage.failures(network, clips))
    assert (tmp_path / "sheets" / f"{run.steps:08d}.png").exists()


def test_whitening_changes_no_answer(task: stage.Task):
    frames = torch.cat([task.batch(step).frames for step in range(4) if task.batch(step).frames.shape[2] == 5])
    with torch.no_grad():
        before = task.model.heads(task.model.encoder.encode(frames))["shape"]
        task.model.whiten(task.model.encoder.encode(frames))
        after = task.model.heads(task.model.encoder.encode(frames))["shape"]
    torch.testing.assert_close(after, before, atol=1e-3, rtol=1e-3)


def test_a_damaged_encoder_is_told(tmp_path: Path):
    with pytest.raises(UserError, match="holds no whole video encoder"):
        _shipped.load(tmp_path)
    (tmp_path / "embed.json").write_text(json.dumps({"embed": "conv", "config": {"depht": 1}}))
    with pytest.raises(UserError, match="holds no whole video encoder .unknown key"):
        _shipped.load(tmp_path)


def test_where_no_encoder_ships_the_way_to_one_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(config, "homes", lambda kind: [tmp_path])
    with pytest.raises(UserError, match="no checkpoints/embed .* recipes/embed.py"):
        _shipped.find()
