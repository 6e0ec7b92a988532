"""Low-rank adapters (LoRA, Hu et al. 2021): what fine-tuning learns, in the files of the `peft` library.

    adapter_config.json          r, lora_alpha, target_modules, ... as `peft.LoraConfig` writes them
    adapter_model.safetensors    base_model.model.<module>.lora_A.weight "r in", ...lora_B.weight "out r";
                                 of an embedding lora_embedding_A "r vocabulary", lora_embedding_B "width r"
    worldpatch.json              the model it belongs to, the words it has read, and how it was trained

An adapter is added to the weights once, W + scale * alpha / r * B A, when a model is loaded or a training step begins;
layers stay as they are. (Layers wrapped in place would be passed over: PyTorch's transformer layer reads the weights
themselves when it takes no gradients.)
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from worldpatch.config import UserError

CONFIG, WEIGHTS, RECORD = "adapter_config.json", "adapter_model.safetensors", "worldpatch.json"
PREFIX = "base_model.model."
LINEAR, EMBEDDING = ("lora_A.weight", "lora_B.weight"), ("lora_embedding_A", "lora_embedding_B")
PLAIN = {  # fields of peft.LoraConfig that must be as here: what they ask for otherwise is not in the formula above
    "bias": "none", "use_dora": False, "rank_pattern": {}, "alpha_pattern": {}, "fan_in_fan_out": False,
    "modules_to_save": None, "trainable_token_indices": None,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Use:
    """An adapter's folder and how strongly it acts: 0 not at all, 1 as trained."""

    folder: Path
    scale: float = 1.0


class Adapter(nn.Module):
    """Low-rank changes of the weights of linear layers and embeddings, by the names of their modules."""

    def __init__(self, rank: int, alpha: float, rslora: bool = False):
        super().__init__()
        self.rank, self.alpha, self.rslora = rank, alpha, rslora
        self.down, self.up = nn.ParameterDict(), nn.ParameterDict()  # A and B; a ParameterDict's keys hold no dots

    @property
    def scale(self) -> float:
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)

    @property
    def modules_changed(self) -> list[str]:
        return [key.replace("/", ".") for key in self.down]

    def put(self, module: str, down: Tensor, up: Tensor) -> None:
        """Change a module by up @ down: "out r" @ "r in", of an embedding "width r" @ "r vocabulary"."""
        key = module.replace(".", "/")
        self.down[key], self.up[key] = nn.Parameter(down), nn.Parameter(up)

    def changes(self, network: nn.Module) -> dict[str, Tensor]:
        """Name of a weight -> what is added to it. Raises UserError where a module is missing or has another shape."""
        found = {}
        for key, down in self.down.items():
            name = key.replace("/", ".")
            change = self.scale * (self.up[key] @ down)
            layer = _layer(network, name)
            if isinstance(layer, nn.Embedding):
                change = change.T
            if not isinstance(layer, nn.Linear | nn.Embedding) or layer.weight.shape != change.shape:
                has = "x".join(map(str, layer.weight.shape)) if hasattr(layer, "weight") else "no"  # type: ignore[union-attr]
                wants = "x".join(map(str, change.shape))
                raise UserError(f"the adapter changes {wants} weights of {name!r}, of which this model has {has}")
            found[f"{name}.weight"] = change
        return found


def _layer(network: nn.Module, name: str) -> nn.Module | None:
    try:
        return network.get_submodule(name)
    except AttributeError:
        return None


def create(network: nn.Module, rank: int, alpha: float, targets: Sequence[str], seed: int = 0) -> Adapter:
    """An adapter that changes nothing yet, of every linear layer and embedding whose name ends in one of `targets`.

    One of the two factors is zero and the other drawn, as in peft. Raises UserError where nothing matches.
    """
    if rank < 1:
        raise UserError(f"rank {rank} must be at least 1; 16 is usual")
    generator, adapter = torch.Generator().manual_seed(seed), Adapter(rank, alpha)
    for name, layer in network.named_modules():
        if not any(name == t or name.endswith(f".{t}") for t in targets):
            continue
        if isinstance(layer, nn.Linear):
            bound = 1 / math.sqrt(layer.in_features)
            down = torch.empty(rank, layer.in_features).uniform_(-bound, bound, generator=generator)
            adapter.put(name, down, torch.zeros(layer.out_features, rank))
        elif isinstance(layer, nn.Embedding):
            up = torch.randn(layer.embedding_dim, rank, generator=generator)
            adapter.put(name, torch.zeros(rank, layer.num_embeddings), up)
    if not adapter.modules_changed:
        raise UserError(f"no linear layer or embedding is named {', '.join(targets)}: give other targets")
    return adapter


