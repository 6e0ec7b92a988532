"""A small convolutional video encoder: 3x3 in space, neighbouring moments in time, coarser in both at every level.

    level   pixels a side   frames   width
    fine          4            2       48     a pair of frames is one moment: its motion is in its channels
    middle        8            4      128
    coarse       16            4      192     these are the tokens

Frames are first averaged down (or repeated up) to 64 pixels on the shorter side, so that a clip means the same at every
size. The beginning is filled with copies of the first frame until groups of four are full: a clip of 1 + 4k frames has
1 + k groups, the autoencoder's, and an image is a clip that stands still. Everything is normalised over the channels of
one place alone, so a clip's features do not depend on its company.

One moment adds a projection of the moments before and after to what a block sees, which makes direction a matter of
sign. On a CPU these 2-D convolutions run at the rate of the matrix product; conv3d reaches a tenth of it.

Pixels are read in the principal axes of patches, at the square root of their strength (`fit`): raw ones are nearly all
lightness, and a network that reads them learns about edges, motion and noise much later.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from worldpatch.config import UserError

PATCH, PAIR = 4, 2  # pixels a side and frames of the finest level
STRIDE_T, STRIDE_S = 4, 16  # frames and pixels of a token
LONGEST = 4  # times the shorter side; a longer frame is squeezed


@dataclass(frozen=True, kw_only=True)
class Config:
    """Widths and numbers of residual blocks of the levels, fine to coarse; `features` is the width of a clip's vector.

    `side` is the shorter side, in pixels, at which frames are seen.
    """

    widths: tuple[int, int, int] = (48, 128, 192)
    depths: tuple[int, int, int] = (1, 2, 1)
    features: int = 128
    side: int = 64

    def __post_init__(self) -> None:
        if self.side < STRIDE_S or self.side % STRIDE_S:
            raise UserError(f"side {self.side} must be a multiple of {STRIDE_S}; use 64")


class Block(nn.Module):
    """Residual block: layer norm, 3x3 convolution, beside it the same place before and after, SiLU, 3x3 convolution."""

    def __init__(self, width: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.now = nn.Conv2d(width, width, 3, padding=1)
        self.before = nn.Linear(width, width, bias=False)
        self.after = nn.Linear(width, width, bias=False)
        self.out = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w c"]:
        normed = _norm(x, self.scale)
        before, after = self.before(normed), self.after(normed)
        hidden = _conv(self.now, normed)
        hidden = hidden + torch.cat([before[:, :1], before[:, :-1]], 1) + torch.cat([after[:, 1:], after[:, -1:]], 1)
        return x + _conv(self.out, F.silu(hidden))


class Model(nn.Module):
    """The encoder: `encode` gives one vector per clip, `tokens` features in place and time."""

    patch_mean: Tensor
    patch_basis: Tensor

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        fine, middle, coarse = config.widths
        values = 3 * PAIR * PATCH**2
        self.register_buffer("patch_mean", torch.zeros(values))
        self.register_buffer("patch_basis", torch.eye(values))
        self.enter = nn.Conv2d(values, fine, 3, padding=1)
        self.fine = _level(fine, config.depths[0])
        self.to_middle = nn.Linear(2 * 2 * 2 * fine, middle)  # two moments and 2x2 places become one
        self.middle = _level(middle, config.depths[1])
        self.to_coarse = nn.Linear(2 * 2 * middle, coarse)
        self.coarse = _level(coarse, config.depths[2])
        self.scale = nn.Parameter(torch.ones(coarse))
        self.leave = nn.Linear(2 * coarse, config.features)
        self.apply(_begin)

    @property
    def token_width(self) -> int:
        return self.config.widths[-1]

    @property
    def stride_t(self) -> int:
        """Frames per token; a clip is filled up in front to a multiple of it."""
        return STRIDE_T

    def encode(self, frames: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b d"]:
        """Frames in [-1, 1], of any number and size -> one vector per clip."""
        return self.pool(self.tokens(frames))

    def pool(self, tokens: Float[Tensor, "b n e"]) -> Float[Tensor, "b d"]:
        """A clip's tokens -> its vector: what there is on average, and at most."""
        return self.leave(torch.cat([tokens.mean(1), tokens.amax(1)], -1))

    def tokens(self, frames: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b n e"]:
        """Frames in [-1, 1], of any number and size -> features in order of time, then rows; `grid` says how many."""
        t, h, w = self.grid(*frames.shape[2:])
        x = _patches(_sized(frames, STRIDE_T * t, STRIDE_S * h, STRIDE_S * w))
        x = (x - self.patch_mean) @ self.patch_basis
        x = self.fine(_conv(self.enter, x))  # 2t, 4h, 4w
        x = self.to_middle(rearrange(x, "b (t p) (h i) (w j) c -> b t h w (p i j c)", p=2, i=2, j=2))
        x = self.middle(x)  # t, 2h, 2w
        x = self.to_coarse(rearrange(x, "b t (h i) (w j) c -> b t h w (i j c)", i=2, j=2))
        x = _norm(self.coarse(x), self.scale)  # t, h, w
        return rearrange(x, "b t h w c -> b (t h w) c")

    def grid(self, frames: int, height: int, width: int) -> tuple[int, int, int]:
        """How many tokens (t, h, w) a clip of this size has. Raises UserError where there is no picture."""
        if min(frames, height, width) < 1:
            raise UserError(f"{frames} frames of {height}x{width} are no clip: give at least one frame of one pixel")
        scale, most = self.config.side / min(height, width), LONGEST * self.config.side // STRIDE_S
        h, w = (min(most, round(side * scale / STRIDE_S)) for side in (height, width))
        return -(-frames // STRIDE_T), h, w

    # -------------------------------------------------------------------------------------------------- fitting, costs

    @torch.no_grad()
    def fit(self, frames: Float[Tensor, "b 3 t h w"]) -> None:
        """Begin with the statistics of these clips: the axes of their patches, and features of about unit variance."""
        t, h, w = self.grid(*frames.shape[2:])
        patches = _patches(_sized(frames, STRIDE_T * t, STRIDE_S * h, STRIDE_S * w)).flatten(0, -2)
        mean, deviation, basis = _axes(patches, 0.01)
        self.patch_mean.copy_(mean)
        self.patch_basis.copy_(basis / (deviation * deviation.mean()).sqrt())
        self.whiten(torch.cat([self.encode(clips) for clips in frames.split(16)]), 0.2)

    @torch.no_grad()
    def whiten(
        self, features: Float[Tensor, "n d"], least: float = 0.01
    ) -> tuple[Float[Tensor, "d d"], Float[Tensor, " d"]]:
        """Turn and scale the last layer so that these features of its own become uncorrelated, of zero mean and unit
        variance, those that had most of it first. Returns (turn, mean): old features = new @ turn + mean.

        What deviates by less than `least` times the most is not magnified further.
        """
        mean, deviation, basis = _axes(features, least)
        back = (basis / deviation).T
        self.leave.bias.copy_(back @ (self.leave.bias - mean))
        self.leave.weight.copy_(back @ self.leave.weight)
        return (basis * deviation).T, mean

    def flops(self, frames: int, height: int, width: int) -> int:
        """Floating-point operations (two per multiply-add) to encode one clip, counted on the meta device."""
        with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counted:
            Model(self.config).encode(torch.empty(1, 3, frames, height, width))
        return counted.get_total_flops()


def _begin(module: nn.Module) -> None:
    """Normal weights of fan-in variance, so that signals keep their size, and no bias: nothing constant drowns them."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(module, Block):
        for layer in (module.before, module.after, module.out):
            layer.weight.data.mul_(0.5)


def _axes(
    x: Float[Tensor, "n d"], least: float
) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"], Float[Tensor, "d d"]]:
    """Mean; standard deviations along the principal axes, none less than `least` of the first; the axes as columns."""
    values = x.double()
    mean = values.mean(0)
    variance, basis = torch.linalg.eigh((values - mean).T @ (values - mean) / len(x))
    deviation = variance.flip(0).clamp_min(1e-12).sqrt()
    return mean.float(), deviation.clamp_min(least * deviation[0]).float(), basis.flip(1).float()


def _patches(frames: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, "b _ _ _ c"]:
    """One place of the finest level per patch of a pair of frames."""
    return rearrange(frames, "b c (t p) (h i) (w j) -> b t h w (p i j c)", p=PAIR, i=PATCH, j=PATCH)


def _level(width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(Block(width) for _ in range(depth)))


def _norm(x: Float[Tensor, "*n c"], scale: Float[Tensor, " c"]) -> Float[Tensor, "*n c"]:
    return F.layer_norm(x, scale.shape, scale.to(x.dtype), eps=1e-6)


def _conv(layer: nn.Conv2d, x: Float[Tensor, "b t h w c"]) -> Float[Tensor, "b t h w _"]:
    """A convolution of every moment; channels last in memory all the way, as the kernels like it."""
    return layer(x.flatten(0, 1).movedim(-1, 1)).movedim(1, -1).unflatten(0, x.shape[:2])


def _sized(frames: Float[Tensor, "b 3 t h w"], t: int, h: int, w: int) -> Float[Tensor, "b 3 {t} {h} {w}"]:
    """Area-averaged to h x w, and filled up to t frames with copies of the first."""
    if frames.shape[-2:] != (h, w):
        images = F.interpolate(frames.transpose(1, 2).flatten(0, 1), (h, w), mode="area")
        frames = images.unflatten(0, (len(frames), -1)).transpose(1, 2)
    return torch.cat([frames[:, :, :1].expand(-1, -1, t - frames.shape[2], -1, -1), frames], 2)
