"""Captions that are true by construction: they are written from judged events, measured relations and the shot.

Three styles: terse ("a red ball falls"), dense (full sentences with sizes, floor, order and camera) and typed (as a
person would type it). Where a terse or typed caption names no camera move, the camera rests.
"""

from dataclasses import dataclass

import numpy as np

from worldpatch.worlds._tabletop.judge import View
from worldpatch.worlds._tabletop.records import Beat, Decor, Prop, Script, Solid

STYLES = ("terse", "dense", "typed")

# kind -> ways to say it: (third person, plural, gerund). {o} is the other solid, {d} the direction.
VERBS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "fall": (("falls", "fall", "falling"), ("drops", "drop", "dropping"), ("falls down", "fall down", "falling down")),
    "roll": (("rolls {d}", "roll {d}", "rolling {d}"),),
    "slide": (("slides {d}", "slide {d}", "sliding {d}"),),
    "stand": (
        ("stands still", "stand still", "standing still"),
        ("rests on the floor", "rest on the floor", "resting on the floor"),
        ("does not move", "do not move", "not moving"),
    ),
    "hit": (
        ("hits {o}", "hit {o}", "hitting {o}"),
        ("bumps into {o}", "bump into {o}", "bumping into {o}"),
        ("knocks {o} away", "knock {o} away", "knocking {o} away"),
    ),
    "land": (
        ("falls onto {o}", "fall onto {o}", "falling onto {o}"),
        ("drops on {o}", "drop on {o}", "dropping on {o}"),
    ),
    "topple": (
        ("topples off {o}", "topple off {o}", "toppling off {o}"),
        ("falls off {o}", "fall off {o}", "falling off {o}"),
    ),
    "rest on": (
        ("rests on {o}", "rest on {o}", "resting on {o}"),
        ("stands on top of {o}", "stand on top of {o}", "standing on top of {o}"),
    ),
    "jump": (("jumps", "jump", "jumping"), ("hops up and lands", "hop up and land", "hopping up and landing")),
    "hide": (
        ("moves {d} behind a wall and comes out again", "", "moving {d} behind a wall and coming out again"),
        ("goes behind a wall {d} and comes out", "", "going behind a wall {d} and coming out"),
    ),
    "roll down": (("rolls down a ramp {d}", "", "rolling down a ramp {d}"),),
    "rebound": (
        ("bounces off a wall", "", "bouncing off a wall"),
        ("runs into a wall and comes back", "", "running into a wall and coming back"),
    ),
    "break": (
        ("falls and breaks into pieces", "", "falling and breaking into pieces"),
        ("drops and falls apart", "", "dropping and falling apart"),
    ),
    "smash": (
        ("smashes {o} to pieces", "", "smashing {o} to pieces"),
        ("hits and breaks {o}", "", "hitting and breaking {o}"),
    ),
    "paint": (
        ("moves {d} and leaves a stroke of paint", "", "moving {d} and leaving a stroke of paint"),
        ("paints a stroke {d}", "", "painting a stroke {d}"),
    ),
    "bite": (
        ("is eaten bite by bite", "", "being eaten bite by bite"),
        ("loses one bite after another", "", "losing one bite after another"),
    ),
    "walk": (("walks {d}", "walk {d}", "walking {d}"),),
    "spin": (("spins on the spot", "spin on the spot", "spinning on the spot"), ("spins", "spin", "spinning")),
}
DIRECTIONS = {
    "left": ("to the left", "from right to left"),
    "right": ("to the right", "from left to right"),
    "towards": ("towards the camera",),
    "away": ("away from the camera",),
}
MOVES = {  # shot -> (sentence, terse clause, typed clause)
    "rest": ("The camera does not move.", "", "still camera"),
    "orbit left": ("The camera orbits to the left.", "the camera orbits left", "camera orbiting left"),
    "orbit right": ("The camera orbits to the right.", "the camera orbits right", "camera orbiting right"),
    "pan left": ("The camera pans to the left.", "the camera pans left", "camera panning left"),
    "pan right": ("The camera pans to the right.", "the camera pans right", "camera panning right"),
    "zoom in": ("The camera zooms in.", "the camera zooms in", "zooming in"),
    "zoom out": ("The camera zooms out.", "the camera zooms out", "zooming out"),
    "dolly in": ("The camera moves in closer.", "the camera moves closer", "camera moving in"),
    "cut to a close-up": ("Then the view cuts to a close-up.", "then cut to a close-up", "then cut to closeup"),
    "dolly out": ("The camera moves back.", "the camera moves back", "camera moving back"),
}
LOOKS = {  # look -> (sentence, terse clause, typed clause)
    "plain": ("", "", ""),
    "clay": ("Everything looks like clay.", "in clay", "clay style"),
    "outline": ("Everything is drawn with dark outlines.", "with dark outlines", "cartoon outline style"),
    "pencil": ("It is a pencil drawing.", "as a pencil drawing", "pencil drawing style"),
    "night": ("It is night.", "at night", "at night"),
}
OPENERS = ("", "", "", "video of ", "clip of ", "show me ", "pls make ", "i want ")
TABLES = ("on a table", "on the floor", "")


