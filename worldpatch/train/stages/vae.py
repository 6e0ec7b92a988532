"""The autoencoder stage: what a causal autoencoder is trained to do, on which textures besides videos, and its scores.

The loss is L1 on pixels (four times as heavy on objects, which are small and are what a clip is about) and L1 on finite
differences in space and time (so that edges stay edges and motion stays motion). Normalised latents get noise of one
fixed size and a pull to zero, half their square: the KL divergence to a unit Gaussian of a posterior of constant width.

At 0.05 the noise alone would limit a linear autoencoder to about 39 dB, well above what 16 channels hold; it makes
neighbouring latents decode alike, which a diffusion model, whose samples are never exact, depends on.
"""

import math
from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

OBJECT_WEIGHT = 4.0
GRADIENT_WEIGHT = 1.0
KL_WEIGHT = 1e-3
NOISE = 0.05
CONTINUATION_SHARE = 0.25  # of steps that begin in the middle of a video, as windows of a long one do


class Autoencoder(Protocol):
    """What the stage asks of `worldpatch/vae/<name>.py`."""

    def encode(self, frames: Tensor, kind: str = "clip") -> Tensor: ...

    def decode(self, latents: Tensor, kind: str = "clip") -> Tensor: ...


def loss(model: Autoencoder, batch: dict[str, Tensor]) -> tuple[Float[Tensor, ""], dict[str, float]]:
    """Loss of one batch, and its parts with the PSNR in dB for the log.

    `batch` holds `frames` "b 3 t h w" in [-1, 1] and perhaps `mask` "b 1 t h w", 1 on objects. Draws its noise from
    torch's global generator: seed it per step for runs that can be resumed to the bit.
    """
    frames, mask, kind = batch["frames"], batch.get("mask"), "clip"
    if frames.shape[2] > 1 and torch.rand(()) < CONTINUATION_SHARE:
        frames, kind = frames[:, :, 1:], "continuation"
        mask = mask[:, :, 1:] if mask is not None else None
    latents = model.encode(frames, kind)
    decoded = model.decode(latents + NOISE * torch.randn_like(latents), kind).float()
    error = (decoded - frames).abs()
    weight = 1.0 if mask is None else 1 + (OBJECT_WEIGHT - 1) * mask
    pixel = (error * weight).mean()
    gradient = _gradient_error(decoded - frames)
    kl = latents.float().square().mean() / 2
    total = pixel + GRADIENT_WEIGHT * gradient + KL_WEIGHT * kl
    with torch.no_grad():
        parts = {"pixel": pixel, "gradient": gradient, "kl": kl, "psnr": psnr(decoded, frames)}
        if mask is not None and mask.any():
            parts["psnr_objects"] = psnr(decoded, frames, mask)
    return total, {name: float(value.detach()) for name, value in parts.items()}


def _gradient_error(difference: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, ""]:
    """Mean absolute finite difference of `decoded - frames` along time, height and width (one frame has no time)."""
    steps = [torch.diff(difference, dim=d).abs().mean() for d in (2, 3, 4) if difference.shape[d] > 1]
    return torch.stack(steps).mean()


def psnr(
    decoded: Float[Tensor, "b 3 t h w"], frames: Float[Tensor, "b 3 t h w"], mask: Float[Tensor, "b 1 t h w"] | None = None
) -> Float[Tensor, ""]:
    """Peak signal-to-noise ratio in dB of frames in [-1, 1] (peak 2), pooled over the batch, or over a mask of it."""
    error = (decoded.clamp(-1, 1) - frames).square()
    mean = error.mean() if mask is None else (error * mask).sum() / (3 * mask.sum()).clamp_min(1)
    return 10 * torch.log10(4 / mean.clamp_min(1e-10))


@torch.no_grad()
def evaluate(
    model: Autoencoder, frames: Float[Tensor, "n 3 t h w"], mask: Float[Tensor, "n 1 t h w"] | None = None
) -> dict[str, float]:
    """PSNR in dB without noise: mean and worst over clips, of the first frames alone, and on objects where masks say."""
    decoded = torch.cat([model.decode(model.encode(clips)).float() for clips in frames.split(8)])
    clips = torch.stack([psnr(d[None], f[None]) for d, f in zip(decoded, frames, strict=True)])
    scores = {"psnr": clips.mean(), "psnr_worst": clips.min(), "psnr_first": psnr(decoded[:, :, :1], frames[:, :, :1])}
    if mask is not None:
        scores["psnr_objects"] = psnr(decoded, frames, mask)
    return {name: float(value) for name, value in scores.items()}


