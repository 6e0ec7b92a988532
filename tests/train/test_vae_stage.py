"""The loss of the autoencoder stage, its scores and its textures."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests import builders
from worldpatch import config
from worldpatch.data import textures
from worldpatch.generate.pipeline import load_vae
from worldpatch.train.stages import vae as stage


class Identity(nn.Module):
    """An autoencoder that forgets nothing, but adds a constant."""

    def __init__(self, offset: float | Tensor = 0.0):
        super().__init__()
        self.offset = offset

    def encode(self, frames: Tensor, kind: str = "clip") -> Tensor:
        return frames

    def decode(self, latents: Tensor, kind: str = "clip") -> Tensor:
        return latents + self.offset


def drawn(seed: int, *shape: int) -> Tensor:
    return textures.procedural_batch(torch.Generator().manual_seed(seed), *shape)


def test_psnr_of_a_known_error():
    """An error of 0.2 everywhere, with peak 2, is 20 dB; a mask counts its own pixels alone."""
    frames = torch.zeros(2, 3, 5, 8, 8)
    assert stage.psnr(frames + 0.2, frames).item() == pytest.approx(20, abs=1e-4)
    mask = torch.zeros(2, 1, 5, 8, 8)
    mask[..., :4] = 1
    assert stage.psnr(frames + 0.2 * mask, frames, mask).item() == pytest.approx(20, abs=1e-4)
    assert stage.evaluate(Identity(0.2), frames, mask)["psnr_worst"] == pytest.approx(20, abs=1e-4)


def test_errors_on_objects_weigh_four_times(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stage, "NOISE", 0.0)
    frames, mask = torch.zeros(1, 3, 5, 8, 8), torch.ones(1, 1, 5, 8, 8)
    plain, _ = stage.loss(Identity(0.1), {"frames": frames})
    objects, parts = stage.loss(Identity(0.1), {"frames": frames, "mask": mask})
    assert objects.item() == pytest.approx(4 * plain.item(), rel=1e-4)
    assert parts["gradient"] == pytest.approx(0, abs=1e-6) and "psnr_objects" in parts


def test_rims_and_ghosts_weigh_as_objects_do(monkeypatch: pytest.MonkeyPatch):
    """An object of one pixel in one frame: its weight reaches a pixel around it and three frames before and after."""
    monkeypatch.setattr(stage, "NOISE", 0.0)
    monkeypatch.setattr(stage, "GRADIENT_WEIGHT", 0.0)
    monkeypatch.setattr(stage, "FIRST_WEIGHT", 1.0)
    monkeypatch.setattr(stage, "CONTINUATION_SHARE", 0.0)
    mask = torch.zeros(1, 1, 9, 9, 9)
    mask[0, 0, 4, 4, 4] = 1

    def weight(t: int, y: int) -> float:
        error = torch.zeros(1, 3, 9, 9, 9)
        error[0, :, t, y, 4] = 0.5
        return stage.loss(Identity(error), {"frames": torch.zeros_like(error), "mask": mask})[1]["pixel"]

    far = weight(0, 4)
    assert weight(1, 4) == weight(7, 5) == weight(4, 3) == pytest.approx(4 * far)
    assert weight(4, 6) == weight(8, 4) == pytest.approx(far)


@pytest.mark.parametrize("frames", [1, 9])
def test_the_loss_is_finite_and_repeatable(frames: int):
    batch = {"frames": drawn(0, 2, frames, 32, 32)}
    losses = []
    for _ in range(2):
        torch.manual_seed(7)
        losses.append(stage.loss(Identity(), batch)[0].item())
    assert losses[0] == losses[1] and 0 < losses[0] < 1


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (5, 9, 64, 40), (0, 5, 32, 32)])
def test_textures_have_the_size_asked_for(shape: tuple[int, int, int, int]):
    b, t, h, w = shape
    clip = drawn(0, b, t, h, w)
    assert clip.shape == (b, 3, t, h, w) and clip.isfinite().all() and (clip.abs() <= 1).all()


def test_textures_differ_move_and_repeat_by_seed():
    clip = drawn(3, 12, 9, 32, 32)
    assert torch.equal(clip, drawn(3, 12, 9, 32, 32)) and not torch.equal(clip, drawn(4, 12, 9, 32, 32))
    moving = clip.diff(dim=2).abs().mean((1, 2, 3, 4)) > 1e-3
    assert moving.float().mean() > 0.5
    assert 0.1 < clip.std() < 0.8


# ---------------------------------------------------------------------------------------------------------------- task


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A bank of few and small clips, rendered here."""
    return {
        "options": {"level": 1, "height": 32, "width": 32, "frames": 9, "supersample": 1},
        "bank": 6, "validation": 2, "batch": 4, "textures": 0.25, "frames": 5, "workers": 0,
        "cache": str(tmp_path_factory.mktemp("bank")),
        "model": {"width": 12, "encoder_depth": (1, 1), "decoder_depth": (1, 1)},
    }  # fmt: skip


