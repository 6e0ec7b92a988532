"""Captions by a vision-language model of `transformers`, who sees frames as pictures, on this machine.

Its weights are not ours: they are read from a folder, or by name from the hub's cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from worldpatch.config import UserError
from worldpatch.data import _frames
from worldpatch.data.captioners import Captioned, Clip

ASKED = {
    "terse": (
        "These are frames of one video clip, in order. Say in one plain sentence of at most 15 words what happens."
    ),
    "dense": (
        "These are frames of one video clip, in order. Describe it in 40 to 100 words: every subject with its colour, "
        "shape and number, what each does and in which order, the background, and last how the camera moves."
    ),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """`model` is a hub id such as "Qwen/Qwen3-VL-2B-Instruct" or a folder; `local_files_only` forbids a download.

    `frames` of a clip are shown, none with a side of more than `side` pixels. `kinds` are those of `ASKED`.
    """

    model: str = ""
    device: str = "cpu"
    local_files_only: bool = True
    frames: int = 8
    side: int = 384
    most_tokens: int = 200
    kinds: tuple[str, ...] = ("terse", "dense")

    def __post_init__(self) -> None:
        if not self.model:
            raise UserError("no model is named: give --caption-model, a folder or a hub id")
        if unknown := [kind for kind in self.kinds if kind not in ASKED]:
            raise UserError(f"caption kind {unknown[0]!r} is unknown; known: {', '.join(ASKED)}")
        if min(self.frames, self.side, self.most_tokens) < 1:
            raise UserError("frames, side and most_tokens of a captioner must be at least 1")


class Captioner:
    def __init__(self, config: Config):
        self.config = config
        self.name = f"huggingface:{Path(config.model).name if Path(config.model).is_dir() else config.model}"
        self.processor, self.model = _pretrained(config)

    def caption(self, clips: Sequence[Clip]) -> list[Captioned]:
        """One answer per clip, in order; where there is none, the reason."""
        return [self._one(*clip) for clip in clips]

    def _one(self, clip_id: str, frames: np.ndarray, rate: float) -> Captioned:
        images = _images(frames, self.config)
        captions, read, written = {}, 0, 0
        try:
            for kind in self.config.kinds:
                captions[kind], n, m = self._answer(ASKED[kind], images)
                read, written = read + n, written + m
        except (RuntimeError, ValueError, IndexError) as error:  # too many tokens, out of memory, a size it cannot take
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            return Captioned(clip_id=clip_id, error=f"the model failed: {reason}", tokens=(read, written))
        if empty := [kind for kind, text in captions.items() if not text]:
            return Captioned(clip_id=clip_id, error=f"the model wrote no {empty[0]} caption", tokens=(read, written))
        return Captioned(clip_id=clip_id, captions=captions, tokens=(read, written))

    @torch.no_grad()
    def _answer(self, asked: str, images: list[Image.Image]) -> tuple[str, int, int]:
        """What the model says to a question about images; tokens read and written."""
        content: list[dict[str, Any]] = [{"type": "image", "image": image} for image in images]
        content.append({"type": "text", "text": asked})
        inputs = self.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt",
        ).to(self.model.device)  # fmt: skip
        length = inputs["input_ids"].shape[1]
        output = self.model.generate(**inputs, max_new_tokens=self.config.most_tokens, do_sample=False)[0, length:]
        text = self.processor.decode(output, skip_special_tokens=True)
        return " ".join(text.split()), length, len(output)


def _images(frames: np.ndarray, config: Config) -> list[Image.Image]:
    images = [Image.fromarray(frame) for frame in _frames.some(frames, config.frames)]
    for image in images:
        image.thumbnail((config.side, config.side))
    return images


def _pretrained(config: Config) -> tuple[Any, Any]:
    """(processor, model). Raises UserError where they cannot be had."""
    try:
        import transformers
    except ImportError as error:
        raise UserError(f"captioner {config.model!r} needs transformers: pip install 'worldpatch[hub]'") from error
    local = {"local_files_only": config.local_files_only}
    try:
        processor = transformers.AutoProcessor.from_pretrained(config.model, **local)
        model: Any = transformers.AutoModelForImageTextToText.from_pretrained(config.model, **local)
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"captioner {config.model!r} cannot be loaded ({reason}): give a hub id or a folder") from error
    if not getattr(processor, "chat_template", None):
        raise UserError(f"captioner {config.model!r} has no chat template: take one that was taught to follow requests")
    return processor, model.to(config.device).eval()
