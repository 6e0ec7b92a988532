"""A world -> an encoded data set: render, mirror some, encode with the autoencoder, write shards."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.data import manifest, render, shards
from worldpatch.types import Clip
from worldpatch.vae._load import vae_id
from worldpatch.vae._pixels import to_tensor
from worldpatch.worlds import _holdout

CHUNK = 33  # frames encoded together


@dataclass(frozen=True, kw_only=True)
class Build:
    """What to build. The same Build gives the same set; an interrupted one goes on at its last whole shard.

    `clips` are rendered, beginning with index `first`, so that several builds of one seed need not overlap. Each is
    also stored `recolours` times with other colours, and half of all are mirrored, captions following. Captions, and
    clips with colour-shape pairs, that are reserved for evaluation (`worlds/_holdout.py`) are left out.
    """

    world: str
    clips: int
    options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    first: int = 0
    recolours: int = 0
    mirror: bool = True
    keyframes: int = 3
    workers: int = 1
    per_shard: int = 250


def build(
    plan: Build, folder: Path, vae: Any, *, progress: Callable[[int, int], None] | None = None, device: str = "cpu"
) -> int:
    """Render and encode into `folder`; returns how many clips it now holds.

    Raises UserError where the folder holds a set of another plan, and where pyarrow is missing.
    """
    manifest.import_pyarrow()
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / "build.json"
    values = {k: v for k, v in config.dump(plan).items() if k not in ("workers", "clips")}
    if record.exists() and {k: v for k, v in json.loads(record.read_text()).items() if k != "clips"} != values:
        raise UserError(f"{folder} holds a set of another plan (build.json): give another folder, or delete it")
    record.write_text(json.dumps({**values, "clips": plan.clips}, indent=1))
    keys = [key for shard in sorted(folder.glob("shard-*.tar")) for key, _ in shards.scan(shard)]
    done = int(keys[-1].split("-")[2]) + 1 - plan.first if keys else 0
    indices = range(plan.first + done, plan.first + plan.clips)
    writer, count, name = shards.Writer(folder, plan.per_shard), len(keys), vae_id(vae.spec)
    rendered = render.clips(plan.world, plan.options, plan.seed, indices, plan.workers)
    for i, (index, clip) in enumerate(zip(indices, rendered, strict=True), start=done):
        for v, variant in enumerate(_variants(plan, index, clip)):
            latent = encode(vae, variant, plan.keyframes, np.random.default_rng([plan.seed, index, 1]), device)
            writer.write(f"{plan.world}-{plan.seed}-{index:07d}-{v}", shards.members(variant, latent, name))
            count += 1
        writer.rest()
        if progress:
            progress(i + 1, plan.clips)
    writer.flush()
    if count:
        manifest.write(folder)
    return count


def _variants(plan: Build, index: int, clip: Clip) -> Iterator[Clip]:
    """The clip and its recoloured versions, some mirrored, without those reserved for evaluation."""
    world = config.resolve("worlds", plan.world)
    palette = world.palette(config.build(world.Config, plan.options))
    rng = np.random.default_rng([plan.seed, index, 0])
    for v in range(1 + plan.recolours):
        variant = clip
        if v and clip.truth is not None and not clip.truth.scene.get("gloss"):
            names = sorted({o["colour"] for o in clip.truth.objects})
            drawn = dict(zip(names, rng.permutation(palette), strict=False))
            variant = world.recolour(clip, {k: str(drawn[o["colour"]]) for k, o in enumerate(clip.truth.objects)})
        if plan.mirror and rng.random() < 0.5:
            variant = world.mirror(variant)
        captions = {k: c for k, c in variant.captions.items() if not _holdout.is_caption_held_out(c)}
        if captions and (variant.truth is None or not _holdout.is_held_out(variant.truth)):
            yield replace(variant, captions=captions)


@torch.no_grad()
def encode(vae: Any, clip: Clip, keyframes: int, rng: np.random.Generator, device: str) -> dict[str, Tensor]:
    """The clip's latent, and so many keyframes encoded as images at random times, in half precision.

    Frames after the autoencoder's last whole group are left out. Only a few frames are on the device at a time.
    """
    stride = vae.spec.stride_t
    count = vae.spec.frames(1 + (len(clip.frames) - 1) // stride)
    frames = clip.frames[:count]
    chunks = (to_tensor(frames[at : at + CHUNK]).to(device)[None] for at in range(0, count, CHUNK))
    out = {"latent": torch.cat([part[0].half().cpu() for part in vae.encode_stream(chunks)], dim=1)}
    if keyframes and count > 1:
        chosen = np.sort(rng.choice(count, min(keyframes, count), replace=False))
        images = to_tensor(frames[chosen]).to(device).movedim(1, 0)[:, :, None]
        out["keyframes"] = vae.encode(images)[:, :, 0].half().cpu()
        out["times"] = torch.tensor([i / clip.rate for i in chosen], dtype=torch.float32)
    return out
