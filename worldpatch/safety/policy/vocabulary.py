"""Words that rules speak of: terms in, and for every text the places where each group of terms is found.

A term is a word ("naked"), a stem ("decapitat*": at most TAIL letters may follow), or several of these in a row
("pipe bomb*"). `<18` as a part stands for a number below eighteen, in digits or in words. Scripts that leave no
spaces are read letter by letter, so that a word of theirs is a row of letters.
"""

import itertools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from worldpatch.safety.policy.plain import plain

LETTERS = (  # Thai, kana, Han, pictures: each a token
    "\u0e00-\u0e7f\u2600-\u27bf\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U0001f300-\U0001faff"
)
MARKED = "\u0900-\u0963\u0966-\u0dff"  # scripts of India: their vowel signs are no letters to \w
TOKEN = re.compile(rf"[{LETTERS}]|\d+|(?:[^\W\d_{LETTERS}]|[{MARKED}])+")
SINGLE = re.compile(rf"[{LETTERS}]")
ARABIC = re.compile(
    r"^(?:[\u0648\u0641]?(?:\u0628\u0627\u0644|\u0643\u0627\u0644|\u0627\u0644|\u0644\u0644)"
    r"|[\u0648\u0641\u0628\u0644])(?=..)"
)
TAIL = 7  # letters that may follow a stem
YOUNG = 18
NUMBERS = {
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
    "fourteen", "fifteen", "sixteen", "seventeen",
}  # fmt: skip

Part = tuple[str, bool]
"""A word, and whether others may begin with it."""


@dataclass(frozen=True)
class Hit:
    """Words `first` to `last` of a text are a term of a group; `begin` and `end` are their places."""

    first: int
    last: int
    begin: int
    end: int


def places(words: list[str]) -> list[int]:
    """Where each word stands: words are two apart, letters of scripts without spaces one."""
    steps = (1 if SINGLE.match(word) else 2 for word in words)
    return [0, *itertools.accumulate(steps)][: len(words)]


class Vocabulary:
    """Groups of terms, made ready to be found in one pass over a text."""

    def __init__(self, groups: Mapping[str, Iterable[str]]):
        self._starts: dict[str, list[tuple[tuple[Part, ...], str]]] = {}
        self._words: set[str] = set()
        self._stems: dict[str, list[str]] = {}
        for group, terms in groups.items():
            for term in terms:
                self._add(_parts(term), group)
        self._begun = lru_cache(100_000)(self._entries)

    def _add(self, parts: tuple[Part, ...], group: str) -> None:
        self._starts.setdefault(_key(parts[0]), []).append((parts, group))
        for word, open_end in parts:
            if SINGLE.match(word) or word == "<18":
                continue
            if open_end:
                self._stems.setdefault(word[:3], []).append(word)
            else:
                self._words.add(word)

    @property
    def words(self) -> frozenset[str]:
        """All whole words and stems."""
        return frozenset(self._words).union(*self._stems.values())

    def listed(self, word: str, tail: int = TAIL) -> bool:
        """Is this a word of some term?"""
        if word in self._words:
            return True
        stems = (*self._stems.get(word[:3], ()), *self._stems.get(word[:2], ()))
        return any(word.startswith(stem) and len(word) - len(stem) <= tail for stem in stems)

    def find(self, text: str) -> dict[str, list[Hit]]:
        """Group -> where its terms stand in a plain text, in order of their beginnings."""
        words = TOKEN.findall(text)
        found: list[tuple[str, int, int]] = []
        for number, word in enumerate(words):
            alone, followed = self._begun(word)
            if alone:
                found += [(group, number, number) for group in alone]
            if followed and number + 1 < len(words):
                for key in _keys(words[number + 1]):
                    for parts, group in followed.get(key, ()):
                        last = number + len(parts) - 1
                        if last < len(words) and all(map(_fits, parts[1:], words[number + 1 : last + 1])):
                            found.append((group, number, last))
        hits: dict[str, list[Hit]] = {}
        at = places(words) if found else []
        for group, first, last in found:
            hits.setdefault(group, []).append(Hit(first, last, at[first], at[last]))
        return hits

    def _entries(self, word: str) -> tuple[list[str], dict[str, list[tuple[tuple[Part, ...], str]]]]:
        """Groups that a word belongs to alone, and the terms of several words that it may begin, by their second
        one."""
        alone: list[str] = []
        followed: dict[str, list[tuple[tuple[Part, ...], str]]] = {}
        for key in _keys(word):
            for parts, group in self._starts.get(key, ()):
                if not _fits(parts[0], word):
                    continue
                if len(parts) == 1:
                    alone.append(group)
                else:
                    followed.setdefault(_key(parts[1]), []).append((parts, group))
        return alone, followed


def _key(part: Part) -> str:
    """What a part is filed under; `_keys` has all under which a word may be found."""
    return f"{part[0][:3]}*" if part[1] else part[0]


@lru_cache(100_000)
def _keys(word: str) -> tuple[str, ...]:
    keys = dict.fromkeys(key for form in forms(word) for key in (form, f"{form[:3]}*", f"{form[:2]}*"))
    return (*keys, "<18") if _fits(("<18", False), word) else tuple(keys)


def forms(word: str) -> tuple[str, ...]:
    """A word as it stands and, in Arabic, without the article and what else is written in front."""
    if not "\u0600" <= word[0] <= "\u06ff":
        return (word,)
    bare = ARABIC.sub("", word)
    return (word,) if bare == word else (word, bare)


def _parts(term: str) -> tuple[Part, ...]:
    """The parts of a term, in the letters that `plain` leaves."""
    parts: list[Part] = []
    for piece in term.split():
        if piece == "<18":
            parts.append(("<18", False))
            continue
        words = TOKEN.findall(plain(piece.rstrip("*")))
        parts += [(word, False) for word in words[:-1]]
        parts.append((words[-1], piece.endswith("*")))
    return tuple(parts)


def _fits(part: Part, text: str) -> bool:
    word, open_end = part
    if word == "<18":
        return (text.isdecimal() and len(text) < 3 and int(text) < YOUNG) or text in NUMBERS
    if open_end:
        return any(form.startswith(word) and len(form) - len(word) <= TAIL for form in forms(text))
    return text == word or word in forms(text)
