"""A backbone with its conditions -> a velocity that samplers can call.

Guidance, its interval and its rescaling, the context cache and the gathering of distinct times wrap the network here,
once, so that every sampler has them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worldpatch.flow.hints import undirected
from worldpatch.flow.pack import distinct, noisy_only, twice
from worldpatch.flow.samplers import Velocity
from worldpatch.types import Cond, Index, Packed, Request, Segments


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """Classifier-free guidance (Ho & Salimans 2022), away from what is drawn without words, camera and paths.

    `interval`: noise times at which it acts (Kynkaanniemi et al. 2024), asked token by token; where no token is inside,
    only the conditional half is run. `rescale`: share of the guided velocity brought back to the conditional one's size
    (Lin et al. 2023, eq. 15-16).
    """

    scale: float = Request.guidance
    interval: tuple[float, float] = Request.guidance_interval
    rescale: float = Request.guidance_rescale


@dataclass(frozen=True, kw_only=True)
class _Half:
    """One call's worth of fixed inputs: the noisy patches, their conditions, and the cached context."""

    packed: Packed
    cond: Cond
    context: Any


def velocity(network: Callable, packed: Packed, text: Cond, guidance: Guidance, cache: bool = True) -> Velocity:
    """The guided velocity of the noisy tokens of `packed`, as a function of those tokens and their times.

    `network` follows the backbone contract; `text` holds the samples' text tokens. With `cache` the context is run
    once, here; without, at every step (for comparison, and for networks that have no `context`).
    """
    conditional = _half(network, packed, text, cache)
    if guidance.scale == 1:
        return lambda x, time, until=None: _call(network, conditional, packed, x, time, until, cache)
    doubled = _double(packed)
    both = _half(network, doubled, _with_empty(text), cache)
    samples = [s.sample for s in noisy_only(packed).segments]
    lengths = torch.tensor([s.length for s in noisy_only(packed).segments])
    owner = torch.repeat_interleave(torch.tensor(samples), lengths).to(packed.tokens.device)
    low, high = guidance.interval

    def guided(x: Tensor, time: Tensor, until: Tensor | None = None) -> Tensor:
        inside = (low <= time) & (time <= high)
        if not inside.any():
            return _call(network, conditional, packed, x, time, until, cache)
        ends = None if until is None else torch.cat((until, until))
        v, empty = _call(network, both, doubled, torch.cat((x, x)), torch.cat((time, time)), ends, cache).chunk(2)
        out = empty + guidance.scale * (v - empty)
        out = _rescaled(out, v, owner, guidance.rescale) if guidance.rescale else out
        return torch.where(inside[:, None], out, v)

    return guided


def _half(network: Any, packed: Packed, text: Cond, cache: bool) -> _Half:
    cond = replace(text, hints=packed.hints)
    if not cache:
        return _Half(packed=packed, cond=cond, context=None)
    context = network.context(packed.tokens, packed.position, packed.segments, cond)
    noisy = noisy_only(packed)
    cond = Cond(text=text.text[:0], text_lengths=(0,) * len(text.text_lengths), hints=noisy.hints)
    return _Half(packed=noisy, cond=cond, context=context)


def _call(
    network: Callable, half: _Half, whole: Packed, x: Tensor, time: Tensor, until: Tensor | None, cache: bool
) -> Tensor:
    if cache:
        times, index, ends = distinct(time, until)
        p = half.packed
        return network(x, p.position, times, index, p.segments, half.cond, ends, half.context)
    noisy = whole.noisy
    tokens = whole.tokens.masked_scatter(noisy[:, None], x)
    everyone = torch.zeros_like(whole.time).masked_scatter(noisy, time)
    ends = None if until is None else torch.zeros_like(whole.time).masked_scatter(noisy, until)
    times, index, ends = distinct(everyone, ends)
    return network(tokens, whole.position, times, index, whole.segments, half.cond, ends)[noisy]


def _double(packed: Packed) -> Packed:
    """All samples twice, the second time undirected."""
    segments: Segments = twice(packed.segments, len(packed.tokens), packed.samples)
    return Packed(
        tokens=torch.cat((packed.tokens, packed.tokens)),
        position=torch.cat((packed.position, packed.position)),
        time=torch.cat((packed.time, packed.time)),
        hints=torch.cat((packed.hints, undirected(packed.hints))),
        segments=segments,
    )


def _with_empty(text: Cond) -> Cond:
    return Cond(text=text.text, text_lengths=text.text_lengths + (0,) * len(text.text_lengths))


def _rescaled(
    guided: Float[Tensor, "n c"], v: Float[Tensor, "n c"], owner: Index, share: float
) -> Float[Tensor, "n c"]:
    """Bring each sample's guided velocity back to the root mean square of its conditional one, by `share`."""
    zero = v.new_zeros(int(owner.max()) + 1)
    wanted, found = (zero.index_add(0, owner, y.square().mean(-1)) for y in (v, guided))
    factor = (wanted / found.clamp_min(1e-12)).sqrt()[owner][:, None]
    return guided * (share * factor + 1 - share)
