"""What a scenario stages: parameters drawn by split, a cast of coloured solids, and the real clip with its truth.

A scenario is a file of this folder. It defines

    SHOWN_BY     kinds of tabletop scenes that show a model the like of it; empty: no level does
    PARAMETERS   name -> Range
    ACTORS       the shapes that each actor may have, one tuple per actor
    METRICS      name -> Metric
    stage(p, cast) -> Staged       the simulator scene, its prompt and its camera
    measure(seen, probe) -> dict   metrics from pixels; `probe` has the truth. A metric that this truth does not define
                                   (no flight long enough at this frame rate) is left out; one that the clip fails to
                                   show is nan, which counts as the worst

Axes of a scene are those of the view: right, away from the camera, up, in metres from the middle of the floor.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from types import ModuleType
from typing import Literal

import numpy as np

from worldpatch import config
from worldpatch.evals.suites._task import Form
from worldpatch.evals.suites.physics._seen import Seen, observe
from worldpatch.types import Camera, Clip, Truth
from worldpatch.worlds import tabletop
from worldpatch.worlds._holdout import UNSEEN_PAIRS
from worldpatch.worlds.tabletop import Decor, Scene, Script, Shot, Solid

Split = Literal["in", "out", "swapped", "combined"]
SPLITS: tuple[Split, ...] = ("in", "out", "swapped", "combined")
"""In distribution; parameters out of range; colour-shape pairs no training has; a bystander."""

SEED = 27_182_818  # of the suite's scenes; training never uses it
PACKAGE = "evals/suites/physics"
SIZES = {"ball": 0.27, "box": 0.23, "cylinder": 0.22}  # metres: radius, half side


@dataclass(frozen=True, kw_only=True)
class Range:
    """A parameter: uniform in `inside`, or for the split "out" in one of the pieces `outside`, if there are any."""

    inside: tuple[float, float]
    outside: tuple[tuple[float, float], ...] = ()

    @property
    def hull(self) -> tuple[float, float]:
        """The least and the greatest value of any split."""
        ends = [end for piece in (self.inside, *self.outside) for end in piece]
        return min(ends), max(ends)

    @property
    def width(self) -> float:
        return self.hull[1] - self.hull[0]

    @property
    def middle(self) -> float:
        return sum(self.inside) / 2

    def at(self, z: float) -> float:
        """The value a share z of the way from the middle of `inside` (0) to either end of the hull (-1 and 1)."""
        low, high = self.hull
        z = min(1.0, max(-1.0, z))
        return self.middle + z * (high - self.middle if z > 0 else self.middle - low)

    def draw(self, rng: np.random.Generator, out: bool) -> float:
        pieces = self.outside if out and self.outside else (self.inside,)
        return float(rng.uniform(*pieces[int(rng.integers(len(pieces)))]))


@dataclass(frozen=True, kw_only=True)
class Cast:
    """Who acts: shape and colour of each actor, all colours different; the frame format; the decor."""

    shapes: tuple[str, ...]
    colours: tuple[str, ...]
    form: Form
    decor: Decor

    def solid(self, i: int, x: float = 0.0, y: float = 0.0, lift: float = 0.0, scale: float = 1.0, **more) -> Solid:
        """Actor i with its foot `lift` metres above the floor at (x right, y away); `more` are fields of `Solid`."""
        shape, r = self.shapes[i], scale * SIZES[self.shapes[i]]
        size = {"ball": (r,), "box": (r, r, r), "cylinder": (r, 1.15 * r)}[shape]
        solid = Solid(**{"shape": shape, "colour": self.colours[i], "size": size, "position": (0.0, 0.0, 0.0), **more})
        return solid.at(x, y, lift + solid.half_height)

    def name(self, i: int) -> str:
        """Such as "red ball"."""
        return f"{self.colours[i]} {self.shapes[i]}"

    @property
    def film(self) -> tabletop.Format:
        f = self.form
        return tabletop.Format(height=f.height, width=f.width, rate=f.rate, frames=f.frames)


@dataclass(frozen=True, kw_only=True)
class Staged:
    """A scenario's scene: script, sentence, the camera (None: it rests where it usually does), the decor (None: the
    cast's)."""

    script: Script
    prompt: str
    shot: Shot | None = None
    decor: Decor | None = None


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A drawn scene with its real clip. `given` is the number of frames a model has seen."""

    scenario: str
    split: str
    index: int
    parameters: dict[str, float]
    cast: Cast
    clip: Clip
    given: int = 0

    @property
    def scene(self) -> Scene:
        """Built again when asked for: a scene holds functions, which cannot travel between processes."""
        return build(module(self.scenario), self.parameters, self.cast)

    @property
    def truth(self) -> Truth:
        assert self.clip.truth is not None
        return self.clip.truth

    @property
    def camera(self) -> Camera:
        assert self.clip.camera is not None
        return self.clip.camera

    @cached_property
    def real(self) -> Seen:
        """The real clip as the same eyes see it."""
        return observe(self.clip.frames, self.clip)

    def k(self, actor: int) -> int:
        """The number of an actor among the truth's objects."""
        colours = [o["colour"] for o in self.truth.objects]
        return colours.index(self.cast.colours[actor])

    @property
    def expected(self) -> np.ndarray:
        """Where each object should be seen: "t k" bool, at least half visible and wholly inside the frame."""
        assert self.truth.visibility is not None
        return (self.truth.visibility > 0.5) & ~self.real.clipped

    def mode(self, given: int) -> "Probe":
        return replace(self, given=given)


