"""What a model knew before it is fine-tuned: clips of its own, from captions it was trained on."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from worldpatch.config import UserError
from worldpatch.data.loader import Item
from worldpatch.flow.guidance import Guidance
from worldpatch.generate.models import find, fingerprint
from worldpatch.generate.pipeline import load
from worldpatch.types import Plan

TOGETHER = 8  # clips in a packed pass
GUIDANCE = Guidance(scale=2.0)


def make(
    model: str, path: Path, count: int, *, seed: int = 0, device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Path:  # fmt: skip
    """Draw `count` clips of the model's usual form into a safetensors file, unless that file holds them already.

    Raises UserError where the model's record names no captions.
    """
    folder = find(model)
    wanted = {"model": fingerprint(folder), "count": str(count), "seed": str(seed)}
    if path.exists() and wanted.items() <= _metadata(path).items():
        return path
    pipeline = load(folder, device)
    known = (pipeline.record or {}).get("captions", [])
    if not known:
        raise UserError(f"{folder} names no captions to draw from: fine-tune it with --prior 0")
    chosen = np.random.default_rng([seed, count]).choice(len(known), count, replace=count > len(known))
    usual = pipeline.usual
    grid = pipeline.spec.grid(usual.frames, usual.height, usual.width)
    captions, latents = [known[i] for i in chosen], []
    for first in range(0, count, TOGETHER):
        some = captions[first : first + TOGETHER]
        plans = [Plan(start=torch.ones(grid), rate=usual.rate, prompt=caption) for caption in some]
        latents += pipeline.latents(plans, [(seed, first + i) for i in range(len(some))], guidance=GUIDANCE)
        if progress:
            progress(len(latents), count)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    metadata = {**wanted, "rate": str(usual.rate), "captions": json.dumps(captions)}
    draft.write_bytes(save({"latents": torch.stack(latents).cpu().half()}, metadata))
    draft.rename(path)
    return path


def read(path: Path) -> list[Item]:
    """The clips of a file that `make` wrote. Raises UserError where it is missing or damaged."""
    metadata = _metadata(path)
    with safe_open(path, "pt") as file:
        latents = file.get_tensor("latents")
    captions = json.loads(metadata["captions"])
    return [
        Item(
            key=f"prior-{i:04d}", latent=latent, keyframes=(), rate=float(metadata["rate"]),
            captions={"terse": caption}, camera=None,
        )
        for i, (latent, caption) in enumerate(zip(latents, captions, strict=True))
    ]  # fmt: skip


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is missing or damaged ({error}): delete it and start again") from error
