"""A causal spacetime autoencoder: 4x in time, 8x8 in space, made of 2-D convolutions around a PCA.

A clip of T = 1 + 4k frames is cut into groups: the first frame alone, then k groups of four. One group becomes one
latent frame of h/8 x w/8 x 16. A group is held as an image whose channels are its four frames (4 x 3 = 12), so time is
a matter of channels and every convolution is 2-D: on a CPU conv3d reaches 11 to 18 GFLOP/s where conv2d reaches 200.
The first frame is seen as four copies of itself; of its decoded four the last is kept.

    encode    latent = PCA(patches) + network(group, previous groups)
    decode    group = PCA^-1(latent) + network(latent, previous latents)

The PCA of 8x8 patches (768 -> 16 for groups, 192 -> 16 for the first frame) is fitted in seconds (`fit_pca`) and
already gives 26 dB on tabletop clips; the networks begin at zero and learn only what it lacks. It also keeps the
latents close to linear in the pixels, which is what a diffusion model finds easy. Its basis is whitened, so that the
networks meet unit variance; how loud each channel is in normalised latents is another matter (`Config.spectrum`). It
stays fixed: the networks can say all that it could learn, and to Adam 768 small weights that move together are one
large step.

Time enters the networks in one place: a block adds a projection of what the same block saw one group earlier, and
nothing is normalised over time or space. So the state of a stream is one feature map per block, and encoding a whole
clip is streaming it as a single chunk: there is no other code path.

Latents have no predicted variance. The loss (`train/stages/vae.py`) adds noise of one fixed size to normalised latents
and pulls them to zero: that is a VAE whose posterior has the same width everywhere, which cannot collapse, needs
no second head, and makes the decoder forgive just the errors that a diffusion model makes.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from worldpatch.config import UserError
from worldpatch.types import LatentSpec

Start = Literal["clip", "continuation"]
"""Whether a stream begins with the single first frame, or in the middle, with a group like all others."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """`width` is that of the fine level (half the spatial stride); the coarse level is 5/3 as wide.

    Depths count residual blocks, in the order in which data passes them. `encoder_gain` multiplies
    what the encoder's network adds to the PCA: at 1 it moved latents of unit variance by 0.06 in 800 steps of Adam at
    1e-3. Whether a larger one ends better is not known: 60 steps at 8 showed no difference.

    `spectrum` is how much of the pixels' spectrum normalised latents keep: a channel's deviation is its amplitude in
    the pixels to this power. At 0 they are white: the same noise hides the picture's lightness and its finest detail
    together, a diffusion model spends its loss on details, and its small errors in lightness flicker. At 1 they are
    scaled as the pixels are, and details appear in the last moments of sampling only.
    """

    channels: int = 16
    stride_t: int = 4
    stride_s: int = 8
    width: int = 96
    encoder_depth: tuple[int, int] = (2, 1)  # fine, coarse
    decoder_depth: tuple[int, int] = (2, 3)  # coarse, fine
    encoder_gain: float = 1.0
    spectrum: float = 0.5

    def __post_init__(self) -> None:
        if self.stride_s < 4 or self.stride_s % 2:
            raise UserError(f"stride_s {self.stride_s} must be even and at least 4, for two levels; use 8")

    @property
    def coarse(self) -> int:
        return self.width * 5 // 3

    @property
    def fine_stride(self) -> int:
        return self.stride_s // 2


class History:
    """What each block saw last: the whole state of a stream, of the same size however long it runs."""

    def __init__(self, streams: int):
        self.streams = streams
        self.last: dict[nn.Module, Tensor] = {}

    def previous(self, block: nn.Module, x: Float[Tensor, "bt c h w"]) -> Float[Tensor, "bt c h w"]:
        """The features one group earlier. Before the beginning, time stood still: the first group precedes itself."""
        groups = x.unflatten(0, (self.streams, -1))
        before = self.last.get(block, groups[:, :1])
        self.last[block] = groups[:, -1:].clone()  # a view would keep the whole chunk in memory
        return torch.cat([before, groups[:, :-1]], 1).flatten(0, 1)


def _norm(x: Float[Tensor, "n c h w"], scale: Float[Tensor, " c"]) -> Float[Tensor, "n c h w"]:
    """RMS norm over the channels of each pixel (Zhang and Sennrich 2019); in channels_last memory they are adjacent."""
    return F.rms_norm(x.movedim(1, -1), scale.shape, scale.to(x.dtype), 1e-6).movedim(-1, 1)


class Block(nn.Module):
    """Residual block: RMS norm over the channels of each pixel, 3x3 convolution, SiLU, 3x3 convolution.

    The first convolution also sees the previous group (1x1, for what moves is in reach of the 3x3 of later blocks) and
    a bias that marks first frames.
    """

    def __init__(self, width: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.now = nn.Conv2d(width, width, 3, padding=1)
        self.before = nn.Conv2d(width, width, 1, bias=False)
        self.first = nn.Parameter(torch.zeros(width))
        self.out = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.before.weight)
        with torch.no_grad():
            self.out.weight.mul_(0.1)

    def forward(self, x: Tensor, first: Tensor, history: History) -> Tensor:
        normed = _norm(x, self.scale)
        hidden = self.now(normed) + self.before(history.previous(self, normed))
        hidden = hidden + (first[:, None] * self.first).to(hidden.dtype)[..., None, None]
        return x + self.out(F.silu(hidden))


class Stage(nn.ModuleList):
    """Blocks of one width, one after another."""

    def __init__(self, width: int, depth: int):
        super().__init__(Block(width) for _ in range(depth))

    def forward(self, x: Tensor, first: Tensor, history: History) -> Tensor:
        for block in self:
            x = block(x, first, history)
        return x


class Leave(nn.Module):
    """The last layer of a residual network: norm, then a 3x3 convolution that is zero until trained.

    It adds to an answer that is nearly right, so its output is scaled by 1 / sqrt(fan in): without that, one step of
    Adam at 1e-3 could move a pixel by half its range, if the terms of a sum over 9 x width agree. Without norm and
    scale, training at 2e-3 diverged within 50 steps.
    """

    def __init__(self, width: int, out: int, gain: float = 1.0):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.conv = nn.Conv2d(width, out, 3, padding=1)
        self.gain = gain * (9 * width) ** -0.5
        nn.init.zeros_(self.conv.weight)
        nn.init.constant_(self.conv.bias, 0.0)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * self.conv(_norm(x, self.scale))


class ResidualEncoder(nn.Module):
    """What the linear projection cannot say of a group. Zero at the start."""

    def __init__(self, config: Config):
        super().__init__()
        self.unshuffle = nn.PixelUnshuffle(config.fine_stride)
        self.enter = nn.Conv2d(3 * config.stride_t * config.fine_stride**2, config.width, 3, padding=1)
        self.fine = Stage(config.width, config.encoder_depth[0])
        self.down = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * config.width, config.coarse, 1))
        self.coarse = Stage(config.coarse, config.encoder_depth[1])
        self.leave = Leave(config.coarse, config.channels, config.encoder_gain)

    def forward(self, groups: Tensor, first: Tensor, history: History) -> Tensor:
        x = self.enter(self.unshuffle(groups))  # bt width h/4 w/4
        x = self.fine(x, first, history)
        x = self.down(x)  # bt coarse h/8 w/8
        x = self.coarse(x, first, history)
        return self.leave(x)  # bt channels h/8 w/8


class ResidualDecoder(nn.Module):
    """What the linear reconstruction lacks. Zero at the start."""

    def __init__(self, config: Config):
        super().__init__()
        self.enter = nn.Conv2d(config.channels, config.coarse, 3, padding=1)
        self.coarse = Stage(config.coarse, config.decoder_depth[0])
        self.up = nn.Sequential(nn.Conv2d(config.coarse, 4 * config.width, 1), nn.PixelShuffle(2))
        self.fine = Stage(config.width, config.decoder_depth[1])
        self.leave = Leave(config.width, 3 * config.stride_t * config.fine_stride**2)
        self.shuffle = nn.PixelShuffle(config.fine_stride)

    def forward(self, latents: Tensor, first: Tensor, history: History) -> Tensor:
        x = self.enter(latents)  # bt coarse h/8 w/8
        x = self.coarse(x, first, history)
        x = self.up(x)  # bt width h/4 w/4
        x = self.fine(x, first, history)
        return self.shuffle(self.leave(x))  # bt (stride_t 3) h w


class Patches(nn.Module):
    """The linear path: non-overlapping patches to latents and back, one whitened PCA basis per kind of group."""

    def __init__(self, config: Config, frames: int):
        super().__init__()
        self.stride = config.stride_s
        self.encode = nn.Conv2d(3 * frames, config.channels, self.stride, self.stride)
        self.decode = nn.ConvTranspose2d(config.channels, 3 * frames, self.stride, self.stride, bias=False)
        self.mean = nn.Parameter(torch.zeros(3 * frames, self.stride, self.stride))

    def reconstruct(self, latents: Tensor) -> Tensor:
        h, w = latents.shape[-2:]
        return self.decode(latents) + self.mean.repeat(1, h, w)

    @torch.no_grad()
    def fit(self, groups: Float[Tensor, "n c h w"]) -> None:
        """Principal components of the patches of `groups`, scaled so that every latent channel has unit variance."""
        s = self.stride
        patches = rearrange(groups, "n c (h p) (w q) -> (n h w) (c p q)", p=s, q=s).double()
        mean = patches.mean(0)
        variance, basis = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
        k = self.encode.out_channels
        # Channels that the data does not use (a blank clip) would be divided by zero.
        deviation = variance[-k:].flip(0).clamp_min(1e-6).sqrt()
        basis = basis[:, -k:].flip(1).T  # k (c p q), largest variance first
        shape = self.encode.weight.shape
        self.mean.copy_(mean.view_as(self.mean))
        self.decode.weight.copy_((basis * deviation[:, None]).view(shape))
        self.encode.weight.copy_((basis / deviation[:, None]).view(shape))
        assert self.encode.bias is not None
        self.encode.bias.copy_(-(basis / deviation[:, None]) @ mean)


class Model(nn.Module):
    """The autoencoder. `encode` returns latents normalised by `spec`; `decode` and both streams speak the same.

    `kind` says how a stream begins: "clip" with the single first frame, "continuation" in the middle of a video.
    """

    first_mean: Tensor
    first_std: Tensor
    later_mean: Tensor
    later_std: Tensor

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.first = Patches(config, 1).requires_grad_(False)
        self.later = Patches(config, config.stride_t).requires_grad_(False)
        self.encoder = ResidualEncoder(config)
        self.decoder = ResidualDecoder(config)
        for kind in ("first", "later"):
            self.register_buffer(f"{kind}_mean", torch.zeros(config.channels))
            self.register_buffer(f"{kind}_std", torch.ones(config.channels))
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @property
    def spec(self) -> LatentSpec:
        """Geometry and statistics of the latents. Reads the buffers: call it once, not once per step."""
        c, statistics = self.config, {name: tuple(b.tolist()) for name, b in self.named_buffers(recurse=False)}
        return LatentSpec(channels=c.channels, stride_t=c.stride_t, stride_s=c.stride_s, **statistics)

    # ----------------------------------------------------------------------------------------------- clips and streams

    def encode(self, frames: Float[Tensor, "b 3 t h w"], kind: Start = "clip") -> Float[Tensor, "b c g i j"]:
        """Frames in [-1, 1] -> normalised latents. t = 1 + 4k, in a continuation 4k; h and w multiples of 8."""
        return torch.cat(list(self.encode_stream([frames], kind)), 2)

    def decode(self, latents: Float[Tensor, "b c g i j"], kind: Start = "clip") -> Float[Tensor, "b 3 t h w"]:
        """Normalised latents -> frames in about [-1, 1], not clamped: beyond, the loss still has a gradient."""
        return torch.cat(list(self.decode_stream([latents], kind)), 2)

    def encode_stream(
        self, chunks: Iterable[Float[Tensor, "b 3 _ h w"]], kind: Start = "clip"
    ) -> Iterator[Float[Tensor, "b c _ i j"]]:
        """Encode frames that come in chunks of any length, at constant memory; yields latents as groups fill up.

        Raises UserError where the sides are off the grid or the stream ends within a group.
        """
        stride, begins, history, rest, seen = self.config.stride_t, kind == "clip", None, None, 0
        for chunk in chunks:
            if history is None or rest is None:
                self._check_sides(*chunk.shape[-2:])
                history, rest = History(len(chunk)), chunk[:, :, :0]
            seen += chunk.shape[2]
            rest = torch.cat([rest, chunk], 2)
            whole = rest.shape[2] - (rest.shape[2] - begins) % stride
            if whole > 0:
                yield self._encode(rest[:, :, :whole], begins, history)
                rest, begins = rest[:, :, whole:].clone(), False
        if rest is None or rest.shape[2] or not seen:
            rule = f"1 + k*{stride}" if kind == "clip" else f"k*{stride}, k at least 1,"
            raise UserError(f"{seen} frames do not fill the groups of a {kind}: give {rule} frames")

    def decode_stream(
        self, chunks: Iterable[Float[Tensor, "b c _ i j"]], kind: Start = "clip"
    ) -> Iterator[Float[Tensor, "b 3 _ h w"]]:
        """Decode latents that come in chunks of any length, at constant memory; yields the frames of each chunk.

        Raises UserError where the latents have another number of channels.
        """
        begins, history = kind == "clip", None
        for chunk in chunks:
            if chunk.shape[1] != self.config.channels:
                raise UserError(f"latents have {chunk.shape[1]} channels; this autoencoder has {self.config.channels}")
            history = history or History(len(chunk))
            if chunk.shape[2]:
                yield self._decode(chunk, begins, history)
                begins = False

    def _encode(self, frames: Tensor, begins: bool, history: History) -> Tensor:
        """Whole groups -> normalised latents; the first is the single first frame if the stream `begins` with it."""
        head, tail = frames[:, :, :begins], frames[:, :, begins:]
        frames = torch.cat([head.expand(-1, -1, self.config.stride_t if begins else 0, -1, -1), tail], 2)
        groups = rearrange(frames, "b c (g p) h w -> b g (p c) h w", p=self.config.stride_t)
        with _full_precision(frames):
            linear = torch.cat([
                _each(self.first.encode, groups[:, :begins, -3:]),
                _each(self.later.encode, groups[:, begins:]),
            ], 1)  # fmt: skip
        first = self._marks(linear, begins)
        residual = self.encoder(groups.flatten(0, 1), first, history).view_as(linear)
        mean, std = self._statistics(linear, begins)
        return rearrange((linear + residual - mean) / std, "b g c i j -> b c g i j")

    def _decode(self, latents: Tensor, begins: bool, history: History) -> Tensor:
        """Normalised latents -> frames; the first gives one frame if the stream `begins` with it."""
        groups = rearrange(latents, "b c g i j -> b g c i j")
        mean, std = self._statistics(groups, begins)
        groups = groups * std + mean
        with _full_precision(latents):
            head = _each(self.first.reconstruct, groups[:, :begins])  # b 1 3 h w
            tail = _each(self.later.reconstruct, groups[:, begins:])  # b g (stride_t 3) h w
        residual = self.decoder(groups.flatten(0, 1), self._marks(groups, begins), history)
        residual = residual.unflatten(0, groups.shape[:2])
        head = head + residual[:, :begins, -3:]
        tail = rearrange(tail + residual[:, begins:], "b g (p c) h w -> b c (g p) h w", c=3)
        return torch.cat([rearrange(head, "b g c h w -> b c g h w"), tail], 2)

    def _marks(self, groups: Tensor, begins: bool) -> Float[Tensor, " bg"]:
        """1 for groups that are a single first frame, 0 for all others."""
        marks = groups.new_zeros(groups.shape[:2])
        marks[:, :begins] = 1
        return marks.flatten()

    def _statistics(self, groups: Tensor, begins: bool) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation that belong to each group, shaped "g c 1 1"."""
        counts = (int(begins), groups.shape[1] - begins)
        means, stds = (self.first_mean, self.later_mean), (self.first_std, self.later_std)
        mean = torch.cat([m.expand(n, -1) for m, n in zip(means, counts, strict=True)])
        std = torch.cat([s.expand(n, -1) for s, n in zip(stds, counts, strict=True)])
        return mean[..., None, None], std[..., None, None]

    def _check_sides(self, height: int, width: int) -> None:
        stride = self.config.stride_s
        if height % stride or width % stride or not height or not width:
            near = " or ".join(f"{up(height)}x{up(width)}" for up in (lambda x: x // stride * stride or stride,
                                                                      lambda x: -(-x // stride) * stride))  # fmt: skip
            raise UserError(f"frames of {height}x{width} are off the latent grid: sides must be multiples of {stride}, "
                            f"such as {near}")  # fmt: skip

    # -------------------------------------------------------------------------------------------------- fitting, costs

    @torch.no_grad()
    def fit_pca(self, frames: Float[Tensor, "b 3 t h w"]) -> None:
        """Begin the linear paths at the principal components of these clips. A few hundred clips suffice."""
        self.first.fit(rearrange(frames, "b c t h w -> (b t) c h w"))
        whole = (frames.shape[2] - 1) // self.config.stride_t * self.config.stride_t
        groups = rearrange(frames[:, :, 1 : 1 + whole], "b c (g p) h w -> (b g) (p c) h w", p=self.config.stride_t)
        self.later.fit(groups)

    @torch.no_grad()
    def fit_statistics(self, frames: Float[Tensor, "b 3 t h w"]) -> None:
        """Measure the latents of these clips, so that `encode` gives zero mean and unit mean square over all channels.

        Decoding is unchanged, for it undoes what encoding did; latents stored earlier are not.
        """
        for mean, std in ((self.first_mean, self.first_std), (self.later_mean, self.later_std)):
            mean.zero_()
            std.fill_(1)
        latents = torch.cat([self.encode(clips) for clips in frames.split(8)])
        for kind, part in (("first", latents[:, :, :1]), ("later", latents[:, :, 1:])):
            values = rearrange(part, "b c g i j -> c (b g i j)")
            deviation = values.std(1).clamp_min(1e-3)
            amplitude = getattr(self, kind).decode.weight.flatten(1).norm(dim=1) * deviation
            kept = amplitude**self.config.spectrum
            getattr(self, f"{kind}_mean").copy_(values.mean(1))
            getattr(self, f"{kind}_std").copy_(deviation / kept * kept.square().mean().sqrt())

    def flops(self, frames: int, height: int, width: int) -> dict[str, int]:
        """Floating-point operations (two per multiply-add) to "encode" and to "decode" one clip, counted on meta."""
        with torch.device("meta"):
            ghost, clip = Model(self.config), torch.empty(1, 3, frames, height, width)
            with torch.no_grad(), FlopCounterMode(display=False) as encoding:
                latents = ghost.encode(clip)
            with torch.no_grad(), FlopCounterMode(display=False) as decoding:
                ghost.decode(latents)
        return {"encode": encoding.get_total_flops(), "decode": decoding.get_total_flops()}


def _each(layer: Callable[[Tensor], Tensor], groups: Float[Tensor, "b g ..."]) -> Float[Tensor, "b g ..."]:
    """Apply an image layer to every group of every clip; there may be none."""
    return layer(groups.flatten(0, 1)).unflatten(0, groups.shape[:2])


def _full_precision(x: Tensor) -> AbstractContextManager:
    """The linear path stays in float32 under autocast: bf16 is no finer than the pixels (meta has no autocast)."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)
