"""What goes wrong with videos, in known amounts: blur, noise, frames out of order. To train judges and judge them."""

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor


def blur(frames: Float[Tensor, "*n h w"], deviation: float) -> Float[Tensor, "*n h w"]:
    """Each frame under a Gaussian of so many pixels; at the edges the part inside the frame counts as the whole."""
    if deviation == 0:
        return frames
    rows, columns = (_gaussian(side, deviation).to(frames) for side in frames.shape[-2:])
    return rows @ frames @ columns.T


def noise(frames: Float[Tensor, "*n"], deviation: float, generator: Generator) -> Float[Tensor, "*n"]:
    """Gaussian noise on frames in [-1, 1], cut off there; `deviation` on the same scale: 0.1 is 13 grey levels."""
    return (frames + deviation * torch.randn(frames.shape, generator=generator)).clamp(-1, 1)


def shuffled(count: int, share: float, generator: Generator) -> Int[Tensor, " {count}"]:
    """An order of so many frames in which a share (the nearest number; one alone cannot) has changed places.

    None of the chosen ones stays in its own place.
    """
    order, moved = torch.arange(count), round(share * count)
    if moved > 1:
        chosen = torch.randperm(count, generator=generator)[:moved]
        order[chosen] = chosen.roll(1)  # a cycle through random places
    return order


def _gaussian(side: int, deviation: float) -> Float[Tensor, "s s"]:
    """Blurring as a matrix, whose rows sum to one."""
    place = torch.arange(side, dtype=torch.float32)
    weights = torch.exp(-0.5 * ((place[:, None] - place) / deviation).square())
    return weights / weights.sum(1, keepdim=True)