@dataclass(frozen=True, kw_only=True)
class Relation:
    """A measured relation between two solids, in the picture: `word` "left", "right", "front", "behind", ..."""

    word: str
    subject: int
    other: int


SIDES = {
    "left": "to the left of",
    "right": "to the right of",
    "front": "in front of",
    "behind": "behind",
}


def relations(script: Script, seen: View) -> tuple[Relation, ...]:
    """What is beside, before or behind what, where that holds from the first frame to the last; who passes whom."""
    found = []
    idle = {b.objects[0] for b in script.beats if b.kind in ("stand", "fall", "jump", "spin")}
    for walk in (b for b in script.beats if b.kind == "walk"):
        found += [r for j in sorted(idle) if (r := _passage(walk.objects[0], j, seen))]
    for i in range(len(script.solids)):
        for j in range(i + 1, len(script.solids)):
            dx = seen.share[:, i, 0] - seen.share[:, j, 0]
            away = seen.depth[:, i] - seen.depth[:, j]
            if i in idle and j in idle:
                if np.abs(dx).min() > 0.15 and len(set(np.sign(dx))) == 1:
                    found.append(Relation(word="left" if dx[0] < 0 else "right", subject=i, other=j))
                elif np.abs(away).min() > 0.4 and np.abs(dx).max() < 0.2:
                    found.append(Relation(word="front" if away[0] < 0 else "behind", subject=i, other=j))
            elif j in idle and script.beats[i].kind in ("roll", "slide") and (passage := _passage(i, j, seen)):
                found.append(passage)
    return tuple(found)


def _passage(i: int, j: int, seen: View) -> Relation | None:
    """Object i passes in front of or behind j: it changes sides, clearly nearer or further where they meet."""
    dx = seen.share[:, i, 0] - seen.share[:, j, 0]
    meet = int(np.argmin(np.abs(dx)))
    away = seen.depth[meet, i] - seen.depth[meet, j]
    if dx[0] * dx[-1] >= 0 or abs(away) <= 0.3:
        return None
    return Relation(word="pass front" if away < 0 else "pass behind", subject=i, other=j)


@dataclass(frozen=True, kw_only=True)
class Tale:
    """All that a caption may mention."""

    objects: tuple[Solid | Prop, ...]
    beats: tuple[Beat, ...]
    relations: tuple[Relation, ...]
    bounced: frozenset[int]
    move: str
    decor: Decor
    sizes: tuple[float, float]  # metres: below the first a solid is "small", above the second "large"


def write(rng: np.random.Generator, tale: Tale) -> dict[str, str]:
    """One caption in each style."""
    return {"terse": _terse(rng, tale), "dense": _dense(rng, tale), "typed": _typed(rng, tale)}


# ------------------------------------------------------------------------------------------------------------- styles


