"""Attention over the segments of a packed sequence, behind one function with two backends.

The sequence holds the context tokens of all samples, then their noisy tokens. The rule is one-way: context attends to
its sample's context; noisy tokens attend to everything in their sample. So the context never depends on the noise and
its keys and values can be kept over all steps of a sampler.

    "sdpa"  one `scaled_dot_product_attention` per group of equal-sized samples; any device. (In training on a CPU, the
            same as two plain products, which is faster there)
    "flex"  one `flex_attention` over the whole sequence with a block mask; for CUDA (no backward on the CPU)
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention


@dataclass(frozen=True, kw_only=True)
class Problems:
    """Rows of queries and keys in order of the problems, the way `back`, and (problems, queries, keys) per group."""

    query: Int[Tensor, " q"]
    key: Int[Tensor, " k"]
    back: Int[Tensor, " q"]
    sizes: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where each sample's context and noisy tokens lie: lengths in order of the samples.

    Keys are always [all contexts | all noisy tokens]; queries are the same, or only the noisy tokens where the context
    came from a cache.
    """

    context: tuple[int, ...]
    noisy: tuple[int, ...]
    cached: bool = False
    device: torch.device = torch.device("cpu")

    @property
    def offset(self) -> int:
        """Index of the first query among the keys."""
        return sum(self.context) if self.cached else 0

    @cached_property
    def problems(self) -> "Problems":
        """All attention problems of the sequence, those of equal sizes side by side so that they run as one."""
        groups: dict[tuple[int, int], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        at_context, at_noisy = 0, sum(self.context)
        for m, n in zip(self.context, self.noisy, strict=True):
            context = torch.arange(at_context, at_context + m)
            noisy = torch.arange(at_noisy, at_noisy + n)
            if m and not self.cached:
                groups[m, m].append((context, context))
            if n:
                groups[n, m + n].append((noisy - self.offset, torch.cat((context, noisy))))
            at_context, at_noisy = at_context + m, at_noisy + n
        query = torch.cat([q for pairs in groups.values() for q, _ in pairs]).to(self.device)
        key = torch.cat([k for pairs in groups.values() for _, k in pairs]).to(self.device)
        return Problems(
            query=query,
            key=key,
            back=torch.argsort(query),
            sizes=tuple((len(pairs), n, m) for (n, m), pairs in groups.items()),
        )

    @cached_property
    def block_mask(self) -> BlockMask:
        sample = [i for lengths in (self.context, self.noisy) for i, n in enumerate(lengths) for _ in range(n)]
        sample = torch.tensor(sample, device=self.device)
        contexts, offset = sum(self.context), self.offset

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
    problems = layout.problems
    # On the CPU the fused kernel's backward is slower than these two products are: 1.1 to 2.3 ms against 0.5 to 0.7 for
    # five heads of 112 queries and 152 keys on two cores (benchmarks/train_step.py).
    plain = torch.is_grad_enabled() and q.device.type == "cpu"
    kernel: Callable[..., Tensor] = _products if plain else F.scaled_dot_product_attention
    # One gather for all problems, then views of it: gathering per problem would cost a full-sized gradient each.
    queries = q.index_select(0, problems.query).split([g * n for g, n, _ in problems.sizes])
    keys, values = (x.index_select(0, problems.key).split([g * m for g, _, m in problems.sizes]) for x in (k, v))
    out = []
    for (g, _, _), gq, gk, gv in zip(problems.sizes, queries, keys, values, strict=True):
        by_head = (x.unflatten(0, (g, -1)).transpose(1, 2) for x in (gq, gk, gv))  # g heads n e
        attended = kernel(*by_head)
        out.append(attended.transpose(1, 2).flatten(0, 1))
    return torch.cat(out).index_select(0, problems.back)


def _products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(e)) v as it is written, with the softmax in float32."""
    scores = q * q.shape[-1] ** -0.5 @ k.transpose(-1, -2)
    return torch.softmax(scores.float(), -1).to(v.dtype) @ v


_compiled_flex = torch.compile(flex_attention, dynamic=True)


def _flex(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    # Uncompiled flex materialises all scores: right for a check on the CPU, useless on CUDA.
    kernel = _compiled_flex if q.is_cuda else flex_attention
    q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))  # 1 heads n e
    out = kernel(q, k, v, block_mask=layout.block_mask)
    assert isinstance(out, Tensor)
    return out[0].transpose(0, 1)
