"""Latents of clips, by an autoencoder that each worker loads once."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from worldpatch.config import UserError
from worldpatch.data import shards
from worldpatch.data.build import encode as to_latent
from worldpatch.data.curate.records import Job
from worldpatch.data.curate.split import media
from worldpatch.types import Clip
from worldpatch.vae import _load
from worldpatch.vae._load import vae_id
from worldpatch.video import read
from worldpatch.video._atomic import atomic

KEYFRAMES = 3  # of each clip, encoded as images as well


def encode(job: Job) -> dict[str, Any]:
    """{"id", "work", "vae", "device"} -> {"error"}: the clip's latent is then in `latent(work, id, vae's name)`."""
    work, identity = Path(job["work"]), job["id"]
    vae, name = _vae(job["vae"], job["device"])
    path = latent(work, identity, name)
    if path.exists():
        return {"error": ""}
    try:
        frames, rate = read.read(media(work, identity))
        rng = np.random.default_rng([int(identity[:8], 16)])
        made = to_latent(vae, Clip(frames=frames, rate=rate), KEYFRAMES, rng, job["device"])
    except UserError as error:
        return {"error": str(error)}
    with atomic(path) as draft:
        draft.write_bytes(shards.write_latent(made, name))
    return {"error": ""}


def latent(work: Path, identity: str, vae: str) -> Path:
    """Where a clip's latent by the autoencoder of this name is."""
    return work / "latents" / vae / identity[:2] / f"{identity}.safetensors"


def name(folder: str) -> str:
    """The name of the autoencoder in a folder."""
    return _vae(folder, "cpu")[1]


@cache
def _vae(folder: str, device: str) -> tuple[Any, str]:
    vae = _load.load(Path(folder)).to(device)
    return vae, vae_id(vae.spec)
