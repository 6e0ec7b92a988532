"""Fine-tuning: an adapter or all weights learn, the best validation is kept, and the model's own clips hold it back."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import builders
from worldpatch import config, generate
from worldpatch.config import UserError
from worldpatch.data import shards
from worldpatch.generate import lora
from worldpatch.train import curve, loop, prior
from worldpatch.train.stages import tune
from worldpatch.types import Clip


def clips(folder: Path, count: int = 6, channels: int = 16, captions: dict[str, str] | None = None) -> Path:
    """Encoded clips of random latents that fit the tiny model, each told with a word that it has never read."""
    writer, generator = shards.Writer(folder), torch.Generator().manual_seed(1)
    for i in range(count):
        said = {"own": f"a zorvish ball falls {i}"} if captions is None else captions
        clip = Clip(frames=np.zeros((5, 32, 32, 3), np.uint8), rate=8.0, captions=said)
        latent = {"latent": torch.randn(channels, 2, 4, 4, generator=generator).half()}
        writer.write(f"mine-{i:02d}", shards.members(clip, latent))
    writer.flush()
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a set of clips, and a file of the model's own clips."""
    home = tmp_path_factory.mktemp("tune")
    builders.exported(home / "model")
    clips(home / "mine")
    prior.make(str(home / "model"), home / "prior.safetensors", 3)
    return home


def run(home: Path, steps: int = 6, full: bool = False, **options: Any) -> loop.Run:
    made = tune.recipe(str(home / "model"), [home / "mine"], full=full, prior=home / "prior.safetensors")
    values = {**made.options, "budget": 64, "rank": 2, "sheet_level": 0, **options}
    optim = replace(made.optim, rate=0.02, warmup=1, ema=0.5)
    return replace(made, steps=steps, validate_every=2, options=values, optim=optim, precision="fp32")


def task(home: Path, **options: Any) -> tune.Task:
    return tune.Task(config.build(tune.Config, run(home, **options).options), 0, "cpu")


def test_only_the_adapter_learns_and_generate_takes_it(home: Path, tmp_path: Path):
    export = loop.train(run(home), tmp_path)
    assert {p.name for p in export.iterdir()} == {lora.CONFIG, lora.WEIGHTS, lora.RECORD}
    tuned = generate.load(home / "model", adapters=[lora.Use(folder=export)])
    plain = generate.load(home / "model")
    moved = [
        name for (name, a), b in zip(tuned.network.named_parameters(), plain.network.parameters(), strict=True)
        if not torch.equal(a, b)
    ]  # fmt: skip
    assert "text.embed.weight" in moved and "dit.blocks.0.qkv.weight" in moved
    assert all(any(f"{t}.weight" in name for t in tune.TARGETS) for name in moved)
    assert "zorvish" in (tuned.record or {})["words"]


def test_all_weights_learn_and_the_model_stands_alone(home: Path, tmp_path: Path):
    export = loop.train(replace(run(home, full=True), keep_best=False), tmp_path)
    tuned, plain = generate.load(export), generate.load(home / "model")
    assert (export / "vae.safetensors").exists() and {"zorvish", "red"} <= set((tuned.record or {})["words"])
    assert not torch.equal(tuned.network.dit.embed.weight, plain.network.dit.embed.weight)


