"""Attention over the segments of a packed sequence, behind one function with two backends.

Keys are the prefixes of all samples, then their known tokens, then their noisy ones; all but the prefixes ask, too. The
rule is one-way: known tokens attend to their sample's prefix and known tokens, noisy tokens to everything in their
sample. So the context (prefix and known) never depends on the noise and its keys and values can be kept over all steps
of a sampler.

    "sdpa"  one `scaled_dot_product_attention` per group of samples of about equal size, filled to the same; any device.
            (In training on a CPU the same as two plain products)
    "flex"  one `flex_attention` over the whole sequence with a block mask; for CUDA (no backward on the CPU)
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention


@dataclass(frozen=True, kw_only=True)
class Group:
    """Attention problems of about one size that run as one: how many, and to how many queries and keys they are filled.

    `real` marks the keys that are none of the filling; None: all.
    """

    problems: int
    queries: int
    keys: int
    real: Bool[Tensor, "g 1 1 m"] | None


@dataclass(frozen=True, kw_only=True)
class Problems:
    """Rows of queries and keys, group after group, and for each query the row of its answer."""

    query: Int[Tensor, " q"]
    key: Int[Tensor, " k"]
    back: Int[Tensor, " n"]
    groups: tuple[Group, ...]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How many prefix, known and noisy tokens each sample has, in order of the samples.

    Keys are [all prefixes | all known | all noisy]; queries the last two, or only the noisy ones where the others'
    keys came from a cache.
    """

    prefix: tuple[int, ...]
    known: tuple[int, ...]
    noisy: tuple[int, ...]
    cached: bool = False
    device: torch.device = torch.device("cpu")

    @property
    def contexts(self) -> int:
        """Keys of all contexts."""
        return sum(self.prefix) + sum(self.known)

    @property
    def offset(self) -> int:
        """Index of the first query among the keys."""
        return self.contexts if self.cached else sum(self.prefix)

    @property
    def samples(self) -> Iterator[tuple[Int[Tensor, " p"], Int[Tensor, " c"], Int[Tensor, " n"]]]:
        """Of each sample the rows, among the keys, of its prefix, its known and its noisy tokens."""
        every = torch.arange(self.contexts + sum(self.noisy)).split([*self.prefix, *self.known, *self.noisy])
        count = len(self.noisy)
        return zip(every[:count], every[count:-count], every[-count:], strict=True)

    @property
    def asked(self) -> list[tuple[Int[Tensor, " n"], Int[Tensor, " m"]]]:
        """The rule: who asks whom, as rows of queries and rows of keys, one pair per attention problem."""
        asked = []
        for prefix, known, noisy in self.samples:
            context = torch.cat((prefix, known))
            if len(known) and not self.cached:
                asked.append((known - self.offset, context))
            if len(noisy):
                asked.append((noisy - self.offset, torch.cat((context, noisy))))
        return asked

    @cached_property
    def problems(self) -> "Problems":
        """All attention problems of the sequence, those of about equal sizes side by side so that they run as one."""
        sorts: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for asking, asked in self.asked:
            sorts[_filled(len(asking)), _filled(len(asked))].append((asking, asked))
        total = sum(self.noisy) + (0 if self.cached else sum(self.known))
        queries, keys, groups, back, row = [], [], [], torch.zeros(total, dtype=torch.long), 0
        for pairs in sorts.values():
            # No more filling than the largest of the group asks for.
            n, m = (max(len(side[i]) for side in pairs) for i in (0, 1))
            lengths = torch.tensor([len(k) for _, k in pairs])
            real = None if (lengths == m).all() else (torch.arange(m) < lengths[:, None])[:, None, None].to(self.device)
            groups.append(Group(problems=len(pairs), queries=n, keys=m, real=real))
            for q, k in pairs:
                back[q] = torch.arange(row, row + len(q))
                queries.append(F.pad(q, (0, n - len(q))))  # filled with row 0, whose answer nobody reads
                keys.append(F.pad(k, (0, m - len(k))))
                row += n
        return Problems(
            query=torch.cat(queries).to(self.device), key=torch.cat(keys).to(self.device), back=back.to(self.device),
            groups=tuple(groups),
        )  # fmt: skip

    @cached_property
    def block_mask(self) -> BlockMask:
        parts = (self.prefix, self.known, self.noisy)
        sample = torch.tensor([i for part in parts for i, n in enumerate(part) for _ in range(n)], device=self.device)
        contexts, offset = self.contexts, self.offset

        def rule(b: Tensor, h: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return (sample[q + offset] == sample[k]) & ((k < contexts) | (q + offset >= contexts))

        total = len(sample)
        return create_block_mask(rule, None, None, total - offset, total, device=str(self.device))


def attend(
    q: Float[Tensor, "q heads e"],
    k: Float[Tensor, "k heads e"],
    v: Float[Tensor, "k heads e"],
    layout: Layout,
    backend: str = "auto",
) -> Float[Tensor, "q heads e"]:
    """Softmax attention within each sample under the one-way rule. `backend` "auto" takes flex on CUDA, else sdpa."""
    if backend == "auto":
        backend = "flex" if q.is_cuda else "sdpa"
    if backend == "flex":
        return _flex(q, k, v, layout)
    if backend != "sdpa":
        raise ValueError(f"attention backend {backend!r} is unknown; known: auto, sdpa, flex")
    problems, kernel = layout.problems, _kernel(q)
    # One gather for all problems, then views of it: gathering per problem would cost a full-sized gradient each.
    queries = q.index_select(0, problems.query).split([g.problems * g.queries for g in problems.groups])
    keys, values = (
        x.index_select(0, problems.key).split([g.problems * g.keys for g in problems.groups]) for x in (k, v)
    )
    out = []
    for group, gq, gk, gv in zip(problems.groups, queries, keys, values, strict=True):
        by_head = (x.unflatten(0, (group.problems, -1)).transpose(1, 2) for x in (gq, gk, gv))  # g heads n e
        attended = kernel(*by_head, group.real)
        out.append(attended.transpose(1, 2).flatten(0, 1))
    return torch.cat(out).index_select(0, problems.back)


def _filled(length: int) -> int:
    """Lengths that share a group: the next multiple of 16, or of an eighth of the power of two below."""
    step = max(16, 2 ** (length.bit_length() - 4))
    return -(-length // step) * step


def _kernel(q: Tensor) -> Callable[..., Tensor]:
    """The faster of two at 64 px (benchmarks/train_step.py): in bfloat16 on a CPU the fused one trains more slowly."""
    plain = torch.is_grad_enabled() and q.device.type == "cpu" and q.dtype == torch.bfloat16
    return _products if plain else F.scaled_dot_product_attention


def _products(q: Tensor, k: Tensor, v: Tensor, real: Tensor | None) -> Tensor:
    """softmax(q k^T / sqrt(e)) v as it is written, with the softmax in float32."""
    scores = q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)
    if real is not None:
        scores = scores.masked_fill(~real, -torch.inf)
    return torch.softmax(scores.float(), -1).to(v.dtype) @ v


_compiled_flex = torch.compile(flex_attention, dynamic=True)


def _flex(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    # Uncompiled flex materialises all scores: right for a check on the CPU, useless on CUDA.
    kernel = _compiled_flex if q.is_cuda else flex_attention
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))  # 1 heads n e
    out = kernel(q, k, v, block_mask=layout.block_mask)
    assert isinstance(out, Tensor)
    return out[0].transpose(0, 1)
