"""What a model knew before it is fine-tuned: clips of its own, from captions it was trained on.

Half of the captions are those most like the ones it is about to learn, for what it knew next to them is what it would
lose; the others are any.
"""

import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
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
from worldpatch.text._known import nearest, words_of
from worldpatch.types import Plan

TOGETHER = 8  # clips in a packed pass
GUIDANCE = Guidance(scale=2.0)


def make(
    model: str, path: Path, count: int, near: Sequence[str] = (), *, seed: int = 0, device: str = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> Path:  # fmt: skip
    """Draw `count` clips of the model's usual form into a safetensors file, unless that file holds them already.

    `near` are the captions that will be learned. Raises UserError where the model's record names no captions.
    """
    folder = find(model)
    said = hashlib.sha256(json.dumps(sorted(set(near))).encode()).hexdigest()[:16]
    wanted = {"model": fingerprint(folder), "count": str(count), "seed": str(seed), "near": said}
    if path.exists() and wanted.items() <= _metadata(path).items():
        return path
    pipeline = load(folder, device)
    known = (pipeline.record or {}).get("captions", [])
    if not known:
        raise UserError(f"{folder} names no captions to draw from: fine-tune it with --prior 0")
    captions, latents = _chosen(known, count, near, np.random.default_rng([seed, count])), []
    usual = pipeline.usual
    grid = pipeline.spec.grid(usual.frames, usual.height, usual.width)
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


def _chosen(known: Sequence[str], count: int, near: Sequence[str], rng: np.random.Generator) -> list[str]:
    """So many of the known captions, each once while there are enough."""
    left = dict.fromkeys(known[int(i)] for i in rng.permutation(len(known)))
    words = {word for caption in known for word in words_of(caption)}
    found = []
    for caption in itertools.islice(itertools.cycle(rng.permutation(sorted(set(near)))), min(count, len(left)) // 2):
        if like := nearest(str(caption), left, words):
            found.append(like)
            del left[like]
    found += list(left)[: count - len(found)]
    return list(itertools.islice(itertools.cycle(found), count))


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
