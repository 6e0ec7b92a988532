"""Our autoencoder against diffusers' `AutoencoderKLWan` at equal size: speed, and quality for the same time.

    pip install 'diffusers>=0.42,<0.43' transformers
    python benchmarks/peers_vae.py [--short] [--seconds 120] [-o result.md]

All have 16 channels, 4x in time and 8x8 in space, parameters equal to 5%. The peer comes in two shapes: shrunk nearly
in its own proportions, and flat, with wider fine levels, which use a machine better. Bar: three times the better one's
achieved GFLOP/s, encoding and decoding. All then train on the same tabletop clips with the same loss for the same wall
time, the peer at two rates. Fitting our PCA is part of our time; scoring held-out clips is part of nobody's.
"""

import itertools
import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import torch
from _machine import GEMM, GIGA, Report, Work, flops, gemm, nearest, parameters, parser, race
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from torch import Tensor, nn

from worldpatch.train.stages import vae as objective
from worldpatch.vae import causal

BAR = 3.0  # times the peer's GFLOP/s
BATCH = 2  # clips per step of training: the peers are slow, and should see more than a handful of steps
OURS = "worldpatch"
# Relative widths of its levels, fine to coarse.
SHAPES = {"AutoencoderKLWan": (1, 2, 2, 4), "AutoencoderKLWan, flat": (1, 1, 2, 2)}
RATES = {OURS: (1e-3,)} | dict.fromkeys(SHAPES, (1e-3, 3e-4))


class Peer(nn.Module):
    """`AutoencoderKLWan` as our loss calls it; its posterior's mean is the latent."""

    def __init__(self, levels: tuple[int, ...], encoder: int, decoder: int):
        super().__init__()
        self.model: Any = AutoencoderKLWan(base_dim=encoder, decoder_base_dim=decoder, dim_mult=list(levels))

    def encode(self, frames: Tensor, kind: str = "clip") -> Tensor:
        assert kind == "clip"
        return self.model.encode(frames).latent_dist.mean

    def decode(self, latents: Tensor, kind: str = "clip") -> Tensor:
        assert kind == "clip"
        return self.model.decode(latents).sample


def peer(shape: str, target: int) -> nn.Module:
    """The peer of this shape, as wide in encoder and decoder as its number of parameters allows."""
    widths = itertools.product(range(8, 97, 8), repeat=2)
    return nearest(Peer, [(SHAPES[shape], *pair) for pair in widths if abs(pair[0] - pair[1]) <= 8], target)


# ---------------------------------------------------------------------------------------------------------------- speed


@torch.no_grad()
def speed(report: Report, models: dict[str, Any], sides: tuple[int, ...], frames: int, rounds: int) -> float:
    """Encode and decode one clip; returns the least ratio of achieved GFLOP/s."""
    rows, ratios = [], []
    for side in sides:
        clip = torch.rand(1, 3, frames, side, side) * 2 - 1
        for way in ("encode", "decode"):
            inputs = {name: clip if way == "encode" else m.encode(clip) for name, m in models.items()}
            calls = {name: lambda m=m, x=inputs[name], w=way: getattr(m, w)(x) for name, m in models.items()}
            works = {GEMM: gemm()} | {name: Work(call, flops(call)) for name, call in calls.items()}
            took = race(works, 0.0, rounds)
            rates = {name: work.flops / took[name] / GIGA for name, work in works.items()}
            for name in models:
                figures = (f"{took[name]:.2f}", f"{works[name].flops / GIGA:.1f}", f"{rates[name]:.1f}")
                rows.append((f"{side}x{side}", way, name, *figures, f"{rates[name] / rates[GEMM]:.0%}"))
            ratios.append(rates[OURS] / max(rates[name] for name in SHAPES))
    report.say(f"\n## Speed\n\nOne clip of {frames} frames, fp32; medians, in turn with the matrix product.")
    report.table(("size", "way", "autoencoder", "seconds", "GFLOP", "GFLOP/s", "of the product"), rows)
    return min(ratios)


# -------------------------------------------------------------------------------------------------------------- quality


