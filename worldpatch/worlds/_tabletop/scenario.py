"""Scripts of levels 1 and 2: which solids stand where, how they start, and what they are meant to do.

A scenario is a function (Casting) -> Script. It proposes; `judge` disposes: a script whose beats do not all happen is
drawn again.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from worldpatch.worlds._tabletop.palette import ALL, FEW
from worldpatch.worlds._tabletop.records import Beat, Script, Solid

SHAPES = ("ball", "box", "cylinder")
PATH = 1.5  # metres that a crossing solid covers
GRAVITY = 9.81


@dataclass(frozen=True, kw_only=True)
class Casting:
    """What a scenario draws from: randomness, the colours allowed, the clip's length (s), the scale of solids."""

    rng: np.random.Generator
    colours: tuple[str, ...]
    seconds: float
    scale: float = 1.0

    def shape(self, *of: str) -> str:
        return str(self.rng.choice(of or SHAPES))

    def side(self) -> float:
        return float(self.rng.choice((-1.0, 1.0)))

    def solids(self, *shapes: str) -> list[Solid]:
        """Solids of the given shapes in different colours, sizes drawn, resting in the middle of the floor."""
        colours = self.rng.choice(self.colours, len(shapes), replace=False)
        return [self._solid(shape, str(colour)) for shape, colour in zip(shapes, colours, strict=True)]

    def _solid(self, shape: str, colour: str) -> Solid:
        r = self.scale * self.rng.uniform(0.25, 0.33)
        size = {"ball": (1.08 * r,), "box": (0.92 * r,) * 3, "cylinder": (0.88 * r, 1.12 * r)}[shape]
        turn = float(self.rng.uniform(0.35, 1.2)) if shape == "box" else 0.0
        solid = Solid(shape=shape, colour=colour, size=size, position=(0.0, 0.0, 0.0), turn=turn)
        return solid.at(0.0, 0.0, solid.half_height)


def falls(cast: Casting) -> Script:
    """A solid drops from the air; balls bounce."""
    (solid,) = cast.solids(cast.shape())
    return Script(kind="fall", solids=(dropped(cast, solid, 0.0),), beats=(Beat(kind="fall", objects=(0,)),))


def crosses(cast: Casting) -> Script:
    """A ball rolls, a box or cylinder slides, from one side to the other."""
    (solid,) = cast.solids(cast.shape())
    solid, beat = crossing(cast, solid, 0, cast.side(), 0.0)
    return Script(kind=beat.kind, solids=(solid,), beats=(beat,))


def stands(cast: Casting) -> Script:
    """A solid stands still."""
    (solid,) = cast.solids(cast.shape())
    x, y = cast.rng.uniform(-0.35, 0.35, 2)
    solid = solid.at(x, y, solid.half_height)
    return Script(kind="stand", solids=(solid,), beats=(Beat(kind="stand", objects=(0,)),))


def jumps(cast: Casting) -> Script:
    """A solid hops straight up and lands."""
    (solid,) = cast.solids(cast.shape())
    solid = replace(
        solid, velocity=(0.0, 0.0, cast.rng.uniform(3.2, 4.2)), bounce=0.3 if solid.shape == "ball" else 0.03
    )
    return Script(kind="jump", solids=(solid,), beats=(Beat(kind="jump", objects=(0,)),))


def spins(cast: Casting) -> Script:
    """A box turns on the spot."""
    (solid,) = cast.solids("box")
    rate = cast.side() * cast.rng.uniform(4.0, 6.0)
    solid = replace(solid, spin=(0.0, 0.0, rate), friction=0.02)
    return Script(kind="spin", solids=(solid,), beats=(Beat(kind="spin", objects=(0,)),))


def rolls_in_depth(cast: Casting) -> Script:
    """A ball or a lying cylinder rolls towards or away from the camera."""
    shape = cast.shape("ball", "cylinder")
    (solid,) = cast.solids(shape)
    solid = replace(solid, lying=shape == "cylinder")
    away = cast.side()
    speed = 1.7 / max(cast.seconds, 0.5)
    solid = replace(
        solid.at(cast.rng.uniform(-0.3, 0.3), -0.85 * away, solid.half_height),
        velocity=(0.0, away * speed, 0.0),
        spin=(-away * speed / solid.size[0], 0.0, 0.0),
    )
    beat = Beat(kind="roll", objects=(0,), direction="away" if away > 0 else "towards")
    return Script(kind="roll", solids=(solid,), beats=(beat,))


