"""What every plug-in of a kind must do, asked of all there are. Backbones have `dit/test_packed.py` for themselves."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import builders
from worldpatch import config
from worldpatch.config import UserError
from worldpatch.types import Clip, LatentSpec

FRAMES, SIDE = 5, 32


@pytest.mark.parametrize("name", config.available("worlds"))
class TestWorlds:
    def clips(self, name: str, seed: int, count: int = 2) -> list[Clip]:
        world = config.resolve("worlds", name)
        smallest = config.build(world.Config, {"height": SIDE, "width": SIDE, "frames": FRAMES})
        return list(itertools.islice(world.clips(smallest, seed), count))

    def test_the_seed_says_everything(self, name: str):
        for a, b in zip(self.clips(name, 1), self.clips(name, 1), strict=True):
            assert np.array_equal(a.frames, b.frames) and a.captions == b.captions
        assert not np.array_equal(self.clips(name, 1)[0].frames, self.clips(name, 2)[0].frames)

    def test_clips_know_all_about_themselves(self, name: str):
        for clip in self.clips(name, 3):
            assert clip.frames.shape == (FRAMES, SIDE, SIDE, 3) and clip.frames.dtype == np.uint8
            assert set(clip.captions) == {"terse", "dense", "typed"} and all(clip.captions.values())
            assert clip.truth is not None and clip.camera is not None
            solids = len(clip.truth.objects)
            assert clip.truth.pose.shape == (FRAMES, solids, 7) and clip.truth.velocity.shape == (FRAMES, solids, 6)
            assert clip.truth.masks is not None and clip.truth.masks.shape == clip.frames.shape[:3]
            assert clip.camera.pose.shape == (FRAMES, 4, 4)


@pytest.mark.parametrize("name", config.available("vae"))
class TestAutoencoders:
    @pytest.fixture
    def vae(self, name: str) -> Any:
        module = config.resolve("vae", name)
        return module.Model(module.Config()).eval().requires_grad_(False)

    @pytest.mark.parametrize("frames", [1, 5])
    def test_geometry_is_that_of_the_spec(self, name: str, vae: Any, frames: int):
        spec: LatentSpec = vae.spec
        clip = torch.rand(1, 3, frames, SIDE, SIDE) * 2 - 1
        latent = vae.encode(clip)
        assert latent.shape == (1, spec.channels, *spec.grid(frames, SIDE, SIDE))
        assert vae.decode(latent).shape == clip.shape

    def test_a_stream_is_the_clip(self, name: str, vae: Any):
        clip = torch.rand(1, 3, 9, SIDE, SIDE) * 2 - 1
        latent = vae.encode(clip)
        streamed = torch.cat(list(vae.encode_stream(clip.split([1, 3, 5], 2))), 2)
        torch.testing.assert_close(streamed, latent, atol=1e-4, rtol=0)
        decoded = torch.cat(list(vae.decode_stream(latent.split(1, 2))), 2)
        torch.testing.assert_close(decoded, vae.decode(latent), atol=1e-4, rtol=0)

    def test_frames_off_the_grid_are_refused(self, name: str, vae: Any):
        with pytest.raises(UserError, match="fill the groups"):
            vae.encode(torch.zeros(1, 3, 3, SIDE, SIDE))


@pytest.mark.parametrize("name", config.available("embed"))
class TestVideoEncoders:
    @pytest.fixture
    def encoder(self, name: str) -> Any:
        module = config.resolve("embed", name)
        return module.Model(module.Config()).eval().requires_grad_(False)

    @pytest.mark.parametrize("shape", [(1, 64, 64), (5, 32, 48), (2, 17, 90), (9, 80, 80)])
    def test_clips_of_any_size_have_one_vector_each_and_tokens(self, name: str, encoder: Any, shape: tuple[int, ...]):
        clips = torch.rand(2, 3, *shape) * 2 - 1
        features, tokens = encoder.encode(clips), encoder.tokens(clips)
        assert features.shape == (2, encoder.config.features) and features.isfinite().all()
        assert tokens.shape == (2, int(np.prod(encoder.grid(*shape))), encoder.token_width)
        torch.testing.assert_close(encoder.pool(tokens), features)
        torch.testing.assert_close(encoder.encode(clips[1:]), features[1:], atol=1e-4, rtol=1e-4)

    def test_it_fits_and_whitens(self, name: str, encoder: Any):
        clips = torch.rand(8, 3, 4, SIDE, SIDE) * 2 - 1
        encoder.fit(clips)
        before = encoder.encode(clips)
        turn, mean = encoder.whiten(before)
        torch.testing.assert_close(encoder.encode(clips) @ turn + mean, before, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("name", config.available("text"))
class TestTextEncoders:
    @pytest.fixture
    def encoder(self, name: str, tmp_path: Path) -> Any:
        values = {"bytepair": {"vocabulary": 300, "width": 32, "depth": 1, "heads": 2}}.get(name)
        if values is None:
            pytest.importorskip("transformers")
            values = {"name": str(builders.huggingface_encoder(tmp_path))}
        return config.resolve("text", name).create(values, builders.CAPTIONS).eval()

    def test_tokens_do_not_depend_on_company(self, name: str, encoder: Any):
        tokens, lengths = encoder.encode(["a red ball falls", "", "a blue box"])
        assert tokens.shape == (sum(lengths), encoder.config.width) and lengths[1] == 0
        assert encoder.lengths(["a red ball falls", "", "a blue box"]) == lengths
        torch.testing.assert_close(tokens[-lengths[2] :], encoder.encode(["a blue box"])[0], atol=1e-5, rtol=1e-5)

    def test_it_comes_back_from_a_folder(self, name: str, encoder: Any, tmp_path: Path):
        encoder.save(tmp_path)
        again = config.resolve("text", name).load(config.dump(encoder.config), tmp_path).eval()
        again.load_state_dict(encoder.state_dict())
        torch.testing.assert_close(again.encode(["a red ball"])[0], encoder.encode(["a red ball"])[0])

    def test_an_over_long_prompt_is_refused(self, name: str, encoder: Any):
        with pytest.raises(UserError, match=r"at most \d+: shorten it"):
            encoder.encode(["ball " * 2000])
