"""Does a clip show what its prompt says? One verdict per criterion, from detections and the truth of the prompt."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from worldpatch.evals import detect
from worldpatch.evals._tracks import Track
from worldpatch.evals._truth import Expected, Solid
from worldpatch.evals.metrics import motion
from worldpatch.evals.metrics._result import Frames, Kind, Result, perturb

HIGHER_IS_BETTER = True
REFERENCE: Kind = "truth"
CRITERIA = ("colour", "no_extra", "count", "shape", "event", "camera", "motion")
MOTION_FACTOR = 1.5  # the real clip's amount of motion, this much more or less, is right


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """One thing that is not as the prompt says, and the criteria that fail by it. `track` is the solid it is about,
    None where none is there or all of the clip is meant."""

    text: str
    criteria: tuple[str, ...]
    track: Track | None = None


def score(generated: Sequence[Frames], reference: Sequence[tuple[Frames, Expected]]) -> Result:
    """Mean share of criteria fulfilled. The reference is the real clip and what it promises.

    The floor is here the score of the real clips themselves: what the detectors make of perfection.
    """
    per_clip = [_share(g, expected) for g, (_, expected) in zip(generated, reference, strict=True)]
    floor = float(np.mean([_share(perturb(real), expected) for real, expected in reference]))
    return Result(value=float(np.mean(per_clip)), per_clip=tuple(per_clip), floor=floor)


def _share(frames: Frames, expected: Expected) -> float:
    return float(np.mean(list(judge(detect.detect(frames), expected).values())))


def judge(seen: detect.Seen, expected: Expected) -> dict[str, bool]:
    """A verdict per criterion of CRITERIA; what the prompt leaves open is right."""
    failed = {criterion for wrong in wrongs(seen, expected) for criterion in wrong.criteria}
    return {criterion: criterion not in failed for criterion in CRITERIA}


def wrongs(seen: detect.Seen, expected: Expected) -> list[Wrong]:
    """All that is not as promised.

    A solid that vanishes fails the count, one that is reshaped the shape; one recoloured on the way is an extra solid
    and fails the count. A solid that is not there has no right shape and does nothing right.
    """
    pairs, strangers = _pairs(seen, expected)
    short = len(seen.solids) < len(expected.solids)
    count = ("count",) if short or (expected.alone and len(seen.solids) > len(expected.solids)) else ()
    found = [wrong for wanted, solid in pairs for wrong in _about(wanted, solid, count)]
    if expected.alone:
        found += [
            Wrong(text=f"{_article(s)} {_name(s)} too many", criteria=("no_extra", *count), track=s.track)
            for s in strangers
        ]
    found += [
        Wrong(text=f"the {_name(s)} vanishes", criteria=("count",), track=s.track)
        for s in seen.solids
        if "vanishes" in s.flaws
    ]
    if expected.camera and seen.camera != expected.camera:
        found.append(Wrong(text=f"camera: {seen.camera} instead of {expected.camera}", criteria=("camera",)))
    if expected.motion is not None:
        ratio = motion.ratio_of_amounts(seen.motion, expected.motion)
        if not 1 / MOTION_FACTOR <= ratio <= MOTION_FACTOR:
            found.append(Wrong(text=f"{ratio:.2g} times as much motion as there should be", criteria=("motion",)))
    return found


def _about(wanted: Solid, solid: detect.Solid | None, count: tuple[str, ...]) -> Iterator[Wrong]:
    """What is wrong with the solid that was found for a wanted one."""
    if solid is None:
        criteria = ("colour", "shape", "event") if wanted.events else ("colour", "shape")
        yield Wrong(text=f"no {_name(wanted)}", criteria=(*criteria, *count))
        return
    if wanted.shape not in ("", solid.shape):
        yield Wrong(text=f"the {_name(wanted)} is a {solid.shape}", criteria=("shape",), track=solid.track)
    if "reshaped" in solid.flaws:
        yield Wrong(text=f"the {_name(solid)} changes its shape", criteria=("shape",), track=solid.track)
    if wanted.events and solid.event not in wanted.events:
        text = f"the {_name(solid)}: {solid.event or 'nothing'} instead of {' or '.join(wanted.events)}"
        yield Wrong(text=text, criteria=("event",), track=solid.track)


def _pairs(seen: detect.Seen, expected: Expected) -> tuple[list[tuple[Solid, detect.Solid | None]], list[detect.Solid]]:
    """For each wanted solid the one seen of its colour, preferably of its shape too; and the seen ones left over.

    Those whose colour is not said choose last.
    """
    free, pairs = list(seen.solids), []
    for wanted in sorted(expected.solids, key=lambda s: not s.colour):
        fit = [i for i, s in enumerate(free) if wanted.colour in ("", s.colour)]
        best = max(fit, key=lambda i: wanted.shape in ("", free[i].shape), default=None)
        pairs.append((wanted, None if best is None else free.pop(best)))
    return pairs, free


def _article(solid: detect.Solid) -> str:
    return "an" if solid.colour[0] in "aeiou" else "a"


def _name(solid: Solid | detect.Solid) -> str:
    return f"{solid.colour} {solid.shape or 'solid'}".strip()
