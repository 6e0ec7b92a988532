"""Prompts told more fully before they are sampled, as DALL-E 3 and Sora do: in the words of dense captions.

The shipped expander knows tabletop worlds; any OpenAI-compatible chat endpoint knows more. Either may only add: where
the fuller wording does not say what the prompt says, the prompt stays as it was, with a note. What was once expanded is
kept on disk under the prompt and the expander's identity, so that the same words give the same video again.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.text import _writer
from worldpatch.text._chat import Chat, ChatError, Endpoint
from worldpatch.text._known import unknown
from worldpatch.worlds._tabletop.palette import TONES
from worldpatch.worlds._tabletop.wish import lost, read

LONGEST = 1500  # characters of an expansion
MOST_TOKENS = 400
ASKED = (
    "Rewrite the user's prompt for a text-to-video model as one factual description of 20 to 60 words. Keep every "
    "subject, colour, shape, number, event, direction, camera move and style that it names, in the same words and "
    "order; add no further subject, event or camera move. Add only what it leaves open: sizes, the floor, the "
    "background, the light. If no camera move is named, the camera does not move. Answer with the description alone. "
    "Examples: 'A large red ball falls down and bounces on a cream tiled floor. The wall is white. The camera does not "
    "move.' 'A blue box slides to the left on a grey floor. The camera orbits to the right.'"
)


@runtime_checkable
class Expander(Protocol):
    """`name` identifies it and its weights; `expand` raises UserError or ChatError where it cannot."""

    name: str

    def expand(self, prompt: str) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Expansion:
    """A prompt, what it became (itself, where it could not be expanded; `note` says why), and by whom."""

    prompt: str
    text: str
    expander: str
    note: str = ""


class Own:
    """The shipped expander, or one in a folder. Raises UserError where there is none."""

    def __init__(self, folder: Path | None = None):
        folder = folder or _writer.find("expander")
        self.writer, _ = _writer.load(folder)
        self.name = f"own:{_writer.fingerprint(folder)}"

    def expand(self, prompt: str) -> str:
        if words := read(prompt).unread:
            raise UserError(f"the expander does not know {', '.join(map(repr, dict.fromkeys(words)))}")
        if any(tone in prompt.lower() for tone in TONES):
            raise UserError("it is told in full already")
        return self.writer.write(self.writer.read_prompts([prompt]), "dense")[0]


class Asked:
    """An endpoint's expander."""

    def __init__(self, endpoint: Endpoint):
        self.chat = Chat(endpoint)
        self.name = f"endpoint:{endpoint.model}"

    def expand(self, prompt: str) -> str:
        messages = [{"role": "system", "content": ASKED}, {"role": "user", "content": prompt}]
        text = " ".join(self.chat.ask(messages, MOST_TOKENS).text.split()).strip("\"'")
        if len(text) > LONGEST or text.startswith(("<", "{", "[")):
            raise ChatError(f"the answer is no description: {text[:80]!r}")
        return text


def expand(prompt: str, expander: Expander, words: Sequence[str] = (), cache: Path | None = None) -> Expansion:
    """The prompt told in full, from the cache where it was before.

    `words` are those that the video model has read, if it is known: others are of no use to it. `cache` is a folder, by
    default the user's.
    """
    path = (cache or _cache()) / f"{_key(prompt, expander.name)}.json"
    if found := _cached(path, prompt, expander.name):
        return found
    try:
        text = expander.expand(prompt)
    except (UserError, ChatError) as error:
        return Expansion(prompt=prompt, text=prompt, expander=expander.name, note=str(error))
    if wrong := lost(prompt, text):
        note = f"the expansion would say {', '.join(wrong)}"
        return Expansion(prompt=prompt, text=prompt, expander=expander.name, note=note)
    if words and (strange := unknown(text, words)):
        note = f"the model never read {', '.join(map(repr, strange))}"
        return Expansion(prompt=prompt, text=prompt, expander=expander.name, note=note)
    made = Expansion(prompt=prompt, text=text, expander=expander.name)
    _keep(path, made)
    return made


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "worldpatch" / "expansions"


def _key(prompt: str, name: str) -> str:
    return hashlib.sha256(json.dumps([prompt, name]).encode()).hexdigest()[:32]


def _cached(path: Path, prompt: str, name: str) -> Expansion | None:
    """What the cache has, if it is whole and about this."""
    try:
        found = config.build(Expansion, json.loads(path.read_text()))
    except (OSError, ValueError):
        return None
    return found if (found.prompt, found.expander) == (prompt, name) else None


def _keep(path: Path, made: Expansion) -> None:
    """Write to the cache; where that cannot be, the next time is only slower."""
    draft = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(asdict(made)))
        draft.replace(path)
    except OSError:
        return
