"""How well a clip's own caption fits it: the cosine between the mean of some frames and the caption, by a CLIP."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8

from worldpatch.config import UserError
from worldpatch.data import _frames
from worldpatch.data.scorers._clip import Clip


@dataclass(frozen=True, kw_only=True)
class Config:
    """`clip` is the folder of the CLIP. `frames` of a clip are looked at."""

    clip: str = ""
    frames: int = 4
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise UserError(f"clip_match.frames {self.frames} must be at least 1")


class Scorer:
    def __init__(self, config: Config):
        self.config = config
        self._clip = Clip(config.clip, config.device, "clip_match.clip")

    def score(self, frames: UInt8[np.ndarray, "t h w 3"], rate: float, caption: str) -> dict[str, float]:
        if not caption.strip():
            return {}
        seen = self._clip.pictures(_frames.some(frames, self.config.frames)).mean(0)
        return {"clip_match": float(torch.cosine_similarity(seen, self._clip.words(caption), dim=0))}
