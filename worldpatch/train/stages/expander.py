"""The expander of prompts: what a person would type, or say in short, told as fully as the world's dense captions are.

It learns from the captions of encoded sets alone. A pair is left out where the fuller caption does not say all that the
shorter one does, or says otherwise, for that is what an expander must never do.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from worldpatch import config
from worldpatch.data import shards
from worldpatch.text import _writer
from worldpatch.worlds._tabletop.wish import lost


@dataclass(frozen=True, kw_only=True)
class Config:
    """`data` are folders of encoded clips, whose captions alone are read; a `validation` share of them is held out.
    `expander` are fields of the writer's Config."""

    data: tuple[str, ...] = ("out/level1", "out/level2")
    validation: float = 0.03
    batch: int = 64
    expander: dict[str, Any] = field(default_factory=dict)


Pair = tuple[str, str]
"""(prompt, dense caption)."""


class Task:
    def __init__(self, options: Config, seed: int, device: str):
        self.options, self.seed = options, seed
        pairs = [pair for folder in options.data for pair in _pairs(Path(folder))]
        border = round((1 - options.validation) * len(pairs))
        order = np.random.default_rng(seed).permutation(len(pairs))
        self.train, self.held_out = ([pairs[i] for i in some] for some in (order[:border], order[border:]))
        texts = sorted({text for pair in self.train for text in pair})
        self.fingerprint = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
        self.model = _writer.create(config.build(_writer.Config, options.expander, "expander."), texts)

    def batch(self, step: int) -> list[Pair]:
        rng = np.random.default_rng([self.seed, step])
        return [self.train[i] for i in rng.integers(len(self.train), size=self.options.batch)]

    def loss(self, model: Any, batch: list[Pair]) -> tuple[Tensor, dict[str, float]]:
        prompts, captions = zip(*batch, strict=True)
        return model.loss(model.read_prompts(prompts), ["dense"] * len(batch), captions), {}

    def size(self, batch: list[Pair]) -> tuple[int, int, int]:
        places = sum(len(self.model.ids(text)) for pair in batch for text in pair)
        return len(batch), places, 6 * places * sum(p.numel() for p in self.model.blocks.parameters())

    def validate(self, model: Any) -> dict[str, float]:
        """Loss on held-out pairs, and the share of held-out prompts that are expanded without loss."""
        prompts = [prompt for prompt, _ in self.held_out]
        written = model.write(model.read_prompts(prompts), "dense")
        kept = [not lost(prompt, text) for prompt, text in zip(prompts, written, strict=True)]
        return {"val/loss": float(self.loss(model, self.held_out)[0]), "val/kept": float(np.mean(kept))}

    def sheet(self, model: Any, path: Path) -> dict[str, float]:
        """Some held-out prompts and their expansions, as text beside where a picture would be."""
        prompts = [prompt for prompt, _ in self.held_out[:24]]
        written = model.write(model.read_prompts(prompts), "dense")
        lines = [f"{prompt}\n    {text}" for prompt, text in zip(prompts, written, strict=True)]
        path.with_suffix(".txt").write_text("\n".join(lines) + "\n")
        return {}

    def export(self, model: Any, folder: Path, state: dict[str, Any]) -> None:
        model.save(folder, {"trained_on": config.dump(self.options), "training": state})


def _pairs(folder: Path) -> list[Pair]:
    """Prompts of a folder's clips with their dense captions."""
    found = set()
    for _, members in shards.read(folder):
        captions = json.loads(members["json"])["captions"]
        dense = captions.get("dense", "")
        found |= {(captions[s], dense) for s in ("terse", "typed") if s in captions and not lost(captions[s], dense)}
    return sorted(pair for pair in found if pair[1])
