"""The convolutional video encoder: any size, any length, and what its features do and do not depend on."""

import pytest
import torch

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.embed.conv import Config, Model

SMALL = Config(widths=(12, 16, 24), depths=(1, 1, 1), features=20)


def clips(count: int, frames: int, height: int = 64, width: int = 64, seed: int = 0) -> torch.Tensor:
    """Squares of their own colours on grey, each going its own way."""
    generator = torch.Generator().manual_seed(seed)
    made = torch.full((count, 3, frames, height, width), 0.3)
    for b in range(count):
        y, x = (int(torch.randint(0, side // 2, (), generator=generator)) for side in (height, width))
        colour = torch.rand(3, 1, 1, generator=generator) * 2 - 1
        for t in range(frames):
            made[b, :, t, y : y + height // 4, x + t % (width // 4) :][..., : width // 4] = colour
    return made


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    made = Model(SMALL)
    made.fit(clips(40, 9))
    return made.eval().requires_grad_(False)


@pytest.mark.parametrize("frames, groups", [(1, 1), (2, 1), (4, 1), (5, 2), (17, 5), (25, 7)])
def test_groups_are_those_of_the_autoencoder(model: Model, frames: int, groups: int):
    assert model.grid(frames, 64, 64) == (groups, 4, 4)
    assert model.tokens(clips(2, frames)).shape == (2, groups * 16, 24)
    assert model.encode(clips(2, frames)).shape == (2, 20)


@pytest.mark.parametrize(
    "height, width, h, w",
    [(64, 64, 4, 4), (128, 128, 4, 4), (16, 16, 4, 4), (96, 64, 6, 4), (33, 100, 4, 12), (1, 1, 4, 4), (7, 900, 4, 16)],
)
def test_any_size_is_seen_at_64_pixels(model: Model, height: int, width: int, h: int, w: int):
    clip = torch.rand(1, 3, 3, height, width) * 2 - 1
    assert model.grid(3, height, width) == (1, h, w)
    assert model.tokens(clip).shape == (1, h * w, 24) and model.encode(clip).isfinite().all()


def test_a_clip_means_the_same_at_every_size(model: Model):
    clip = clips(2, 5)
    larger = clip.repeat_interleave(2, -1).repeat_interleave(2, -2)
    torch.testing.assert_close(model.encode(larger), model.encode(clip), atol=1e-4, rtol=1e-4)


def test_nothing_depends_on_company_or_chance(model: Model):
    clip = clips(3, 9)
    together = model.encode(clip)
    torch.testing.assert_close(model.encode(clip[1:2]), together[1:2], atol=1e-4, rtol=1e-4)
    assert torch.equal(model.encode(clip), together)


def test_an_image_is_a_clip_that_stands_still(model: Model):
    image = clips(2, 1)
    torch.testing.assert_close(model.encode(image.expand(-1, -1, 4, -1, -1)), model.encode(image))


def test_pooled_tokens_are_the_features(model: Model):
    clip = clips(2, 5)
    assert torch.equal(model.pool(model.tokens(clip)), model.encode(clip))


def test_the_order_of_frames_shows(model: Model):
    """Even untrained: what goes to the right is not what goes to the left."""
    clip = clips(2, 9)
    assert (model.encode(clip.flip(2)) - model.encode(clip)).abs().max() > 0.05


def test_fitted_features_are_of_about_unit_variance_and_zero_mean(model: Model):
    features = model.encode(clips(40, 9))
    assert features.mean(0).abs().max() < 1e-3 and 0.1 < features.std(0).mean() < 1.1
    assert (torch.linalg.eigvalsh(torch.cov(features.T)) < 1.1).all()


def test_whitening_turns_the_features_and_says_how():
    torch.manual_seed(0)
    made, clip = Model(SMALL), clips(120, 5, 32, 32)
    before = made.encode(clip)
    turn, mean = made.whiten(before.detach(), 1e-4)
    after = made.encode(clip)
    torch.testing.assert_close(after @ turn + mean, before, atol=1e-3, rtol=1e-3)
    varied = (turn.norm(dim=1) > 1e-3 * turn.norm(dim=1)[0]).nonzero().flatten()
    covariance = torch.cov(after.T.double())[varied][:, varied]
    torch.testing.assert_close(covariance, torch.eye(len(varied)).double(), atol=0.05, rtol=0)
    assert (turn.norm(dim=1).diff() <= 1e-6).all(), "the axis of most variance comes first"


def test_every_parameter_gets_a_gradient():
    made = Model(SMALL)
    made.encode(clips(2, 9)).square().sum().backward()
    assert not [n for n, p in made.named_parameters() if p.grad is None or not p.grad.any()]


def test_weights_and_configuration_round_trip(model: Model):
    again = Model(config.build(Config, config.dump(SMALL)))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.encode(clips(1, 5)), model.encode(clips(1, 5)))


def test_the_default_fits_its_budget():
    """checkpoints/ keeps 4 MB for the video encoder, in bfloat16."""
    with torch.device("meta"):
        assert sum(t.numel() for t in Model(Config()).state_dict().values()) * 2 < 3.9e6


def test_flops_are_counted_without_running(model: Model):
    assert model.flops(9, 64, 64) > 2 * 9 * 12**2 * 2 * 6 * 256, "two convolutions of the finest level alone"
    assert model.flops(9, 64, 64) == model.flops(12, 200, 200) < model.flops(13, 64, 64)


def test_what_is_no_clip_is_refused(model: Model):
    with pytest.raises(UserError, match="0 frames of 64x64 are no clip"):
        model.encode(torch.zeros(1, 3, 0, 64, 64))
    with pytest.raises(UserError, match="side 60 must be a multiple of 16"):
        Config(side=60)
