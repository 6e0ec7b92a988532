"""Procedural moving textures: pictures that no simulator draws, so that a user's own survive the autoencoder."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def procedural_batch(generator: torch.Generator, b: int, t: int, h: int, w: int) -> Float[Tensor, "{b} 3 {t} {h} {w}"]:
    """Moving textures in [-1, 1], so that pictures which no simulator draws survive the autoencoder too.

    Each clip is one still texture in front of another, both drifting, turning and zooming on their own, through a
    ragged mask. Textures are fractal noise (natural images have 1/f spectra: Field 1987), dead leaves (opaque shapes of
    all sizes over one another: Lee, Mumford and Huang 2001), colour gradients and stripes.
    """
    if b == 0:
        return torch.zeros(0, 3, t, h, w)
    size = math.ceil(1.25 * max(h, w) / 8) * 8
    textures = (_fractal, _fractal, _leaves, _leaves, _gradients, _stripes)
    share = math.ceil(2 * b / len(textures))
    still = torch.cat([draw(generator, share, size) for draw in textures])
    still = still[torch.randperm(len(still), generator=generator)[: 2 * b]]
    ragged = _noise(generator, b, 1, size, 2.0) - _uniform(generator, (b, 1, 1, 1), -1.0, 1.5)
    back = _drift(generator, still[:b], t, h, w)
    front = _drift(generator, torch.cat([still[b:], ragged * 20], 1), t, h, w)
    alpha = front[:, 3:].clamp(0, 1)  # an edge one pixel wide or so
    return torch.lerp(back, front[:, :3], alpha).clamp(-1, 1)


def _uniform(generator: torch.Generator, shape: tuple[int, ...], low: float, high: float) -> Tensor:
    return torch.rand(shape, generator=generator) * (high - low) + low


def _noise(generator: torch.Generator, n: int, c: int, size: int, exponent: float | Tensor) -> Float[Tensor, "n c s s"]:
    """Gaussian noise of unit variance whose amplitude falls with frequency to the power of -`exponent`."""
    frequency = torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None]) * size
    spectrum = torch.fft.rfft2(torch.randn(n, c, size, size, generator=generator))
    noise = torch.fft.irfft2(spectrum * frequency.clamp_min(1) ** -exponent, s=(size, size))
    return noise / noise.std((1, 2, 3), keepdim=True)


def _fractal(generator: torch.Generator, n: int, size: int) -> Float[Tensor, "n 3 s s"]:
    """1/f noise: mostly grey with some colour, as nature is."""
    exponent = _uniform(generator, (n, 1, 1, 1), 0.8, 1.8)
    grey, tint = _noise(generator, n, 1, size, exponent), _noise(generator, n, 3, size, exponent)
    mean = _uniform(generator, (n, 3, 1, 1), -0.4, 0.4)
    return mean + _uniform(generator, (n, 1, 1, 1), 0.1, 0.5) * (
        grey + _uniform(generator, (n, 1, 1, 1), 0.0, 0.6) * tint
    )


def _leaves(generator: torch.Generator, n: int, size: int, leaves: int = 96) -> Float[Tensor, "n 3 s s"]:
    """Ellipses and boxes over one another, radii distributed as r^-3, each of one colour with a little texture."""
    axis = torch.linspace(0, 1, size)
    angle, x0, y0 = _uniform(generator, (3, n, leaves, 1, 1), 0.0, 1.0)
    x, y = axis[None, :] - x0, axis[:, None] - y0
    cos, sin = torch.cos(angle * math.pi), torch.sin(angle * math.pi)
    radius = 0.03 / _uniform(generator, (n, leaves, 1, 1), 0.01, 1.0).sqrt()
    aspect = _uniform(generator, (n, leaves, 1, 1), 0.3, 1.0)
    along, across = (cos * x + sin * y).abs() / radius, (cos * y - sin * x).abs() / (radius * aspect)
    box = torch.rand(n, leaves, 1, 1, generator=generator) < 0.3
    inside = torch.where(box, torch.maximum(along, across), torch.hypot(along, across)) < 1
    order = torch.arange(1, leaves + 1)[:, None, None]
    top = (inside * order).amax(1)  # 0 where no leaf lies
    colours = _uniform(generator, (n, leaves + 1, 3), -1.0, 1.0) * _uniform(generator, (n, 1, 1), 0.3, 1.0)
    colour = colours[torch.arange(n)[:, None, None], top].permute(0, 3, 1, 2)
    return colour + _noise(generator, n, 1, size, 1.0) * _uniform(generator, (n, 1, 1, 1), 0.0, 0.1)


def _gradients(generator: torch.Generator, n: int, size: int) -> Float[Tensor, "n 3 s s"]:
    """Smooth colour: a 3x3 grid of colours, interpolated."""
    return F.interpolate(_uniform(generator, (n, 3, 3, 3), -1.0, 1.0), (size, size), mode="bicubic", align_corners=True)


def _stripes(generator: torch.Generator, n: int, size: int) -> Float[Tensor, "n 3 s s"]:
    """Two colours in stripes from 4 pixels to half the frame apart, from soft to hard."""
    angle, phase = _uniform(generator, (2, n, 1, 1, 1), 0.0, math.tau)
    period = 4 * (size / 8) ** torch.rand(n, 1, 1, 1, generator=generator)
    axis = torch.arange(size)
    wave = torch.sin((axis[None, :] * torch.cos(angle) + axis[:, None] * torch.sin(angle)) * math.tau / period + phase)
    wave = (wave * _uniform(generator, (n, 1, 1, 1), 0.7, 6.0)).clamp(-1, 1) / 2 + 0.5
    one, other = _uniform(generator, (2, n, 3, 1, 1), -1.0, 1.0)
    return torch.lerp(one, other, wave)


def _drift(
    generator: torch.Generator, still: Float[Tensor, "n c s s"], t: int, h: int, w: int
) -> Float[Tensor, "n c {t} {h} {w}"]:
    """Film still pictures with a camera that moves, turns and zooms steadily; a third of the cameras rest."""
    n, _, size, _ = still.shape
    seconds = torch.linspace(-0.5, 0.5, t)[None, :, None] * t / 8
    seconds = seconds * (torch.rand(n, 1, 1, generator=generator) < 2 / 3)

    def course(start: tuple[float, float], speed: float, axes: int = 1) -> Tensor:
        """A quantity "n t axes" that begins somewhere and changes at up to `speed` per second."""
        rate = _uniform(generator, (n, 1, axes), -speed, speed)
        return _uniform(generator, (n, 1, axes), *start) + rate * seconds

    angle, scale = course((-math.pi, math.pi), 0.3), torch.exp(course((-0.4, 0.1), 0.15))
    x, y = course((-0.3, 0.3), 0.3, axes=2).chunk(2, -1)
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    rows = torch.cat([cos * w / size, -sin * h / size, x, sin * w / size, cos * h / size, y], -1)
    grid = F.affine_grid(rows.view(n * t, 2, 3), [n * t, 1, h, w], align_corners=False)
    frames = F.grid_sample(
        still.repeat_interleave(t, 0), grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return frames.unflatten(0, (n, t)).transpose(1, 2)
