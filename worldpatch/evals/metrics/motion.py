"""Amount of motion against the reference's: a factor, 1 where equal, whichever of the two moves more."""

from collections.abc import Sequence

import numpy as np

from worldpatch.evals.metrics._result import Frames, Result, check_pairs, perturb

HIGHER_IS_BETTER = False
STILL = 0.5  # grey levels, too faint to see; added to both sides, so that two clips at rest compare as equal


def score(generated: Sequence[Frames], reference: Sequence[Frames]) -> Result:
    """Geometric mean over clips of max(ratio, 1 / ratio) of the motion amounts."""
    check_pairs(generated, reference)
    per_clip = [_factor(ratio(g, r)) for g, r in zip(generated, reference, strict=True)]
    floor = [_factor(ratio(perturb(r), r)) for r in reference]
    return Result(value=_geometric_mean(per_clip), per_clip=tuple(per_clip), floor=_geometric_mean(floor))


def amount(clip: Frames) -> float:
    """Mean absolute difference of consecutive frames, in grey levels; 0 for an image."""
    if len(clip) < 2:
        return 0.0
    return float(np.abs(np.diff(clip.astype(np.int16), axis=0)).mean())


def ratio(clip: Frames, reference: Frames) -> float:
    """Motion of a clip over motion of its reference."""
    return ratio_of_amounts(amount(clip), amount(reference))


def ratio_of_amounts(clip: float, reference: float) -> float:
    return (clip + STILL) / (reference + STILL)


def _factor(ratio: float) -> float:
    return max(ratio, 1 / ratio)


def _geometric_mean(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))
