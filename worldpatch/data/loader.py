"""Latent clips -> batches, as a pure function of (seed, step): no state to save, any restart sees the same batches.

An epoch is a permutation of all clips keyed by (seed, epoch), cut into runs of at most a budget of tokens; every clip
is used once per epoch, whatever its size.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldpatch.config import UserError
from worldpatch.data import shards
from worldpatch.types import Camera, Reference


@dataclass(frozen=True, kw_only=True)
class Item:
    """One encoded clip."""

    key: str
    latent: Float[Tensor, "c t h w"]  # as stored, in half precision
    keyframes: tuple[Reference, ...]
    rate: float
    captions: dict[str, str]
    camera: Camera | None
    scene: str = ""  # the kind of scene, where the source says ("fall", "hit", ...)


class LatentSet:
    """A data set of encoded clips, held in memory (a 25-frame clip at 64 px is 14 kB)."""

    def __init__(self, folders: Sequence[Path], seed: int = 0):
        self.seed = seed
        self.items = [item for folder in folders for item in _items(folder, _stamp(folder))]

    def __len__(self) -> int:
        return len(self.items)

    @property
    def fingerprint(self) -> str:
        """A hash of every clip's name, captions and latent, in order."""
        digest = hashlib.sha256()
        for item in self.items:
            digest.update(repr((item.key, item.rate, sorted(item.captions.items()))).encode())
            digest.update(item.latent.contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def batch(self, step: int, budget: int, patch: tuple[int, int, int]) -> list[Item]:
        """The clips of a step: at most `budget` patch tokens together. Raises UserError on a clip over the budget."""
        epoch, index = 0, step
        while index >= self._count(epoch, budget, patch):
            index -= self._count(epoch, budget, patch)
            epoch += 1
        return [self.items[i] for i in self._batches(epoch, budget, patch)[index]]

    @cache  # noqa: B019
    def _count(self, epoch: int, budget: int, patch: tuple[int, int, int]) -> int:
        return len(self._batches(epoch, budget, patch))

    @lru_cache(maxsize=2)  # noqa: B019
    def _batches(self, epoch: int, budget: int, patch: tuple[int, int, int]) -> list[list[int]]:
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.items))
        batches, used = [[]], 0
        for i in order.tolist():
            size = self._tokens(i, patch)
            if size > budget:
                raise UserError(
                    f"clip {self.items[i].key} has {size} tokens, over the budget of {budget}: raise the budget"
                )
            if used + size > budget:
                batches.append([])
                used = 0
            batches[-1].append(i)
            used += size
        return batches

    def _tokens(self, index: int, patch: tuple[int, int, int]) -> int:
        _, *grid = self.items[index].latent.shape
        return int(np.prod([side // p for side, p in zip(grid, patch, strict=True)]))


@lru_cache(maxsize=4)
def _items(folder: Path, stamp: tuple[tuple[str, int], ...]) -> list[Item]:
    """A folder's clips, kept for the next set that is made of them: a sweep trains many networks in one process."""
    return [_item(key, parts) for key, parts in shards.read(folder)]


def _stamp(folder: Path) -> tuple[tuple[str, int], ...]:
    """Names and times of a folder's shards: another stamp, other clips."""
    return tuple((path.name, path.stat().st_mtime_ns) for path in sorted(folder.glob("shard-*.tar")))


def _item(key: str, parts: dict[str, bytes]) -> Item:
    record = json.loads(parts["json"])
    if "latent.safetensors" not in parts:
        raise UserError(f"clip {key} has no latent: build the data set with `--vae`")
    tensors = shards.read_latent(parts["latent.safetensors"])
    times = tensors.get("times", torch.zeros(0)).tolist()
    frames = tensors.get("keyframes", torch.zeros(0))
    return Item(
        key=key,
        latent=tensors["latent"],
        keyframes=tuple(Reference(latent=f, time=t) for f, t in zip(frames, times, strict=True)),
        rate=record["rate"],
        captions=record["captions"],
        camera=shards.read_camera(parts["camera.npz"]) if "camera.npz" in parts else None,
        scene=record.get("scene", {}).get("kind", ""),
    )


def hash_seed(seed: int, step: int) -> int:
    """One generator seed per (seed, step), far apart for neighbours."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)
