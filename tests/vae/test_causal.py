"""The causal autoencoder keeps the contract of `vae/`: one code path for images, clips, streams and continuations."""

import dataclasses

import pytest
import torch

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.vae.causal import Config, History, Model

SMALL = Config(width=24, encoder_depth=(1, 1), decoder_depth=(1, 1))


def shapes(clips: int, frames: int, height: int = 32, width: int = 48) -> torch.Tensor:
    """A bright square that crosses a grey ramp: smooth where a PCA is good, with an edge where it is not."""
    clip = torch.linspace(-0.5, 0.5, width).expand(clips, 3, frames, height, width).clone()
    for t in range(frames):
        for b in range(clips):
            clip[b, b % 3, t, 8:20, (3 * t + 5 * b) % (width - 12) :][..., :12] = 0.9
    return clip


@pytest.fixture(scope="module")
def model() -> Model:
    """Fitted, then with all that is zero at birth made loud, so that every path shows in the output."""
    torch.manual_seed(0)
    model = Model(SMALL)
    model.fit_pca(shapes(6, 13))
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    model.fit_statistics(shapes(6, 13))
    return model.eval().requires_grad_(False)


@pytest.mark.parametrize("frames", [1, 5, 13])
def test_geometry_follows_the_spec(model: Model, frames: int):
    clip = shapes(2, frames)
    latents = model.encode(clip)
    assert latents.shape[2:] == model.spec.grid(frames, 32, 48)
    assert model.decode(latents).shape == clip.shape
    assert model.spec.frames(latents.shape[2]) == frames


@pytest.mark.parametrize("chunks", [[13], [1, 4, 4, 4], [1] * 13, [3, 7, 0, 2, 1], [6, 7]])
def test_encoding_a_stream_equals_encoding_the_clip(model: Model, chunks: list[int]):
    clip = shapes(2, 13)
    streamed = torch.cat(list(model.encode_stream(clip.split(chunks, 2))), 2)
    torch.testing.assert_close(streamed, model.encode(clip), atol=1e-4, rtol=0)


@pytest.mark.parametrize("chunks", [[4], [1, 1, 1, 1], [3, 0, 1], [1, 3]])
def test_decoding_a_stream_equals_decoding_the_clip(model: Model, chunks: list[int]):
    latents = model.encode(shapes(2, 13))
    streamed = torch.cat(list(model.decode_stream(latents.split(chunks, 2))), 2)
    torch.testing.assert_close(streamed, model.decode(latents), atol=1e-4, rtol=0)


def test_streams_are_lazy(model: Model):
    """Latents come out before the last frame goes in: that is what constant memory means for a stream without end."""
    taken = []
    chunks = (taken.append(i) or shapes(1, 4) for i in range(1000))
    stream = model.decode_stream(model.encode_stream(chunks, "continuation"), "continuation")
    assert next(stream).shape[2] == 4 and next(stream).shape[2] == 4
    assert len(taken) == 2


def test_a_stream_remembers_one_feature_map_per_block(model: Model):
    history = History(1)
    model._encode(shapes(1, 5), True, history)
    after_few = [m.shape for m in history.last.values()]
    model._encode(shapes(1, 40), False, history)
    assert [m.shape for m in history.last.values()] == after_few and all(s[1] == 1 for s in after_few)


def test_the_future_changes_nothing(model: Model):
    clip = shapes(1, 13)
    changed = clip.clone()
    changed[:, :, 9:] = -1
    torch.testing.assert_close(model.encode(changed)[:, :, :3], model.encode(clip)[:, :, :3], atol=1e-5, rtol=0)
    latents = model.encode(clip)
    altered = torch.cat([latents[:, :, :3], -latents[:, :, 3:]], 2)
    torch.testing.assert_close(model.decode(altered)[:, :, :9], model.decode(latents)[:, :, :9], atol=1e-5, rtol=0)


def test_the_past_is_seen(model: Model):
    clip = shapes(1, 9)
    changed = clip.clone()
    changed[:, :, 1:5] = -1
    assert (model.encode(changed)[:, :, 2] - model.encode(clip)[:, :, 2]).abs().max() > 1e-3


def test_a_continuation_has_no_single_first_frame(model: Model):
    clip = shapes(2, 12)
    latents = model.encode(clip, "continuation")
    assert latents.shape[2] == 3 and model.decode(latents, "continuation").shape == clip.shape
    streamed = torch.cat(list(model.encode_stream(clip.split([5, 7], 2), "continuation")), 2)
    torch.testing.assert_close(streamed, latents, atol=1e-4, rtol=0)


@pytest.mark.parametrize("spectrum", [0.0, 0.5, 1.0])
def test_latents_are_normalised_per_kind(spectrum: float):
    """Zero mean, unit mean square, and a channel's share of it is its amplitude in the pixels to the power asked."""
    torch.manual_seed(0)
    clip = shapes(6, 13) + 0.1 * torch.randn(6, 3, 13, 32, 48)
    model = Model(dataclasses.replace(SMALL, spectrum=spectrum))
    model.fit_pca(clip)
    model.fit_statistics(clip)
    latents = model.encode(clip)
    for part in (latents[:, :, :1], latents[:, :, 1:]):
        torch.testing.assert_close(part.mean((0, 2, 3, 4)), torch.zeros(16), atol=1e-3, rtol=0)
        torch.testing.assert_close(part.square().mean(), torch.ones(()), atol=1e-2, rtol=0)
    kept = model.later.decode.weight.flatten(1).norm(dim=1) ** spectrum
    deviation = latents[:, :, 1:].std((0, 2, 3, 4))
    torch.testing.assert_close(deviation, kept / kept.square().mean().sqrt(), atol=1e-2, rtol=1e-2)
    assert len(model.spec.later_std) == 16 and model.spec.channels == 16


