"""The packed diffusion transformer: one sequence of many samples, each patch with its own noise time.

A diffusion transformer (Peebles & Xie 2022) in today's form: QK-norm, rotary positions in physical units, SwiGLU, one
modulation shared by all blocks with a small term of each block's own (PixArt-alpha's adaLN-single, Chen et al. 2023),
registers (Darcet et al. 2023), zero-initialised output. Its three particulars:

  * one-way context: keyframes and known patches attend to the prefix (registers, the sample's shape, its text) and
    among themselves only, noisy patches to all of their sample, so that `context` can be computed once and kept over a
    sampler's steps. The prefix, on which the text encoder has worked already, only answers: it stays the same from
    block to block and costs its keys and values alone;
  * gathered times: modulation is computed for the distinct noise times (u of them) and gathered per token;
  * `until`: a second, zero-initialised time, so that the same network can learn to jump from t to `until` (flow maps).
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from worldpatch.dit._attention import Layout, attend
from worldpatch.dit._layers import SwiGLU, TimeEmbedding, init_linear, norm
from worldpatch.dit._rope import Rope, rotate
from worldpatch.types import HINTS, Cond, Hints, Index, Segments

KINDS = ("clip", "continuation", "image")
CAPABILITIES = frozenset({"per-token time", "context", "hints", "until"})


@dataclass(frozen=True, kw_only=True)
class Config:
    """`depth` is the one dial: width = 32 * (depth + 4), heads of 64. Depth 4 is 3M parameters, 6 is 8M, 12 is 39M.

    A study of sizes gives the width beside it.
    """

    depth: int = 6
    width: int = 0  # 0: what the depth says
    channels: int = 16  # of the latents
    patch: tuple[int, int, int] = (1, 2, 2)
    text_width: int = 192
    registers: int = 4
    head_width: int = 64
    backend: str = "auto"
    recompute: bool = False  # run each block again in the backward pass instead of keeping its activations

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", self.width or 32 * (self.depth + 4))

    @property
    def token_width(self) -> int:
        return self.channels * math.prod(self.patch)


@dataclass(frozen=True, kw_only=True)
class Context:
    """Keys and values of all context tokens, per block, and how they lie."""

    past: tuple[tuple[Float[Tensor, "m heads e"], Float[Tensor, "m heads e"]], ...]
    layout: Layout


class Block(nn.Module):
    """Attention and feed-forward, each modulated by (shift, scale, gate)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.answer = nn.Linear(width, 2 * width, bias=False)  # keys and values of the prefix
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
        past: tuple[Tensor, Tensor],
    ) -> tuple[Float[Tensor, "n d"], Tensor, Tensor]:
        """Returns the tokens, and all keys and values: `past`, those of a prefix or a whole context, come first."""
        # index_select, not indexing: its gradient is an addition of rows, many times faster on the CPU.
        gathered = (modulation + self.own).to(x.dtype).index_select(0, index)
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = gathered.unbind(1)

        y = torch.addcmul(shift_a, norm(x), scale_a)  # (n, d)
        q, k, v = self.qkv(y).unflatten(-1, (3, self.heads, -1)).unbind(1)  # (n, heads, e)
        q = rotate(norm(q, self.q_scale), *rope).to(v.dtype)
        k = rotate(norm(k, self.k_scale), *rope).to(v.dtype)
        keys, values = torch.cat((past[0], k)), torch.cat((past[1], v))
        x = torch.addcmul(x, gate_a, self.project(attend(q, keys, values, layout, backend).flatten(1)).to(x.dtype))

        y = torch.addcmul(shift_f, norm(x), scale_f)
        x = torch.addcmul(x, gate_f, self.feed(y).to(x.dtype))
        return x, keys, values

    def prefix(self, x: Float[Tensor, "p d"]) -> tuple[Float[Tensor, "p heads e"], Float[Tensor, "p heads e"]]:
        """Keys and values of prefix tokens, which have no place and so no rotation."""
        k, v = self.answer(x).unflatten(-1, (2, self.heads, -1)).unbind(1)
        return norm(k, self.k_scale).to(v.dtype), v


