"""The text encoder and the packed transformer, trained together by flow matching on encoded clips."""

import json
import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.data.loader import Batches, Item, LatentSet, choose_caption, hash_seed
from worldpatch.flow import noise
from worldpatch.flow.loss import flow_matching_loss, loss_per_bin, predict
from worldpatch.flow.pack import pack, padding
from worldpatch.flow.plan import to_device
from worldpatch.text._known import words_of
from worldpatch.train import checkpoint
from worldpatch.train.stages._likeness import Likeness, refer, untold
from worldpatch.types import UNTOLD, Cond, Kind, LatentSpec, Packed, Plan, Reference

log = logging.getLogger(__name__)

BINS = 10
DIRECTED = {
    "whole": 0.5, "forcing": 0.2, "keep_camera": 0.5, "keep_tracks": 0.4, "drop_hinted": 0.4, "unfilmed": 0.6,
    "references": 0.25, "continuations": 0.15,
}  # fmt: skip
"""Options of a model that is to be directed: more known beginnings, ends and boxes, cameras, tracks and likenesses."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """`data` are folders of encoded clips, used as one set, `validation` another; `budget` is patch tokens per step.

    `weights`, one per folder, say how often clips of each come; without them every clip comes once per epoch.

    Shares: `drop_text` of the samples lose their caption, of those that see a camera or tracks at least `drop_hinted`:
    what words tell as well is not learned from hints; `unfilmed` of those that see a camera keep a caption that says
    nothing of it. Of clips that came with a caption and have one that a model wrote, `generated` show the latter.
    `keep_camera` see the camera's rays, `keep_tracks` where some of the objects go, `references` a picture of another
    clip of the same subject or look; `images` are one keyframe, `continuations` are crops of the latent stream that
    begin in its middle; `whole` have one noise time throughout, of the others `forcing` one per latent frame, and the
    rest a part that is known.
    """

    data: tuple[str, ...]
    validation: str
    vae: str
    backbone: str = "packed"
    model: dict[str, Any] = field(default_factory=dict)
    text_encoder: str = "bytepair"
    text: dict[str, Any] = field(default_factory=dict)
    budget: int = 5376
    pad_to: int = 0  # fill every batch up to so many tokens (keyframes count beside the budget); 0: not at all
    drop_text: float = 0.1
    keep_camera: float = 0.3
    keep_tracks: float = 0.0
    drop_hinted: float = 0.0
    unfilmed: float = 0.0
    references: float = 0.0
    generated: float = 0.95
    images: float = 0.08
    continuations: float = 0.08
    whole: float = 0.5
    forcing: float = 0.5
    weights: tuple[float | int, ...] = ()
    start_from: str = ""  # an exported model whose weights and tokenizer to begin with
    validation_clips: int = 96
    sheet_level: int = 1  # of the fixed prompts; 0: no sheets
    twins: str = ""  # folder of encoded twins, scored at each validation; empty: not at all


class Network(nn.Module):
    """What is trained and shipped together."""

    def __init__(self, text: Any, dit: Any):
        super().__init__()
        self.text, self.dit = text, dit


class Task:
    def __init__(self, options: Config, seed: int, device: str):
        self.options, self.seed, self.device = options, seed, device
        self.spec = _spec(Path(options.vae))
        self.data = LatentSet(list(map(Path, options.data)), spec=self.spec, captioned=True, split="train")
        self.fingerprint = self.data.fingerprint
        self.likeness = Likeness(self.data.rows)
        held_out = LatentSet([Path(options.validation)], spec=self.spec, captioned=True, split="validation")
        self.validation = list(islice(held_out, options.validation_clips))
        self.twins = self._twins()
        backbone = config.resolve("dit", options.backbone)
        text = self._text()
        dit_config = config.build(backbone.Config, {"text_width": text.config.width, **options.model}, "model.")
        self.patch = dit_config.patch
        self.batches = Batches(self.data, seed=seed, budget=options.budget, patch=self.patch, weights=options.weights)
        log.info("%s; batches are %.1f%% full", self.batches.report, 100 * self.batches.fill)
        self.model = self.network = Network(text, backbone.Model(dit_config))
        self.earlier: list[dict[str, Any]] = []  # the records of the runs whose weights this one starts from
        if options.start_from:
            weights = checkpoint.read(Path(options.start_from) / "model.safetensors")
            self.model.load_state_dict({k: v.float() for k, v in weights.items()})
            record = self._start_record()
            self.earlier = [*record.get("earlier", []), record["training"]]

    def _text(self) -> Any:
        module = config.resolve("text", self.options.text_encoder)
        if self.options.start_from:
            return module.load(self._start_record()["text"], Path(self.options.start_from))
        return module.create(self.options.text, (c.text for row in self.data.rows for c in row.captions))

    def _start_record(self) -> dict[str, Any]:
        return json.loads((Path(self.options.start_from) / "model.json").read_text())

    def _twins(self) -> Any:
        """As many of the encoded twins as cost no more than a validation pass; None where none are asked for."""
        if not self.options.twins:
            return None
        from worldpatch.evals.suites import twins

        return twins.load(Path(self.options.twins), self.spec).within(BINS * len(self.validation))

    # ------------------------------------------------------------------------------------------------------- batches

    def batch(self, step: int) -> tuple[Packed, Tensor, list[str]]:
        """(packed clean content with its times, noise, captions) of a step."""
        generator = Generator().manual_seed(hash_seed(self.seed, step))
        plans = [self._plan(item, generator) for item in self._items(step)]
        packed = pack(plans, self.patch, self.spec)
        if missing := self.options.pad_to and self.options.pad_to - len(packed.tokens):
            if missing < 0:
                raise UserError(f"a batch has {len(packed.tokens)} tokens, over pad_to={self.options.pad_to}: raise it")
            plans.append(padding(missing, self.patch))
            packed = pack(plans, self.patch, self.spec)
        return packed, torch.randn(packed.tokens.shape, generator=generator), [p.prompt for p in plans]

    def _items(self, step: int) -> list[Item]:
        """The clips of a step."""
        return self.batches.batch(step)

    def _plan(self, item: Item, generator: Generator) -> Plan:
        def chance(share: float) -> bool:
            return bool(torch.rand((), generator=generator) < share)

        options = self.options
        caption = choose_caption(item, options.generated, generator)
        alike = self.likeness.draw(item.key, generator) if chance(options.references) else None
        references: tuple[Reference, ...] = ()
        if alike is not None:
            role, number = alike
            references = refer(self.data[number], role, generator)
            if role == "subject" and chance(0.5):
                caption = untold(caption, self.likeness.colour(number))
        camera = item.camera if chance(options.keep_camera) else None
        tracks = _some(item.tracks, generator) if chance(options.keep_tracks) else None
        hinted = camera is not None or tracks is not None
        drop = max(options.drop_text, options.drop_hinted) if hinted else options.drop_text
        if camera is not None and chance(options.unfilmed):
            caption = unfilmed(caption)
        plan = Plan(
            start=torch.ones(item.latent.shape[1:]), rate=item.rate, known=item.latent.float(), references=references,
            prompt="" if chance(drop) else caption, camera=camera,
            tracks=tracks,
        )  # fmt: skip
        keyframes = item.keyframes
        if keyframes and chance(options.images):
            plan, keyframes = _cut(plan, "image", keyframes[noise.below(len(keyframes), generator)].latent[:, None]), ()
        elif plan.grid[0] > 3 and chance(options.continuations):
            plan, keyframes = (
                _cut(plan, "continuation", item.latent[:, 1 + noise.below(plan.grid[0] - 2, generator) :]),
                (),
            )
        tokens = int(np.prod([side // p for side, p in zip(plan.grid, self.patch, strict=True)]))
        return noise.training_plan(
            plan, generator, tokens=tokens, keyframes=keyframes, patch=self.patch, whole=options.whole,
            forcing=options.forcing,
        )  # fmt: skip

    # ---------------------------------------------------------------------------------------------------------- loss

    def loss(self, model: nn.Module, batch: tuple[Packed, Tensor, list[str]]) -> tuple[Tensor, dict[str, float]]:
        packed, drawn, captions = batch
        velocity, target, packed = self._predict(model, packed, drawn, captions)
        return flow_matching_loss(velocity, target, packed.noisy), {}

    def _predict(self, model: Any, packed: Packed, drawn: Tensor, captions: list[str]) -> tuple[Tensor, Tensor, Packed]:
        packed = to_device(packed, self.device)
        text, lengths = model.text.encode(captions)
        cond = Cond(text=text, text_lengths=lengths)
        return *predict(model.dit, packed, drawn.to(self.device), cond), packed

    def size(self, batch: tuple[Packed, Tensor, list[str]]) -> tuple[int, int, int]:
        packed, _, captions = batch
        lengths, times = self.network.text.lengths(captions), len(torch.unique(packed.time))
        flops = self.network.dit.flops(packed.segments, lengths, times=times, training=True)
        return len(captions), len(packed.tokens), flops

    # ---------------------------------------------------------------------------------------------------- validation

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Loss per bin of noise time on fixed clips with fixed noise."""
        bins = self._bins(model, self.validation)
        figures = {"val/loss": sum(bins) / BINS, **{f"val/t{b}": value for b, value in enumerate(bins)}}
        return figures | self._physics(model)

    def _bins(self, model: nn.Module, clips: Sequence[Item]) -> list[float]:
        """Loss per bin of noise time, each clip once in every bin; the noise is the same every time."""
        total, count = torch.zeros(BINS), torch.zeros(BINS)
        generator = Generator().manual_seed(0)
        for k in range(BINS):  # a tenth of the clips at a time keeps it quick
            items = clips[k::BINS]
            if not items:  # fewer clips than bins
                continue
            plans = [self._fixed(item, (b + 0.5) / BINS) for item in items for b in range(0, BINS)]
            packed = pack(plans, self.patch, self.spec)
            drawn = torch.randn(packed.tokens.shape, generator=generator)
            velocity, target, packed = self._predict(model, packed, drawn, [p.prompt for p in plans])
            part, number = loss_per_bin(velocity, target, packed.noisy, packed.time, BINS)
            total, count = total + part.cpu(), count + number.cpu()
        return (total / count).tolist()

    def _physics(self, model: nn.Module) -> dict[str, float]:
        """How often the possible twin is preferred, per kind; no figures without twins."""
        if self.twins is None:
            return {}
        from worldpatch.evals.suites import twins

        shares = twins.score(model, self.twins, patch=self.patch, device=self.device)
        return {f"physics/{name}": share.preferred for name, share in shares.items()}

    def _fixed(self, item: Item, time: float) -> Plan:
        return Plan(
            start=torch.full(item.latent.shape[1:], time), rate=item.rate, known=item.latent.float(),
            prompt=next(iter(item.captions.values())),
        )  # fmt: skip

    def sheet(self, model: nn.Module, path: Path) -> dict[str, float]:
        """Sample the fixed prompts, write their contact sheet, and score it with the pixel detectors."""
        if not self.options.sheet_level:
            return {}
        from worldpatch.evals.suites import prompts
        from worldpatch.video.sheet import contact_sheet

        fixed = prompts.fixed32(self.options.sheet_level)
        plans, pipeline = self._drawn([p.caption for p in fixed]), self._pipeline(model)
        latents = pipeline.latents(plans, [(i, 0) for i in range(len(plans))], steps=20)
        frames = [f.numpy() for f in pipeline.decode(plans, latents)]
        contact_sheet(frames, [p.caption for p in fixed], path)
        return {f"sheet/{k}": v for k, v in prompts.rates(frames, fixed).items()}

    def _drawn(self, prompts: Sequence[str]) -> list[Plan]:
        """Plans of clips of the usual form, nothing known of them but a prompt each."""
        first = self.validation[0]
        return [Plan(start=torch.ones(first.latent.shape[1:]), rate=first.rate, prompt=prompt) for prompt in prompts]

    def _pipeline(self, model: nn.Module) -> Any:
        """The network as it is, with its autoencoder."""
        from worldpatch.generate.pipeline import Pipeline, load_vae

        vae = load_vae(Path(self.options.vae)).to(self.device)
        return Pipeline(vae=vae, network=model, spec=self.spec, patch=self.patch, device=self.device)

    def export(self, model: nn.Module, folder: Path, state: dict[str, Any]) -> None:
        """The model as `generate` reads it: weights in bfloat16, one JSON, the tokenizer, and the words it has seen."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {k: v.detach().cpu().to(torch.bfloat16) for k, v in model.state_dict().items()}
        checkpoint.write(folder / "model.safetensors", weights)
        self.model.text.save(folder)
        rows = self.data.rows
        words = sorted({w for row in rows for c in row.captions for w in words_of(c.text)} | {*words_of(UNTOLD)})
        grids = Counter((row.latent.t, row.latent.h, row.latent.w) for row in rows if row.latent)
        record = {
            "backbone": self.options.backbone,
            "dit": config.dump(self.model.dit.config),
            "text_encoder": self.options.text_encoder,
            "text": config.dump(self.model.text.config),
            "words": words,
            "captions": sorted({c.text for row in rows for c in row.captions if c.kind == "terse"})[:4000],
            "trained_on": {
                "clips": len(self.data), "grids": [grid for grid, _ in grids.most_common()],  # the usual one first
                "rates": sorted({row.fps for row in rows if row.fps}),
                "kinds": sorted({row.scene for row in rows} - {""}),
            },
            "training": state, "earlier": self.earlier,
        }  # fmt: skip
        (folder / "model.json").write_text(json.dumps(record, indent=1))


def unfilmed(caption: str) -> str:
    """A caption without what it says of the camera; "towards the camera" is said of something else."""
    parts = re.split(r"(?<=[.,])\s+", caption)
    kept = [part for part in parts if not re.match(r"(?:the |a )?(?:still |static )?camera\b", part, re.IGNORECASE)]
    return " ".join(kept).rstrip(",")


def _cut(plan: Plan, kind: Kind, latent: Tensor) -> Plan:
    """The plan of a picture or a part, whose clock neither the camera's frames nor the tracks follow."""
    start = torch.ones(latent.shape[1:])
    return replace(plan, kind=kind, start=start, known=latent.float(), camera=None, tracks=None)


def _some(tracks: np.ndarray | None, generator: Generator) -> np.ndarray | None:
    """The tracks of some of the objects, of at least one."""
    if tracks is None or not tracks.shape[1]:
        return None
    count = tracks.shape[1]
    kept = [k for k in range(count) if noise.below(2, generator)] or [noise.below(count, generator)]
    return tracks[:, kept]


def _spec(folder: Path) -> LatentSpec:
    return config.build(LatentSpec, json.loads((folder / "vae.json").read_text())["spec"], "spec.")
