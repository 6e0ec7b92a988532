"""Clips on disk: WebDataset tars that any tool can read.

<key>.json                 captions, rate, size, seed, source, licence, objects, events, scene; of real videos also
                           their origin, span, scores and hashes (`manifest.row` lists the keys)
<key>.mp4                  frames, where kept: H.264, a keyframe at least every 12 frames, index first
<key>.camera.npz           intrinsics and pose per frame, where known
<key>.tracks.npz           "place", (x, y) in pixels of each solid per frame, NaN where less than half of it is seen
<key>.actions.npz          "action", one row per frame, where known
<key>.states.npz           "state", one row per frame, where known
<key>.latent.safetensors   latent "c t h w"; keyframes "k c h w" and their times "k", encoded as images; its metadata
                           names the autoencoder ("vae")

`data/manifest.py` says where in which tar each of these lies, and `fetch` reads one without the rest.
"""

import io
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load, save
from torch import Tensor

from worldpatch.config import UserError
from worldpatch.types import Camera, Clip

OPEN_FILES = 64  # tars that `fetch` keeps open


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a member's bytes lie."""

    shard: Path
    offset: int
    size: int


class Writer:
    """Writes records into numbered tars of about `per_shard` clips; a tar appears under its name only when whole."""

    def __init__(self, folder: Path, per_shard: int = 500):
        self.folder, self.per_shard = folder, per_shard
        folder.mkdir(parents=True, exist_ok=True)
        self.shard = len(list(folder.glob("shard-*.tar")))
        self.tar: tarfile.TarFile | None = None
        self.count = 0

    def write(self, key: str, members: dict[str, bytes]) -> None:
        if self.tar is None:
            self.tar = tarfile.open(self._draft, "w")  # noqa: SIM115
        for suffix, content in members.items():
            info = tarfile.TarInfo(f"{key}.{suffix}")
            info.size = len(content)
            self.tar.addfile(info, io.BytesIO(content))
        self.count += 1

    def rest(self) -> None:
        """A place where a build may stop and go on: begins a new tar if this one is full."""
        if self.count >= self.per_shard:
            self.flush()

    def flush(self) -> None:
        if self.tar is not None:
            self.tar.close()
            self._draft.rename(self.folder / f"shard-{self.shard:06d}.tar")
            self.tar, self.count, self.shard = None, 0, self.shard + 1

    @property
    def _draft(self) -> Path:
        return self.folder / f".draft-{self.shard:06d}.tar"


def read(folder: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """(key, suffix -> content) of every clip, in order. Raises UserError where there is no shard, or a damaged one."""
    for shard in names(folder):
        for key, places in scan(shard):
            yield key, {suffix: fetch(place) for suffix, place in places.items()}


def names(folder: Path) -> list[Path]:
    """A set's shards, in order. Raises UserError where there is none."""
    found = sorted(folder.glob("shard-*.tar"))
    if not found:
        raise UserError(f"{folder} holds no shard-*.tar: build a data set with `worldpatch data build` first")
    return found


def scan(shard: Path) -> Iterator[tuple[str, dict[str, Place]]]:
    """(key, suffix -> place) of every clip of a shard, in order. Raises UserError where the tar is damaged."""
    try:
        with shard.open("rb") as file:
            # A tar ends in zeros; tarfile takes one that was cut between two members for whole.
            file.seek(-min(1024, shard.stat().st_size), io.SEEK_END)
            if file.read().strip(b"\0"):
                raise tarfile.ReadError("it was cut short")
        with tarfile.open(shard, "r:") as tar:
            key, places = "", {}
            for info in tar:
                name, _, suffix = info.name.partition(".")
                if name != key and places:
                    yield key, places
                    places = {}
                key = name
                places[suffix] = Place(shard=shard, offset=info.offset_data, size=info.size)
            if places:
                yield key, places
    except (tarfile.TarError, OSError) as error:
        raise UserError(f"{shard} is damaged ({error}): delete it and build the data set again") from error


def fetch(place: Place) -> bytes:
    """One member's bytes. Safe in threads and after a fork. Raises UserError where the shard is gone or too short."""
    try:
        status = os.stat(place.shard)
        file = _file(place.shard, (status.st_ino, status.st_mtime_ns))
        content = os.pread(file.number, place.size, place.offset)
    except OSError as error:
        raise UserError(f"cannot read {place.shard} ({error.strerror}): put it back or build the set again") from error
    if len(content) < place.size:
        raise UserError(f"{place.shard} is damaged (it was cut short): delete it and build the data set again")
    return content


class _File:
    """An open file that closes with the last who holds it: a thread may still read what the cache has let go."""

    def __init__(self, path: Path):
        self.number = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


@lru_cache(maxsize=OPEN_FILES)
def _file(path: Path, stamp: tuple[int, int]) -> _File:
    return _File(path)


def describe(clip: Clip) -> dict[str, Any]:
    """The part of a clip that is text and numbers."""
    frames, height, width, _ = clip.frames.shape
    record: dict[str, Any] = {
        "captions": clip.captions, "rate": clip.rate, "frames": frames, "height": height, "width": width,
        "seed": clip.seed, "source": clip.source, "licence": clip.licence,
    }  # fmt: skip
    if clip.truth is not None:
        record["objects"] = list(clip.truth.objects)
        record["events"] = [vars(e) for e in clip.truth.events]
        record["scene"] = clip.truth.scene
    return record


def members(clip: Clip, latent: dict[str, Tensor] | None = None, vae: str = "") -> dict[str, bytes]:
    """A clip as members of a shard (without its frames); `vae` names the autoencoder that made the latent."""
    parts = {"json": json.dumps(describe(clip), default=plain).encode()}
    if clip.camera is not None:
        file = io.BytesIO()
        np.savez(file, intrinsics=clip.camera.intrinsics, pose=clip.camera.pose)
        parts["camera.npz"] = file.getvalue()
    if clip.truth is not None and clip.truth.masks is not None:
        file = io.BytesIO()
        np.savez_compressed(file, place=clip.truth.places())
        parts["tracks.npz"] = file.getvalue()
    if latent is not None:
        parts["latent.safetensors"] = write_latent(latent, vae)
    return parts


def read_places(content: bytes) -> Float[np.ndarray, "t k 2"]:
    return np.load(io.BytesIO(content))["place"]


def read_camera(content: bytes) -> Camera:
    arrays = np.load(io.BytesIO(content))
    return Camera(intrinsics=arrays["intrinsics"].astype(np.float32), pose=arrays["pose"].astype(np.float32))


def write_latent(latent: dict[str, Tensor], vae: str) -> bytes:
    return save({k: v.contiguous() for k, v in latent.items()}, {"vae": vae} if vae else None)


def read_latent(content: bytes) -> dict[str, Tensor]:
    return load(content)


def plain(value: Any) -> Any:
    """numpy scalars and arrays, and tensors, as JSON knows them."""
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} does not fit into JSON")
