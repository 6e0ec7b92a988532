"""Networks that the user brings: finding them, naming them, and frames as they want them. Nothing is downloaded."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from worldpatch.config import UserError
from worldpatch.evals.metrics._result import Frames

WEIGHTS = ("*.safetensors", "*.bin", "*.pt")  # the first kind that a folder has is what transformers reads


def locate(given: str | Path | None, variable: str, what: str) -> Path:
    """The file or folder that was given, or else that an environment variable names. Raises UserError with the remedy.

    `what` says what belongs there and where it is had.
    """
    place = str(given or os.environ.get(variable, ""))
    remedy = f"give `weights`, or set {variable}, to {what}"
    if not place:
        raise UserError(f"this metric needs weights that do not ship with worldpatch: {remedy}")
    path = Path(place).expanduser()
    if not path.exists():
        raise UserError(f"no weights lie at {path}: {remedy}")
    return path


def pretrained(folder: Path, kinds: tuple[str, ...]) -> Any:
    """The network of a `transformers` folder, ready to be asked, if its architecture is one of these."""
    try:
        import transformers
    except ImportError as error:
        raise UserError("this metric needs transformers: pip install 'worldpatch[hub]'") from error
    config = _read(transformers.AutoConfig, folder)
    kind = next((k for k in config.architectures or () if k in kinds), None)
    if kind is None:
        raise UserError(f"{folder} holds {config.architectures}, not {' or '.join(kinds)}: give a folder of those")
    return _read(getattr(transformers, kind), folder).eval().requires_grad_(False)


def tokenizer(folder: Path) -> Any:
    """The tokenizer of a `transformers` folder."""
    import transformers

    return _read(transformers.AutoTokenizer, folder)


def _read(kind: Any, folder: Path) -> Any:
    try:
        return kind.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{folder} cannot be loaded ({reason}): give a whole folder, as downloaded") from error


def identity(path: Path) -> str:
    """Name and SHA-256 of a file, or of a folder and the weights in it."""
    if path.is_file():
        return f"{path.name} sha256 {_digest([path])}"
    files = next((found for kind in WEIGHTS if (found := sorted(path.glob(kind)))), [])
    return f"{path.name} sha256 {_digest(files)}"


def _digest(files: list[Path]) -> str:
    total = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def spread(clip: Frames, count: int) -> Frames:
    """`count` frames evenly over the clip, first and last among them; a shorter clip repeats frames."""
    return clip[np.linspace(0, len(clip) - 1, count).round().astype(int)]


def squares(
    clip: Frames, side: int, mean: tuple[float, ...], std: tuple[float, ...], device: str, mode: str
) -> Float[Tensor, "t 3 side side"]:
    """The middle square of every frame, the shorter side resized to `side`, less `mean` over `std` per channel."""
    x = torch.from_numpy(np.ascontiguousarray(clip)).to(device).permute(0, 3, 1, 2).float() / 255
    height, width = x.shape[2:]
    size = [max(side, round(n * side / min(height, width))) for n in (height, width)]
    x = functional.interpolate(x, size, mode=mode, align_corners=False, antialias=True).clamp(0, 1)
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    x = x[..., top : top + side, left : left + side]
    return (x - x.new_tensor(mean)[:, None, None]) / x.new_tensor(std)[:, None, None]
