"""Captions by the small captioner that ships, who knows tabletop worlds and nothing else; see checkpoints/captioner.

It sees 25 frames at the rate it was trained on. What is longer is seen faster, spread over the whole clip; what is
shorter stands still at its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from worldpatch.config import UserError
from worldpatch.data.captioners import Captioned, Clip
from worldpatch.embed import _shipped
from worldpatch.text import _writer
from worldpatch.vae._pixels import to_tensor

FRAMES, RATE = 25, 8.0  # of the clips it learned from


@dataclass(frozen=True, kw_only=True)
class Config:
    """`folder` of a trained captioner, by default the shipped one; so many clips are captioned at a time."""

    folder: str = ""
    device: str = "cpu"
    kinds: tuple[str, ...] = ("terse", "dense")
    together: int = 16

    def __post_init__(self) -> None:
        if unknown := [kind for kind in self.kinds if kind not in _writer.STYLES]:
            raise UserError(f"caption kind {unknown[0]!r} is unknown; known: {', '.join(_writer.STYLES)}")
        if self.together < 1:
            raise UserError(f"together {self.together} must be at least 1")


class Captioner:
    def __init__(self, config: Config):
        self.config = config
        folder = Path(config.folder) if config.folder else _writer.find("captioner")
        self.writer, _ = _writer.load(folder)
        self.encoder = _shipped.load()
        self.writer.to(config.device)
        self.encoder.to(config.device)
        self.name = f"own:{_writer.fingerprint(folder)}"

    @torch.no_grad()
    def caption(self, clips: Sequence[Clip]) -> list[Captioned]:
        """The captions of clips of any sizes, in order."""
        done: list[Captioned] = []
        groups = iter(clips)
        while group := list(islice(groups, self.config.together)):
            done += self._some(group)
        return done

    def _some(self, clips: list[Clip]) -> list[Captioned]:
        """Clips of one size share a pass; each gets the same captions alone."""
        found: dict[int, dict[str, str]] = {}
        sizes = [frames.shape[1:3] for _, frames, _ in clips]
        for size in dict.fromkeys(sizes):
            members = [i for i, other in enumerate(sizes) if other == size]
            frames = torch.stack([to_tensor(resampled(clips[i][1], clips[i][2])) for i in members])
            tokens = self.encoder.tokens(frames.to(self.config.device))
            read = self.writer.read_clips(tokens, self.encoder.grid(*frames.shape[2:]))
            written = {kind: self.writer.write(read, kind) for kind in self.config.kinds}
            for row, i in enumerate(members):
                found[i] = {kind: texts[row] for kind, texts in written.items()}
        return [
            Captioned(clip_id=clip_id, captions=found[i])
            if all(found[i].values())
            else Captioned(clip_id=clip_id, error="the captioner wrote nothing")
            for i, (clip_id, _, _) in enumerate(clips)
        ]


def resampled(frames: UInt8[np.ndarray, "t h w 3"], rate: float) -> UInt8[np.ndarray, "25 h w 3"]:
    """The frames that the captioner sees: 25, at 8 per second where the clip is not longer than they last."""
    step = max(1 / RATE, (len(frames) - 1) / rate / (FRAMES - 1))  # seconds
    chosen = np.minimum((np.arange(FRAMES) * step * rate).round().astype(int), len(frames) - 1)
    return frames[chosen]
