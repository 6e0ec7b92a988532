"""Saved characters: a name for a picture of a subject and the words that tell it, kept on this machine.

Wherever a picture of a subject is asked for, @NAME stands for one. They lie in $XDG_DATA_HOME/worldpatch/characters
(~/.local/share without it), a folder each: picture.png and character.json.
"""

import json
import os
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from worldpatch.config import UserError
from worldpatch.video import read
from worldpatch.video._atomic import atomic

MARK = "@"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


@dataclass(frozen=True, kw_only=True)
class Character:
    """`told` is how prompts call it, such as "a red ball"; empty where its picture alone says what it is."""

    name: str
    told: str = ""

    @property
    def picture(self) -> Path:
        return home() / self.name / "picture.png"


def home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "worldpatch" / "characters"


def save(name: str, picture: str | Path, told: str = "", frame: int = 0) -> Character:
    """Keeps a frame of a picture or video under a name, in place of whatever had that name.

    Raises UserError on a name that cannot be a folder's, and on what is no picture.
    """
    if not NAME.fullmatch(name):
        raise UserError(f"{name!r} cannot be a character's name: up to 40 small letters, digits, - and _")
    frames, _ = read.read(picture, start=frame, frames=1)
    character = Character(name=name, told=told.strip())
    character.picture.parent.mkdir(parents=True, exist_ok=True)
    with atomic(character.picture) as draft:
        Image.fromarray(frames[0]).save(draft, "PNG")
    with atomic(_record(name)) as draft:
        draft.write_text(json.dumps(asdict(character), indent=1))
    return character


def find(name: str) -> Character:
    """A saved character, its name with or without the mark. Raises UserError that lists the saved ones."""
    name = name.removeprefix(MARK)
    try:
        return Character(**json.loads(_record(name).read_text()))
    except (OSError, ValueError, TypeError) as error:
        known = ", ".join(character.name for character in saved()) or "none"
        raise UserError(f"no character {name!r} is saved (saved: {known}): see `worldpatch character add`") from error


def saved() -> list[Character]:
    """All of them, by name."""
    found = sorted(path.parent.name for path in home().glob("*/character.json"))
    return [Character(**json.loads(_record(name).read_text())) for name in found]


def remove(name: str) -> None:
    """Forgets a character. Raises UserError where there is none."""
    shutil.rmtree(find(name).picture.parent)


def picture(path: str) -> Path:
    """The picture that a path or @NAME stands for."""
    return find(path).picture if path.startswith(MARK) else Path(path)


def _record(name: str) -> Path:
    return home() / name / "character.json"
