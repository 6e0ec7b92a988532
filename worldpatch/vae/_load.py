"""Trained weights from a folder to a module: an autoencoder, and the pieces that other models load with as well."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.types import LatentSpec


def load(folder: Path) -> Any:
    """An exported autoencoder, with the statistics its JSON states."""
    record = read_record(folder / "vae.json", "vae", "config", "spec")
    module = config.resolve("vae", record["vae"])
    model = module.Model(config.build(module.Config, record["config"], "vae."))
    load_weights(model, folder / "vae.safetensors")
    for name in ("first_mean", "first_std", "later_mean", "later_std"):
        getattr(model, name).copy_(torch.tensor(record["spec"][name]))
    return model.eval()


def read_record(path: Path, *needed: str) -> dict[str, Any]:
    """A model's JSON. Raises UserError where it is missing, damaged, or lacks one of the `needed` keys."""
    if not path.exists():
        raise UserError(f"{path} is missing: give a folder that holds a trained model")
    try:
        record = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): fetch the model folder again") from error
    missing = [key for key in needed if key not in record]
    if missing:
        raise UserError(f"{path} is damaged (it lacks {', '.join(missing)}): fetch the model folder again")
    return record


def load_weights(model: nn.Module, path: Path) -> None:
    """Fill a module from a file, in float32. Raises UserError where the file is missing or does not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.exists():
        raise UserError(f"{path} is missing: fetch the model folder again")
    try:
        model.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    except (SafetensorError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path} is damaged or of another model ({reason}): fetch the model folder again") from error


def vae_id(spec: LatentSpec) -> str:
    """A name for an autoencoder: a hash of its latents' geometry and statistics, which no two trainings share."""
    return hashlib.sha256(json.dumps(config.dump(spec)).encode()).hexdigest()[:16]
