"""Rotary positions in physical units: seconds, and latent pixels from the centre of the frame.

RoFormer (Su et al. 2021) with the head split over three axes as in Wan and HunyuanVideo. Because a position is a
quantity, not an index, one model reads every frame rate, length and aspect ratio.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

PERIODS = ((0.5, 32.0), (4.0, 128.0), (4.0, 128.0))
"""Shortest and longest wavelength per axis: seconds, latent pixels, latent pixels."""


class Rope(nn.Module):
    """Positions "n 3" -> (cos, sin) "n e/2"; a quarter of the head for time, the rest shared by height and width."""

    def __init__(self, head_width: int):
        super().__init__()
        time = head_width // 8
        space = (head_width // 2 - time) // 2
        bands = (head_width // 2 - 2 * space, space, space)
        frequency = torch.zeros(3, sum(bands))
        start = 0
        for axis, (count, (short, long)) in enumerate(zip(bands, PERIODS, strict=True)):
            period = torch.logspace(math.log10(short), math.log10(long), count)
            frequency[axis, start : start + count] = 2 * math.pi / period
            start += count
        self.register_buffer("frequency", frequency, persistent=False)
        self.frequency: Tensor

    def forward(self, position: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, "n e"], Float[Tensor, "n e"]]:
        angle = position.float() @ self.frequency
        return angle.cos(), angle.sin()


def rotate(
    x: Float[Tensor, "n heads two_e"], cos: Float[Tensor, "n e"], sin: Float[Tensor, "n e"]
) -> Float[Tensor, "n heads two_e"]:
    """Rotate each pair (i, i + e) of every head by its angle: a cos - b sin and b cos + a sin, in few passes."""
    a, b = x.chunk(2, dim=-1)
    cos = torch.cat((cos, cos), -1)[:, None].to(x.dtype)
    sin = torch.cat((-sin, sin), -1)[:, None].to(x.dtype)
    return torch.addcmul(x * cos, torch.cat((b, a), -1), sin)