# ---------------------------------------------------------------------------------------------------------- textures


def procedural_batch(
    generator: torch.Generator, b: int, t: int, h: int, w: int
) -> Float[Tensor, "{b} 3 {t} {h} {w}"]:
    """Moving textures in [-1, 1], so that pictures which no simulator draws survive the autoencoder too.

    Each clip is one still texture in front of another, both drifting, turning and zooming on their own, through a
    ragged mask. Textures are fractal noise (natural images have 1/f spectra: Field 1987), dead leaves (opaque shapes of
    all sizes over one another: Lee, Mumford and Huang 2001), colour gradients and stripes.
    """
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
    angle, x0, y0 = _uniform(generator, (3, n, leaves, 1, 1), 0, 1)
    x, y = axis[None, :] - x0, axis[:, None] - y0
    cos, sin = torch.cos(angle * math.pi), torch.sin(angle * math.pi)
    radius = 0.03 / _uniform(generator, (n, leaves, 1, 1), 0.01, 1).sqrt()
    aspect = _uniform(generator, (n, leaves, 1, 1), 0.3, 1)
    along, across = (cos * x + sin * y).abs() / radius, (cos * y - sin * x).abs() / (radius * aspect)
    box = torch.rand(n, leaves, 1, 1, generator=generator) < 0.3
    inside = torch.where(box, torch.maximum(along, across), torch.hypot(along, across)) < 1
    order = torch.arange(1, leaves + 1)[:, None, None]
    top = (inside * order).amax(1)  # 0 where no leaf lies
    colours = _uniform(generator, (n, leaves + 1, 3), -1, 1) * _uniform(generator, (n, 1, 1), 0.3, 1)
    colour = colours[torch.arange(n)[:, None, None], top].permute(0, 3, 1, 2)
    return colour + _noise(generator, n, 1, size, 1.0) * _uniform(generator, (n, 1, 1, 1), 0.0, 0.1)


def _gradients(generator: torch.Generator, n: int, size: int) -> Float[Tensor, "n 3 s s"]:
    """Smooth colour: a 3x3 grid of colours, interpolated."""
    return F.interpolate(_uniform(generator, (n, 3, 3, 3), -1, 1), (size, size), mode="bicubic", align_corners=True)


def _stripes(generator: torch.Generator, n: int, size: int) -> Float[Tensor, "n 3 s s"]:
    """Two colours in stripes from 4 pixels to half the frame apart, from soft to hard."""
    angle, phase = _uniform(generator, (2, n, 1, 1, 1), 0, math.tau)
    period = 4 * (size / 8) ** torch.rand(n, 1, 1, 1, generator=generator)
    axis = torch.arange(size)
    wave = torch.sin((axis[None, :] * torch.cos(angle) + axis[:, None] * torch.sin(angle)) * math.tau / period + phase)
    wave = (wave * _uniform(generator, (n, 1, 1, 1), 0.7, 6)).clamp(-1, 1) / 2 + 0.5
    one, other = _uniform(generator, (2, n, 3, 1, 1), -1, 1)
    return torch.lerp(one, other, wave)


def _drift(
    generator: torch.Generator, still: Float[Tensor, "n c s s"], t: int, h: int, w: int
) -> Float[Tensor, "n c {t} {h} {w}"]:
    """Film still pictures with a camera that moves, turns and zooms steadily; a third of the cameras rest."""
    n, _, size, _ = still.shape
    moves = (torch.rand(n, 1, 1, generator=generator) < 2 / 3) * torch.linspace(-0.5, 0.5, t)[None, :, None]
    seconds = t / 8
    angle = _uniform(generator, (n, 1, 1), -math.pi, math.pi) + moves * _uniform(generator, (n, 1, 1), -0.3, 0.3) * seconds
    scale = torch.exp(_uniform(generator, (n, 1, 1), -0.4, 0.1) + moves * _uniform(generator, (n, 1, 1), -0.15, 0.15) * seconds)
    shift = _uniform(generator, (n, 1, 2), -0.3, 0.3) + moves * _uniform(generator, (n, 1, 2), -0.3, 0.3) * seconds
    cos, sin = scale * torch.cos(angle), scale * torch.sin(angle)
    rows = torch.cat([cos * w / size, -sin * h / size, shift[..., :1], sin * w / size, cos * h / size, shift[..., 1:]], -1)
    grid = F.affine_grid(rows.view(n * t, 2, 3), [n * t, 1, h, w], align_corners=False)
    frames = F.grid_sample(
        still.repeat_interleave(t, 0), grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    return frames.unflatten(0, (n, t)).transpose(1, 2)
