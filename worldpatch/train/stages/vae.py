"""The autoencoder, trained on a bank of rendered clips and on procedural textures.

The loss is L1 plus squared error on pixels (four times as heavy where objects are, were or will be within a group: they
are small, they are what a clip is about, and their ghosts lie beside them) and L1 on finite differences in space and
time (so that edges stay edges and motion stays motion). The squared error is for the few large mistakes, rims and
ghosts, which L1 had left in exchange for sharp floors (docs/LOG.md). Normalised latents get noise of one fixed size and
a pull to zero, half their square: the KL divergence to a unit Gaussian of a posterior of constant width.

At 0.1 the noise alone would limit a linear autoencoder to about 38 dB, well above what 16 channels hold; it makes
neighbouring latents decode alike, which a diffusion model, whose samples are never exact, depends on.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from worldpatch import config
from worldpatch.data import bank, textures
from worldpatch.data.loader import hash_seed
from worldpatch.train import checkpoint
from worldpatch.vae._pixels import to_tensor, to_uint8
from worldpatch.video.sheet import contact_sheet

SQUARE_WEIGHT = 10.0  # an error of 0.1, of a range of 2, counts as much squared as it does plain
OBJECT_WEIGHT = 4.0
GRADIENT_WEIGHT = 1.0
KL_WEIGHT = 1e-3
NOISE = 0.1
FIRST_WEIGHT = 4.0  # a first frame counts as much as a group of four: it has as many latents, and it is every image
CONTINUATION_SHARE = 0.25  # of steps that begin in the middle of a video, as windows of a long one do


@runtime_checkable
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
    difference = decoded - frames
    error = difference.abs() + SQUARE_WEIGHT * difference.square()
    weight = torch.ones_like(frames[:, :1]) if mask is None else 1 + (OBJECT_WEIGHT - 1) * _surroundings(mask)
    pixel, gradient = (error * weight).mean(), _gradient_error(difference)
    if kind == "clip" and frames.shape[2] > 1:
        alone = (error * weight)[:, :, :1].mean(), _gradient_error(difference[:, :, :1])
        share = (FIRST_WEIGHT - 1) / (FIRST_WEIGHT - 1 + frames.shape[2])
        pixel, gradient = torch.lerp(pixel, alone[0], share), torch.lerp(gradient, alone[1], share)
    kl = latents.float().square().mean() / 2
    total = pixel + GRADIENT_WEIGHT * gradient + KL_WEIGHT * kl
    with torch.no_grad():
        parts = {"pixel": pixel, "gradient": gradient, "kl": kl, "psnr": psnr(decoded, frames)}
        if mask is not None and mask.any():
            parts["psnr_objects"] = psnr(decoded, frames, mask)
    return total, {name: float(value.detach()) for name, value in parts.items()}


def _surroundings(mask: Float[Tensor, "b 1 t h w"]) -> Float[Tensor, "b 1 t h w"]:
    """Where an object is within a pixel and a group's length of time: there a linear code leaves rims and ghosts."""
    return F.max_pool3d(mask, (7, 3, 3), stride=1, padding=(3, 1, 1))


def _gradient_error(difference: Float[Tensor, "b 3 t h w"]) -> Float[Tensor, ""]:
    """Mean absolute finite difference of `decoded - frames` along time, height and width (one frame has no time)."""
    steps = [torch.diff(difference, dim=d).abs().mean() for d in (2, 3, 4) if difference.shape[d] > 1]
    return torch.stack(steps).mean()


def psnr(
    decoded: Float[Tensor, "b 3 t h w"],
    frames: Float[Tensor, "b 3 t h w"],
    mask: Float[Tensor, "b 1 t h w"] | None = None,
) -> Float[Tensor, ""]:
    """Peak signal-to-noise ratio in dB of frames in [-1, 1] (peak 2), pooled over the batch, or over a mask of it."""
    error = (decoded.clamp(-1, 1) - frames).square()
    mean = error.mean() if mask is None else (error * mask).sum() / (3 * mask.sum()).clamp_min(1)
    return 10 * torch.log10(4 / mean.clamp_min(1e-10))


@torch.no_grad()
def evaluate(
    model: Autoencoder, frames: Float[Tensor, "n 3 t h w"], mask: Float[Tensor, "n 1 t h w"] | None = None
) -> dict[str, float]:
    """PSNR in dB without noise: mean and worst over clips, of the first frames alone, and on objects."""
    decoded = torch.cat([model.decode(model.encode(clips)).float() for clips in frames.split(8)])
    clips = torch.stack([psnr(d[None], f[None]) for d, f in zip(decoded, frames, strict=True)])
    scores = {"psnr": clips.mean(), "psnr_worst": clips.min(), "psnr_first": psnr(decoded[:, :, :1], frames[:, :, :1])}
    if mask is not None:
        scores["psnr_objects"] = psnr(decoded, frames, mask)
    return {name: float(value) for name, value in scores.items()}


# ---------------------------------------------------------------------------------------------------------------- task


@dataclass(frozen=True, kw_only=True)
class Config:
    """`bank` clips are rendered once and kept as arrays in `cache`; each step takes `batch` of them at random.

    `textures` is the share of procedural textures in a batch. `freeze_encoder` trains the decoder alone, so that
    latents already stored stay valid; with it `start_from` names the exported autoencoder to go on from.
    """

    world: str = "tabletop"
    options: dict[str, Any] = field(default_factory=dict)
    bank: int = 1500
    cache: str = "out/bank"
    batch: int = 12
    textures: float = 0.17
    frames: int = 17
    vae: str = "causal"
    model: dict[str, Any] = field(default_factory=dict)
    freeze_encoder: bool = False
    start_from: str = ""
    validation: int = 48
    workers: int = 2