def module(name: str) -> ModuleType:
    return config.resolve(PACKAGE, name)


def names() -> list[str]:
    return config.available(PACKAGE)


def probe(name: str, split: Split, index: int, form: Form) -> Probe:
    """Scene `index` of a scenario's split, rendered: the same arguments give the same bytes."""
    scenario = module(name)
    rng = np.random.default_rng([SEED, names_hash(name), SPLITS.index(split), index])
    parameters = {k: r.draw(rng, split == "out") for k, r in scenario.PARAMETERS.items()}
    cast = _cast(rng, scenario.ACTORS, split, form)
    scene = build(scenario, parameters, cast)
    return Probe(
        scenario=name, split=split, index=index, parameters=parameters, cast=cast,
        clip=tabletop.enact(scene, cast.film),
    )  # fmt: skip


def build(scenario: ModuleType, parameters: dict[str, float], cast: Cast) -> Scene:
    """The scene of these parameters, with a bystander where the cast has one actor more than the scenario."""
    staged: Staged = scenario.stage(parameters, cast)
    script, prompt = staged.script, staged.prompt
    if len(cast.shapes) > len(scenario.ACTORS):
        last = len(cast.shapes) - 1
        side = -1.0 if len(cast.colours[last]) % 2 else 1.0
        script = replace(script, solids=(*script.solids, cast.solid(last, x=0.85 * side, y=1.0)))
        prompt = f"{prompt}, a {cast.name(last)} stands behind"
    prompt = prompt.replace("a orange", "an orange")  # the one colour of the palette that begins with a vowel
    return Scene(script=script, decor=staged.decor or cast.decor, caption=prompt, shot=staged.shot)


def names_hash(name: str) -> int:
    """A number for a name, the same in every process."""
    return int.from_bytes(name.encode()[:8].ljust(8, b"\0"), "big") % 2**31


def _cast(rng: np.random.Generator, actors: tuple[tuple[str, ...], ...], split: Split, form: Form) -> Cast:
    """Shapes and colours. Pairs that training never has are met in the split "swapped" alone, there by the first actor
    if its shapes allow."""
    wanted = [*actors, *([("ball", "box", "cylinder")] if split == "combined" else [])]
    shapes, colours = [], []
    for i, allowed in enumerate(wanted):
        pairs = [
            (s, c)
            for s in allowed
            for c in tabletop.palette(tabletop.Config(level=2))
            if c not in colours and ((c, s) in UNSEEN_PAIRS) == (split == "swapped" and i == 0)
        ]
        shape, colour = pairs[int(rng.integers(len(pairs)))]
        shapes.append(shape)
        colours.append(colour)
    decor = Decor(
        pattern=str(rng.choice(("plain", "tiled"))),
        floor="white",
        wall="grey",
        light=float(rng.choice((-1.0, 1.0)) * rng.uniform(20.0, 50.0)),
    )
    return Cast(shapes=tuple(shapes), colours=tuple(colours), form=form, decor=decor)
