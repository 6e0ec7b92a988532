"""Noise paths and the times at which a network is trained.

The path is rectified flow (Liu et al. 2022): x_t = (1 - t) x_0 + t noise, velocity noise - x_0.
"""

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from worldpatch.types import Plan, Reference


def noised(
    clean: Float[Tensor, "n c"], noise: Float[Tensor, "n c"], time: Float[Tensor, " n"]
) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n c"]]:
    """(x_t, velocity) at each token's own time."""
    velocity = noise - clean
    return clean + time[:, None] * velocity, velocity


def shift_of(tokens: int, base: int = 3) -> float:
    """How far times move towards noise: more tokens repeat more of the picture, and need more noise to hide it.

    sqrt(m / n) as in Stable Diffusion 3 (Esser et al. 2024, eq. 23), with n = 3 tokens, so that a clip of 112 has a
    shift of 6. Where things are and which way they go is decided at times above 0.95: with n = 64 only 0.4% of training
    was there, and what should roll to the left came in from both sides (docs/LOG.md).
    """
    return max(1.0, math.sqrt(tokens / base))


def shifted(time: Tensor, shift: float) -> Tensor:
    """t' = s t / (1 + (s - 1) t), which keeps 0 and 1."""
    return shift * time / (1 + (shift - 1) * time)


def sample_times(count: int, shift: float, generator: Generator, spread: float = 1.5) -> Float[Tensor, " n"]:
    """Logit-normal times (Esser et al. 2024), shifted; kept off 0, which would mean clean.

    A `spread` of 1.8 would be nearly uniform before the shift; at 1 the ends, layout and finest detail, starve.
    """
    time = torch.sigmoid(spread * torch.randn(count, generator=generator))
    return shifted(time, shift).clamp(1e-3, 1.0)


def schedule(steps: int, shift: float) -> Float[Tensor, " s"]:
    """steps + 1 times from 1 to 0, spaced evenly before the shift."""
    return shifted(torch.linspace(1, 0, steps + 1), shift)


def training_plan(
    plan: Plan,
    generator: Generator,
    *,
    tokens: int,
    keyframes: tuple[Reference, ...] = (),
    patch: tuple[int, int, int] = (1, 2, 2),
    whole: float = 0.5,
    forcing: float = 0.5,
) -> Plan:
    """One sample of the training mix: a plan whose latents are all known, with the noise times that it is trained at.

    A share of `whole`: one time for the whole clip. Of the others a share of `forcing`: one time per latent frame
    (diffusion forcing, Chen et al. 2024). The rest: some of it clean (beginning, end, both, keyframes, or what lies
    outside of a box in spacetime), the rest at one time. Pictures, too, have a part of them clean then.
    """
    shift, (t, h, w) = shift_of(tokens), plan.grid

    def times(count: int) -> Float[Tensor, "count 1 1"]:
        return sample_times(count, shift, generator)[:, None, None]

    start, references = times(1).expand(t, h, w).clone(), plan.references
    which = torch.rand((), generator=generator)
    if which < (1 - whole) * forcing:
        start = times(t).expand(t, h, w).clone()
    elif which < 1 - whole:
        way = _known_part(t, bool(keyframes), generator)
        if way in ("beginning", "both ends"):
            start[: 1 + below(t - 1 - (way == "both ends"), generator)] = 0
        if way in ("end", "both ends"):
            start[t - 1 - below(max(1, t // 2 - 1), generator) :] = 0
        if way == "outside":
            _keep_outside_box(start, patch, generator)
        if way == "keyframes":
            chosen = torch.randperm(len(keyframes), generator=generator)[: 1 + below(len(keyframes), generator)]
            references += tuple(keyframes[int(i)] for i in chosen.sort().values)
    return replace(plan, start=start, references=references)


WAYS = {"beginning": 0.4, "end": 0.1, "both ends": 0.1, "outside": 0.25, "keyframes": 0.15}


def _known_part(t: int, keyframes: bool, generator: Generator) -> str:
    """Which part of a clip is known: one of the ways that its length and its keyframes allow."""
    if t < 2:
        return "outside"
    ways = [way for way in WAYS if (t > 2 or way != "both ends") and (keyframes or way != "keyframes")]
    drawn = torch.multinomial(torch.tensor([WAYS[way] for way in ways]), 1, generator=generator)
    return ways[int(drawn)]


def below(high: int, generator: Generator) -> int:
    """A whole number from 0 to high - 1."""
    return int(torch.randint(high, (), generator=generator))


def _keep_outside_box(start: Float[Tensor, "t h w"], patch: tuple[int, int, int], generator: Generator) -> None:
    """Set all but a random spacetime box, at least half as long as each side, to clean; edges lie on patch borders."""
    keep = torch.zeros_like(start, dtype=torch.bool)
    spans = []
    for side, p in zip(start.shape, patch, strict=True):
        count = side // p
        least = (count + 1) // 2
        size = least + below(count + 1 - least, generator)
        first = below(count - size + 1, generator)
        spans.append(slice(first * p, (first + size) * p))
    keep[tuple(spans)] = True
    start[~keep] = 0
