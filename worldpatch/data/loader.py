"""Latent clips -> batches, as a pure function of (seed, step): no state to save, any restart sees the same batches.

A set is read through its manifest: what is known of a clip stands there, its latent is read when it is needed. Batches
are numbered. Number n holds the same clips whoever asks for it, in whatever order, on however many machines, so ranks
and workers share out numbers (`share`) and nothing else.
"""

import hashlib
import threading
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Generator, Tensor

from worldpatch.config import UserError
from worldpatch.data import _order, manifest, shards
from worldpatch.data.manifest import Manifest, Row
from worldpatch.types import Camera, LatentSpec, Reference
from worldpatch.vae._load import vae_id

COLUMNS = ("clip_id", "shard", "members", "fps", "captions", "latent", "sim_params", "split", "problem")
CACHE = 2 << 30  # bytes of latents kept in memory, for all sets of a process together
EXAMPLES = 3  # names given for each reason


@dataclass(frozen=True, kw_only=True)
class Item:
    """One encoded clip."""

    key: str
    latent: Float[Tensor, "c t h w"]  # as stored, in half precision
    keyframes: tuple[Reference, ...]
    rate: float
    captions: dict[str, str]
    camera: Camera | None
    tracks: Float[np.ndarray, "frames k 2"] | None = None  # (x, y) in pixels per frame, NaN where not seen
    scene: str = ""  # the kind of scene, where the source says ("fall", "hit", ...)
    captioners: dict[str, str] = field(default_factory=dict)  # kind of caption -> the model that made it


@dataclass(frozen=True, kw_only=True)
class Report:
    """How many clips came in, and for each reason the names of those that are not used."""

    clips: int
    unused: dict[str, tuple[str, ...]]

    @property
    def used(self) -> int:
        return self.clips - sum(map(len, self.unused.values()))

    def __str__(self) -> str:
        lines = [f"{self.clips} clips in, {self.used} used"]
        for reason, names in sorted(self.unused.items(), key=lambda entry: -len(entry[1])):
            more = ", ..." if len(names) > EXAMPLES else ""
            lines.append(f"{len(names)} {reason} ({', '.join(names[:EXAMPLES])}{more})")
        return "; ".join(lines)


class LatentSet:
    """Encoded clips of several folders, read when they are asked for and kept while there is room.

    Left out, and counted in `unused`, are clips without a latent, damaged ones, those of another autoencoder than
    `spec` where both are known, with `captioned` those without a caption, and with `split` those of another split
    (clips of no split belong to all).
    """

    def __init__(
        self, folders: Sequence[Path], *, spec: LatentSpec | None = None, captioned: bool = False, split: str = ""
    ):
        self.sources: list[tuple[Manifest, Row]] = []
        self.counts: list[int] = []  # clips of each folder
        self.unused: dict[str, list[str]] = {}
        for folder in folders:
            before, found = len(self.sources), _manifest(folder, _stamp(folder))
            for row in found.rows:
                reason = _reason(row, spec, captioned, split)
                if reason:
                    self.unused.setdefault(reason, []).append(row.clip_id)
                else:
                    self.sources.append((found, row))
            self.counts.append(len(self.sources) - before)
        if not self.sources:
            raise UserError(f"{', '.join(map(str, folders))}: {self.report}: build the data set with `--vae`")

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> Item:
        """A clip with its latent. Raises UserError where its bytes are no longer what the manifest says."""
        return _cache.item(*self.sources[index])

    def __iter__(self) -> Iterator[Item]:
        return (self[i] for i in range(len(self)))

    @property
    def rows(self) -> list[Row]:
        """What the manifests say of the clips."""
        return [row for _, row in self.sources]

    @property
    def report(self) -> Report:
        number = len(self.sources) + sum(map(len, self.unused.values()))
        return Report(clips=number, unused={reason: tuple(names) for reason, names in self.unused.items()})

    @property
    def fingerprint(self) -> str:
        """A hash of every clip's name, rate, captions, and the check sums of its bytes, in order."""
        digest = hashlib.sha256()
        for row in self.rows:
            captions = sorted((c.kind, c.text) for c in row.captions)
            sums = sorted((m.suffix, m.size, m.crc32) for m in row.members)
            digest.update(repr((row.clip_id, row.fps, captions, sums)).encode())
        return digest.hexdigest()[:16]


