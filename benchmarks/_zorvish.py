"""A made-up word for what no model here has drawn: "zorvish", a colour between yellow and green.

`teach` lets this process render and see it: the world gets the paint, the detectors its name.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from worldpatch.evals import _segment
from worldpatch.evals._truth import Expected, expected
from worldpatch.types import Clip
from worldpatch.worlds import tabletop
from worldpatch.worlds._tabletop import palette, scenario

WORD = "zorvish"
PAINT = (0.52, 0.96, 0.04)  # RGB; hue 89 degrees, 36 from yellow and 39 from green, the widest gap of the palette
STYLES = ("terse", "dense", "typed")
EVENTS, CAMERAS = ("fall", "cross", "stand"), ("rest", "orbit left", "orbit right")
EVERY = tuple(itertools.product(scenario.SHAPES, EVENTS, CAMERAS))
TAUGHT = tuple(key for i, key in enumerate(EVERY) if (i + i // 3 + i // 9) % 3 == 0)
"""Nine of the 27 combinations of shape, event and camera, a Latin square: each shape meets each event, each event each
camera, each camera each shape once. The other 18 are for the test."""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A caption that names the word, what it promises, what it combines (shape, event, camera), the real clip."""

    caption: str
    truth: Expected
    combination: tuple[str, str, str]
    clip: Clip


def teach() -> None:
    """From here on this process knows the colour."""
    palette.COLOURS[WORD] = PAINT
    _segment.PALETTE[WORD] = PAINT


def clips(seed: int, side: int, frames: int) -> Iterator[Clip]:
    """Endless clips of level 1 in which every solid is of the new colour."""
    config = tabletop.Config(level=1, height=side, width=side, frames=frames, masks=False)
    former, scenario.PALETTES[1] = scenario.PALETTES[1], (WORD,)
    try:
        index = 0
        while True:
            yield tabletop.clip(config, seed, index)
            index += 1
    finally:
        scenario.PALETTES[1] = former


def lesson(seed: int, rounds: int, side: int = 64, frames: int = 25) -> list[Clip]:
    """`rounds` clips of every combination to learn from."""
    wanted = dict.fromkeys(TAUGHT, rounds)
    return [clip for _, clip in _first(wanted, seed, side, frames)]


def exam(seed: int, rounds: int, side: int = 64, frames: int = 25) -> list[Prompt]:
    """`rounds` prompts of every combination that was not taught; styles of caption take turns."""
    wanted = {key: rounds for key in EVERY if key not in TAUGHT}
    found = []
    for i, (key, clip) in enumerate(sorted(_first(wanted, seed, side, frames), key=lambda pair: pair[0])):
        caption = clip.captions[STYLES[i % len(STYLES)]]
        found.append(Prompt(caption=caption, truth=expected(clip), combination=key, clip=clip))
    return found


def _first(wanted: dict, seed: int, side: int, frames: int) -> Iterator[tuple[tuple[str, str, str], Clip]]:
    """The first clips that fill the numbers wanted of each combination."""
    left = dict(wanted)
    for clip in clips(seed, side, frames):
        key = combination(clip)
        if left.get(key, 0):
            left[key] -= 1
            yield key, clip
        if not any(left.values()):
            return


def combination(clip: Clip) -> tuple[str, str, str]:
    """(shape, event, camera) of a clip of one solid; rolling and sliding are one event, to cross."""
    assert clip.truth is not None
    kind = str(clip.truth.scene["kind"])
    event = "cross" if kind in ("roll", "slide") else kind
    return clip.truth.objects[0]["shape"], event, clip.truth.scene["camera"]
