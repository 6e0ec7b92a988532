"""Do captions belong to their clips? What a captioner answers is joined by content hash, counted, and put to the test.

ids         every clip has exactly one answer, under its own id; an answer under no id that was asked is nobody's
duplicates  one caption for too many clips: a server that repeats itself, a model that says the same of everything
canaries    clips whose truth is known go along unmarked; who cannot tell a red ball has mixed up or made up the rest
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from worldpatch.data.captioners import Captioned, Captioner, Clip

SEED = 27_182_818  # of the canaries; training never uses it
REPEATED, LEAST = 0.05, 5  # share of clips that may have one caption, and the number that always may
PASSED = 0.5  # share of canaries that a captioner must tell
COLOURS = {
    "red": "red|crimson|scarlet", "yellow": "yellow|gold|golden", "green": "green", "blue": "blue|navy",
    "cyan": "cyan|turquoise|teal|aqua|light blue", "purple": "purple|violet|magenta",
}  # fmt: skip
SHAPES = {"ball": "ball|sphere|orb", "box": "box|cube|block", "cylinder": "cylinder|cylindrical|can|barrel|tube"}
KINDS = ("dense", "terse", "short")  # in which a caption is looked for, the fullest first


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Something wrong with a set's captions as a whole; `clips` are the ids it is about, some of them if many."""

    kind: Literal["ids", "duplicates", "canaries"]
    text: str
    clips: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Canary:
    """A clip whose truth is known: one solid of this colour and shape."""

    clip: Clip
    colour: str
    shape: str

    def told(self, captions: dict[str, str]) -> bool:
        """Whether captions name the colour and the shape, in whatever words."""
        text = fullest(captions).lower()
        return all(re.search(rf"\b(?:{words})", text) for words in (COLOURS[self.colour], SHAPES[self.shape]))


def canaries(seed: int = SEED, side: int = 128, rate: float = 8.0, frames: int = 25) -> list[Canary]:
    """A rendered clip of every colour of level 1; the same arguments give the same clips. Needs the `worlds` extra."""
    from worldpatch.worlds import tabletop  # needs a simulator, which judging does not
    from worldpatch.worlds._holdout import is_held_out

    found: dict[str, Canary] = {}
    small = tabletop.Config(level=1, height=16, width=16, supersample=1, frames=frames, rate=rate, masks=False)
    large = replace(small, height=side, width=side, supersample=2)
    index = 0
    while len(found) < len(COLOURS):
        truth = tabletop.clip(small, seed, index).truth
        assert truth is not None
        solid = truth.objects[0]
        if solid["colour"] not in found and not is_held_out(truth):
            shown = tabletop.clip(large, seed, index).frames
            clip = (clip_id(shown), shown, rate)
            found[solid["colour"]] = Canary(clip=clip, colour=solid["colour"], shape=solid["shape"])
        index += 1
    return list(found.values())


def clip_id(frames: UInt8[np.ndarray, "t h w 3"]) -> str:
    """A hash of the frames, which looks like any clip's id."""
    return hashlib.sha256(np.ascontiguousarray(frames).tobytes()).hexdigest()


def checked(
    captioner: Captioner, clips: Sequence[Clip], known: Sequence[Canary] = ()
) -> tuple[dict[str, Captioned], list[Alarm]]:
    """The answers of clips by id, canaries mixed in among them and taken out again; and what is wrong with them.

    Every clip that was asked about has an answer, if only an error.
    """
    asked = sorted([*clips, *(canary.clip for canary in known)], key=lambda clip: clip[0])  # by hash: anywhere
    answers, alarms = join([clip[0] for clip in asked], captioner.caption(asked))
    ids = [clip[0] for clip in clips]
    alarms += duplicates(answers[i] for i in ids)
    alarms += failed(known, answers)
    return {i: answers[i] for i in ids}, alarms


def join(asked: Sequence[str], answers: Iterable[Captioned]) -> tuple[dict[str, Captioned], list[Alarm]]:
    """The answer of every id that was asked, never by position. One that is missing, or given twice and differently,
    is an error of that clip."""
    given: dict[str, list[Captioned]] = defaultdict(list)
    for answer in answers:
        given[answer.clip_id].append(answer)
    joined, alarms = {}, []
    for i in dict.fromkeys(asked):
        some = given.pop(i, [])
        captions = {fullest(answer.captions) for answer in some}
        if not some:
            joined[i] = Captioned(clip_id=i, error="the captioner gave no answer about this clip")
        elif len(captions) > 1:
            joined[i] = Captioned(clip_id=i, error=f"the captioner gave {len(captions)} different answers")
        else:
            joined[i] = some[0]
    unanswered = [i for i in joined if (joined[i].error or "").startswith("the captioner gave")]
    if unanswered:
        text = f"{len(unanswered)} of {len(joined)} clips have no answer of their own"
        alarms.append(Alarm(kind="ids", text=text, clips=tuple(unanswered)))
    if given:
        text = f"{len(given)} answers are about clips that nobody asked about"
        alarms.append(Alarm(kind="ids", text=text, clips=tuple(given)))
    return joined, alarms


def duplicates(answers: Iterable[Captioned], share: float = REPEATED, least: int = LEAST) -> list[Alarm]:
    """An alarm for every caption that more than a `share` of the clips have, and more than `least`."""
    told = {a.clip_id: " ".join(fullest(a.captions).lower().split()) for a in answers if a.captions and not a.error}
    allowed = max(least, share * len(told))
    return [
        Alarm(
            kind="duplicates",
            text=f"{count} of {len(told)} clips have one caption, {caption[:80]!r}",
            clips=tuple(i for i, text in told.items() if text == caption),
        )
        for caption, count in Counter(told.values()).most_common()
        if count > allowed
    ]


def failed(known: Sequence[Canary], answers: dict[str, Captioned], least: float = PASSED) -> list[Alarm]:
    """An alarm where too few canaries were told, of those that got a caption at all."""
    said = [canary for canary in known if canary.clip[0] in answers and not answers[canary.clip[0]].error]
    wrong = [canary for canary in said if not canary.told(answers[canary.clip[0]].captions)]
    if not said or len(said) - len(wrong) >= least * len(said):
        return []
    told = ", ".join(
        f"a {canary.colour} {canary.shape} as {fullest(answers[canary.clip[0]].captions)[:60]!r}"
        for canary in wrong[:3]
    )
    text = f"{len(wrong)} of {len(said)} clips of known truth are told wrongly ({told}): trust no caption of this run"
    return [Alarm(kind="canaries", text=text, clips=tuple(canary.clip[0] for canary in wrong))]


def fullest(captions: dict[str, str]) -> str:
    """The fullest caption that there is."""
    return next((captions[kind] for kind in (*KINDS, *captions) if captions.get(kind)), "")
