"""Batches of the transformer's stage: a pure function of (seed, step), with every condition dropped now and then."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests import builders
from worldpatch import config
from worldpatch.data import shards
from worldpatch.train.stages import dit


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return builders.dit_options(tmp_path_factory.mktemp("stage"))


def task(options: dict[str, Any], seed: int = 0, **more: Any) -> dit.Task:
    return dit.Task(config.build(dit.Config, {**options, **more}), seed, "cpu")


def test_a_batch_is_a_pure_function_of_seed_and_step(options):
    one, two, other = task(options), task(options), task(options, seed=1)
    for step in (5, 0, 5):
        (a, noise, captions), (b, again, same) = one.batch(step), two.batch(step)
        assert torch.equal(a.tokens, b.tokens) and torch.equal(a.time, b.time) and torch.equal(noise, again)
        assert captions == same and a.segments == b.segments
    assert not torch.equal(one.batch(5)[1][:8], other.batch(5)[1][:8])
    assert not torch.equal(one.batch(5)[1][:8], one.batch(6)[1][:8])


def test_conditions_are_dropped_at_their_shares(options):
    found = task(options, drop_text=0.5, keep_camera=0.5, images=0.2, continuations=0.2)
    captions, kinds, cameras = [], [], []
    for step in range(60):
        packed, _, words = found.batch(step)
        captions += words
        kinds += [
            next(s.kind for s in packed.segments if s.sample == i and s.rule == "noisy") for i in range(len(words))
        ]
        cameras.append(bool(packed.hints[:, 6].any()))
    assert captions.count("") / len(captions) == pytest.approx(0.5, abs=0.12)
    assert {"clip", "continuation", "image"} == set(kinds) and {True, False} == set(cameras)
    assert len({c for c in captions if c}) == 8, "every style of caption is read"


def test_every_batch_can_be_learned_from(options):
    found = task(options)
    for step in range(4):
        batch = found.batch(step)
        loss, _ = found.loss(found.model, batch)
        assert loss.isfinite() and loss > 0
        samples, tokens, flops = found.size(batch)
        assert samples == len(batch[2]) and tokens == len(batch[0].tokens) and flops > 1e6


def test_validation_is_the_same_every_time(options):
    found = task(options)
    with torch.no_grad():
        first, again = (found.validate(found.model) for _ in range(2))
    assert first == again and len(first) == 11


def test_words_and_seeds():
    assert dit.words_of("A red ball's fall; then-some, 3x!") == ["a", "red", "ball's", "fall", "then-some", "3x"]
    seeds = {dit.hash_seed(seed, step) for seed in range(20) for step in range(20)}
    assert len(seeds) == 400 and all(0 <= s < 2**63 for s in seeds)


def test_every_stage_has_its_parts():
    for name in config.available("train/stages"):
        module = config.resolve("train/stages", name)
        assert hasattr(module, "Config") and hasattr(module, "Task"), name


def test_missing_data_is_named(options, tmp_path: Path):
    with pytest.raises(config.UserError, match="holds no shard.*worldpatch data build"):
        task(options, data=(str(tmp_path),))


def test_training_says_which_clips_it_uses(options, caplog: pytest.LogCaptureFixture):
    with caplog.at_level("INFO", "worldpatch"):
        found = task(options, weights=(1.0,))
    assert f"{len(found.data)} clips in, {len(found.data)} used; batches are " in caplog.text


def test_latents_of_another_autoencoder_are_refused(options, tmp_path: Path):
    writer = shards.Writer(tmp_path)
    for key, members in builders.clips([(2, 4, 4)] * 2):
        tensors = shards.read_latent(members["latent.safetensors"])
        writer.write(key, members | {"latent.safetensors": shards.write_latent(tensors, "another")})
    writer.flush()
    with pytest.raises(config.UserError, match="2 clips in, 0 used; 2 encoded by another autoencoder"):
        task(options, data=(str(tmp_path),))


def test_hinted_samples_lose_more_words(options):
    found = task(options, drop_text=0.0, drop_hinted=1.0, keep_camera=0.5, images=0.0, continuations=0.0)
    for step in range(10):
        packed, _, words = found.batch(step)
        for sample, caption in enumerate(words):
            rows = [packed.hints[s.start : s.stop, 6].any() for s in packed.segments if s.sample == sample]
            assert (caption == "") == bool(rows[-1])


@pytest.mark.parametrize(
    ("caption", "left"),
    [
        ("a red ball falls, the camera orbits right", "a red ball falls"),
        ("A red ball rolls towards the camera. The camera does not move.", "A red ball rolls towards the camera."),
        ("show me a red can, still camera", "show me a red can"),
        ("The camera pans to the left. A box falls.", "A box falls."),
    ],
)
def test_what_is_said_of_the_camera_can_be_left_out(caption: str, left: str):
    assert dit.unfilmed(caption) == left
