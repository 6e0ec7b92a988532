"""Captions by a vision model behind any OpenAI-compatible endpoint, who sees frames as JPEG and answers in JSON.

The answer must repeat a code of the clip's id: captions that a server mixed up are no captions.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from worldpatch.config import UserError
from worldpatch.data import _frames
from worldpatch.data.captioners import Captioned, Clip
from worldpatch.text._chat import Chat, ChatError, Endpoint

CODE = 12  # characters of a clip's id that are to be repeated
LONGEST = {"terse": 600, "dense": 6000}  # characters: about ten times what is asked for
ASKED = (
    "These are frames of one video clip, in order, evenly spaced over {seconds:.3g} seconds. Answer with one JSON "
    'object and nothing else: {{"clip": "{code}", "terse": "...", "dense": "..."}}. "terse": one plain sentence of '
    'at most 15 words. "dense": 40 to 100 words, only what is seen: every subject with its colour, shape and number, '
    "what each does and in which order, where it is, the background, the light, and last how the camera moves. No "
    "guesses, no mood."
)


@dataclass(frozen=True, kw_only=True)
class Config(Endpoint):
    """An endpoint, and how it is shown clips: `frames` of each, none with a side of more than `side` pixels;
    `concurrency` clips are asked about at a time."""

    url: str = ""
    model: str = ""
    frames: int = 8
    side: int = 512
    concurrency: int = 4
    most_tokens: int = 500

    def __post_init__(self) -> None:
        if not self.url:
            raise UserError("the endpoint's address is missing: give --caption-url, such as http://localhost:8000/v1")
        if min(self.frames, self.side, self.concurrency, self.most_tokens) < 1:
            raise UserError("frames, side, concurrency and most_tokens of a captioner must be at least 1")
        super().__post_init__()


class Captioner:
    def __init__(self, config: Config):
        self.config = config
        self.name = f"endpoint:{config.model}"
        self._chat = Chat(config)

    def caption(self, clips: Sequence[Clip]) -> list[Captioned]:
        """One answer per clip, in order; where there is none, the reason."""
        with ThreadPoolExecutor(self.config.concurrency) as pool:
            return list(pool.map(self._one, clips))

    def _one(self, clip: Clip) -> Captioned:
        clip_id, frames, rate = clip
        try:
            asked = ASKED.format(seconds=len(frames) / rate, code=code(clip_id))
            shown = _frames.some(frames, self.config.frames)
            answer = self._chat.ask(_frames.question(asked, shown, self.config.side), self.config.most_tokens)
        except ChatError as error:
            return Captioned(clip_id=clip_id, error=str(error), tokens=error.tokens, cost=error.cost)
        found = read(answer.text, code(clip_id))
        spent = {"tokens": answer.tokens, "cost": answer.cost}
        if isinstance(found, str):
            return Captioned(clip_id=clip_id, error=found, **spent)
        return Captioned(clip_id=clip_id, captions=found, **spent)


def code(clip_id: str) -> str:
    """The part of a clip's id that an answer must repeat."""
    return clip_id[:CODE]


def read(text: str, code: str) -> dict[str, str] | str:
    """The captions in an answer, or what is wrong with it."""
    try:
        values = _frames.answered(text)
    except ValueError:
        return f"the answer is no JSON object: {text[:80]!r}"
    if values.get("clip") != code:
        return f"the answer is about another clip: {str(values.get('clip'))[:40]!r}, not {code!r}"
    captions = {}
    for kind, longest in LONGEST.items():
        caption = values.get(kind)
        if not isinstance(caption, str) or not caption.strip():
            return f"the answer has no {kind} caption"
        if len(caption) > longest:
            return f"the {kind} caption has {len(caption)} characters, more than {longest}"
        captions[kind] = " ".join(caption.split())
    return captions