class Model(nn.Module):
    """Tokens of noised patches -> their velocities."""

    def __init__(self, config: Config):
        super().__init__()
        if config.width % config.head_width:
            raise ValueError(
                f"depth={config.depth} and width {config.width}, no multiple of {config.head_width}: choose another one"
            )
        self.config = config
        width, heads = config.width, config.width // config.head_width
        self.embed = nn.Linear(config.token_width, width)
        self.embed_position = nn.Linear(config.head_width, width, bias=False)
        self.embed_text = nn.Linear(config.text_width, width)
        self.embed_hints = nn.Linear(HINTS, width, bias=False)
        self.embed_mean = nn.Linear(HINTS, (config.registers + 1) * width, bias=False)
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
        self.register_load_state_dict_pre_hook(_widen_hints)
        self.apply(init_linear)
        added = (self.embed_hints, self.embed_mean, self.until.mlp[-1])
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
            prefix, lengths = self._prefix(cond, segments, tokens.device)
            x, position, time_index = (v.index_select(0, span.order) for v in (x, position, time_index))
            # Context is clean: its time is 0, appended as the last of the distinct times.
            times = torch.cat((times, times.new_zeros(1)))
            until = None if until is None else torch.cat((until, until.new_zeros(1)))
            time_index = torch.cat(
                (torch.full_like(time_index[: span.knowns], len(times) - 1), time_index[span.knowns :])
            )
            layout = Layout(prefix=lengths, known=span.known, noisy=span.noisy, device=tokens.device)
        else:
            prefix, layout = None, dataclasses.replace(context.layout, noisy=span.noisy, cached=True)
        rope = self.rope(position)
        embedded = self._embed_time(times, until)
        modulation = self._modulation(embedded)
        for i, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            past = context.past[i] if context else block.prefix(cast(Tensor, prefix))
            inputs = (x, modulation, time_index, rope, layout, self.config.backend, past)
            if self.config.recompute and self.training:
                x, _, _ = checkpoint(block, *inputs, use_reentrant=False)
            else:
                x, _, _ = block(*inputs)
        noisy = slice(0 if context else span.knowns, None)
        x, index = x[noisy], time_index[noisy]
        shift, scale = (m.index_select(0, index) for m in self.modulate_out(embedded).to(x.dtype).chunk(2, dim=-1))
        velocity = self.out(torch.addcmul(shift, norm(x), 1 + scale)).to(tokens.dtype)
        if context is not None:
            return velocity
        return torch.zeros_like(tokens).index_copy(0, span.order[noisy], velocity)

    def context(
        self, tokens: Float[Tensor, "n c"], position: Float[Tensor, "n 3"], segments: Segments, cond: Cond
    ) -> Context:
        """Run the context tokens alone, once, and keep their keys and values (noisy segments are left out)."""
        span = _Spans(segments, tokens.device)
        known = span.order[: span.knowns]
        x = self._embed(tokens, position, cond, segments).index_select(0, known)
        prefix, lengths = self._prefix(cond, segments, tokens.device)
        layout = Layout(prefix=lengths, known=span.known, noisy=(0,) * len(lengths), device=tokens.device)
        rope = self.rope(position.index_select(0, known))
        modulation = self._modulation(self._embed_time(x.new_zeros(1), None))
        index = torch.zeros(len(x), dtype=torch.long, device=x.device)
        past = []
        for block in self.blocks:
            assert isinstance(block, Block)
            own = block.prefix(prefix)
            if span.knowns:
                x, *own = block(x, modulation, index, rope, layout, self.config.backend, own)
            past.append(tuple(own))
        return Context(past=tuple(past), layout=layout)

    def _embed(self, tokens: Tensor, position: Tensor, cond: Cond, segments: Segments) -> Tensor:
        x = self.embed(tokens).to(tokens.dtype)  # the residual stream keeps the precision of its input under autocast
        # Rotary positions are relative: without a picture to look at, a patch would not know where in the frame it is.
        x = x + self.embed_position(torch.cat(self.rope(position), -1))
        if cond.hints is not None:
            x = x + self.embed_hints(cond.hints)
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

    def _modulation(self, embedded: Float[Tensor, "u d"]) -> Float[Tensor, "u 6 d"]:
        """(shift, scale, gate) of attention and feed-forward for each distinct time; scales are about 1."""
        table = self.modulate(embedded).unflatten(-1, (6, -1))
        return table + table.new_tensor((0.0, 1.0, 0.0, 0.0, 1.0, 0.0))[:, None]

    def _prefix(
        self, cond: Cond, segments: Segments, device: torch.device
    ) -> tuple[Float[Tensor, "p d"], tuple[int, ...]]:
        """Registers, the shape token and the text of each sample: the context that has no place. And its lengths.

        The first two are told what the hints of all patches say on average: where a camera goes is a property of the
        whole, which every patch can ask there as it asks words (docs/LOG.md).
        """
        # A sample's own patches come after its references: the last segment tells the shape of what is made.
        shapes = {s.sample: _shape_features(s) for s in segments}
        shape = self.embed_shape(torch.tensor([shapes[i] for i in sorted(shapes)], device=device))
        text = self.embed_text(cond.text).split(cond.text_lengths)
        own = torch.cat((self.registers.to(shape.dtype).expand(len(shape), -1, -1), shape[:, None]), 1)
        if cond.hints is not None:
            own = own + self.embed_mean(_means(cond.hints, segments)).view_as(own)
        parts = [part for i, t in enumerate(text) for part in (own[i], t.to(shape.dtype))]
        return norm(torch.cat(parts)), tuple(own.shape[1] + n for n in cond.text_lengths)

    def flops(
        self, segments: Segments, text_lengths: Sequence[int], *, cached: bool = False, times: int = 1,
        training: bool = False,
    ) -> int:  # fmt: skip
        """Operations of a forward pass, two per multiply-add, in products and attention; `times` counts distinct ones.

        With `training`, of forward and backward: each product has two more in the backward pass, for the gradients of
        its weights and of its input, but where the input is given (tokens, positions, times) only the first.
        """
        d, c, head = self.config.width, self.config.token_width, self.config.head_width
        hidden = cast(Block, self.blocks[0]).feed.out.in_features
        span = _Spans(segments, torch.device("cpu"))
        prefix = [self.config.registers + 1 + m for m in text_lengths]
        noisy, known = span.noisy, (0,) * len(prefix) if cached else span.known
        tokens, fixed = sum(noisy) + sum(known), 0 if cached else sum(prefix)
        times, samples = times + (not cached), 0 if cached else len(prefix)
        text = 0 if cached else sum(text_lengths) * self.config.text_width

        angles = 2 * tokens * 3 * head // 2  # of the absolute and of the rotary position, from constants alone
        bands = 2 * len(self.time.frequency)
        given = tokens * (c + head + HINTS) * d + samples * (4 + len(KINDS)) * d + 2 * times * bands * d
        given += samples * HINTS * (self.config.registers + 1) * d
        blocks = tokens * (4 * d * d + 3 * d * hidden) + fixed * 2 * d * d
        pairs = sum(n * (p + m + n) + k * (p + k) for n, m, k, p in zip(noisy, span.known, known, prefix, strict=True))
        inner = len(self.blocks) * (blocks + 2 * d * pairs) + text * d + times * (2 + 6 + 2) * d * d
        inner += sum(noisy) * d * c
        return 2 * (angles + (2 if training else 1) * given + (3 if training else 1) * inner)


