"""Three video transformers of equal size behind one face: ours, and diffusers' Latte and Wan.

A sample is a latent clip with its noise and text; a network turns a list of samples into velocities. Ours reads a list
as one packed sequence. The peers read a batch of one shape, so a list is padded to its greatest length and sides.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from _machine import nearest
from diffusers.models.transformers.latte_transformer_3d import LatteTransformer3DModel
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from torch import Generator, Tensor, nn

from worldpatch.dit import packed
from worldpatch.flow.pack import pack, patchify
from worldpatch.types import Cond, Plan
from worldpatch.vae import causal

CHANNELS, TEXT_TOKENS, TEXT_WIDTH, PATCH = 16, 16, 192, 2
SPEC = causal.Model(causal.Config(channels=CHANNELS)).spec


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Noised latents "c t h w" and the velocity to predict, one noise time, text tokens "m d"."""

    latent: Tensor
    target: Tensor
    time: float
    text: Tensor

    @property
    def grid(self) -> tuple[int, int, int]:
        _, t, h, w = self.latent.shape
        return t, h, w

    @property
    def tokens(self) -> int:
        t, h, w = self.grid
        return t * (h // PATCH) * (w // PATCH)


def draw(grids: Iterable[tuple[int, int, int]], seed: int = 0) -> list[Sample]:
    """Random samples of these latent grids (t, h, w)."""
    g = Generator().manual_seed(seed)
    return [
        Sample(
            latent=torch.randn(CHANNELS, *grid, generator=g), target=torch.randn(CHANNELS, *grid, generator=g),
            time=float(torch.rand((), generator=g)), text=torch.randn(TEXT_TOKENS, TEXT_WIDTH, generator=g),
        )
        for grid in grids
    ]  # fmt: skip


class Ours:
    """The packed transformer; in sampling, the context of text and registers is cached, as `flow.guidance` does."""

    name = "worldpatch"

    def __init__(self, depth: int):
        self.network = packed.Model(packed.Config(depth=depth, channels=CHANNELS, text_width=TEXT_WIDTH))

    def _inputs(self, samples: Sequence[Sample]) -> tuple[tuple, Cond, Tensor]:
        plans = [Plan(start=torch.full(s.grid, s.time), rate=8.0, known=s.latent) for s in samples]
        sequence = pack(plans, (1, PATCH, PATCH), SPEC)
        targets = torch.cat([patchify(s.target, (1, PATCH, PATCH)) for s in samples])
        text = Cond(text=torch.cat([s.text for s in samples]), text_lengths=(TEXT_TOKENS,) * len(samples))
        times, index = torch.unique(sequence.time, return_inverse=True)
        return (sequence.tokens, sequence.position, times, index, sequence.segments), text, targets

    def inference(self, samples: Sequence[Sample], cache: bool = True) -> Callable[[], Any]:
        inputs, text, _ = self._inputs(samples)
        if not cache:
            return lambda: self.network(*inputs, text)
        with torch.no_grad():
            context = self.network.context(inputs[0], inputs[1], inputs[4], text)
        empty = Cond(text=text.text[:0], text_lengths=(0,) * len(samples))
        return lambda: self.network(*inputs, empty, context=context)

    def training(self, samples: Sequence[Sample]) -> Callable[[], Any]:
        inputs, text, targets = self._inputs(samples)
        return lambda: _backward(self.network, (self.network(*inputs, text) - targets).square().mean())


class Peer:
    """A network of diffusers that reads "b c t h w", one time and equally many text tokens per sample."""

    def __init__(self, network: Any):
        self.network = network
        self.name = type(network).__name__

    def _forward(self, latents: Tensor, times: Tensor, text: Tensor) -> Tensor:
        return self.network(latents, timestep=times, encoder_hidden_states=text, return_dict=False)[0]

    def _inputs(self, samples: Sequence[Sample]) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, Tensor]:
        """Network inputs, targets and the mask of what is real; padding is zero."""
        box = [max(sides) for sides in zip(*(s.grid for s in samples), strict=True)]
        latents, targets = (torch.zeros(len(samples), CHANNELS, *box) for _ in range(2))
        mask = torch.zeros(len(samples), 1, *box)
        for i, s in enumerate(samples):
            t, h, w = s.grid
            latents[i, :, :t, :h, :w], targets[i, :, :t, :h, :w], mask[i, :, :t, :h, :w] = s.latent, s.target, 1
        times = torch.tensor([1000 * s.time for s in samples]).long()
        return (latents, times, torch.stack([s.text for s in samples])), targets, mask

    def inference(self, samples: Sequence[Sample]) -> Callable[[], Any]:
        inputs, _, _ = self._inputs(samples)
        return lambda: self._forward(*inputs)

    def training(self, samples: Sequence[Sample]) -> Callable[[], Any]:
        inputs, targets, mask = self._inputs(samples)
        count = CHANNELS * mask.sum()
        return lambda: _backward(self.network, ((self._forward(*inputs) - targets) * mask).square().sum() / count)


class Latte(Peer):
    """Latte adds its whole table of frame positions, so a clip of another length is given its part of the table."""

    def __init__(self, network: Any):
        super().__init__(network)
        self.table = network.temp_pos_embed

    def _forward(self, latents: Tensor, times: Tensor, text: Tensor) -> Tensor:
        self.network.temp_pos_embed = self.table[:, : latents.shape[2]]
        return super()._forward(latents, times, text)


Contestant = Ours | Peer
"""`inference` is one denoising step, as in the middle of sampling; `training` is forward and backward of the mean
squared error of the velocity. Both prepare their inputs, as a data loader would, and return the call that is timed."""


def _backward(network: nn.Module, loss: Tensor) -> None:
    loss.backward()
    network.zero_grad(set_to_none=True)


# ----------------------------------------------------------------------------------------------------------- equal size


def wan(depth: int, target: int) -> Peer:
    """As deep and wide as ours; the feed-forward width makes up the number of parameters."""
    heads = packed.Config(depth=depth).width // 64

    def build(feed: int) -> WanTransformer3DModel:
        return WanTransformer3DModel(
            patch_size=(1, PATCH, PATCH), num_attention_heads=heads, attention_head_dim=64, in_channels=CHANNELS,
            out_channels=CHANNELS, text_dim=TEXT_WIDTH, ffn_dim=feed, num_layers=depth,
        )  # fmt: skip

    return Peer(nearest(build, [(feed,) for feed in range(64, 64 * heads * 6, 64)], target))


def latte(depth: int, target: int) -> Latte:
    """As many blocks as ours, in pairs of a spatial and a temporal one; the width makes up the number of parameters."""

    def build(heads: int, width: int) -> LatteTransformer3DModel:
        return LatteTransformer3DModel(
            num_attention_heads=heads, attention_head_dim=width, in_channels=CHANNELS, out_channels=CHANNELS,
            num_layers=depth // 2, cross_attention_dim=heads * width, attention_bias=True, sample_size=24,
            patch_size=PATCH, activation_fn="gelu-approximate", num_embeds_ada_norm=1000, norm_type="ada_norm_single",
            norm_elementwise_affine=False, norm_eps=1e-6, caption_channels=TEXT_WIDTH, video_length=64,
        )  # fmt: skip

    ours = packed.Config(depth=depth).width
    shapes = [(heads, width) for heads in range(2, 17) for width in range(48, 97, 4)]  # heads about as wide as ours
    return Latte(nearest(build, [s for s in shapes if 0.8 < s[0] * s[1] / ours < 1.1], target))