def stand_together(cast: Casting) -> Script:
    """Two or three solids stand side by side."""
    count = int(cast.rng.integers(2, 4))
    solids = cast.solids(*(cast.shape() for _ in range(count)))
    spots = (np.arange(count) - (count - 1) / 2) * 0.78 + cast.rng.uniform(-0.05, 0.05, count)
    depth = cast.rng.uniform(-0.25, 0.25, count)
    placed = tuple(s.at(x, y, s.half_height) for s, x, y in zip(solids, spots, depth, strict=True))
    return Script(kind="stand", solids=placed, beats=tuple(Beat(kind="stand", objects=(i,)) for i in range(count)))


def falls_beside(cast: Casting) -> Script:
    """One solid falls next to one that stands."""
    first, second = cast.solids(cast.shape(), cast.shape())
    side = cast.side()
    first = dropped(cast, first, -0.5 * side)
    second = second.at(0.5 * side, cast.rng.uniform(-0.1, 0.3), second.half_height)
    beats = (Beat(kind="fall", objects=(0,)), Beat(kind="stand", objects=(1,)))
    return Script(kind="fall", solids=(first, second), beats=beats)


def fall_together(cast: Casting) -> Script:
    """Two solids fall side by side."""
    pair = cast.solids(cast.shape(), cast.shape())
    solids = tuple(dropped(cast, s, x) for s, x in zip(pair, (-0.52, 0.52), strict=True))
    return Script(kind="fall", solids=solids, beats=tuple(Beat(kind="fall", objects=(i,)) for i in range(2)))


def falls_onto(cast: Casting) -> Script:
    """One solid falls onto another."""
    first, second = cast.solids(cast.shape(), cast.shape("box", "cylinder"))
    x = float(cast.rng.uniform(-0.25, 0.25))
    second = replace(second.at(x, 0.0, second.half_height), density=800.0)
    first = dropped(cast, first, x + cast.rng.uniform(-0.04, 0.04), lift=2 * second.half_height, room=(0.28, 0.42))
    return Script(kind="land", solids=(first, second), beats=(Beat(kind="land", objects=(0, 1)),))


def hits(cast: Casting) -> Script:
    """A moving solid hits one that stands, which moves on; perhaps a third watches from behind."""
    watched = cast.rng.random() < 0.3
    shapes = [cast.shape(), cast.shape(), *([cast.shape()] if watched else [])]
    first, second, *rest = cast.solids(*shapes)
    side = cast.side()
    first, move = crossing(cast, first, 0, side, 0.0)
    speed = cast.rng.uniform(1.2, 1.6)
    scale = side * speed / max(abs(first.velocity[0]), 1e-6)
    first = replace(
        first.at(-0.95 * side, 0.0, first.half_height),
        velocity=(side * speed, 0.0, 0.0),
        spin=tuple(s * abs(scale) for s in first.spin),
        friction=min(first.friction, 0.1) if first.shape != "ball" else first.friction,
        rolling=0.02,
        density=700.0,
        bounce=0.5,
    )
    second = second.at(0.15 * side, 0.0, second.half_height)
    second = replace(second, friction=0.12, rolling=0.03, density=400.0, bounce=0.5)
    beats = [Beat(kind="hit", objects=(0, 1), direction=move.direction)]
    if rest:
        rest = [rest[0].at(cast.rng.uniform(-0.4, 0.4), 0.85, rest[0].half_height)]
        beats.append(Beat(kind="stand", objects=(2,)))
    return Script(kind="hit", solids=(first, second, *rest), beats=tuple(beats))


