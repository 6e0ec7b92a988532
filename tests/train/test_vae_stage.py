"""The loss of the autoencoder stage, its scores and its textures."""

import pytest
import torch
from torch import Tensor, nn

from worldpatch.data import textures
from worldpatch.train.stages import vae as stage


class Identity(nn.Module):
    """An autoencoder that forgets nothing, except a constant that it adds."""

    def __init__(self, offset: float = 0.0):
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
