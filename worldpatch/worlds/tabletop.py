"""Tabletop: coloured solids on a floor, simulated by MuJoCo, filmed, and told in captions that are true.

Clip i is a pure function of (config, seed, i), so clips may be rendered by any number of processes in any order.
Import this module before mujoco, or set MUJOCO_GL yourself: it chooses the off-screen renderer.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from worldpatch.config import UserError
from worldpatch.types import Clip
from worldpatch.worlds._tabletop import props as props
from worldpatch.worlds._tabletop.augment import mirror as mirror
from worldpatch.worlds._tabletop.augment import recolour as recolour
from worldpatch.worlds._tabletop.camera import project as project
from worldpatch.worlds._tabletop.enact import Scene as Scene
from worldpatch.worlds._tabletop.enact import enact as enact
from worldpatch.worlds._tabletop.enact import look as look
from worldpatch.worlds._tabletop.enact import pictured as pictured
from worldpatch.worlds._tabletop.enact import resting as resting
from worldpatch.worlds._tabletop.enact import simulate as simulate
from worldpatch.worlds._tabletop.film import choose_decor as choose_decor
from worldpatch.worlds._tabletop.film import film
from worldpatch.worlds._tabletop.palette import ALL, FEW
from worldpatch.worlds._tabletop.perform import Staged as Staged
from worldpatch.worlds._tabletop.perform import perform as perform
from worldpatch.worlds._tabletop.records import Decor as Decor
from worldpatch.worlds._tabletop.records import Format as Format
from worldpatch.worlds._tabletop.records import Prop as Prop
from worldpatch.worlds._tabletop.records import Script as Script
from worldpatch.worlds._tabletop.records import Shot as Shot
from worldpatch.worlds._tabletop.records import Solid as Solid
from worldpatch.worlds._tabletop.records import Stroke as Stroke
from worldpatch.worlds._tabletop.stage import LARGEST
from worldpatch.worlds._tabletop.wish import read as read

LICENCE = "CC0-1.0"
GRID = 16  # pixels: varied sides are multiples of this, so that they lie on every latent and patch grid
RATES = (8.0, 10.0, 12.0, 16.0, 24.0)
LONGEST = 10.0  # seconds
IMAGES = 0.1  # share of single frames where geometry varies


@dataclass(frozen=True, kw_only=True)
class Config(Format):
    """What to film.

    `level` 1: one solid, six colours, three events, camera at rest or orbiting. 2: one to three solids, eight colours,
    collisions, stacks, relations, pans and zooms. 3: walls, ramps, breaking, glossy floors, looks. 4: up to five
    solids, puppets, marks that stay, pencil, dollies and cuts.

    `height` and `width` in pixels, `rate` in frames per second. `supersample` renders larger by this factor and
    averages down. `masks` False skips the segmentation pass (truth then has neither masks nor visibility).
    `vary_geometry` draws each clip's aspect from 1:2 to 2:1 at about the same area, its rate from 8 to 24 and its
    length from one frame to ten seconds (1 + 4k frames); `rate` and `frames` are then not read.
    """

    vary_geometry: bool = False

    def __post_init__(self) -> None:
        if self.supersample < 1:
            raise UserError(f"supersample {self.supersample} is not a positive factor; 2 is a good one")
        if self.vary_geometry and 2 * self.height * self.width * self.supersample**2 > LARGEST**2:
            rule = f"is too large to vary its aspect; at most {LARGEST // 3} pixels a side"
            raise UserError(f"{self.height}x{self.width} {rule}")
        if self.level not in (1, 2, 3, 4):
            raise UserError(f"tabletop level {self.level} does not exist; choose 1, 2, 3 or 4")
        for name in ("height", "width"):
            side = getattr(self, name)
            if not 16 <= side * self.supersample <= LARGEST:
                rule = f"is outside 16 to {LARGEST} pixels; change either"
                raise UserError(f"{name} {side} at supersample {self.supersample} {rule}")
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
    sequence = np.random.SeedSequence([seed, index])
    if config.vary_geometry:
        config = _vary(config, np.random.default_rng(np.random.SeedSequence([seed, index, 1])))
    return film(config, sequence, seed=index, licence=LICENCE)


def palette(config: Config) -> tuple[str, ...]:
    """The colour words of a level's solids."""
    return FEW if config.level == 1 else ALL


def _vary(config: Config, rng: np.random.Generator) -> Config:
    """The config with an aspect, a rate and a length of its own."""
    aspect = 2.0 ** rng.uniform(-1.0, 1.0)  # height over width
    side = np.sqrt(config.height * config.width)
    height, width = (max(GRID, GRID * round(side * a / GRID)) for a in (np.sqrt(aspect), 1 / np.sqrt(aspect)))
    height, width = min(height, 2 * width), min(width, 2 * height)
    rate = float(rng.choice(RATES))
    seconds = 0.0 if rng.random() < IMAGES else rng.uniform(0.5, LONGEST)
    frames = 1 + 4 * int(seconds * rate / 4)
    return replace(config, height=height, width=width, rate=rate, frames=frames, vary_geometry=False)
