"""Noise paths and the times at which a network is trained.

The path is rectified flow (Liu et al. 2022): x_t = (1 - t) x_0 + t noise, velocity noise - x_0.
"""

import math

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from worldpatch.types import Camera, Kind, Plan, Reference


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
    latent: Float[Tensor, "c t h w"],
    generator: Generator,
    *,
    rate: float,
    tokens: int,
    kind: Kind = "clip",
    prompt: str = "",
    camera: Camera | None = None,
    keyframes: tuple[Reference, ...] = (),
    patch: tuple[int, int, int] = (1, 2, 2),
    whole: float = 0.5,
) -> Plan:
    """One sample of the training mix.

    A share of `whole`: one time for the whole clip. Half of the rest: one time per latent frame (diffusion forcing,
    Chen et al. 2024). The other half: some of it clean (a prefix, a suffix, keyframes, or a random box in spacetime),
    the rest at one time.
    """
    shift = shift_of(tokens)
    _, t, h, w = latent.shape

    def times(count: int) -> Float[Tensor, "count 1 1"]:
        return sample_times(count, shift, generator)[:, None, None]

    start = times(1).expand(t, h, w).clone()
    references: tuple[Reference, ...] = ()
    which = torch.rand((), generator=generator)
    if t > 1 and which < (1 - whole) / 2:
        start = times(t).expand(t, h, w).clone()
    elif t > 1 and which < 1 - whole:
        way = int(torch.randint(0, 4 if keyframes else 3, (), generator=generator))
        cut = int(torch.randint(1, t, (), generator=generator))
        if way == 0:
            start[:cut] = 0
        elif way == 1:
            start[cut:] = 0
        elif way == 2:
            _keep_outside_box(start, patch, generator)
        else:
            count = int(torch.randint(1, len(keyframes) + 1, (), generator=generator))
            chosen = torch.randperm(len(keyframes), generator=generator)[:count]
            references = tuple(keyframes[int(i)] for i in chosen.sort().values)
    return Plan(start=start, rate=rate, kind=kind, prompt=prompt, known=latent, camera=camera, references=references)


def _keep_outside_box(start: Float[Tensor, "t h w"], patch: tuple[int, int, int], generator: Generator) -> None:
    """Set all but a random spacetime box, at least half as long as each side, to clean; edges lie on patch borders."""
    keep = torch.zeros_like(start, dtype=torch.bool)
    spans = []
    for side, p in zip(start.shape, patch, strict=True):
        count = side // p
        size = int(torch.randint((count + 1) // 2, count + 1, (), generator=generator))
        first = int(torch.randint(0, count - size + 1, (), generator=generator))
        spans.append(slice(first * p, (first + size) * p))
    keep[tuple(spans)] = True
    start[~keep] = 0
