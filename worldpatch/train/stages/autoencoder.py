"""The autoencoder, trained on a bank of rendered clips and on procedural textures."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Generator, Tensor, nn

from worldpatch import config
from worldpatch.data import render
from worldpatch.data.build import to_tensor
from worldpatch.train.stages import vae as objective
from worldpatch.train.stages.dit import hash_seed
from worldpatch.video.sheet import contact_sheet


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
        self.frames, self.masks = _bank(options, seed)
        module = config.resolve("vae", options.vae)
        if options.start_from:
            from worldpatch.generate.pipeline import load_vae

            self.model = load_vae(Path(options.start_from)).train()
        else:
            self.model = module.Model(config.build(module.Config, options.model, "model."))
            self.model.fit_pca(self._clips(np.arange(min(256, options.bank)))[0])
            self.model.fit_statistics(self._clips(np.arange(min(64, options.bank)))[0])
        for name, p in self.model.named_parameters():
            # The PCA stays as fitted: its weights are far smaller than the networks', and one rate for both ruins it.
            p.requires_grad_(name.startswith("decoder.") or (name.startswith("encoder.") and not options.freeze_encoder))
        spent = self.model.flops(options.frames, *self.frames.shape[2:4])
        self.flops_per_clip = 3 * spent["decode"] + (1 if options.freeze_encoder else 3) * spent["encode"]

    def _clips(self, chosen: np.ndarray, first: int = 0, frames: int | None = None) -> tuple[Tensor, Tensor]:
        last = first + (frames or self.frames.shape[1])
        pixels = torch.stack([to_tensor(self.frames[i, first:last]) for i in chosen])
        return pixels, torch.from_numpy(self.masks[chosen, first:last] > 0)[:, None].float()

    def batch(self, step: int) -> dict[str, Tensor]:
        """Clips of the bank, each from a random frame on, and textures, whose mask is empty."""
        rng, o = np.random.default_rng([self.seed, step]), self.options
        textures = round(o.batch * o.textures)
        first = int(rng.integers(0, self.frames.shape[1] - o.frames + 1))
        chosen = rng.integers(0, o.bank, o.batch - textures)
        frames, mask = self._clips(chosen, first, o.frames)
        if rng.random() < 0.5:
            frames, mask = frames.flip(-1), mask.flip(-1)
        generator = Generator().manual_seed(hash_seed(self.seed, step))
        drawn = objective.procedural_batch(generator, textures, o.frames, *frames.shape[-2:])
        return {
            "frames": torch.cat((frames, drawn)).to(self.device),
            "mask": torch.cat((mask, torch.zeros_like(drawn[:, :1]))).to(self.device),
            "seed": torch.tensor(hash_seed(self.seed, step) & 0x7FFFFFFF),
        }

    def loss(self, model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        torch.manual_seed(int(batch["seed"]))  # the noise on the latents, the same after a restart
        return objective.loss(model, batch)  # type: ignore[arg-type]

    def size(self, batch: dict[str, Tensor]) -> tuple[int, int, int]:
        b, _, t, h, w = batch["frames"].shape
        return b, b * (1 + (t - 1) // 4) * (h // 8) * (w // 8), b * self.flops_per_clip

    def _held_out(self) -> tuple[Tensor, Tensor]:
        return self._clips(np.arange(self.options.bank, self.options.bank + self.options.validation))

    def validate(self, model: nn.Module) -> dict[str, float]:
        scores = objective.evaluate(model, *self._held_out())  # type: ignore[arg-type]
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
        """Weights in bfloat16 and one JSON. Statistics are measured on the rounded weights, for those are what ships."""
        folder.mkdir(parents=True, exist_ok=True)
        rounded = {k: v.detach().cpu().to(torch.bfloat16) for k, v in model.state_dict().items()}
        model.load_state_dict({k: v.float() for k, v in rounded.items()})
        if not self.options.freeze_encoder:
            model.fit_statistics(self._clips(np.arange(min(256, self.options.bank)))[0].to(self.device))  # type: ignore[operator]
        spec = model.spec
        save_file({k: v.contiguous() for k, v in rounded.items()}, folder / "vae.safetensors")
        record = {
            "vae": self.options.vae, "config": config.dump(model.config), "spec": config.dump(spec), "training": state,
        }  # fmt: skip
        (folder / "vae.json").write_text(json.dumps(record, indent=1))


def to_uint8(frames: Tensor) -> np.ndarray:
    """[-1, 1] "3 t h w" -> uint8 "t h w 3"."""
    return frames.add(1).mul(127.5).round().clamp(0, 255).byte().movedim(0, -1).cpu().numpy()


def _bank(o: Config, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames "n t h w 3" and masks "n t h w" of the bank and its held-out clips, rendered once, kept on disk."""
    folder, total = Path(o.cache), o.bank + o.validation
    record = {"world": o.world, "options": o.options, "seed": seed, "clips": total}
    described = folder / "bank.json"
    if not described.exists() or json.loads(described.read_text()) != record:
        folder.mkdir(parents=True, exist_ok=True)
        described.unlink(missing_ok=True)
        frames = masks = None
        # Far from the indices of the training set of the transformer, which begin at 0.
        for i, clip in enumerate(render.clips(o.world, o.options, seed, range(10_000_000, 10_000_000 + total), o.workers)):
            assert clip.truth is not None and clip.truth.masks is not None
            if frames is None or masks is None:
                shape = (total, *clip.frames.shape)
                frames = np.lib.format.open_memmap(folder / "frames.npy", "w+", np.uint8, shape)
                masks = np.lib.format.open_memmap(folder / "masks.npy", "w+", np.uint8, shape[:-1])
            frames[i], masks[i] = clip.frames, clip.truth.masks
        assert frames is not None and masks is not None
        frames.flush(), masks.flush()
        described.write_text(json.dumps(record))
    return np.load(folder / "frames.npy"), np.load(folder / "masks.npy")