@torch.no_grad()
def merge(network: nn.Module, adapter: Adapter, scale: float = 1.0) -> None:
    """Add an adapter to the weights of a network, in place. Raises UserError where it does not fit."""
    weights = dict(network.named_parameters())
    for name, change in adapter.changes(network).items():
        weights[name].add_(change.to(weights[name]), alpha=scale)


# -------------------------------------------------------------------------------------------------------------- files


def write(folder: Path, adapter: Adapter, network: nn.Module, base: str, record: dict[str, Any]) -> None:
    """The three files of an adapter; `base` names the model, `record` goes into worldpatch.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for key in adapter.down:
        name = key.replace("/", ".")
        kinds = EMBEDDING if isinstance(_layer(network, name), nn.Embedding) else LINEAR
        for kind, value in zip(kinds, (adapter.down[key], adapter.up[key]), strict=True):
            tensors[f"{PREFIX}{name}.{kind}"] = value.detach().cpu().float().contiguous().clone()
    values = {
        "peft_type": "LORA", "task_type": None, "inference_mode": True, "base_model_name_or_path": base,
        "r": adapter.rank, "lora_alpha": adapter.alpha, "lora_dropout": 0.0, "use_rslora": adapter.rslora,
        "target_modules": adapter.modules_changed, **PLAIN,
    }  # fmt: skip
    (folder / WEIGHTS).write_bytes(save(tensors, metadata={"format": "pt"}))
    (folder / CONFIG).write_text(json.dumps(values, indent=1))
    (folder / RECORD).write_text(json.dumps(record, indent=1))


def read(folder: Path) -> tuple[Adapter, dict[str, Any]]:
    """An adapter that `write` or the `peft` library wrote, and its record (of peft's: empty).

    Raises UserError on files that are missing or damaged, and on kinds of adapters that are not plain LoRA.
    """
    values, tensors = _values(folder), _tensors(folder / WEIGHTS)
    adapter = Adapter(int(values["r"]), float(values["lora_alpha"]), bool(values.get("use_rslora")))
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind = next((k for k in (*LINEAR, *EMBEDDING) if key.endswith(f".{k}")), None)
        if kind is None:
            raise UserError(f"{folder / WEIGHTS} holds {key!r}, which is no LoRA weight: give a plain LoRA adapter")
        name = key.removesuffix(f".{kind}").removeprefix(PREFIX)
        pairs.setdefault(name, {})["down" if kind in (LINEAR[0], EMBEDDING[0]) else "up"] = value.float()
    for name, pair in pairs.items():
        if len(pair) < 2 or pair["down"].shape[0] != adapter.rank or pair["up"].shape[1] != adapter.rank:
            raise UserError(f"{folder / WEIGHTS} is damaged: {name!r} has not both factors of rank {adapter.rank}")
        adapter.put(name, **pair)
    record = folder / RECORD
    return adapter, json.loads(record.read_text()) if record.exists() else {}


def _values(folder: Path) -> dict[str, Any]:
    """adapter_config.json, checked."""
    path = folder / CONFIG
    if not path.exists():
        raise UserError(f"{folder} holds no {CONFIG}, so it is no adapter: give the folder of a LoRA adapter")
    try:
        values = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): fetch the adapter again") from error
    if values.get("peft_type") != "LORA" or not {"r", "lora_alpha"} <= values.keys():
        raise UserError(f"{path} describes {values.get('peft_type')!r}: adapters of the type LORA are read here")
    for name, plain in PLAIN.items():
        if values.get(name) not in (plain, None):
            raise UserError(f"{path}: {name} {values[name]!r} is not read here: give a plain LoRA adapter")
    return values


def _tensors(path: Path) -> dict[str, Tensor]:
    if not path.exists():
        raise UserError(f"{path} is missing: fetch the adapter again")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged ({error}): fetch or train the adapter again") from error


def fingerprint(folder: Path) -> str:
    """Identity of an adapter: the same 16 characters, the same change."""
    _values(folder)
    content = (folder / CONFIG, folder / WEIGHTS)
    return hashlib.sha256(b"".join(path.read_bytes() for path in content if path.exists())).hexdigest()[:16]


def parse(text: str) -> Use:
    """ "FOLDER" or "FOLDER:SCALE". Raises UserError on a scale that is no number from -4 to 4."""
    name, colon, number = text.rpartition(":")
    if not colon or Path(text).is_dir():
        return Use(folder=Path(text))
    try:
        scale = float(number)
    except ValueError:
        return Use(folder=Path(text))
    if not -4 <= scale <= 4:
        raise UserError(f"scale {number} of adapter {name} is outside -4 to 4; 1 is as trained")
    return Use(folder=Path(name), scale=scale)