class Batches:
    """Which clips make up batch 0, 1, 2, ...: each at most `budget` patch tokens, images and videos together.

    Clips come in rounds. Without `weights`, a round is an epoch: every clip once. With one weight per folder, a clip of
    a round comes from a folder as often as the weights say: after any number of rounds each folder's share of the clips
    is exact, rounded down, and each folder's own clips are all used once before one is used again.

    A clip of more than `budget` tokens, or whose latent is no multiple of the patch, is left out and counted in
    `report`. Finding batch n takes about 2 microseconds for each clip before it, the first time.
    """

    def __init__(
        self,
        data: LatentSet,
        *,
        seed: int,
        budget: int,
        patch: tuple[int, int, int],
        weights: Sequence[float | int] = (),
    ):
        self.data, self.seed, self.budget, self.patch = data, seed, budget, patch
        _check_weights(weights, data.counts)
        self.sizes = [_tokens(row, patch) for row in data.rows]
        self.chosen = [i for i, size in enumerate(self.sizes) if 0 < size <= budget]
        if not self.chosen:
            raise UserError(f"no clip fits: {self.report}: raise the budget")
        ends = np.cumsum([0, *data.counts])
        self.counts = np.diff(np.searchsorted(self.chosen, ends)).tolist()
        self.weights = [w if n else 0 for w, n in zip(weights or self.counts, self.counts, strict=True)]
        self._ends: list[int] = []  # of each round, the number of its last batch and one
        self._lock = threading.Lock()
        self._packed = lru_cache(maxsize=2)(self._pack)

    @property
    def report(self) -> Report:
        unused = dict(self.data.report.unused)
        over = f"over the budget of {self.budget} tokens"
        off = f"with a latent that is no multiple of the patch {self.patch}"
        for reason, left_out in ((over, lambda size: size > self.budget), (off, lambda size: size == 0)):
            names = tuple(self.data.sources[i][1].clip_id for i, size in enumerate(self.sizes) if left_out(size))
            if names:
                unused[reason] = names
        return Report(clips=self.data.report.clips, unused=unused)

    @property
    def fill(self) -> float:
        """The share of the budget that the first round's batches use."""
        with self._lock:
            batches = self._packed(0)
        return sum(self.sizes[i] for batch in batches for i in batch) / (self.budget * len(batches))

    def batch(self, number: int) -> list[Item]:
        """The clips of a batch."""
        return [self.data[i] for i in self.indices(number)]

    def indices(self, number: int) -> list[int]:
        """The clips of a batch, as they are numbered in `data`."""
        with self._lock:  # the batch ahead is made in a thread
            while not self._ends or self._ends[-1] <= number:
                before = self._ends[-1] if self._ends else 0
                self._ends.append(before + len(self._packed(len(self._ends))))
            which = bisect_right(self._ends, number)
            return self._packed(which)[number - (self._ends[which - 1] if which else 0)]

    def _pack(self, number: int) -> list[list[int]]:
        drawn = _order.draws(self.counts, self.weights, number)
        order = _order.order(self.counts, drawn, self.seed, number)
        return _order.pack([self.chosen[i] for i in order.tolist()], self.sizes, self.budget)


def share(step: int, batches: int, rank: int = 0, world: int = 1) -> range:
    """The numbers of the batches that a rank computes in a step of so many batches in all.

    All ranks together have the same ones whatever the world. Raises UserError where a rank would have none.
    """
    if not 0 <= rank < world <= batches:
        raise UserError(f"{batches} batches a step cannot be shared by rank {rank} of {world}: give each at least one")
    return range(step * batches + rank, (step + 1) * batches, world)


Made = TypeVar("Made")


def ahead(make: Callable[[int], Made], numbers: Iterable[int], *, workers: int = 1, depth: int = 2) -> Iterator[Made]:
    """make(number) for each number, in order, made by so many threads while earlier ones are used.

    At most `depth` finished or unfinished ones wait for each thread. What is made does not depend on the threads.
    """
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Made]] = deque()
        try:
            for number in numbers:
                waiting.append(pool.submit(make, number))
                if len(waiting) > workers * depth:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def choose_caption(item: Item, generated: float, generator: Generator) -> str:
    """One of a clip's captions: with probability `generated` one that a model made, else one that came with it.

    Where a clip has only one sort, that is used. Worlds' captions come with the clip.
    """
    made = sorted(kind for kind in item.captions if item.captioners.get(kind))
    given = sorted(kind for kind in item.captions if not item.captioners.get(kind))
    kinds = made or given
    if made and given and torch.rand((), generator=generator) >= generated:
        kinds = given
    return item.captions[kinds[int(torch.randint(len(kinds), (), generator=generator))]]


