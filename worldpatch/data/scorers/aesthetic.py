"""How pleasing people find it, 1 to 10: LAION's head over a CLIP ViT-L/14 (Schuhmann et al. 2022).

The head is the published one, linear layers with dropout between them, trained on ratings of pictures. A clip is as
good as the worst frame looked at.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import nn

from worldpatch.config import UserError
from worldpatch.data import _frames
from worldpatch.data.scorers._clip import Clip

WIDTH = 768  # of the embeddings that the head was trained on


@dataclass(frozen=True, kw_only=True)
class Config:
    """`head` is the file of the head, safetensors or a state dict of torch (sac+logos+ava1-l14-linearMSE), `clip` the
    folder of the CLIP. `frames` of a clip are looked at."""

    head: str = ""
    clip: str = ""
    frames: int = 4
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise UserError(f"aesthetic.frames {self.frames} must be at least 1")


class Scorer:
    def __init__(self, config: Config):
        self.config = config
        self._head = _head(config.head)
        self._clip = Clip(config.clip, config.device, "aesthetic.clip")
        if self._clip.width != WIDTH:
            raise UserError(
                f"the CLIP in {config.clip} makes {self._clip.width} numbers of a picture, and the head reads {WIDTH}: "
                "give --score aesthetic.clip=FOLDER of a ViT-L/14"
            )

    @torch.no_grad()
    def score(self, frames: UInt8[np.ndarray, "t h w 3"], rate: float, caption: str) -> dict[str, float]:
        ratings = self._head(self._clip.pictures(_frames.some(frames, self.config.frames)))
        return {"aesthetic": float(ratings.min())}


class _Head(nn.Module):
    """The published layers under their published names."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(WIDTH, 1024), nn.Dropout(0.2), nn.Linear(1024, 128), nn.Dropout(0.2),
            nn.Linear(128, 64), nn.Dropout(0.1), nn.Linear(64, 16), nn.Linear(16, 1),
        )  # fmt: skip

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return self.layers(vectors)


def _head(path: str) -> _Head:
    """The head with its weights. Raises UserError where they are missing or are others."""
    if not path or not Path(path).is_file():
        raise UserError(f"no weights of the aesthetic head are in {path!r}: give --score aesthetic.head=FILE")
    try:
        head = _Head()
        head.load_state_dict(_weights(path))
    except Exception as error:  # torch and safetensors raise what they please on a file that is something else
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{path} does not hold the layers 768-1024-128-64-16-1 of LAION's aesthetic head ({reason}): give "
            "--score aesthetic.head=FILE"
        ) from error
    return head.eval()


def _weights(path: str) -> dict[str, Any]:
    if path.endswith(".safetensors"):
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)
