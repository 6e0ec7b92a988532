"""Checkpoints: safetensors for tensors and one JSON for the rest, written whole or not at all.

<run>/step-00001200/model.safetensors      the weights in training
                    average.safetensors    their moving average: what is validated and shipped
                    best.safetensors       the average at its best validation, where a run keeps it
                    optimiser.safetensors  moments, as <optimiser>.<parameter>.<name>
                    state.json             step, recipe, clipping, FLOPs, precision, code and data versions
"""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from worldpatch.config import UserError


def save(folder: Path, step: int, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any], keep: int = 2) -> Path:
    """Write a checkpoint beside its final name, then rename it: a kill leaves the former one whole.

    One of the same step is left as it is, for it holds the same bits.
    """
    final, draft = folder / f"step-{step:08d}", folder / ".draft"
    if final.exists():
        return final
    shutil.rmtree(draft, ignore_errors=True)  # what a killed save left
    draft.mkdir(parents=True)
    for name, values in tensors.items():
        write(draft / f"{name}.safetensors", values)
    (draft / "state.json").write_text(json.dumps(state, indent=1))
    draft.rename(final)
    for old in sorted(folder.glob("step-*"))[:-keep]:
        shutil.rmtree(old)
    return final


def latest(folder: Path) -> Path | None:
    found = sorted(folder.glob("step-*"))
    return found[-1] if found else None


def load(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """All tensors and the state. Raises UserError that names a missing or damaged file."""
    best = ("best",) if (path / "best.safetensors").exists() else ()
    tensors = {name: read(path / f"{name}.safetensors") for name in ("model", "average", "optimiser", *best)}
    state = path / "state.json"
    try:
        return tensors, json.loads(state.read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{state} is missing or damaged ({error}): delete {path} to resume from the one before"
        ) from error


def write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    """Tensors to one file, readable for whom the umask says: safetensors itself writes for the owner alone."""
    path.touch()
    mode = path.stat().st_mode
    save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, path, metadata)
    path.chmod(mode)


def read(path: Path) -> dict[str, Tensor]:
    """Tensors of one file. Raises UserError that names the file where it is missing or damaged."""
    if not path.exists():
        raise UserError(f"{path} is missing: give the folder of a whole checkpoint, or fetch the file again")
    try:
        return load_file(path)
    except Exception as error:  # safetensors raises its own type, and OSError for short files
        raise UserError(f"{path} is damaged ({error}): delete it and fetch or train it again") from error


def optimiser_tensors(optimisers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """Optimiser moments under flat names."""
    return {
        f"{i}.{index}.{name}": torch.as_tensor(value)
        for i, optimiser in enumerate(optimisers)
        for index, values in optimiser.state_dict()["state"].items()
        for name, value in values.items()
    }


def restore_optimisers(optimisers: list[torch.optim.Optimizer], tensors: dict[str, Tensor]) -> None:
    """Inverse of `optimiser_tensors`."""
    states: list[dict[int, dict[str, Tensor]]] = [{} for _ in optimisers]
    for key, value in tensors.items():
        i, index, name = key.split(".", 2)
        states[int(i)].setdefault(int(index), {})[name] = value
    for optimiser, state in zip(optimisers, states, strict=True):
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