def test_the_best_validation_is_kept_and_the_curve_shows_it(home: Path, tmp_path: Path):
    export = loop.train(run(home, steps=8), tmp_path)
    found = curve.read(tmp_path / "log.jsonl")
    state = json.loads((export / lora.RECORD).read_text())["training"]
    assert found.steps == (0, 2, 4, 6, 8) and len(found.prior) == 5
    kept_loss = found.held_out[found.steps.index(found.best)]
    assert state["best"] == {
        "step": found.best,
        "loss": kept_loss,
        "lowest": min(found.held_out[: found.best // 2 + 1]),
    }
    assert found.fit[-1] < found.fit[0]
    assert curve.draw(found, tmp_path / "curve.png").stat().st_size > 5000
    kept = task(home)
    kept.model = lora.read(export)[0]
    with torch.no_grad():
        assert kept.validate(kept.model)["val/loss"] == pytest.approx(kept_loss, rel=1e-4)


def test_what_a_curve_says():
    def of(fit: list[float], held_out: list[float]) -> curve.Curve:
        return curve.Curve(steps=(0, 20, 40), fit=tuple(fit), held_out=tuple(held_out))

    learned, heart = of([1.0, 0.8, 0.7], [1.0, 0.9, 0.8]), of([1.0, 0.8, 0.3], [1.0, 0.9, 0.95])
    assert (learned.best, learned.over_fitted) == (40, False) and (heart.best, heart.over_fitted) == (20, True)
    assert of([1.0, 0.8, 0.7], [1.0, 0.9, 0.91]).best == 40, "within what so few clips can tell"
    assert not of([1.0, 0.8, 0.9], [1.0, 0.9, 0.95]).over_fitted, "what it trains on got worse as well"
    assert "learned by heart (0.9500 at the end)" in curve.say(heart) and "heart" not in curve.say(learned)
    assert "never beaten" in curve.say(of([1.0, 0.9, 0.8], [1.0, 1.1, 1.2]))


def test_a_stopped_run_keeps_its_best(home: Path, tmp_path: Path):
    whole = loop.train(run(home), tmp_path / "whole")
    loop.train(run(home), tmp_path / "parts", stop_at=3)
    parts = loop.train(run(home), tmp_path / "parts")
    a, b = (torch.cat([p.flatten() for p in lora.read(f)[0].parameters()]) for f in (whole, parts))
    assert torch.equal(a, b)


def test_the_models_own_clips_ask_for_its_own_answers(home: Path):
    found = task(home, prior_share=0.99)
    batch = found.batch(0)
    assert batch[3] == 1 and len(batch[2]) > 1
    loss, parts = found.loss(found.model, batch)  # an adapter that changes nothing answers as the model did
    packed, own = batch[0], sum(s.length for s in batch[0].segments if s.sample == 0 and s.rule == "noisy")
    assert float(loss) == pytest.approx(parts["loss/own"] * own / int(packed.noisy.sum()), rel=1e-4)
    assert parts["loss/kept"] == 0


def test_every_clip_is_taken_in_turn(home: Path):
    found = task(home)
    drawn = [item.key for step in range(30) for item in found._own(step)]
    counts = [drawn.count(item.key) for item in found.training]
    assert max(counts) - min(counts) <= 1 and not {i.key for i in found.validation} & set(drawn)
    assert drawn[:4] == [item.key for step in range(30) for item in task(home)._own(step)][:4]


def test_who_is_held_out_depends_on_the_keys_alone(home: Path):
    items = list(task(home).data)
    one, other = (tune.split(order, 0.4)[1] for order in (items, items[::-1]))
    assert {i.key for i in one} == {i.key for i in other} and len(one) == 2
    assert len(tune.split(items, 0.01)[1]) == 1 and len(tune.split(items, 0.99)[0]) == 1


def test_own_clips_are_drawn_once(home: Path):
    path = home / "prior.safetensors"
    before = path.stat().st_mtime_ns
    prior.make(str(home / "model"), path, 3)
    assert path.stat().st_mtime_ns == before and len(prior.read(path)) == 3
    assert {i.captions["terse"] for i in prior.read(path)} <= set(builders.CAPTIONS)


def test_half_of_the_own_clips_are_of_what_is_next_to_the_new():
    known = [f"a {colour} ball {does}" for colour in ("red", "blue", "green") for does in ("falls", "rolls", "jumps")]
    known += [f"two {colour} boxes stand still" for colour in ("red", "blue", "pink")] * 4
    drawn = prior._chosen(known, 6, ["a zorvish ball rolls"], np.random.default_rng(0))
    assert len(set(drawn)) == 6 and set(drawn[:3]) == {f"a {c} ball rolls" for c in ("red", "blue", "green")}
    assert len(prior._chosen(known, 40, [], np.random.default_rng(0))) == 40


def test_bad_sets_are_said_before_the_work(home: Path, tmp_path: Path):
    for folder, message in (
        (clips(tmp_path / "one", 1), "needs two"),
        (clips(tmp_path / "thin", 2, channels=4), "another autoencoder|latents of 4 channels"),
        (clips(tmp_path / "mute", 2, captions={}), "has no caption"),
    ):
        with pytest.raises(UserError, match=message):
            tune.captions(tune.recipe(str(home / "model"), [folder]))
    with pytest.raises(UserError, match="missing or damaged"):
        prior.read(tmp_path / "none.safetensors")
