"""A trained model as one thing: load it, and turn plans into frames."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.flow.guidance import Guidance
from worldpatch.flow.plan import solve
from worldpatch.types import Cond, LatentSpec, Plan

Progress = Callable[[str, int, int], None]
"""Called with (phase, done, total); raising stops the work."""


@dataclass(frozen=True, kw_only=True)
class Usual:
    """The clip a model was mostly trained on, pixels and frames per second: what it makes if nothing is asked."""

    frames: int
    height: int
    width: int
    rate: float


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """An autoencoder and a network (`.text`, `.dit`) that fit each other. `record` is the model's own JSON."""

    vae: Any
    network: Any
    spec: LatentSpec
    patch: tuple[int, int, int]
    record: dict[str, Any] | None = None
    device: str = "cpu"

    @property
    def side(self) -> int:
        """Height and width of a video must be multiples of this."""
        return self.spec.stride_s * self.patch[1]

    @property
    def usual(self) -> Usual:
        """Raises UserError where the model's record does not say what it was trained on."""
        trained = (self.record or {}).get("trained_on")
        if not trained:
            raise UserError("the model's record lacks `trained_on`: export the model again")
        t, h, w = trained["grids"][0]
        stride = self.spec.stride_s
        return Usual(frames=self.spec.frames(t), height=h * stride, width=w * stride, rate=float(min(trained["rates"])))

    @torch.no_grad()
    def latents(
        self,
        plans: Sequence[Plan],
        seeds: Sequence[tuple[int, int]],
        *,
        steps: int = 25,
        guidance: Guidance | None = None,
        sampler: str = "euler",
        progress: Progress | None = None,
    ) -> list[Tensor]:
        """Normalised latents of all plans, sampled in one packed pass."""
        text, lengths = self.network.text.encode([plan.prompt for plan in plans])
        return solve(
            self.network.dit, plans, Cond(text=text, text_lengths=lengths), seeds,
            spec=self.spec, patch=self.patch, steps=steps, guidance=guidance, sampler=sampler, device=self.device,
            progress=(lambda i, _: progress("denoise", i, steps)) if progress else (lambda i, _: None),
        )  # fmt: skip

    @torch.no_grad()
    def decode(
        self, plans: Sequence[Plan], latents: Sequence[Tensor], progress: Progress | None = None
    ) -> list[Tensor]:
        """uint8 frames "t h w 3" of each plan, known pixels pasted back; decoded as a stream, so memory stays flat."""
        videos = []
        for i, (plan, latent) in enumerate(zip(plans, latents, strict=True)):
            kind = "continuation" if plan.kind == "continuation" else "clip"
            chunks = []
            for part in self.vae.decode_stream((c[None] for c in latent.split(4, dim=1)), kind):
                chunks.append(part[0].add(1).mul(127.5).round().clamp(0, 255).byte().movedim(0, -1).cpu())
            if progress:
                progress("decode", i + 1, len(plans))
            video = torch.cat(chunks)
            if plan.paste is not None:
                known = plan.paste.frames.add(1).mul(127.5).round().clamp(0, 255).byte().movedim(0, -1)
                video = torch.where(plan.paste.mask.movedim(0, -1) > 0.5, known, video)
            videos.append(video)
        return videos


def load(folder: Path, device: str = "cpu") -> Pipeline:
    """A shipped or exported model. Raises UserError that names what is missing or damaged, and what to do."""
    record = _record(folder / "model.json", "backbone", "dit", "text")
    text = config.resolve("text", record.get("text_encoder", "bytepair"))
    dit = config.resolve("dit", record["backbone"])
    network = nn.Module()
    network.text = text.load(record["text"], folder)
    network.dit = dit.Model(config.build(dit.Config, record["dit"], "dit."))
    _load_weights(network, folder / "model.safetensors")
    vae = load_vae(_home_of_vae(folder, record))
    return Pipeline(
        vae=vae.to(device).eval(), network=network.to(device).eval(), spec=vae.spec, patch=network.dit.config.patch,
        record=record, device=device,
    )  # fmt: skip


def _home_of_vae(folder: Path, record: dict[str, Any]) -> Path:
    """A shipped model has its autoencoder beside it; one fresh from training says which it was trained with."""
    if (folder / "vae.json").exists():
        return folder
    options = record.get("training", {}).get("run", {}).get("options", {})
    if "vae" not in options:
        raise UserError(f"{folder} holds no autoencoder (vae.json is missing): fetch the model folder again")
    return Path(options["vae"])


def load_vae(folder: Path) -> Any:
    """An exported autoencoder, with the statistics its JSON states."""
    record = _record(folder / "vae.json", "vae", "config", "spec")
    module = config.resolve("vae", record["vae"])
    model = module.Model(config.build(module.Config, record["config"], "vae."))
    _load_weights(model, folder / "vae.safetensors")
    for name in ("first_mean", "first_std", "later_mean", "later_std"):
        getattr(model, name).copy_(torch.tensor(record["spec"][name]))
    return model.eval()


def _record(path: Path, *needed: str) -> dict[str, Any]:
    if not path.exists():
        raise UserError(f"{path} is missing: give a folder that holds a trained model")
    try:
        record = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): fetch the model folder again") from error
    missing = [key for key in needed if key not in record]
    if missing:
        raise UserError(f"{path} is damaged (it lacks {', '.join(missing)}): fetch the model folder again")
    return record


def _load_weights(model: nn.Module, path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.exists():
        raise UserError(f"{path} is missing: fetch the model folder again")
    try:
        model.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    except (SafetensorError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} is damaged or of another model ({reason}): fetch the model folder again") from error