def clips(count: int, side: int, frames: int) -> Tensor:
    """Tabletop clips of level 2 in [-1, 1]: "n 3 t h w"."""
    from worldpatch.worlds import tabletop

    config = tabletop.Config(level=2, height=side, width=side, frames=frames, masks=False)
    pixels = np.stack([tabletop.clip(config, 777, i).frames for i in range(count)])
    return torch.from_numpy(pixels).movedim(-1, 1).float().div(127.5).sub(1)


def train(model: nn.Module, data: Tensor, held_out: Tensor, seconds: float, rate: float) -> list[tuple[float, float]]:
    """Train with Adam for so many seconds; (seconds spent, PSNR of held-out clips in dB), about ten times."""
    spent, curve = 0.0, []
    generator = torch.Generator().manual_seed(0)
    begun = time.perf_counter()
    if isinstance(model, causal.Model):
        model.fit_pca(data)
        model.fit_statistics(data)
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], rate)
    spent += time.perf_counter() - begun
    while True:
        if spent >= len(curve) * seconds / 10:
            curve.append((spent, objective.evaluate(model, held_out)["psnr"]))  # type: ignore[arg-type]
        if spent >= seconds:
            return curve
        begun = time.perf_counter()
        for group in optimiser.param_groups:  # warm up over a tenth, then down to zero over the last third
            group["lr"] = rate * min(1, 10 * (spent + 1) / seconds, 3 * (seconds - spent) / seconds)
        batch = data[torch.randint(len(data), (BATCH,), generator=generator)]
        loss, _ = objective.loss(model, {"frames": batch})  # type: ignore[arg-type]
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        spent += time.perf_counter() - begun


def quality(report: Report, make: dict[str, Callable[[], nn.Module]], data: Tensor, seconds: float) -> None:
    """PSNR after the same seconds of training, and when ours was as good as the peer became."""
    count, curves = len(data) * 8 // 9, {}
    for name, rates in RATES.items():
        for rate in rates:
            torch.manual_seed(0)
            # The peer knows no continuations, so neither sees any.
            with mock.patch.object(objective, "CONTINUATION_SHARE", 0.0):
                curves[name, rate] = train(make[name](), data[:count], data[count:], seconds, rate)
    rows = []
    for (name, rate), curve in curves.items():
        scores = [curve[at][1] for at in (0, len(curve) // 2, -1)]
        rows.append((name, f"{rate:g}", *(f"{score:.1f}" for score in scores)))
    report.say(f"\n## Quality\n\n{count} tabletop clips, {seconds:.0f} s of training; PSNR of held-out clips in dB.")
    report.table(("autoencoder", "rate", "at the start", "half-way", "at the end"), rows)
    ours, others = ([c for (n, _), c in curves.items() if (n == OURS) is own] for own in (True, False))
    best = max(c[-1][1] for c in others)
    when = next((spent for spent, score in ours[0] if score >= best), None)
    gain = f"after {when:.0f} s" if when is not None else "not within the time"
    report.say(f"\nOurs was as good as the peer became in {seconds:.0f} s ({best:.1f} dB) {gain}.")


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--seconds", type=float, default=120.0, help="of training, per run")
    arguments = made.parse_args()
    short = arguments.short
    torch.manual_seed(0)
    config = causal.Config()
    target = parameters(causal.Model(config))
    make: dict[str, Callable[[], nn.Module]] = {OURS: lambda: causal.Model(config)}
    make |= {shape: lambda shape=shape: peer(shape, target) for shape in SHAPES}
    models = {name: build().eval() for name, build in make.items()}
    report = Report("Autoencoders at equal size", arguments)
    counts = {name: parameters(model) for name, model in models.items()}
    rows = [(name, f"{count:,}", f"{count / target:.3f}") for name, count in counts.items()]
    report.table(("autoencoder", "parameters", "ours = 1"), rows)
    ratio = speed(report, models, (32,) if short else (64, 128), 5 if short else 25, 1 if short else 5)
    quality(report, make, clips(3, 32, 5) if short else clips(108, 64, 17), 0.1 if short else arguments.seconds)
    report.bars([("GFLOP/s against the peer, each size and way", f">= {BAR:.0f}x", f"{ratio:.1f}x", ratio >= BAR)])
    report.finish()


if __name__ == "__main__":
    main()
