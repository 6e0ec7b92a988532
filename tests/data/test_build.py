"""A world becomes an encoded set: the same plan gives the same set, however it is rendered and interrupted."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import builders
from worldpatch.config import UserError
from worldpatch.data import manifest, render, shards
from worldpatch.data.build import Build, build, encode
from worldpatch.generate.pipeline import load_vae
from worldpatch.vae._load import vae_id
from worldpatch.vae._pixels import to_tensor
from worldpatch.worlds import _holdout

SMALL = {"level": 1, "height": 32, "width": 32, "frames": 5, "supersample": 1}
PLAN = Build(world="tabletop", options=SMALL, clips=5, recolours=1, workers=0, per_shard=3)


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return load_vae(builders.autoencoder(tmp_path_factory.mktemp("vae")))


def contents(folder: Path) -> dict[str, dict[str, bytes]]:
    return dict(shards.read(folder))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, vae: Any) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    assert build(PLAN, folder, vae) == len(contents(folder))
    return folder


def test_a_build_ends_with_its_manifest(whole: Path, vae: Any):
    found = manifest.read(whole)
    assert [row.clip_id for row in found.rows] == list(contents(whole))
    latent = found.rows[0].latent
    assert latent and latent.vae == vae_id(vae.spec) and (latent.t, latent.h, latent.w) == (2, 4, 4)


def test_an_interrupted_build_goes_on_to_the_same_set(whole: Path, tmp_path: Path, vae: Any):
    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        assert total == PLAN.clips
        if done == 4:
            raise Stop

    with pytest.raises(Stop):
        build(PLAN, tmp_path, vae, progress=stop)
    assert 0 < len(contents(tmp_path)) < len(contents(whole)), "whole shards stay, nothing half-written does"
    build(PLAN, tmp_path, vae)
    assert contents(tmp_path) == contents(whole)


def test_a_set_can_be_made_longer(whole: Path, tmp_path: Path, vae: Any):
    build(dataclasses.replace(PLAN, clips=2), tmp_path, vae)
    build(PLAN, tmp_path, vae)
    assert contents(tmp_path) == contents(whole)


def test_another_plan_is_refused(whole: Path, vae: Any):
    with pytest.raises(UserError, match=r"holds a set of another plan.*delete it"):
        build(dataclasses.replace(PLAN, seed=9), whole, vae)


def test_unseen_pairs_stay_unseen(whole: Path):
    for parts in contents(whole).values():
        described = json.loads(parts["json"])
        pairs = {(o["colour"], o["shape"]) for o in described["objects"]}
        assert not pairs & _holdout.UNSEEN_PAIRS
        assert all(any(colour in caption for colour, _ in pairs) for caption in described["captions"].values())


def test_captions_of_suites_stay_unseen(whole: Path):
    captions = [c for parts in contents(whole).values() for c in json.loads(parts["json"])["captions"].values()]
    assert captions and not any(map(_holdout.is_caption_held_out, captions))


def test_recolouring_multiplies_clips(whole: Path):
    kinds = {key.rsplit("-", 1)[1] for key in contents(whole)}
    assert kinds == {"0", "1"} and len(contents(whole)) > PLAN.clips // 2


def test_keyframes_are_frames_encoded_as_images(vae: Any):
    clip = next(iter(render.clips("tabletop", SMALL, 0, [3], workers=0)))
    made = encode(vae, clip, 3, np.random.default_rng(0), "cpu")
    assert made["latent"].shape == (builders.CHANNELS, 2, 4, 4) and made["latent"].dtype == torch.float16
    for time, keyframe in zip(made["times"].tolist(), made["keyframes"], strict=True):
        frame = to_tensor(clip.frames)[None, :, [round(time * clip.rate)]]
        torch.testing.assert_close(vae.encode(frame)[0, :, 0].half(), keyframe, atol=2e-3, rtol=0)


def test_workers_render_the_same_clips_in_order():
    alone = list(render.clips("tabletop", SMALL, 0, range(4), workers=0))
    together = list(render.clips("tabletop", SMALL, 0, range(4), workers=2))
    for a, b in zip(alone, together, strict=True):
        assert np.array_equal(a.frames, b.frames) and a.captions == b.captions
