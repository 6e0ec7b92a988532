"""A trained model as one thing: load it, and turn plans into frames."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.flow.guidance import Guidance
from worldpatch.flow.plan import contrast, finish, solve
from worldpatch.flow.samplers import State
from worldpatch.generate import lora
from worldpatch.generate._flicker import steady
from worldpatch.generate._seams import seamless
from worldpatch.generate.models import fingerprint
from worldpatch.types import Cond, LatentSpec, Plan, Request
from worldpatch.vae._load import load as load_vae
from worldpatch.vae._load import load_weights, read_record
from worldpatch.vae._pixels import to_uint8

CHUNK = 16  # frames decoded together
STEPS = Request.steps
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

    def sampling(
        self,
        plans: Sequence[Plan],
        seeds: Sequence[tuple[int, int]],
        *,
        steps: int = STEPS,
        guidance: Guidance | None = None,
        sampler: str = "euler",
        step_cache: float = 0.0,
        begun: State | None = None,
    ) -> Generator[State, None, list[Tensor]]:
        """The sampler's states step by step, then the normalised latents of all plans; one packed pass. `begun` is
        a state of an earlier sampling of the same, to go on from."""
        with torch.no_grad():
            text, lengths = self.network.text.encode([plan.prompt for plan in plans])
        return (
            yield from solve(
                self.network.dit, plans, Cond(text=text, text_lengths=lengths), seeds,
                spec=self.spec, patch=self.patch, steps=steps, guidance=guidance, sampler=sampler,
                step_cache=step_cache, begun=begun, device=self.device,
            )
        )  # fmt: skip

    def latents(
        self, plans: Sequence[Plan], seeds: Sequence[tuple[int, int]], progress: Progress | None = None, **how: Any
    ) -> list[Tensor]:
        """Normalised latents of all plans, sampled in one packed pass; `how` is as for `sampling`."""
        steps = how.get("steps", STEPS)
        return finish(
            self.sampling(plans, seeds, **how),
            (lambda state: progress("denoise", state.done, steps)) if progress else (lambda state: None),
        )

    @torch.no_grad()
    def contrast(self, plan: Plan, one: str, other: str, draws: int = 8) -> Tensor:
        """How differently two prompts would change each latent of a noised plan: "t h w", on the CPU."""
        text, lengths = self.network.text.encode([one] * draws + [other] * draws)
        cond = Cond(text=text, text_lengths=lengths)
        options = {"spec": self.spec, "patch": self.patch, "device": self.device}
        return contrast(self.network.dit, plan, cond, draws, **options).cpu()

    @torch.no_grad()
    def decode(
        self, plans: Sequence[Plan], latents: Sequence[Tensor], progress: Progress | None = None
    ) -> list[Tensor]:
        """uint8 frames "t h w 3" of each plan, without flicker and with known pixels pasted back; decoded as a
        stream, so memory stays flat."""
        videos = []
        for i, (plan, latent) in enumerate(zip(plans, latents, strict=True)):
            kind = "continuation" if plan.kind == "continuation" else "clip"
            chunks = []
            for part in self.vae.decode_stream(
                (c[None].to(self.device) for c in latent.split(CHUNK // self.spec.stride_t, dim=1)), kind
            ):
                chunks.append(torch.from_numpy(to_uint8(part[0])))
            if progress:
                progress("decode", i + 1, len(plans))
            video = steady(torch.cat(chunks), self.spec.stride_t)
            if plan.paste is not None:
                video = seamless(video, plan.paste, plan.rate)
            videos.append(video)
        return videos


def load(folder: Path, device: str = "cpu", adapters: Sequence[lora.Use] = ()) -> Pipeline:
    """A shipped or exported model, with adapters added to its weights.

    Raises UserError that names what is missing or damaged, or an adapter of another model, and what to do.
    """
    record = read_record(folder / "model.json", "backbone", "dit", "text")
    text = config.resolve("text", record.get("text_encoder", "bytepair"))
    dit = config.resolve("dit", record["backbone"])
    network = nn.Module()
    network.text = text.load(record["text"], folder)
    network.dit = dit.Model(config.build(dit.Config, record["dit"], "dit."))
    load_weights(network, folder / "model.safetensors")
    for use in adapters:
        record = _adapt(network, record, folder, use)
    vae = load_vae(home_of_vae(folder, record))
    return Pipeline(
        vae=vae.to(device).eval(), network=network.to(device).eval(), spec=vae.spec, patch=network.dit.config.patch,
        record=record, device=device,
    )  # fmt: skip


def outline(folder: Path) -> Pipeline:
    """A model's geometry without its weights: enough to refuse what it cannot make, and to plan what needs no latents.

    Raises UserError that names what is missing or damaged.
    """
    record = read_record(folder / "model.json", "backbone", "dit", "text")
    dit = config.resolve("dit", record["backbone"])
    shape = config.build(dit.Config, record["dit"], "dit.")
    spec = config.build(LatentSpec, read_record(home_of_vae(folder, record) / "vae.json", "spec")["spec"], "spec.")
    network = SimpleNamespace(dit=SimpleNamespace(config=shape))
    return Pipeline(vae=None, network=network, spec=spec, patch=shape.patch, record=record)


def _adapt(network: nn.Module, record: dict[str, Any], folder: Path, use: lora.Use) -> dict[str, Any]:
    """Adds an adapter to the network; returns the record with the words that the adapter has read."""
    adapter, own = lora.read(use.folder)
    base = own.get("base", {})
    if base and base["fingerprint"] != fingerprint(folder):
        raise UserError(f"the adapter {use.folder} belongs to the model {base['name']}, not to {folder}: use it there")
    try:
        lora.merge(network, adapter, use.scale)
    except UserError as error:
        raise UserError(f"{use.folder} does not fit {folder}: {error}") from error
    return {**record, "words": sorted({*record.get("words", []), *own.get("words", [])})}


def home_of_vae(folder: Path, record: dict[str, Any]) -> Path:
    """A shipped model has its autoencoder beside it; one fresh from training says which it was trained with."""
    if (folder / "vae.json").exists():
        return folder
    options = record.get("training", {}).get("run", {}).get("options", {})
    if "vae" not in options:
        raise UserError(f"{folder} holds no autoencoder (vae.json is missing): fetch the model folder again")
    return Path(options["vae"])
