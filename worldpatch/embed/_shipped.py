"""The video encoder that ships, or one fresh from training: from its folder to a module."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from worldpatch import config
from worldpatch.config import UserError

NAME = "embed"  # the folder under checkpoints/, and the stem of its files


def find() -> Path:
    """The folder of the shipped encoder. Raises UserError where there is none."""
    for home in config.homes("checkpoints"):
        if (home / NAME / f"{NAME}.json").exists():
            return home / NAME
    raise UserError(f"no checkpoints/{NAME} here or beside the package: fetch it, or train it with recipes/embed.py")


def load(folder: Path | None = None) -> Any:
    """An exported encoder, by default the shipped one, ready to encode. Raises UserError where it is damaged."""
    folder = folder or find()
    try:
        record = json.loads((folder / f"{NAME}.json").read_text())
        module = config.resolve("embed", record["embed"])
        model = module.Model(config.build(module.Config, record["config"], "config."))
        weights = load_file(folder / f"{NAME}.safetensors")
        model.load_state_dict({name: value.float() for name, value in weights.items()})
    except Exception as error:  # safetensors raises its own type, json and torch theirs
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{folder} holds no whole video encoder ({reason}): fetch it again") from error
    return model.eval().requires_grad_(False)
