"""How good a vision model finds a clip for training, 1 to 10, asked for through any OpenAI-compatible endpoint."""

import logging
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from worldpatch.config import UserError
from worldpatch.data import _frames
from worldpatch.text._chat import Chat, ChatError, Endpoint

LEAST, MOST = 1, 10
ASKED = (
    "These are frames of one video clip, in order. Judge how good the clip is for training a model that generates "
    "video: sharp, well lit, steady, with something happening, free of laid-over text, marks, borders and damage by "
    'compression. Answer with one JSON object and nothing else: {"quality": N}, N from 1 (useless) to 10 (excellent).'
)
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Config(Endpoint):
    """An endpoint, and how it is shown clips: `frames` of each, none with a side of more than `side` pixels."""

    url: str = ""
    model: str = ""
    frames: int = 4
    side: int = 512
    most_tokens: int = 200

    def __post_init__(self) -> None:
        if not self.url or not self.model:
            raise UserError(
                "vlm asks an endpoint: give --score vlm.url=http://localhost:8000/v1 --score vlm.model=NAME"
            )
        if min(self.frames, self.side, self.most_tokens) < 1:
            raise UserError("frames, side and most_tokens of vlm must be at least 1")
        super().__post_init__()


class Scorer:
    def __init__(self, config: Config):
        self.config = config
        self._chat = Chat(config)

    def score(self, frames: UInt8[np.ndarray, "t h w 3"], rate: float, caption: str) -> dict[str, float]:
        shown = _frames.question(ASKED, _frames.some(frames, self.config.frames), self.config.side)
        try:
            return {"quality": read(self._chat.ask(shown, self.config.most_tokens).text)}
        except (ChatError, ValueError) as error:
            log.warning("a clip has no score by %s: %s", self.config.model, error)
            return {}


def read(text: str) -> float:
    """The judgement in an answer. Raises ValueError where there is none."""
    try:
        value = _frames.answered(text).get("quality")
    except ValueError:
        raise ValueError(f"the answer is no JSON object: {text[:80]!r}") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not LEAST <= value <= MOST:
        raise ValueError(f"the answer's quality {value!r} is no number from {LEAST} to {MOST}")
    return float(value)
