"""A world -> an encoded data set: render, mirror some, encode with the autoencoder, write shards."""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.data import render, shards
from worldpatch.types import Clip
from worldpatch.worlds import _holdout


@dataclass(frozen=True, kw_only=True)
class Build:
    """What to build. The same Build gives the same set; an interrupted one goes on where it stopped.

    `first` is the index of the first clip, so that several builds of one seed do not overlap. `held_out` keeps clips
    with colour-shape pairs reserved for evaluation out of the set.
    """

    world: str
    clips: int
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    first: int = 0
    keyframes: int = 3
    mirror: bool = True
    workers: int = 1
    per_shard: int = 250


def build(
    plan: Build, folder: Path, vae: Any, *, progress: Callable[[int, int], None] | None = None, device: str = "cpu"
) -> int:
    """Write `plan.clips` encoded clips into `folder`; returns how many are there. Whole shards are kept on resuming.

    Raises UserError where the folder holds a set of another plan.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "build.json"
    values = {k: v for k, v in config.dump(plan).items() if k not in ("workers", "clips")}
    if record.exists() and {k: v for k, v in json.loads(record.read_text()).items() if k != "clips"} != values:
        raise UserError(f"{folder} holds a set of another plan (build.json): give another folder, or delete it")
    record.write_text(json.dumps({**values, "clips": plan.clips}, indent=1))
    writer = shards.Writer(folder, plan.per_shard)
    done = writer.shard * plan.per_shard
    kept = _training_clips(plan)
    for i, (index, clip) in enumerate(itertools.islice(kept, done, plan.clips), start=done):
        latent = encode(vae, clip, plan, index, device)
        writer.write(f"{plan.world}-{plan.seed}-{index:07d}", shards.members(clip, latent))
        if progress:
            progress(i + 1, plan.clips)
    writer.flush()
    return plan.clips


def _training_clips(plan: Build) -> Iterator[tuple[int, Clip]]:
    """(index, clip) without those reserved for evaluation; every other one is mirrored, captions following."""
    world = config.resolve("worlds", plan.world)
    indices = range(plan.first, plan.first + 2 * plan.clips)
    for index, clip in zip(indices, render.clips(plan.world, plan.options, plan.seed, indices, plan.workers), strict=True):
        if clip.truth is not None and _holdout.is_held_out(clip.truth):
            continue
        yield index, (world.mirror(clip) if plan.mirror and index % 2 else clip)


@torch.no_grad()
def encode(vae: Any, clip: Clip, plan: Build, index: int, device: str) -> dict[str, Tensor]:
    """The clip's latent, and keyframes encoded as images at random times, in half precision."""
    frames = to_tensor(clip.frames).to(device)
    out = {"latent": vae.encode(frames[None])[0].half().cpu()}
    if plan.keyframes and len(clip.frames) > 1:
        rng = np.random.default_rng([plan.seed, index, 1])
        chosen = np.sort(rng.choice(len(clip.frames), min(plan.keyframes, len(clip.frames)), replace=False))
        images = frames[:, torch.as_tensor(chosen)].movedim(1, 0)[:, :, None]
        out["keyframes"] = vae.encode(images)[:, :, 0].half().cpu()
        out["times"] = torch.tensor([i / clip.rate for i in chosen], dtype=torch.float32)
    return out


def to_tensor(frames: np.ndarray) -> Float[Tensor, "3 t h w"]:
    """uint8 "t h w 3" -> [-1, 1] "3 t h w"."""
    return torch.from_numpy(np.ascontiguousarray(frames)).movedim(-1, 0).float().div(127.5).sub(1)
