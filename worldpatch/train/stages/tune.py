"""Fine-tuning a trained model on a user's clips: low-rank adapters (LoRA, Hu et al. 2021), or all weights.

A share of the clips is held out, and both losses are measured on fixed clips at fixed noise, so that the two curves can
be compared and over-fitting shows. A part of every batch are clips that the model itself drew before
(`train/prior.py`), on which it is asked to say what it said then: so it keeps what it knew (prior preservation, Ruiz et
al. 2022, with the model's own answers as targets, Li & Hoiem 2016). The text encoder learns too, its embeddings
included: a made-up word is a row of letters that never meant anything.
"""

import copy
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.data.loader import Item, LatentSet
from worldpatch.flow.loss import flow_matching_loss, predict
from worldpatch.flow.plan import to_device
from worldpatch.generate import lora
from worldpatch.generate.models import find, fingerprint
from worldpatch.generate.pipeline import home_of_vae, load
from worldpatch.text._known import words_of
from worldpatch.train import prior
from worldpatch.train.loop import Run
from worldpatch.train.optim import Optim
from worldpatch.train.stages import dit
from worldpatch.types import Cond, LatentSpec, Packed

TARGETS = ("text.embed", "linear1", "linear2", "embed_text", "qkv", "answer", "project", "into", "out")
SHOWN = 12  # clips on a sheet
WATCHED = 8  # clips of a kind whose loss is followed
Batch = tuple[Packed, Tensor, list[str], int]


@dataclass(frozen=True, kw_only=True)
class Config(dit.Config):
    """`start_from` is the model, by name or folder; `held_out` the share of clips that are never trained on.

    `prior` is a file of the model's own clips (`prior.make`) and `prior_share` their part of a batch of `budget`
    tokens; `keep` is their weight in the loss: its own answers hold no noise, so what it forgets shows as little error.
    `rank`, `alpha` and `targets` (ends of the names of layers) are the adapter's; with `full` there is none, and all
    weights are trained.
    """

    validation: str = ""
    vae: str = ""
    budget: int = 896
    whole: float = 0.8
    images: float = 0.0
    continuations: float = 0.0
    held_out: float = 0.2
    prior: str = ""
    prior_share: float = 0.3
    keep: float = 10.0
    full: bool = False
    rank: int = 16
    alpha: float = 16.0
    targets: tuple[str, ...] = TARGETS


class Task(dit.Task):
    def __init__(self, options: Config, seed: int, device: str):
        folder = find(options.start_from)
        base = load(folder, device)
        assert base.record is not None
        same = {"backbone": base.record["backbone"], "text_encoder": base.record.get("text_encoder", "bytepair")}
        self.options = replace(options, vae=str(home_of_vae(folder, base.record)), **same)
        self.tuning, self.folder, self.base = options, folder, base
        self.seed, self.device, self.twins = seed, device, None
        self.spec, self.patch, self.network = base.spec, base.patch, base.network
        self.data = clips(self.options, self.spec)
        self.fingerprint = self.data.fingerprint
        self.training, self.validation = split(list(self.data), options.held_out)
        self.prior = prior.read(Path(options.prior)) if options.prior else []
        self.earlier = [*base.record.get("earlier", []), base.record["training"]]
        self.whole = Velocity(self.network)
        self.before = copy.deepcopy(self.whole) if options.full else self.whole
        self.before.requires_grad_(False)
        self.model: Any = self.network.train()
        if not options.full:
            self.model = lora.create(self.network, options.rank, options.alpha, options.targets, seed)

    # ------------------------------------------------------------------------------------------------------- batches

    def _items(self, step: int) -> list[Item]:
        """The user's clips of a step, then the model's own."""
        return [*self._own(step), *self._priors(step)]

    def _own(self, step: int) -> list[Item]:
        share = 1 - (self.tuning.prior_share if self.prior else 0)
        return turn(self.training, step, share * self.options.budget, self.patch, self.seed)

    def _priors(self, step: int) -> list[Item]:
        budget = self.tuning.prior_share * self.options.budget
        return turn(self.prior, step, budget, self.patch, self.seed + 1) if self.prior else []

    def batch(self, step: int) -> Batch:
        """As a batch of `dit`, and how many of its samples are the user's."""
        return *super().batch(step), len(self._own(step))

    def size(self, batch: Batch) -> tuple[int, int, int]:
        return super().size(batch[:3])

    # ---------------------------------------------------------------------------------------------------------- loss

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        packed, drawn, captions, own = batch
        velocity, target, packed = self._predict(model, packed, drawn, captions)
        if not self.prior:
            return flow_matching_loss(velocity, target, packed.noisy), {}
        old = torch.zeros_like(packed.noisy)
        for s in packed.segments:
            old[s.start : s.stop] = s.sample >= own
        with torch.no_grad():
            said, _ = self.before(packed, drawn.to(self.device), captions)
        learned = flow_matching_loss(velocity, target, packed.noisy & ~old)
        kept = flow_matching_loss(velocity, said, packed.noisy & old)
        share = float((packed.noisy & old).sum() / packed.noisy.sum())
        error = (1 - share) * learned + share * self.tuning.keep * kept
        return error, {"loss/own": float(learned.detach()), "loss/kept": float(kept.detach())}

    def _predict(self, model: nn.Module, packed: Packed, drawn: Tensor, captions: list[str]) -> tuple:
        packed, drawn = to_device(packed, self.device), drawn.to(self.device)
        if isinstance(model, lora.Adapter):
            weights, changes = dict(self.network.named_parameters()), model.changes(self.network)
            adapted = {f"network.{name}": weights[name] + change for name, change in changes.items()}
            return *functional_call(self.whole, adapted, (packed, drawn, captions)), packed
        return *Velocity(model)(packed, drawn, captions), packed

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Losses on fixed clips with fixed noise: those held out, some trained on, some of the model's own."""
        figures = super().validate(model)
        for name, items in (("fit", self.training), ("prior", self.prior)):
            if items:
                figures[f"{name}/loss"] = sum(self._bins(model, items[:WATCHED])) / dit.BINS
        return figures

    # --------------------------------------------------------------------------------------------------------- output

    def _tuned(self, model: nn.Module) -> nn.Module:
        """The network as tuned so far."""
        if not isinstance(model, lora.Adapter):
            return model
        network = copy.deepcopy(self.network)
        lora.merge(network, model)
        return network

    def sheet(self, model: nn.Module, path: Path) -> dict[str, float]:
        """Clips drawn from the captions of those held out, then of those trained on."""
        from worldpatch.video.sheet import contact_sheet

        if not self.options.sheet_level:
            return {}
        shown = [*self.validation, *self.training][:SHOWN]
        plans = [replace(self._fixed(item, 1.0), known=None) for item in shown]
        pipeline = replace(self.base, network=self._tuned(model))
        latents = pipeline.latents(plans, [(i, 0) for i in range(len(plans))], steps=20)
        marks = ["held out: " if i < len(self.validation) else "" for i in range(len(shown))]
        captions = [mark + plan.prompt for mark, plan in zip(marks, plans, strict=True)]
        contact_sheet([f.numpy() for f in pipeline.decode(plans, latents)], captions, path)
        return {}

    def export(self, model: nn.Module, folder: Path, state: dict[str, Any]) -> None:
        """An adapter in peft's files; with `full` a model as `generate` reads it, the autoencoder beside it."""
        base = self.base.record or {}
        if isinstance(model, lora.Adapter):
            words = sorted({w for i in self.data for c in i.captions.values() for w in words_of(c)})
            name = {"name": self.options.start_from, "fingerprint": fingerprint(self.folder)}
            record = {"base": name, "words": words, "training": state}
            return lora.write(folder, model, self.network, self.options.start_from, record)
        super().export(model, folder, state)
        for part in ("vae.json", "vae.safetensors"):
            shutil.copyfile(home_of_vae(self.folder, base) / part, folder / part)
        path = folder / "model.json"
        record = json.loads(path.read_text())
        for known in ("words", "captions"):
            record[known] = sorted({*record[known], *base.get(known, [])})
        path.write_text(json.dumps(record, indent=1))