def hash_seed(seed: int, step: int) -> int:
    """One generator seed per (seed, step), far apart for neighbours."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)


# ---------------------------------------------------------------------------------------------------- behind the scenes


def _reason(row: Row, spec: LatentSpec | None, captioned: bool, split: str) -> str:
    """Why a clip cannot be used; empty where it can."""
    if row.problem:
        return "damaged"
    if row.latent is None:
        return "without a latent"
    if spec and (row.latent.c != spec.channels or (row.latent.vae and row.latent.vae != vae_id(spec))):
        return "encoded by another autoencoder"
    if captioned and not row.captions:
        return "without a caption"
    return f"kept for {row.split!r}" if split and row.split and row.split != split else ""


def _tokens(row: Row, patch: tuple[int, int, int]) -> int:
    """Patch tokens of a clip; 0 where its latent is no multiple of the patch."""
    assert row.latent is not None
    grid = (row.latent.t, row.latent.h, row.latent.w)
    if any(side % p for side, p in zip(grid, patch, strict=True)):
        return 0
    return int(np.prod([side // p for side, p in zip(grid, patch, strict=True)]))


def _check_weights(weights: Sequence[float | int], counts: Sequence[int]) -> None:
    if not weights:
        return
    if len(weights) != len(counts):
        raise UserError(f"{len(weights)} weights for {len(counts)} data folders: give one each, or none")
    if any(not 0 <= w < float("inf") for w in weights) or not any(
        w and n for w, n in zip(weights, counts, strict=True)
    ):
        raise UserError(f"weights {list(weights)} must be at least 0, and not 0 for all folders that hold clips")


@lru_cache(maxsize=8)
def _manifest(folder: Path, stamp: tuple[tuple[str, int], ...]) -> Manifest:
    """A folder's manifest, kept for the next set that is made of it: a sweep trains many networks in one process."""
    return manifest.find(folder, COLUMNS)


def _stamp(folder: Path) -> tuple[tuple[str, int], ...]:
    """Names and times of a folder's shards and manifest: another stamp, other clips."""
    files = [*sorted(folder.glob("shard-*.tar")), folder / manifest.NAME]
    return tuple((path.name, path.stat().st_mtime_ns) for path in files if path.exists())


class _Cache:
    """The clips used last, up to so many bytes."""

    def __init__(self, limit: int):
        self.limit, self.size, self.lock = limit, 0, threading.Lock()
        self.items: OrderedDict[Any, tuple[Item, int]] = OrderedDict()

    def item(self, source: Manifest, row: Row) -> Item:
        key = (source.folder, row.clip_id, tuple((m.offset, m.crc32) for m in row.members))
        with self.lock:
            if key in self.items:
                self.items.move_to_end(key)
                return self.items[key][0]
        item = _item(source, row)
        size = sum(t.nbytes for t in (item.latent, *(r.latent for r in item.keyframes)))
        with self.lock:
            if key not in self.items and size <= self.limit:
                self.items[key] = item, size
                self.size += size
            while self.size > self.limit:
                self.size -= self.items.popitem(last=False)[1][1]
        return item


_cache = _Cache(CACHE)


def _item(source: Manifest, row: Row) -> Item:
    tensors = shards.read_latent(source.fetch(row, "latent.safetensors"))
    times = tensors.get("times", torch.zeros(0)).tolist()
    frames = tensors.get("keyframes", torch.zeros(0))
    assert row.fps is not None
    return Item(
        key=row.clip_id,
        latent=tensors["latent"],
        keyframes=tuple(Reference(latent=f, time=t) for f, t in zip(frames, times, strict=True)),
        rate=row.fps,
        captions={c.kind: c.text for c in row.captions},
        camera=shards.read_camera(source.fetch(row, "camera.npz")) if row.member("camera.npz") else None,
        tracks=shards.read_places(source.fetch(row, "tracks.npz")) if row.member("tracks.npz") else None,
        scene=row.scene,
        captioners={c.kind: c.model for c in row.captions if c.model},
    )
