"""Does a clip show what its prompt says? One verdict per criterion, from detections and the truth of the prompt."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from worldpatch.evals import detect
from worldpatch.evals._truth import Expected, Solid
from worldpatch.evals.metrics import motion
from worldpatch.evals.metrics._result import Frames, Kind, Result, perturb

HIGHER_IS_BETTER = True
REFERENCE: Kind = "truth"
CRITERIA = ("colour", "no_extra", "count", "shape", "event", "camera", "motion")
MOTION_FACTOR = 1.5  # the real clip's amount of motion, this much more or less, is right


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
    """A verdict per criterion of CRITERIA.

    A solid that vanishes fails the count, one that is reshaped the shape; one recoloured on the way is an extra solid
    and fails the count. A solid that is not there has no right shape and does nothing right.
    """
    named = Counter(s.colour for s in expected.solids)
    found = Counter(s.colour for s in seen.solids)
    pairs = [(_match(s, seen), s) for s in expected.solids]
    ratio = motion.ratio_of_amounts(seen.motion, expected.motion)
    return {
        "colour": not named - found,
        "no_extra": not found - named,
        "count": found.total() == named.total() and not any("vanishes" in s.flaws for s in seen.solids),
        "shape": all(s is not None and s.shape == e.shape and "reshaped" not in s.flaws for s, e in pairs),
        "event": all(not e.events or (s is not None and s.event in e.events) for s, e in pairs),
        "camera": seen.camera == expected.camera,
        "motion": 1 / MOTION_FACTOR <= ratio <= MOTION_FACTOR,
    }


def _match(wanted: Solid, seen: detect.Seen) -> detect.Solid | None:
    """The seen solid of that colour, preferably of that shape too."""
    same = [s for s in seen.solids if s.colour == wanted.colour]
    return max(same, key=lambda s: s.shape == wanted.shape, default=None)
