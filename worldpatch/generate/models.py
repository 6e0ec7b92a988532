"""Where trained models lie: `checkpoints/<name>` here or beside the package, or any folder."""

import hashlib
from functools import lru_cache
from pathlib import Path

from worldpatch.config import UserError, homes


def shipped() -> dict[str, Path]:
    """Name -> folder of every model that can be asked for by name."""
    found = [p.parent for home in reversed(homes("checkpoints")) for p in sorted(home.glob("*/model.json"))]
    return {folder.name: folder for folder in found}


def find(name: str) -> Path:
    """The folder of a model, by name or path. Raises UserError that lists the known models."""
    known = shipped()
    if name in known:
        return known[name]
    if (Path(name) / "model.json").exists():
        return Path(name)
    listed = ", ".join(known) or "none"
    if Path(name).is_dir():
        raise UserError(f"{name} holds no model.json, so it is no trained model; known models: {listed}")
    raise UserError(f"no model is named {name!r}; known: {listed}; or give the folder of a trained model")


def fingerprint(folder: Path) -> str:
    """Identity of a model's weights: the same 16 characters, the same videos. Read again only where files changed."""
    files = [folder / name for name in ("model.safetensors", "vae.safetensors") if (folder / name).exists()]
    return _fingerprint(tuple((file, file.stat().st_size, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=64)
def _fingerprint(files: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for file, _, _ in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