def recipe(model: str, data: Sequence[Path], *, full: bool = False, prior: Path | None = None) -> Run:
    """The usual fine-tuning of a model: a few minutes of two CPU cores for the shipped one."""
    options = {"start_from": model, "data": [str(of) for of in data], "prior": str(prior or ""), "full": full}
    return Run(
        stage="tune", steps=400, options=options, keep_best=True, validate_every=20, sheet_minutes=1e9,
        optim=Optim(rate=2e-4 if full else 2e-3, warmup=20, decay=0.5, ema=0.98, weight_decay=0.0),
    )  # fmt: skip


def captions(run: Run) -> list[str]:
    """What the clips of a fine-tuning are called. Raises UserError where they cannot be trained on, in seconds."""
    options = config.build(Config, run.options, "options.")
    items = list(clips(options, load(find(options.start_from)).spec))
    split(items, options.held_out)
    return sorted({caption for item in items for caption in item.captions.values() if caption})


def clips(options: Config, spec: LatentSpec) -> LatentSet:
    """The user's clips. Raises UserError on latents of another autoencoder and on clips without a caption."""
    found = LatentSet([Path(of) for of in options.data], spec=spec)
    for item in found:
        if item.latent.shape[0] != spec.channels:
            raise UserError(
                f"clip {item.key} has latents of {item.latent.shape[0]} channels, the model's autoencoder makes "
                f"{spec.channels}: build the set with `--vae {options.start_from}`"
            )
        if not any(item.captions.values()):
            raise UserError(f"clip {item.key} has no caption: give each clip one that names what is new in it")
    return found


class Velocity(nn.Module):
    """All of a network as one call, so that its weights can be exchanged for the call."""

    def __init__(self, network: Any):
        super().__init__()
        self.network = network

    def forward(self, packed: Packed, drawn: Tensor, captions: list[str]) -> tuple[Tensor, Tensor]:
        """(velocity, true velocity) of every token."""
        text, lengths = self.network.text.encode(captions)
        return predict(self.network.dit, packed, drawn, Cond(text=text, text_lengths=lengths))


def split(items: Sequence[Item], share: float) -> tuple[list[Item], list[Item]]:
    """(clips to train on, clips held out): at least one of each; who is held out depends on the clips' keys alone."""
    if not 0 < share < 1:
        raise UserError(f"held_out {share} must lie between 0 and 1; 0.2 is usual")
    if len(items) < 2:
        raise UserError(f"the set holds {len(items)} clips: fine-tuning needs two, one of them to be held out")
    ranked = sorted(items, key=lambda item: hashlib.sha256(item.key.encode()).digest())
    held = min(len(items) - 1, max(1, round(share * len(items))))
    return ranked[held:], ranked[:held]


def turn(items: Sequence[Item], step: int, budget: float, patch: tuple[int, int, int], seed: int) -> list[Item]:
    """A step's clips: as many as have about `budget` tokens, and at least one; each comes once per round of all."""
    mean = np.mean([item.latent[0].numel() for item in items]) / np.prod(patch)
    count = max(1, int(budget / mean))
    places = range(step * count, (step + 1) * count)
    orders = {p // len(items): None for p in places}
    orders = {r: np.random.default_rng([seed, r]).permutation(len(items)) for r in orders}
    return [items[int(orders[p // len(items)][p % len(items)])] for p in places]
