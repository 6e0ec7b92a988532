"""The captioner: the frozen video encoder's tokens of clips that are known, and a small transformer that tells them.

It learns from encoded sets (`worldpatch data build tabletop`), whose captions are true by construction. Their latents
are decoded once, for the captioner is to read the autoencoder's frames as well as real ones, and the tokens of the
decoded clips kept in a cache; after that a step costs only the writer.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.data import shards
from worldpatch.embed import _shipped
from worldpatch.evals import _told
from worldpatch.generate import find
from worldpatch.generate.pipeline import load_vae
from worldpatch.text import _writer
from worldpatch.types import Truth
from worldpatch.vae._pixels import to_uint8
from worldpatch.video.sheet import contact_sheet

PART = 256  # clips of a file of the cache
TOGETHER = 8  # clips decoded at a time
SHOWN = 24


@dataclass(frozen=True, kw_only=True)
class Config:
    """`data` are folders of encoded clips of one size, whose tokens are kept in `cache`; `autoencoder` decodes them.

    Of the scenes of each folder the last, a `validation` share, are held out. `writer` are fields of the writer's own
    Config.
    """

    data: tuple[str, ...] = ("out/level1", "out/level2")
    autoencoder: str = "tabletop"
    cache: str = "out/captioner/tokens"
    validation: float = 0.03
    batch: int = 32
    writer: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Item:
    """A clip: its tokens, all that is said and known of it, and its latent, where it may be looked at again."""

    tokens: Float[np.ndarray, "n e"]
    record: dict[str, Any]
    latent: Tensor | None = None

    @property
    def captions(self) -> dict[str, str]:
        """Those in a style that the writer writes."""
        return {style: text for style, text in self.record["captions"].items() if style in _writer.STYLES}

    @property
    def truth(self) -> Truth:
        """What captions are judged by: objects and scene."""
        count = len(self.record["objects"])
        still = np.zeros((1, count, 7), np.float32)
        return Truth(
            objects=tuple(self.record["objects"]), events=(), pose=still, velocity=still[..., :6],
            scene=self.record["scene"],
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Batch:
    tokens: Float[Tensor, "b n e"]
    styles: tuple[str, ...]
    captions: tuple[str, ...]


class Task:
    def __init__(self, options: Config, seed: int, device: str):
        self.options, self.seed, self.device = options, seed, device
        self.encoder = _shipped.load().to(device)
        self.vae = load_vae(find(options.autoencoder)).requires_grad_(False).to(device)
        self.train: list[Item] = []
        self.held_out: list[Item] = []
        grids = {self._add(Path(folder), Path(options.cache) / str(i)) for i, folder in enumerate(options.data)}
        if len(grids) > 1:
            raise UserError(f"the clips of {', '.join(options.data)} differ in size: build sets of one size")
        (self.grid,) = grids
        captions = sorted({text for item in self.train for text in item.captions.values()})
        self.fingerprint = hashlib.sha256("\n".join(captions).encode()).hexdigest()[:16]
        shape = {"features": self.encoder.token_width, **options.writer}
        self.model = _writer.create(config.build(_writer.Config, shape, "writer."), captions)

    def _add(self, folder: Path, cache: Path) -> tuple[int, int, int]:
        """Take in the clips of a folder, the last scenes held out; returns the grid of their tokens."""
        records, latents = [], []
        for _, members in shards.read(folder):
            records.append(json.loads(members["json"]))
            latents.append(shards.read_latent(members["latent.safetensors"])["latent"])
        if len({latent.shape for latent in latents}) > 1:
            raise UserError(f"the clips of {folder} differ in size: build it with one size")
        tokens = np.concatenate([self._cached(cache, latents, i) for i in range(0, len(latents), PART)])
        scenes = sorted({record["seed"] for record in records})
        border = scenes[round((1 - self.options.validation) * (len(scenes) - 1))]
        for row, record, latent in zip(tokens, records, latents, strict=True):
            if record["seed"] > border:
                self.held_out.append(Item(tokens=row, record=record, latent=latent))
            elif (item := Item(tokens=row, record=record)).captions:
                self.train.append(item)
        return self.encoder.grid(*(records[0][side] for side in ("frames", "height", "width")))

    def _cached(self, cache: Path, latents: list[Tensor], first: int) -> Float[np.ndarray, "k n e"]:
        """Tokens of PART clips from `first`, from their file, which is made where it is not there yet."""
        path = cache / f"{first:07d}.npy"
        if not path.exists():
            cache.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(".draft")
            with draft.open("wb") as file:
                np.save(file, np.concatenate(list(self._tokens(latents[first : first + PART]))))
            draft.rename(path)
        return np.load(path)

    @torch.no_grad()
    def _tokens(self, latents: list[Tensor]) -> Iterator[np.ndarray]:
        """Tokens of the decoded clips, some at a time, in half precision."""
        for i in range(0, len(latents), TOGETHER):
            yield self.encoder.tokens(self._decoded(latents[i : i + TOGETHER])).half().cpu().numpy()

    def _decoded(self, latents: list[Tensor]) -> Float[Tensor, "b 3 t h w"]:
        return self.vae.decode(torch.stack(latents).to(self.device).float()).clamp(-1, 1)

    # ------------------------------------------------------------------------------------------------- batches, loss

    def batch(self, step: int) -> Batch:
        rng = np.random.default_rng([self.seed, step])
        chosen = [self.train[i] for i in rng.integers(len(self.train), size=self.options.batch)]
        styles = tuple(str(rng.choice(list(item.captions))) for item in chosen)
        captions = tuple(item.captions[style] for item, style in zip(chosen, styles, strict=True))
        return Batch(tokens=self._tokens_of(chosen), styles=styles, captions=captions)

    def _tokens_of(self, items: list[Item]) -> Float[Tensor, "b n e"]:
        return torch.from_numpy(np.stack([item.tokens for item in items])).to(self.device).float()

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        return model.loss(model.read_clips(batch.tokens, self.grid), batch.styles, batch.captions), {}

    def size(self, batch: Batch) -> tuple[int, int, int]:
        places = batch.tokens.shape[0] * batch.tokens.shape[1] + sum(len(self.model.ids(c)) for c in batch.captions)
        return len(batch.captions), places, 6 * places * sum(p.numel() for p in self.model.blocks.parameters())

    # ----------------------------------------------------------------------------------------------------- validation

    def validate(self, model: Any) -> dict[str, float]:
        """Loss of the dense captions of held-out clips, and the share of them that are true, by attribute."""
        dense = [item for item in self.held_out if "dense" in item.captions]
        losses = []
        for some in _groups(dense, self.options.batch):
            captions = [item.captions["dense"] for item in some]
            losses.append(float(model.loss(self._read(model, some), ["dense"] * len(some), captions)))
        marks = [
            _told.marks(caption, item.truth)
            for some in _groups(self.held_out, self.options.batch)
            for item, caption in zip(some, model.write(self._read(model, some), "dense"), strict=True)
        ]
        return {"val/loss": float(np.mean(losses)), **{f"val/{k}": v for k, v in _told.rates(marks).items()}}

    def _read(self, model: Any, items: list[Item]) -> _writer.Read:
        return model.read_clips(self._tokens_of(items), self.grid)

    def sheet(self, model: Any, path: Path) -> dict[str, float]:
        """Held-out clips as the autoencoder decodes them, what is said about them, and the world's own caption."""
        some = self.held_out[:: -(-len(self.held_out) // SHOWN)]
        read = self._read(model, some)
        told = zip(model.write(read, "dense"), model.write(read, "terse"), some, strict=True)
        captions = [f"{dense}\n{terse}\n({item.record['captions'].get('dense', '')})" for dense, terse, item in told]
        frames = [to_uint8(self._decoded([item.latent])[0]) for item in some if item.latent is not None]
        contact_sheet(frames, captions, path, columns=2)
        return {}

    def export(self, model: Any, folder: Path, state: dict[str, Any]) -> None:
        model.save(folder, {"trained_on": config.dump(self.options), "training": state})


def _groups(items: list[Item], count: int) -> Iterator[list[Item]]:
    for i in range(0, len(items), count):
        yield items[i : i + count]