def _terse(rng: np.random.Generator, tale: Tale) -> str:
    passed = _passing(tale, "a") if len(tale.objects) == 2 else ""
    groups = _groups(tale.beats)[: 1 if passed else None]
    text = _chain([_clause(rng, tale, group, form=0, article="a") for group in groups]) + passed
    if len(tale.objects) == 2 and tale.relations and not passed and rng.random() < 0.6:
        text = _beside(rng, tale, "a") or text
    return ", ".join(part for part in (text, LOOKS[tale.decor.look][1], MOVES[tale.move][1]) if part)


def _dense(rng: np.random.Generator, tale: Tale) -> str:
    sentences, known = [], set()
    for number, group in enumerate(_groups(tale.beats)):
        lead = "Meanwhile " if number and group[0].kind == "stand" and rng.random() < 0.4 else ""
        text = _clause(rng, tale, group, form=0, article="a", known=known, sized=True)
        known |= {k for beat in group for k in beat.objects}
        if group[0].kind == "fall" and all(b.objects[0] in tale.bounced for b in group):
            text += " and bounces" if len(group) == 1 else " and bounce"
        if number == 0:
            text += _passing(tale, "a", known)
            known |= {r.other for r in tale.relations if r.word.startswith("pass")}
            where = surface(tale.decor)
            text = text.replace("on the floor", where) if "on the floor" in text else f"{text} {where}"
        sentences.append(_sentence(lead + text))
    beside = [r for r in tale.relations if r.word in SIDES and r.other == r.subject + 1]
    for relation in beside[:2]:
        a, b = (_noun(tale.objects[k], "the") for k in (relation.subject, relation.other))
        sentences.append(_sentence(f"{a} is {SIDES[relation.word]} {b}"))
    if rng.random() < 0.5:
        sentences.append(f"The wall is {tale.decor.wall}.")
    if tale.decor.look != "plain":
        sentences.append(LOOKS[tale.decor.look][0])
    if tale.move != "rest" or rng.random() < 0.6:
        sentences.append(MOVES[tale.move][0])
    return " ".join(sentences)


def _typed(rng: np.random.Generator, tale: Tale) -> str:
    glue = str(rng.choice((" and ", " n ", ", ", " & ")))
    passed = _passing(tale, "") if len(tale.objects) == 2 else ""
    groups = _groups(tale.beats)[: 1 if passed else None]
    text = glue.join(_clause(rng, tale, group, form=2, article="", typed=True) for group in groups) + passed
    table = str(rng.choice(TABLES))
    text += f" {table}" if table and "floor" not in text else ""
    text = str(rng.choice(OPENERS)) + text
    text += f", {LOOKS[tale.decor.look][2]}" if tale.decor.look != "plain" else ""
    camera = MOVES[tale.move][2]
    return f"{text}, {camera}" if tale.move != "rest" or rng.random() < 0.4 else text


# -------------------------------------------------------------------------------------------------------------- pieces


def _groups(beats: tuple[Beat, ...]) -> list[list[Beat]]:
    """Beats of one kind and direction without another solid are told together."""
    groups: list[list[Beat]] = []
    for beat in beats:
        for group in groups:
            if len(beat.objects) == 1 and (group[0].kind, group[0].direction) == (beat.kind, beat.direction):
                group.append(beat)
                break
        else:
            groups.append([beat])
    mentioned = {k for beat in beats if len(beat.objects) > 1 for k in beat.objects}
    return [g for g in groups if g[0].kind != "stand" or g[0].objects[0] not in mentioned]