def passes(cast: Casting) -> Script:
    """A solid crosses in front of or behind one that stands still."""
    first, second = cast.solids(cast.shape(), cast.shape())
    front = bool(cast.rng.random() < 0.5)
    depth = -0.55 if front else 0.6
    first, move = crossing(cast, first, 0, cast.side(), depth)
    second = second.at(cast.rng.uniform(-0.2, 0.2), 0.1 if front else -0.2, second.half_height)
    return Script(kind=move.kind, solids=(first, second), beats=(move, Beat(kind="stand", objects=(1,))))


def stack_stands(cast: Casting) -> Script:
    """One solid rests on another."""
    upper, lower = cast.solids(cast.shape("box", "cylinder"), cast.shape("box", "cylinder"))
    x = float(cast.rng.uniform(-0.4, 0.4))
    lower = lower.at(x, 0.0, lower.half_height)
    upper = upper.at(x, 0.0, 2 * lower.half_height + upper.half_height)
    beats = (Beat(kind="rest on", objects=(0, 1)), Beat(kind="stand", objects=(1,)))
    return Script(kind="stack", solids=(upper, lower), beats=beats)


def stack_topples(cast: Casting) -> Script:
    """One solid lies too far over the edge of another and topples."""
    upper, lower = cast.solids(cast.shape(), "box")
    side = cast.side()
    lower = replace(lower.at(-0.2 * side, 0.0, lower.half_height), turn=0.0, density=900.0)
    over = lower.size[0] + 0.25 * upper.reach
    upper = replace(upper.at(side * (over - 0.2), 0.0, 2 * lower.half_height + upper.half_height), turn=0.0)
    beats = (Beat(kind="topple", objects=(0, 1)), Beat(kind="stand", objects=(1,)))
    return Script(kind="topple", solids=(upper, lower), beats=beats)


def dropped(cast: Casting, solid: Solid, x: float, lift: float = 0.0, room: tuple[float, float] = (0.65, 0.9)) -> Solid:
    """The solid in the air above (x, 0), its lowest point `room` metres over `lift`."""
    height = lift + solid.half_height + cast.rng.uniform(*room)
    bounce = float(cast.rng.uniform(0.5, 0.75)) if solid.shape == "ball" else 0.08
    return replace(solid.at(x, cast.rng.uniform(-0.05, 0.05), height), bounce=bounce)


def crossing(cast: Casting, solid: Solid, index: int, side: float, depth: float) -> tuple[Solid, Beat]:
    """The solid on its way over the floor to one side (+1 right): balls roll at a steady speed, others slide out."""
    seconds = max(cast.seconds, 0.5)
    if solid.shape == "ball":
        speed, friction = PATH / seconds * cast.rng.uniform(0.95, 1.15), 0.6
        spin = (0.0, side * speed / solid.size[0], 0.0)
    else:  # uniformly slowed to rest over the path: v^2 = 2 mu g s
        speed, spin = 1.75 * PATH / seconds, (0.0, 0.0, 0.0)
        friction = speed**2 / (2 * GRAVITY * PATH)
    moving = replace(
        solid.at(-side * PATH / 2, depth, solid.half_height),
        velocity=(side * speed, 0.0, 0.0),
        spin=spin,
        friction=float(friction),
    )
    kind = "roll" if solid.shape == "ball" else "slide"
    return moving, Beat(kind=kind, objects=(index,), direction="right" if side > 0 else "left")


Scenario = Callable[[Casting], Script]

LEVELS: dict[int, tuple[tuple[Scenario, float], ...]] = {
    1: ((falls, 1.0), (crosses, 1.0), (stands, 1.0)),
    2: (
        (falls, 1.2),
        (crosses, 1.2),
        (stands, 1.0),
        (jumps, 0.8),
        (spins, 0.4),
        (rolls_in_depth, 0.6),
        (stand_together, 1.2),
        (falls_beside, 1.0),
        (fall_together, 0.8),
        (falls_onto, 1.0),
        (hits, 1.8),
        (passes, 1.0),
        (stack_stands, 0.6),
        (stack_topples, 0.6),
    ),
}
"""Scenarios of each level with their weights."""

PALETTES = {1: FEW, 2: ALL}
SCALES = {1: 1.22, 2: 1.08}
"""Lone solids are larger; several must fit beside each other."""