class Task:
    def __init__(self, options: Config, seed: int, device: str):
        self.options, self.seed, self.device = options, seed, device
        # Far from the indices of the training set of the transformer, which begin at 0.
        indices = range(10_000_000, 10_000_000 + options.bank + options.validation)
        found = bank.load(Path(options.cache), options.world, options.options, seed, indices, workers=options.workers)
        self.frames, self.masks = found.frames, found.masks
        self.fingerprint = hashlib.sha256(self.frames.data).hexdigest()[:16]
        module = config.resolve("vae", options.vae)
        self.earlier: list[dict[str, Any]] = []  # the records of the runs whose weights this one starts from
        if options.start_from:
            from worldpatch.generate.pipeline import load_vae

            self.model = load_vae(Path(options.start_from)).train()
            record = json.loads((Path(options.start_from) / "vae.json").read_text())
            self.earlier = [*record.get("earlier", []), record["training"]]
        else:
            self.model = module.Model(config.build(module.Config, options.model, "model."))
            self.model.fit_pca(self._clips(np.arange(min(256, options.bank)))[0])
            self.model.fit_statistics(self._clips(np.arange(min(64, options.bank)))[0])
        for name, p in self.model.named_parameters():
            # The PCA stays as fitted: its weights are far smaller than the networks', and one rate for both ruins it.
            p.requires_grad_(
                name.startswith("decoder.") or (name.startswith("encoder.") and not options.freeze_encoder)
            )
        spent = self.model.flops(options.frames, *self.frames.shape[2:4])
        self.flops_per_clip = 3 * spent["decode"] + (1 if options.freeze_encoder else 3) * spent["encode"]

    def _clips(self, chosen: np.ndarray, first: int = 0, frames: int | None = None) -> tuple[Tensor, Tensor]:
        last = first + (frames or self.frames.shape[1])
        pixels = torch.stack([to_tensor(self.frames[i, first:last]) for i in chosen])
        return pixels, torch.from_numpy(self.masks[chosen, first:last] > 0)[:, None].float()

    def batch(self, step: int) -> dict[str, Tensor]:
        """Clips of the bank, each from a random frame on, and textures, whose mask is empty."""
        rng, o = np.random.default_rng([self.seed, step]), self.options
        count = round(o.batch * o.textures)
        first = int(rng.integers(0, self.frames.shape[1] - o.frames + 1))
        chosen = rng.integers(0, o.bank, o.batch - count)
        frames, mask = self._clips(chosen, first, o.frames)
        if rng.random() < 0.5:
            frames, mask = frames.flip(-1), mask.flip(-1)
        generator = Generator().manual_seed(hash_seed(self.seed, step))
        drawn = textures.procedural_batch(generator, count, o.frames, *frames.shape[-2:])
        return {
            "frames": torch.cat((frames, drawn)).to(self.device),
            "mask": torch.cat((mask, torch.zeros_like(drawn[:, :1]))).to(self.device),
            "seed": torch.tensor(hash_seed(self.seed, step) & 0x7FFFFFFF),
        }

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        torch.manual_seed(int(batch["seed"]))  # the noise on the latents, the same after a restart
        return loss(model, batch)  # type: ignore[arg-type]

    def size(self, batch: dict[str, Tensor]) -> tuple[int, int, int]:
        b, _, t, h, w = batch["frames"].shape
        return b, b * (1 + (t - 1) // 4) * (h // 8) * (w // 8), b * self.flops_per_clip

    def _held_out(self) -> tuple[Tensor, Tensor]:
        frames, mask = self._clips(np.arange(self.options.bank, self.options.bank + self.options.validation))
        return frames.to(self.device), mask.to(self.device)

    def validate(self, model: nn.Module) -> dict[str, float]:
        scores = evaluate(model, *self._held_out())  # type: ignore[arg-type]
        return {f"val/{k}": v for k, v in scores.items()}

    def sheet(self, model: nn.Module, path: Path) -> dict[str, float]:
        """Held-out clips above what is left of them."""
        frames = self._held_out()[0][:8]
        decoded = model.decode(model.encode(frames))  # type: ignore[operator]
        rows, names = [], []
        for real, made in zip(frames, decoded, strict=True):
            rows += [to_uint8(real), to_uint8(made)]
            names += ["real", "decoded"]
        contact_sheet(rows, names, path)
        return {}

    def export(self, model: nn.Module, folder: Path, state: dict[str, Any]) -> None:
        """Weights in bfloat16 and one JSON. Statistics are measured on the rounded weights: those ship.

        Where the encoder is frozen its statistics stay as they were, to the bit, as the stored latents do.
        """
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name for name, _ in model.named_parameters()}
        rounded = {
            k: v.detach().cpu().to(torch.bfloat16 if k in weights else v.dtype) for k, v in model.state_dict().items()
        }
        model.load_state_dict({k: v.float() for k, v in rounded.items()})
        if not self.options.freeze_encoder:
            model.fit_statistics(self._clips(np.arange(min(256, self.options.bank)))[0].to(self.device))  # type: ignore[operator]
        spec = model.spec
        checkpoint.write(folder / "vae.safetensors", rounded)
        record = {
            "vae": self.options.vae, "config": config.dump(model.config), "spec": config.dump(spec), "training": state,
            "earlier": self.earlier,
        }  # fmt: skip
        (folder / "vae.json").write_text(json.dumps(record, indent=1))
