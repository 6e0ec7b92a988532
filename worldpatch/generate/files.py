"""Results to files that know how they were made, and back to the request."""

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from worldpatch import __version__, config
from worldpatch.config import UserError
from worldpatch.generate import lora, stored
from worldpatch.generate.models import fingerprint
from worldpatch.generate.provenance import Provenance
from worldpatch.types import LatentSpec, Request, Result
from worldpatch.video import sheet, write


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that determines the frames: the request, the fingerprints of the model and of its adapters (`loras`), the
    version of the code, the threads (sums taken in another order differ in the last bit), and what a critic asked for
    and did, in its own words, if there was one (`evals.critic`).

    `expansion` is that of the prompt, if the request's is told more fully than the user's was (`generate.expand`).
    `provenance` says by whom the file is signed and whether it is watermarked, or why not; of all this only the
    watermark changes the frames."""

    request: Request
    fingerprint: str
    version: str
    threads: int
    critic: dict[str, Any] | None = None
    expansion: dict[str, Any] | None = None
    loras: tuple[str, ...] = ()
    provenance: dict[str, str] = field(default_factory=dict)

    def id(self, variant: int) -> str:
        """The name of the video that comes of it: the same for the same request, whoever signs it."""
        told = json.dumps(dataclasses.asdict(dataclasses.replace(self, provenance={})), sort_keys=True)
        return f"{hashlib.sha256(told.encode()).hexdigest()[:16]}-{variant + 1}"


def recipe(request: Request, folder: Path) -> Recipe:
    """The recipe of a request to the model in `folder`, as run here and now."""
    adapters = tuple(lora.fingerprint(lora.parse(text).folder) for text in request.loras)
    return Recipe(
        request=request, fingerprint=fingerprint(folder), version=__version__, threads=torch.get_num_threads(),
        loras=adapters,
    )  # fmt: skip


def read_recipe(path: Path) -> Recipe:
    """The recipe inside a file that `save` wrote. Raises UserError where there is none."""
    values = write.read_metadata(path)
    if not isinstance(values, dict) or "request" not in values:
        raise UserError(f"{path} holds no recipe: give a file made by `worldpatch generate`, or a prompt")
    return config.build(Recipe, values)


def outputs(path: Path, variants: int) -> list[Path]:
    """The files that `variants` variants go to: `path` itself, or `out-1.mp4`, `out-2.mp4`, ..."""
    if variants == 1:
        return [path]
    return [path.with_stem(f"{path.stem}-{i + 1}") for i in range(variants)]


def sheet_of(path: Path) -> Path:
    """Where the variants of `path` are shown side by side."""
    return path.with_name(f"{path.stem}-sheet.png")


def check(path: Path, variants: int) -> None:
    """Raises UserError if `save` would be refused; makes the folder. Worth asking before the work."""
    for file in outputs(path, variants):
        write.check(file)
    if variants > 1:
        write.check(sheet_of(path))


def save(
    result: Result, path: Path, recipe: Recipe, spec: LatentSpec | None = None, provenance: Provenance | None = None
) -> list[Path]:
    """Write every variant with its recipe inside, and for several a sheet; returns the paths. Each appears whole.

    With `spec`, that of the latents, these are kept beside each variant. With `provenance` the frames are watermarked
    and the files signed as it says; the latents are of the clip without a watermark.
    """
    clips = [frames.numpy() for frames in result.frames.cpu()]
    files = outputs(path, len(clips))
    metadata: dict[str, Any] = dataclasses.asdict(recipe)
    for variant, (file, frames) in enumerate(zip(files, clips, strict=True)):
        if provenance is None:
            write.write(file, frames, result.rate, metadata)
            continue
        mark = provenance.mark(frames.shape, recipe.id(variant))
        claim = provenance.claim(recipe.request, recipe.fingerprint, file.name, recipe.id(variant), mark)
        draft = file.with_name(f".{file.stem}.{os.getpid()}{file.suffix}")  # what is signed may take its parent's place
        write.write(draft, frames if mark is None else _marked(frames, mark), result.rate, metadata)
        try:
            provenance.sign(draft, claim)
        finally:
            os.replace(draft, file)  # unsigned rather than lost
    beside = [stored.save(*pair, spec) for pair in zip(files, result.latents, strict=True)] if spec else []
    if len(clips) > 1:
        shown = sheet_of(path)
        sheet.contact_sheet(clips, [f"variant {i + 1}" for i in range(len(clips))], shown)
        if provenance is not None:
            provenance.sign(shown, provenance.claim(recipe.request, recipe.fingerprint, shown.name, recipe.id(0)))
        beside.append(shown)
    return files + beside


def _marked(frames: Any, number: int) -> Any:
    from worldpatch.safety.watermark import mark

    return mark(frames, number)