def _clause(
    rng: np.random.Generator,
    tale: Tale,
    group: list[Beat],
    *,
    form: int,
    article: str,
    known: set[int] | frozenset[int] = frozenset(),
    sized: bool = False,
    typed: bool = False,
) -> str:
    """Subjects and verb of a group of beats; `form` 0 is finite ("falls" or "fall"), 2 the gerund."""

    def noun(k: int) -> str:
        solid = tale.objects[k]
        sizes = tale.sizes if sized and k not in known else None
        return _noun(solid, "the" if k in known else article, sizes=sizes, rng=rng if typed else None)

    beat = group[0]
    subject, *others = beat.objects
    verb = VERBS[beat.kind][rng.integers(len(VERBS[beat.kind]))]
    direction = str(rng.choice(DIRECTIONS[beat.direction])) if beat.direction else ""
    other = noun(others[0]) if others else ""
    said = verb[form if form else int(len(group) > 1)].format(o=other, d=direction)
    if beat.kind == "hit" and form == 0 and beat.direction and rng.random() < 0.4:
        moves = "rolls" if tale.objects[subject].shape == "ball" else "slides"
        said = f"{moves} {direction} and {said}"
    nouns = [noun(b.objects[0]) for b in group]
    last = " n " if typed and rng.random() < 0.3 else " and "
    return f"{_enumerate(nouns, last)} {said}"


def _beside(rng: np.random.Generator, tale: Tale, article: str) -> str:
    """Two solids told by their relation: "a red ball falls to the left of a blue box"; "" where that is unclear."""
    relation = tale.relations[0]
    first = [b for b in tale.beats if b.objects == (relation.subject,)]
    if relation.word not in SIDES or not first or tale.beats[-1].kind != "stand":
        return ""
    verb = {"fall": "falls", "stand": "stands", "jump": "jumps", "spin": "spins"}[first[0].kind]
    a, b = (_noun(tale.objects[k], article) for k in (relation.subject, relation.other))
    return f"{a} {verb} {SIDES[relation.word]} {b}"


def _passing(tale: Tale, article: str, known: set[int] | frozenset[int] = frozenset()) -> str:
    """The end of a clause about a solid that passes another: " in front of the blue box"."""
    for relation in tale.relations:
        if relation.word.startswith("pass"):
            other = _noun(tale.objects[relation.other], "the" if relation.other in known else article)
            return f" {SIDES[relation.word.removeprefix('pass ')]} {other}"
    return ""


def _noun(
    solid: Solid | Prop,
    article: str,
    *,
    sizes: tuple[float, float] | None = None,
    rng: np.random.Generator | None = None,
) -> str:
    """Such as "a large red ball"; `sizes` adds a word for small or large, `rng` now and then "cube" or "can"."""
    word = solid.shape
    if word == "biped":
        return f"{article} puppet with {indefinite(solid.colour)} {solid.colour} balloon for a head".strip()
    word = {"quadruped": "four-legged puppet"}.get(word, word)
    if rng is not None and rng.random() < 0.3:
        word = {"box": "cube", "cylinder": "can"}.get(word, word)
    size = _size_word(solid, sizes) if sizes else ""
    phrase = " ".join(p for p in (size, solid.colour, word) if p)
    if article == "a":
        return f"{indefinite(phrase)} {phrase}"
    return f"{article} {phrase}" if article else phrase


def _size_word(solid: Solid | Prop, sizes: tuple[float, float]) -> str:
    """Either "small", "large" or "", by the radius of the ball of equal volume (m); puppets have none."""
    x = solid.size
    volumes = {"ball": 4.19 * x[0] ** 3, "box": 8 * np.prod(x), "cylinder": 6.28 * x[0] ** 2 * x[-1]}
    if solid.shape not in volumes:
        return ""
    radius = (volumes[solid.shape] / 4.19) ** (1 / 3)
    return "small" if radius < sizes[0] else "large" if radius > sizes[1] else ""


def surface(decor: Decor) -> str:
    """Such as "on a white checkered floor"."""
    pattern = "" if decor.pattern == "plain" else f" {decor.pattern}"
    tone = f"glossy {decor.floor}" if decor.gloss else decor.floor
    return f"on {indefinite(tone)} {tone}{pattern} floor"


def indefinite(word: str) -> str:
    """The article, "a" or "an", of a word."""
    return "an" if word[0] in "aeiou" else "a"


def _enumerate(words: list[str], last: str = " and ") -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + last + words[-1]


def _chain(parts: list[str]) -> str:
    return _enumerate(parts, " and " if len(parts) == 2 else ", ")


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
