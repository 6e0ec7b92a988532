"""Latents kept beside a clip that was made here: whoever goes on from them loses nothing to the pixels in between."""

import hashlib
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import LatentSpec
from worldpatch.vae._load import vae_id
from worldpatch.video._atomic import atomic


def path_of(clip: Path) -> Path:
    """Where the latents of a clip lie."""
    return clip.with_name(f"{clip.stem}.latents.safetensors")


def save(clip: Path, latents: Float[Tensor, "c t h w"], spec: LatentSpec) -> Path:
    """Writes the latents of a clip that has been written, in half precision; returns where."""
    from safetensors.torch import save_file

    metadata = {"vae": vae_id(spec), "clip": _digest(clip)}
    with atomic(path_of(clip)) as draft:
        save_file({"latents": latents.half().contiguous().cpu()}, draft, metadata)
    return path_of(clip)


def find(clip: str | Path, frames: int, height: int, width: int, pipeline: Pipeline) -> Tensor | None:
    """The latents of a clip, where they lie beside it, are of this autoencoder and hold exactly these frames of it."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path_of(Path(clip)), "pt") as file:
            latents, metadata = file.get_tensor("latents").float(), file.metadata() or {}
    except (SafetensorError, OSError):
        return None
    spec = pipeline.spec
    ours = metadata.get("vae") == vae_id(spec) and metadata.get("clip") == _digest(Path(clip))
    c, t, h, w = latents.shape
    whole = (c, spec.frames(t), h * spec.stride_s, w * spec.stride_s) == (spec.channels, frames, height, width)
    return latents if ours and whole else None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
