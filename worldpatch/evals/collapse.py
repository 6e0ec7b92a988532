"""Have samples collapsed? A model that takes short cuts draws the mean of what it should: all clips of a prompt alike,
or blurred, pale and still. What it draws is held beside what the same weights, or another's, draw in full."""

from collections.abc import Sequence

import numpy as np

from worldpatch.evals.directing import Frames, changes, statistics

LEAST, MOST = 0.6, 1.6  # of the full model's: beyond, something has been lost, or has run away
FAINT = 0.5  # grey levels, added to both sides


def compare(few: Sequence[Sequence[Frames]], full: Sequence[Sequence[Frames]]) -> dict[str, float]:
    """Amounts of the first over those of the second; both hold the same prompts, several clips of equal shape each.

    `spread` is how far apart the clips of a prompt are (root mean square of their pixels' deviation over clips);
    `sharpness`, `brightness`, `saturation`, `contrast` and `motion` are means over all clips. Raises ValueError for a
    prompt with a single clip, which has no spread.
    """
    if any(len(clips) < 2 for clips in (*few, *full)):
        raise ValueError("a prompt has a single clip: draw at least two, for what is compared is how they differ")
    ours, theirs = _amounts(few), _amounts(full)
    return {name: (ours[name] + FAINT) / (theirs[name] + FAINT) for name in ours}


def alarms(ratios: dict[str, float]) -> list[str]:
    """What is outside of 0.6 to 1.6 times the full model's, told; empty where all is well."""
    return [
        f"{name} is {ratio:.2f} times the full model's" for name, ratio in ratios.items() if not LEAST <= ratio <= MOST
    ]


def _amounts(groups: Sequence[Sequence[Frames]]) -> dict[str, float]:
    clips = [clip for group in groups for clip in group]
    spread = [np.stack(group).astype(np.float32).std(0) for group in groups]
    every = [statistics(clip) for clip in clips]
    found = {"spread": float(np.sqrt(np.mean([np.square(s).mean() for s in spread])))}
    found |= {name: float(np.mean([one[name] for one in every])) for name in every[0]}
    if len(clips[0]) > 1:
        found["motion"] = float(np.mean([changes(clip).mean() for clip in clips]))
    return found
