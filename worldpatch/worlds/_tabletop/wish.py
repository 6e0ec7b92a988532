"""What a sentence asks for, read by the grammar in which the world writes its captions (`caption.py`).

The tables of that file are read backwards: what they can say is understood, all else is passed over and kept as unread.
Solids of one colour and shape are one solid, for no two of a clip share a colour.
"""

import re
from dataclasses import dataclass, field
from itertools import groupby

from worldpatch.worlds._tabletop import caption
from worldpatch.worlds._tabletop.palette import ALL, TONES
from worldpatch.worlds._tabletop.records import Beat

SHAPES = {"ball": "ball", "box": "box", "cube": "box", "cylinder": "cylinder", "can": "cylinder"}
FILLER = {"a", "an", "the", "and", "n", "is", "meanwhile", "bounce", "bounces", "bouncing"}


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Solids as (colour, shape), "" where not said; what they do; the camera's move as captions name it, "" where none
    is named; and the words that were not understood."""

    solids: tuple[tuple[str, str], ...]
    beats: tuple[Beat, ...]
    move: str
    unread: tuple[str, ...]

    @property
    def caption(self) -> str:
        """What was read, in the fullest words of captions; empty where no solid was."""
        told = groupby(self.beats, lambda beat: (beat.kind, beat.direction, beat.objects[1:]))
        sentences = [self._sentence(list(group)) for _, group in told]
        silent = set(range(len(self.solids))) - {k for beat in self.beats for k in beat.objects}
        sentences += [f"{self._noun(k)} stands still" for k in sorted(silent)]
        if self.move:
            sentences.append(caption.MOVES[self.move][0].rstrip("."))
        return " ".join(f"{s[0].upper()}{s[1:]}." for s in sentences) if self.solids else ""

    def _sentence(self, beats: list[Beat]) -> str:
        way = caption.DIRECTIONS[beats[0].direction][0] if beats[0].direction else ""
        other = self._noun(beats[0].objects[1]) if len(beats[0].objects) > 1 else ""
        subjects = [self._noun(beat.objects[0]) for beat in beats]
        names = " and ".join([", ".join(subjects[:-1]), subjects[-1]]) if subjects[1:] else subjects[0]
        finite, plural, _ = caption.VERBS[beats[0].kind][0]
        verb = plural or finite if len(beats) > 1 else finite
        return f"{names} {' '.join(verb.format(d=way, o=other).split())}"

    def _noun(self, k: int) -> str:
        name = " ".join(word for word in self.solids[k] if word)
        return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def read(prompt: str) -> Wish:
    """The wish in a prompt. Any text can be read; of some nothing is understood."""
    reader, text = _Reader(), re.sub(r"[^a-z0-9.'-]+", " ", prompt.lower().replace(".", " . ")).strip()
    at = 0
    while at < len(text):
        at = reader.take(text, at)
        at += text[at : at + 1] == " "
    return Wish(solids=tuple(reader.solids), beats=tuple(reader.beats), move=reader.move, unread=tuple(reader.unread))


def lost(prompt: str, told: str) -> tuple[str, ...]:
    """What a prompt asks for and `told`, meant to say the same more fully, does not; and what `told` adds against it.

    Solids and the camera must be the same, for a prompt that names none asks for none. A colour, a shape, a direction,
    a detail, or what a solid does, that the prompt leaves open, may be told.
    """
    asked, given = read(prompt), read(told)
    places = _places(asked.solids, given.solids)
    wrong = [f"no {_name(solid)}" for solid, i in zip(asked.solids, places, strict=True) if i < 0]
    wrong += [f"also {_name(solid)}" for i, solid in enumerate(given.solids) if i not in places]
    acts = [(b.kind, b.objects, b.direction) for b in given.beats]
    free = {i for k, i in enumerate(places) if not any(k == b.objects[0] for b in asked.beats)}
    for beat in asked.beats:
        objects = tuple(places[k] for k in beat.objects)
        same = [act for act in acts if act[:2] == (beat.kind, objects) and beat.direction in ("", act[2])]
        wrong += [] if same else [f"not {beat.kind} {beat.direction}".strip()]
        acts = [act for act in acts if act not in same]
    hitters = {places[beat.objects[0]] for beat in asked.beats if beat.kind == "hit"}  # who hits must have moved
    leads = [act for act in acts if act[0] in ("roll", "slide") and act[1][0] in hitters]
    wrong += [f"also {act[0]}" for act in acts if act[1][0] not in free and act not in leads]
    if (asked.move or "rest") != (given.move or "rest"):
        wrong.append(f"camera: {given.move or 'rest'}")
    wrong += [f"not {' '.join(side)}" for side in _sides(prompt) if side not in _sides(told)]
    wrong += [f"also {word!r}" for word in given.unread if word in ACTIONS and word not in asked.unread]
    said = set(re.findall(r"[a-z'-]+", told.lower()))
    kept = [word for word in re.findall(r"[a-z'-]+", prompt.lower()) if word in DETAILS or word in asked.unread]
    return tuple(wrong + [f"not {word!r}" for word in dict.fromkeys(kept) if word not in said])


def _places(asked: tuple[tuple[str, str], ...], given: tuple[tuple[str, str], ...]) -> list[int]:
    """Which given solid each asked one is, -1 for none. Those that are named in full choose first."""
    free, places = list(range(len(given))), [-1] * len(asked)
    for k in sorted(range(len(asked)), key=lambda k: not all(asked[k])):
        fits = [i for i in free if all(a in ("", b) for a, b in zip(asked[k], given[i], strict=True))]
        if fits:
            places[k] = fits[0]
            free.remove(fits[0])
    return places


def _name(solid: tuple[str, str]) -> str:
    return " ".join(word for word in solid if word)


def _sides(text: str) -> set[tuple[str, ...]]:
    """Where things are said to be, and of what."""
    found = re.findall(rf"({_any(list(caption.SIDES.values()))}) {NOUN}", text.lower())
    return {(side, colour, SHAPES[shape]) for side, colour, shape in found}


# -------------------------------------------------------------------------------------------------------------- grammar


def _any(words: list[str]) -> str:
    """The longest of these texts that fits."""
    return "|".join(sorted((w.lower().strip(" .") for w in words if w), key=len, reverse=True))


NOUN = rf"(?:(?:a|an|the|small|large) )*(?:({_any(list(ALL))}) )?({_any(list(SHAPES))})\b"
SURFACE = rf"on (?:a|an|the)(?: glossy)?(?: (?:{_any(list(TONES))}))?(?: checkered| tiled)? (?:floor|table)"
DETAILS = {"small", "large", "glossy", "checkered", "tiled", "bounce", "bounces", "bouncing", "wall"} | {
    word for said in (*TONES, *(x for y in caption.LOOKS.values() for x in y[1:])) for word in said.split()
} - {"with", "as", "a", "at", "in", "style"}  # fmt: skip
"""Words that a fuller wording of a prompt keeps as they are."""
ACTIONS = {form.split()[0] for ways in caption.VERBS.values() for way in ways for form in way if form}
ACTIONS -= {"is", "are", "being", "does", "do", "not"}
WAYS = {way: name for name, ways in caption.DIRECTIONS.items() for way in ways}
MOVES = {_any([said]): name for name, told in caption.MOVES.items() for said in told if said}
SIDES = rf"(?:{_any(list(caption.SIDES.values()))}) {NOUN}"
SCENERY = _any(
    [
        SURFACE,
        rf"the wall is (?:{_any(list(TONES))})",
        *caption.OPENERS,
        *(x for y in caption.LOOKS.values() for x in y),
    ]
)


def _verbs() -> list[tuple[str, re.Pattern[str]]]:
    """(kind, pattern) of every way to say what happens, longer ones first. Where to may be left out."""
    said = [(form, kind) for kind, ways in caption.VERBS.items() for way in ways for form in way if form]
    found = []
    for form, kind in sorted(said, key=lambda pair: -len(pair[0])):
        text = form.replace(" {d}", rf"(?: ({_any(list(WAYS))})(?! of))?").replace("on the floor", SURFACE)
        found.append((kind, re.compile(text.replace("{o}", NOUN) + r"\b")))
    return found


VERBS = _verbs()


@dataclass(kw_only=True)
class _Reader:
    """What was understood so far. `pending` are the solids named since the last verb, `last` those of that verb."""

    solids: list[tuple[str, str]] = field(default_factory=list)
    beats: list[Beat] = field(default_factory=list)
    move: str = ""
    unread: list[str] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    last: list[int] = field(default_factory=list)

    def take(self, text: str, at: int) -> int:
        """Reads on from `at`; returns where it stopped."""
        for pattern, move in _MOVES:
            if match := pattern.match(text, at):
                self.move = move
                return match.end()
        if match := _SCENERY.match(text, at):
            return match.end()
        for kind, pattern in VERBS:
            if (match := pattern.match(text, at)) and (self.pending or self.last):
                self._acts(kind, match)
                return match.end()
        if match := _SIDES.match(text, at):
            self._solid(*match.groups())
            self.pending = []
            return match.end()
        if match := _NOUN.match(text, at):
            self.pending.append(self._solid(*match.groups()))
            return match.end()
        return self._word(text, at)

    def _acts(self, kind: str, match: re.Match[str]) -> None:
        """A verb: its subjects are the solids before it, or those of the verb before."""
        self.last, self.pending = self.pending or self.last, []
        words = match.groups()
        direction = next((WAYS[w] for w in words if w in WAYS), "")
        others = () if words[-1:] not in [(shape,) for shape in SHAPES] else (self._solid(*words[-2:]),)
        self.beats += [Beat(kind=kind, objects=(k, *others), direction=direction) for k in self.last]

    def _solid(self, colour: str | None, shape: str) -> int:
        """The number of a solid that is named, perhaps again."""
        named = (colour or "", SHAPES[shape])
        if named not in self.solids:
            self.solids.append(named)
        return self.solids.index(named)

    def _word(self, text: str, at: int) -> int:
        """A single word. One that is not understood may be a subject, so that no verb after it can be given to others;
        not so an adverb."""
        word = text[at:].split(" ", 1)[0]
        if word == ".":
            self.pending = []
        elif word not in FILLER:
            self.unread.append(word)
            if not word.endswith("ly"):
                self.pending, self.last = [], []
        return at + len(word)


_MOVES = [(re.compile(rf"{said}\b"), name) for said, name in sorted(MOVES.items(), key=lambda pair: -len(pair[0]))]
_SCENERY, _SIDES, _NOUN = (re.compile(rf"(?:{p})\b") for p in (SCENERY, SIDES, NOUN))
