"""Clips on disk: WebDataset tars that any tool can read.

<key>.json                 captions, rate, size, seed, source, licence, objects, events, scene
<key>.mp4                  frames, where kept
<key>.camera.npz           intrinsics and pose per frame, where known
<key>.latent.safetensors   latent "c t h w"; keyframes "k c h w" and their times "k", encoded as images
"""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from worldpatch.config import UserError
from worldpatch.types import Camera, Clip


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
    shards = sorted(folder.glob("shard-*.tar"))
    if not shards:
        raise UserError(f"{folder} holds no shard-*.tar: build a data set with `worldpatch data build` first")
    for shard in shards:
        try:
            yield from _records(shard)
        except (tarfile.TarError, OSError) as error:
            raise UserError(f"{shard} is damaged ({error}): delete it and build the data set again") from error


def _records(shard: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    with shard.open("rb") as file:
        # A tar ends in zeros; tarfile takes one that was cut between two members for whole.
        file.seek(-min(1024, shard.stat().st_size), io.SEEK_END)
        if file.read().strip(b"\0"):
            raise tarfile.ReadError("it was cut short")
    with tarfile.open(shard, "r:") as tar:
        key, members = "", {}
        for info in tar:
            name, _, suffix = info.name.partition(".")
            if name != key and members:
                yield key, members
                members = {}
            key = name
            content = tar.extractfile(info)
            assert content is not None
            members[suffix] = content.read()
        if members:
            yield key, members


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


def members(clip: Clip, latent: dict[str, Tensor] | None = None) -> dict[str, bytes]:
    """A clip as members of a shard (without its frames)."""
    parts = {"json": json.dumps(describe(clip), default=plain).encode()}
    if clip.camera is not None:
        file = io.BytesIO()
        np.savez(file, intrinsics=clip.camera.intrinsics, pose=clip.camera.pose)
        parts["camera.npz"] = file.getvalue()
    if latent is not None:
        parts["latent.safetensors"] = save({k: v.contiguous() for k, v in latent.items()})
    return parts


def read_camera(content: bytes) -> Camera:
    arrays = np.load(io.BytesIO(content))
    return Camera(intrinsics=arrays["intrinsics"].astype(np.float32), pose=arrays["pose"].astype(np.float32))


def read_latent(content: bytes) -> dict[str, Tensor]:
    return load(content)


def plain(value: Any) -> Any:
    """numpy scalars and arrays, and tensors, as JSON knows them."""
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} does not fit into JSON")