def test_statistics_do_not_change_what_is_decoded():
    torch.manual_seed(0)
    model, clip = Model(SMALL), shapes(4, 5)
    model.fit_pca(clip)
    before = model.decode(model.encode(clip))
    model.fit_statistics(clip)
    torch.testing.assert_close(model.decode(model.encode(clip)), before, atol=1e-4, rtol=0)


def test_untrained_it_is_the_best_linear_code():
    """Known answer: the error of a PCA is the variance that its components leave out."""
    model, clip = Model(SMALL), torch.randn(8, 3, 5, 16, 16, generator=torch.Generator().manual_seed(0))
    clip = clip + torch.nn.functional.avg_pool3d(clip, 3, 1, 1) * 9
    model.fit_pca(clip)
    groups = clip[:, :, 1:].unfold(3, 8, 8).unfold(4, 8, 8).permute(0, 3, 4, 2, 1, 5, 6).reshape(32, -1)
    spread = torch.linalg.svdvals(groups - groups.mean(0)).square()
    error = (model.decode(model.encode(clip)) - clip)[:, :, 1:].square().sum()
    torch.testing.assert_close(error, spread[16:].sum(), rtol=1e-3, atol=1e-2)


def test_every_parameter_learns():
    torch.manual_seed(0)
    model, clip = Model(SMALL), shapes(2, 9)
    model.fit_pca(torch.randn(8, 3, 5, 32, 32))
    learnt = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimiser = torch.optim.AdamW(learnt.values(), 1e-3)
    losses = []
    for _ in range(6):
        optimiser.zero_grad()
        loss = (model.decode(model.encode(clip)) - clip).abs().mean()
        loss.backward()
        losses.append(loss.item())
        optimiser.step()
    assert losses[-1] < 0.95 * losses[0]
    assert not [n for n, p in learnt.items() if p.grad is None or not p.grad.any()]
    assert {n.split(".")[0] for n in learnt} == {"encoder", "decoder"}, "the PCA stays as it was fitted"


def test_weights_and_configuration_round_trip(model: Model):
    again = Model(config.build(Config, config.dump(SMALL)))
    again.load_state_dict(model.state_dict())
    clip = shapes(1, 5)
    assert torch.equal(again.encode(clip), model.encode(clip)) and again.spec == model.spec


def test_bfloat16_autocast_stays_close(model: Model):
    clip = shapes(1, 5)
    with torch.autocast("cpu", torch.bfloat16):
        latents = model.encode(clip)
    assert (latents - model.encode(clip)).abs().mean() < 0.05


def test_flops_are_counted_without_running():
    """A 3x3 convolution of the coarse level costs 2 x 9 x width^2 per latent pixel, and more blocks cost more."""
    counted, twice = Model(SMALL).flops(5, 32, 48), Model(SMALL).flops(5, 64, 48)
    assert counted["decode"] > 2 * 2 * 9 * SMALL.coarse**2 * 2 * 4 * 6
    assert twice == {name: 2 * flops for name, flops in counted.items()}


def test_the_default_fits_its_budget():
    """checkpoints/ keeps 6 MB for the autoencoder, in bfloat16."""
    with torch.device("meta"):
        assert sum(t.numel() for t in Model(Config()).state_dict().values()) * 2 < 6e6


@pytest.mark.parametrize("stride_t, stride_s, channels", [(2, 4, 4), (4, 16, 24)])
def test_strides_and_channels_are_free(stride_t: int, stride_s: int, channels: int):
    other = Model(dataclasses.replace(SMALL, stride_t=stride_t, stride_s=stride_s, channels=channels))
    clip = shapes(1, 1 + 2 * stride_t, 32, 32)
    latents = other.encode(clip)
    assert latents.shape == (1, channels, 3, 32 // stride_s, 32 // stride_s)
    assert other.decode(latents).shape == clip.shape


@pytest.mark.parametrize(
    "frames, height, width, kind, said",
    [
        (6, 32, 32, "clip", "6 frames .* 1 \\+ k\\*4"),
        (5, 32, 32, "continuation", "5 frames .* k\\*4"),
        (5, 30, 33, "clip", "30x33 .* 24x32 or 32x40"),
        (0, 32, 32, "clip", "0 frames"),
    ],
)
def test_what_is_off_the_grid_is_refused(model: Model, frames: int, height: int, width: int, kind, said: str):
    with pytest.raises(UserError, match=said):
        model.encode(torch.zeros(1, 3, frames, height, width), kind)


def test_foreign_latents_are_refused(model: Model):
    with pytest.raises(UserError, match="8 channels; this autoencoder has 16"):
        model.decode(torch.zeros(1, 8, 1, 4, 4))
