"""The packed diffusion transformer: one sequence of many samples, each patch with its own noise time.

A diffusion transformer (Peebles & Xie 2022) in today's form: QK-norm, rotary positions in physical units, SwiGLU, one
modulation shared by all blocks with a small term of each block's own (PixArt-alpha's adaLN-single, Chen et al. 2023),
registers (Darcet et al. 2023), zero-initialised output. Its three particulars:

  * one-way context: text, registers, keyframes and known patches attend among themselves only, noisy patches to all of
    their sample, so that `context` can be computed once and kept over a sampler's steps;
  * gathered times: modulation is computed for the distinct noise times (u of them) and gathered per token;
  * `until`: a second, zero-initialised time, so that the same network can learn to jump from t to `until` (flow maps).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from worldpatch.dit._attention import Layout, attend
from worldpatch.dit._layers import SwiGLU, TimeEmbedding, init_linear, rms
from worldpatch.dit._rope import Rope, rotate
from worldpatch.types import Cond, Index, Segments

KINDS = ("clip", "continuation", "image")
CAPABILITIES = frozenset({"per-token time", "context", "camera", "until"})


@dataclass(frozen=True, kw_only=True)
class Config:
    """`depth` is the one dial: width = 32 * (depth + 4), heads of 64. Depth 4 is 3M parameters, 6 is 8M, 12 is 39M."""

    depth: int = 6
    channels: int = 16  # of the latents
    patch: tuple[int, int, int] = (1, 2, 2)
    text_width: int = 192
    registers: int = 4
    head_width: int = 64
    backend: str = "auto"
    recompute: bool = False  # run each block again in the backward pass instead of keeping its activations

    @property
    def width(self) -> int:
        return 32 * (self.depth + 4)

    @property
    def token_width(self) -> int:
        return self.channels * math.prod(self.patch)


@dataclass(frozen=True, kw_only=True)
class Context:
    """Keys and values of all context tokens, per block, and how many of them each sample has."""

    keys: tuple[Float[Tensor, "m heads e"], ...]
    values: tuple[Float[Tensor, "m heads e"], ...]
    lengths: tuple[int, ...]


class Block(nn.Module):
    """Attention and feed-forward, each modulated by (shift, scale, gate)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_scale = nn.Parameter(torch.ones(width // heads))
        self.k_scale = nn.Parameter(torch.ones(width // heads))
        self.project = nn.Linear(width, width, bias=False)
        self.feed = SwiGLU(width)
        self.own = nn.Parameter(torch.zeros(6, width))

    def forward(
        self,
        x: Float[Tensor, "n d"],
        modulation: Float[Tensor, "u 6 d"],
        index: Index,
        rope: tuple[Tensor, Tensor],
        layout: Layout,
        backend: str,
        past: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Float[Tensor, "n d"], Tensor, Tensor]:
        """Returns the tokens with their keys and values; `past` are a context's keys and values, put before them."""
        # index_select, not indexing: its gradient is an addition of rows, many times faster on the CPU.
        gathered = (row.index_select(0, index) for row in (modulation + self.own).to(x.dtype).unbind(1))
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = gathered

        y = torch.addcmul(shift_a, rms(x), 1 + scale_a)  # (n, d)
        q, k, v = self.qkv(y).unflatten(-1, (3, self.heads, -1)).unbind(1)  # (n, heads, e)
        q = rotate(rms(q) * self.q_scale.to(q.dtype), *rope)
        k = rotate(rms(k) * self.k_scale.to(k.dtype), *rope)
        keys, values = (k, v) if past is None else (torch.cat((past[0], k)), torch.cat((past[1], v)))
        x = torch.addcmul(x, gate_a, self.project(attend(q, keys, values, layout, backend).flatten(1)).to(x.dtype))

        y = torch.addcmul(shift_f, rms(x), 1 + scale_f)
        x = torch.addcmul(x, gate_f, self.feed(y).to(x.dtype))
        return x, k, v


class Model(nn.Module):
    """Tokens of noised patches -> their velocities."""

    def __init__(self, config: Config):
        super().__init__()
        if config.width % config.head_width:
            raise ValueError(f"depth={config.depth} gives width {config.width}, no multiple of {config.head_width}")
        self.config = config
        width, heads = config.width, config.width // config.head_width
        self.embed = nn.Linear(config.token_width, width)
        self.embed_position = nn.Linear(config.head_width, width, bias=False)
        self.embed_text = nn.Linear(config.text_width, width)
        self.embed_camera = nn.Linear(7, width, bias=False)
        self.embed_shape = nn.Linear(4 + len(KINDS), width)
        self.registers = nn.Parameter(torch.randn(config.registers, width) / math.sqrt(width))
        self.known = nn.Parameter(torch.zeros(width))  # marks clean patches among the context
        self.time = TimeEmbedding(width)
        self.until = TimeEmbedding(width)
        self.modulate = nn.Linear(width, 6 * width)
        self.modulate_out = nn.Linear(width, 2 * width)
        self.rope = Rope(config.head_width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(config.depth))
        self.out = nn.Linear(width, config.token_width)
        self.apply(init_linear)
        added = (self.embed_camera, self.until.mlp[-1])
        for zero in (self.modulate, self.modulate_out, self.out, *added):
            assert isinstance(zero, nn.Linear)
            nn.init.zeros_(zero.weight)

    def forward(
        self,
        tokens: Float[Tensor, "n c"],
        position: Float[Tensor, "n 3"],
        times: Float[Tensor, " u"],
        time_index: Index,
        segments: Segments,
        cond: Cond,
        until: Float[Tensor, " u"] | None = None,
        context: Context | None = None,
    ) -> Float[Tensor, "n c"]:
        """Velocity of every noisy token; zero for context tokens.

        With `context` (from `self.context`) the tokens, positions and segments are those of the noisy patches alone.
        """
        span = _Spans(segments, tokens.device)
        x = self._embed(tokens, position, cond, segments)  # (n, d)
        if context is None:
            prefix = self._prefix(cond, segments, tokens.device)  # per sample (m_i, d)
            x, where = span.arrange(x, prefix)  # [all contexts | all noisy]
            place = torch.cat((position, position.new_zeros(1, 3)))[where]
            # Context is clean: its time is 0, appended as the last of the distinct times.
            times = torch.cat((times, times.new_zeros(1)))
            until = None if until is None else torch.cat((until, until.new_zeros(1)))
            index = torch.cat((time_index, time_index.new_tensor([0])))[where]
            index[: span.contexts] = len(times) - 1
            layout = span.layout(cached=False)
        else:
            place, index = position, time_index
            layout = Layout(context=context.lengths, noisy=span.noisy, cached=True, device=tokens.device)
        rope = self.rope(place)
        embedded = self._embed_time(times, until)
        modulation = self.modulate(embedded).unflatten(-1, (6, -1))  # (u, 6, d)
        for i, block in enumerate(self.blocks):
            past = None if context is None else (context.keys[i], context.values[i])
            inputs = (x, modulation, index, rope, layout, self.config.backend, past)
            if self.config.recompute and self.training:
                x, _, _ = checkpoint(block, *inputs, use_reentrant=False)
            else:
                x, _, _ = block(*inputs)
        shift, scale = self.modulate_out(embedded).to(x.dtype).chunk(2, dim=-1)
        noisy = slice(0, None) if context is not None else slice(span.contexts, None)
        x, index = x[noisy], index[noisy]
        velocity = self.out(torch.addcmul(shift[index], rms(x), 1 + scale[index])).to(tokens.dtype)
        if context is not None:
            return velocity
        return torch.zeros_like(tokens).index_copy(0, where[noisy], velocity)

    def context(
        self, tokens: Float[Tensor, "n c"], position: Float[Tensor, "n 3"], segments: Segments, cond: Cond
    ) -> Context:
        """Run the context tokens alone, once, and keep their keys and values (noisy segments are left out)."""
        span = _Spans(segments, tokens.device, only="context")
        x = self._embed(tokens, position, cond, segments)
        x, where = span.arrange(x, self._prefix(cond, segments, tokens.device))
        rope = self.rope(torch.cat((position, position.new_zeros(1, 3)))[where])
        layout = span.layout(cached=False)
        modulation = self.modulate(self._embed_time(x.new_zeros(1), None)).unflatten(-1, (6, -1))
        index = torch.zeros(len(x), dtype=torch.long, device=x.device)
        keys, values = [], []
        for block in self.blocks:
            x, k, v = block(x, modulation, index, rope, layout, self.config.backend)
            keys.append(k)
            values.append(v)
        return Context(keys=tuple(keys), values=tuple(values), lengths=span.context)

    def _embed(self, tokens: Tensor, position: Tensor, cond: Cond, segments: Segments) -> Tensor:
        x = self.embed(tokens).to(tokens.dtype)  # the residual stream keeps the precision of its input under autocast
        # Rotary positions are relative: without a picture to look at, a patch would not know where in the frame it is.
        x = x + self.embed_position(torch.cat(self.rope(position), -1))
        if cond.camera is not None:
            assert cond.camera_known is not None
            x = (
                x
                + self.embed_camera(torch.cat((cond.camera, torch.ones_like(cond.camera_known)), -1))
                * cond.camera_known
            )
        known = torch.zeros(len(tokens), 1, dtype=x.dtype, device=x.device)
        for s in segments:
            if s.rule == "context":
                known[s.start : s.stop] = 1
        return x + known * self.known.to(x.dtype)

    def _embed_time(self, times: Tensor, until: Tensor | None) -> Tensor:
        x = self.time(times)
        # `until` = t is the plain velocity, so its absence and its equality to t must mean the same: the difference.
        jump = times.new_zeros(len(times)) if until is None else times - until
        return nn.functional.silu(x + self.until(jump))

    def _prefix(self, cond: Cond, segments: Segments, device: torch.device) -> list[Float[Tensor, "m d"]]:
        """Registers, the shape token and the text of each sample: the part of the context that has no place."""
        # A sample's own patches come after its references: the last segment tells the shape of what is made.
        shapes = {s.sample: _shape_features(s) for s in segments}
        shape = self.embed_shape(torch.tensor([shapes[i] for i in sorted(shapes)], device=device))
        text = self.embed_text(cond.text).split(cond.text_lengths)
        registers = self.registers.to(shape.dtype)
        return [torch.cat((registers, shape[i : i + 1], t)) for i, t in enumerate(text)]

    def flops(self, segments: Segments, text_lengths: Sequence[int], cached: bool = False) -> int:
        """Operations of one forward pass, two per multiply-add, in products and attention. Training costs thrice."""
        d, c = self.config.width, self.config.token_width
        hidden = cast(Block, self.blocks[0]).feed.out.in_features
        span = _Spans(segments, torch.device("cpu"))
        context = [p + self.config.registers + 1 + m for p, m in zip(span.context_patches, text_lengths, strict=True)]
        noisy = span.noisy
        tokens = sum(noisy) + (0 if cached else sum(context))
        ends = sum(noisy) * (2 * c + self.config.head_width) * d
        linear = len(self.blocks) * tokens * (4 * d * d + 3 * d * hidden) + ends
        pairs = sum(n * (n + m) + (0 if cached else m * m) for n, m in zip(noisy, context, strict=True))
        return 2 * linear + len(self.blocks) * 4 * d * pairs


def _shape_features(s) -> list[float]:
    """Size, length and rate of the whole sample, which a set of patches alone does not show."""
    t, h, w = s.grid
    kind = [float(s.kind == k) for k in KINDS]
    return [math.log2(h) - 2, math.log2(w) - 2, math.log2(t) - 1, math.log2(s.rate / 8), *kind]


class _Spans:
    """Where the samples' patches lie in the packed sequence, and how to bring all context to the front."""

    def __init__(self, segments: Segments, device: torch.device, only: str | None = None):
        self.device = device
        samples = 1 + max(s.sample for s in segments)
        self.spans: dict[str, list[list[tuple[int, int]]]] = {
            r: [[] for _ in range(samples)] for r in ("context", "noisy")
        }
        for s in segments:
            if only in (None, s.rule):
                self.spans[s.rule][s.sample].append((s.start, s.stop))
        self.context_patches, self.noisy = (
            tuple(sum(b - a for a, b in spans) for spans in self.spans[rule]) for rule in ("context", "noisy")
        )
        self.context = self.context_patches

    def arrange(self, x: Float[Tensor, "n d"], prefix: list[Tensor]) -> tuple[Float[Tensor, "m d"], Int[Tensor, " m"]]:
        """[prefix_0, context_0, prefix_1, ... | noisy_0, noisy_1, ...] and, per row, its index in x (-1: a prefix)."""
        rows, where = [], []
        for before, spans in zip(prefix, self.spans["context"], strict=True):
            rows += [before.to(x.dtype), *(x[a:b] for a, b in spans)]
            where += [torch.full((len(before),), -1), *(torch.arange(a, b) for a, b in spans)]
        self.context = tuple(len(p) + m for p, m in zip(prefix, self.context_patches, strict=True))
        self.contexts = sum(self.context)
        for spans in self.spans["noisy"]:
            rows += [x[a:b] for a, b in spans]
            where += [torch.arange(a, b) for a, b in spans]
        return torch.cat(rows), torch.cat(where).to(self.device)

    def layout(self, cached: bool) -> Layout:
        return Layout(context=self.context, noisy=self.noisy, cached=cached, device=self.device)
