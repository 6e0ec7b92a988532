"""Is a caption true? What it says, read by `_wish`, against what a world knows of the clip, attribute by attribute.

colour   of a clip: the set of colours of its solids
count    of a clip: how many solids
shape    of a solid, found by its colour
event    of a solid: what it does, in the classes of `_truth`
order    of a clip of several solids: who does what, to whom, and in which order it is told
camera   of a clip
"""

from collections import Counter
from collections.abc import Hashable, Sequence

from worldpatch.evals._truth import CAMERAS, EVENTS, acted, class_of
from worldpatch.evals._wish import expected, read
from worldpatch.types import Truth
from worldpatch.worlds._tabletop.records import Beat

ATTRIBUTES = ("colour", "count", "shape", "event", "order", "camera")

Asked = dict[str, tuple[Hashable, ...]]
Marks = dict[str, tuple[bool, ...]]


def classes(truth: Truth) -> Asked:
    """The right answers: one per clip or one per solid, none where an attribute is not asked of this clip."""
    beats = truth.scene["beats"]
    shapes, names = [o["shape"] for o in truth.objects], [o["colour"] for o in truth.objects]
    events = [event for event in _acts(truth) if event]
    told = _story([Beat(**{**b, "objects": tuple(b["objects"])}) for b in beats], list(range(len(names))))
    camera = class_of(truth.scene["camera"])
    return {
        "colour": (frozenset(names),),
        "count": (len(names),),
        "shape": tuple(shapes),
        "event": tuple(events),
        "order": (told,) if len(names) > 1 else (),
        "camera": (camera,) if camera in CAMERAS else (),
    }


def marks(caption: str, truth: Truth) -> Marks:
    """Whether a caption gives the right answers, in the order of `classes`. What it leaves out is wrong, but for the
    camera, which rests where no move is told."""
    wish, true = read(caption), classes(truth)
    said = expected(wish)
    by_colour = {s.colour: k for k, s in reversed(list(enumerate(said.solids)))}
    numbers = {o["colour"]: i for i, o in enumerate(truth.objects)}
    found = [by_colour.get(o["colour"]) for o in truth.objects]
    asked = [(k, event) for k, event in zip(found, _acts(truth), strict=True) if event]
    who = [numbers.get(colour, -1 - i) for i, (colour, _) in enumerate(wish.solids)]
    camera = said.camera or "rest"
    return {
        "colour": (frozenset(s.colour for s in said.solids) == true["colour"][0],),
        "count": (len(said.solids) == true["count"][0],),
        "shape": tuple(k is not None and said.solids[k].shape == s for k, s in zip(found, true["shape"], strict=True)),
        "event": tuple(k is not None and _events(said.solids[k].events) == e for k, e in asked),
        "order": tuple(_story(list(wish.beats), who) == told for told in true["order"]),
        "camera": tuple(camera == move for move in true["camera"]),
    }


def rates(marks: Sequence[Marks]) -> dict[str, float]:
    """Share of right answers per attribute, of those that any clip was asked about."""
    gathered = {name: [m for mark in marks for m in mark[name]] for name in ATTRIBUTES}
    return {name: sum(found) / len(found) for name, found in gathered.items() if found}


def chance(truths: Sequence[Truth]) -> dict[str, float]:
    """What the most frequent answer of these very clips would get.

    It knows more than a guess: the order's answer says which solid the script names first.
    """
    asked = [classes(truth) for truth in truths]
    gathered = {name: [c for one in asked for c in one[name]] for name in ATTRIBUTES}
    return {name: max(Counter(c).values()) / len(c) for name, c in gathered.items() if c}


def _acts(truth: Truth) -> list[frozenset[str]]:
    """What each solid does; nothing where captions need not say it, for another one lies or falls on it."""
    beats = truth.scene["beats"]
    others = {k for beat in beats for k in beat["objects"][1:]}
    events = [_events(said) for said in acted(len(truth.objects), beats)]
    return [e if k not in others or e == {"struck"} else frozenset() for k, e in enumerate(events)]


def _events(events: Sequence[str]) -> frozenset[str]:
    return frozenset(e for e in events if e in EVENTS)


def _story(beats: list[Beat], who: list[int]) -> tuple[Hashable, ...]:
    """What happens in the order told, solids by the numbers `who`. Neighbours that do the same do it together, whoever
    is going to hit something moves, and one that is only stood or fallen on needs not be said to stand."""
    others = {k for beat in beats for k in beat.objects[1:]}
    hitters = {beat.objects[0] for beat in beats if beat.kind == "hit"}
    told: list[tuple[str, set[int], tuple[int, ...]]] = []
    for beat in beats:
        actor, *rest = beat.objects
        leads = beat.kind in ("roll", "slide") and actor in hitters
        if leads or (beat.kind == "stand" and actor in others):
            continue
        other = tuple(who[k] for k in rest)
        if told and (told[-1][0], told[-1][2]) == (beat.kind, other):
            told[-1][1].add(who[actor])
        else:
            told.append((beat.kind, {who[actor]}, other))
    return tuple((kind, frozenset(actors), other) for kind, actors, other in told)