def _widen_hints(model: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Weights from when there were fewer hints, or when a camera's rays were the only one and a quarter as loud: what
    came since says nothing yet."""
    hints, mean = f"{prefix}embed_hints.weight", f"{prefix}embed_mean.weight"
    if (old := state.pop(f"{prefix}embed_camera.weight", None)) is not None:
        state[hints] = old / 4
    if hints in state:
        state[hints] = nn.functional.pad(state[hints], (0, HINTS - state[hints].shape[1]))
        own = cast(Model, model)
        state.setdefault(mean, state[hints].new_zeros(own.embed_mean.weight.shape))


def _means(hints: Hints, segments: Segments) -> Float[Tensor, "samples _"]:
    """What is said of a sample's patches on average."""
    lengths = torch.tensor([s.length for s in segments], device=hints.device)
    owner = torch.tensor([s.sample for s in segments], device=hints.device).repeat_interleave(lengths)
    count = 1 + max(s.sample for s in segments)
    sums = hints.new_zeros(count, hints.shape[1]).index_add(0, owner, hints)
    return sums / torch.bincount(owner, minlength=count)[:, None]


def _shape_features(s) -> list[float]:
    """Size, length and rate of the whole sample, which a set of patches alone does not show."""
    t, h, w = s.grid
    kind = [float(s.kind == k) for k in KINDS]
    return [math.log2(h) - 2, math.log2(w) - 2, math.log2(t) - 1, math.log2(s.rate / 8), *kind]


class _Spans:
    """How many known and noisy tokens each sample has, and the order that brings all known ones to the front."""

    def __init__(self, segments: Segments, device: torch.device):
        samples = 1 + max(s.sample for s in segments)
        rows: dict[str, list[list[Tensor]]] = {r: [[] for _ in range(samples)] for r in ("context", "noisy")}
        for s in segments:
            rows[s.rule][s.sample].append(torch.arange(s.start, s.stop))
        self.known, self.noisy = (tuple(sum(map(len, of)) for of in rows[rule]) for rule in ("context", "noisy"))
        self.knowns = sum(self.known)
        self.order = torch.cat([part for rule in rows.values() for of in rule for part in of]).to(device)