def task(options: dict[str, Any], **more: Any) -> stage.Task:
    return stage.Task(config.build(stage.Config, {**options, **more}), 0, "cpu")


def test_batches_are_clips_and_textures_and_a_function_of_the_step(options: dict[str, Any]):
    found, again = task(options), task(options)
    for step in (3, 0):
        a, b = found.batch(step), again.batch(step)
        assert a["frames"].shape == (4, 3, 5, 32, 32) and torch.equal(a["frames"], b["frames"])
        assert a["mask"][:3].any() and not a["mask"][3:].any(), (
            "the last quarter is textures; nothing there is an object"
        )
    assert not torch.equal(found.batch(0)["frames"], found.batch(1)["frames"])
    assert found.size(found.batch(0))[:2] == (4, 4 * 2 * 4 * 4)


def test_a_step_moves_the_networks_and_not_the_basis(options: dict[str, Any]):
    found = task(options)
    found.loss(found.model, found.batch(0))[0].backward()
    moved = {name.split(".")[0] for name, p in found.model.named_parameters() if p.grad is not None}
    assert moved == {"encoder", "decoder"}


def test_what_is_exported_normalises_and_comes_back(options: dict[str, Any], tmp_path: Path):
    found = task(options)
    builders.perturb(found.model.encoder)
    found.export(found.model, tmp_path, {"step": 1})
    loaded = load_vae(tmp_path)
    latents = loaded.encode(found._held_out()[0])
    torch.testing.assert_close(latents, found.model.encode(found._held_out()[0]), atol=1e-5, rtol=0)
    assert latents.square().mean().item() == pytest.approx(1, abs=0.35), "statistics are of the bank, not of these"


def test_the_decoder_can_learn_alone(options: dict[str, Any], tmp_path: Path):
    """Latents that are stored stay right: neither weights nor statistics of the encoder change."""
    first = task(options)
    first.export(first.model, tmp_path / "one", {"step": 1})
    second = task(options, freeze_encoder=True, start_from=str(tmp_path / "one"))
    second.loss(second.model, second.batch(0))[0].backward()
    assert {n.split(".")[0] for n, p in second.model.named_parameters() if p.grad is not None} == {"decoder"}
    builders.perturb(second.model.decoder)
    second.export(second.model, tmp_path / "two", {"step": 2})
    record = json.loads((tmp_path / "two" / "vae.json").read_text())
    assert (record["earlier"], record["training"]) == ([{"step": 1}], {"step": 2}), "the whole way is on record"
    a, b = load_vae(tmp_path / "one"), load_vae(tmp_path / "two")
    frames = first._held_out()[0]
    assert torch.equal(a.encode(frames), b.encode(frames)) and a.spec == b.spec
    assert not torch.equal(a.decode(a.encode(frames)), b.decode(b.encode(frames)))
