"""Tabletop: coloured solids on a floor, simulated by MuJoCo, filmed, and told in captions that are true.

Clip i is a pure function of (config, seed, i), so clips may be rendered by any number of processes in any order.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from worldpatch.config import UserError
from worldpatch.types import Clip
from worldpatch.worlds._tabletop.film import film

LICENCE = "CC0-1.0"


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to film. `level` 1 is one solid and three events, 2 one to three solids and more events.

    `height` and `width` in pixels, `rate` in frames per second. `supersample` renders larger by this factor and
    averages down. `masks` False skips the segmentation pass (truth then has neither masks nor visibility).
    """

    level: int = 1
    height: int = 64
    width: int = 64
    rate: float = 8.0
    frames: int = 25
    supersample: int = 2
    masks: bool = True

    def __post_init__(self) -> None:
        if self.level not in (1, 2, 3, 4):
            raise UserError(f"tabletop level {self.level} does not exist; choose 1, 2, 3 or 4")
        for name in ("height", "width"):
            side = getattr(self, name)
            if not 16 <= side * self.supersample <= 1024:
                raise UserError(f"{name} {side} at supersample {self.supersample} is outside 16 to 1024 pixels; change either")
        if not 0.5 <= self.height / self.width <= 2:
            raise UserError(f"{self.height}x{self.width} is outside the aspects 1:2 to 2:1; bring the sides closer")
        if not 1 <= self.rate <= 60:
            raise UserError(f"rate {self.rate} is outside 1 to 60 frames per second")
        if self.frames < 1:
            raise UserError(f"{self.frames} frames: a clip has at least one frame")


def clips(config: Config, seed: int) -> Iterator[Clip]:
    """Endless clips: `clip(config, seed, 0)`, `clip(config, seed, 1)`, ..."""
    index = 0
    while True:
        yield clip(config, seed, index)
        index += 1


def clip(config: Config, seed: int, index: int) -> Clip:
    """The clip with this number; the same arguments give the same bytes."""
    return film(config, np.random.SeedSequence([seed, index]), seed=index, licence=LICENCE)
