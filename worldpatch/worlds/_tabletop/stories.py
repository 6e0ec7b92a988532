"""Scripts of levels 3 and 4: walls, ramps, towers, things that break, puppets that walk, marks that stay."""

from dataclasses import replace

import numpy as np

from worldpatch.worlds._tabletop import props, scenario
from worldpatch.worlds._tabletop.records import Beat, Prop, Script, Solid, Stroke
from worldpatch.worlds._tabletop.scenario import Casting, Scenario


def hides(cast: Casting) -> Script:
    """A solid goes behind a wall and comes out on the other side."""
    (solid,) = cast.solids(cast.shape())
    solid, beat = scenario.crossing(cast, solid, 0, cast.side(), 0.45)
    half = cast.rng.uniform(0.30, 0.36)
    block = props.wall((0.0, -0.05, 0.0), (half, 0.06, 0.40 + 0.5 * solid.half_height))
    return Script(kind="hide", solids=(solid,), beats=(replace(beat, kind="hide"),), props=(block,))


def rolls_down(cast: Casting) -> Script:
    """A ball rolls down a ramp, over the floor, and up to a low wall."""
    (ball,) = cast.solids("ball")
    side, angle, length, r = cast.side(), cast.rng.uniform(0.22, 0.36), 1.05, ball.size[0]
    plank = props.ramp(0.2 * side, 0.0, side, length, angle, 0.7)
    stop = props.wall((1.0 * side, 0.0, 0.0), (0.05, 0.4, 0.12))
    along, up = length - 0.12, r + 0.03  # up the plank from its foot, and off its surface
    x = 0.2 * side - side * (along * np.cos(angle) - up * np.sin(angle))
    ball = replace(ball.at(x, 0.0, along * np.sin(angle) + up * np.cos(angle) + 0.01), rolling=0.012, bounce=0.05)
    beat = Beat(kind="roll down", objects=(0,), direction="right" if side > 0 else "left")
    return Script(kind="ramp", solids=(ball,), beats=(beat,), props=(plank, stop))


def rebounds(cast: Casting) -> Script:
    """A ball runs into a wall and comes back."""
    (ball,) = cast.solids("ball")
    side = cast.side()
    block = props.wall((0.85 * side, 0.0, 0.0), (0.07, 0.55, 0.30))
    speed = cast.rng.uniform(1.3, 1.8)
    ball = replace(
        ball.at(-0.7 * side, 0.0, ball.half_height),
        velocity=(side * speed, 0.0, 0.0),
        friction=0.05,
        rolling=0.015,
        bounce=0.8,
    )
    beat = Beat(kind="rebound", objects=(0,), direction="right" if side > 0 else "left")
    return Script(kind="rebound", solids=(ball,), beats=(beat,), props=(block,))


def breaks(cast: Casting) -> Script:
    """A box falls and breaks into pieces."""
    (box,) = cast.solids("box")
    box = replace(box.at(0.0, 0.0, box.half_height + cast.rng.uniform(0.6, 0.85)), parts=8, bounce=0.15, friction=0.5)
    return Script(kind="break", solids=(box,), beats=(Beat(kind="break", objects=(0,)),))


def smashes(cast: Casting) -> Script:
    """A ball rolls into a box, which breaks into pieces."""
    ball, box = cast.solids("ball", "box")
    side = cast.side()
    speed = cast.rng.uniform(1.8, 2.3)
    ball = replace(
        ball.at(-0.95 * side, 0.0, ball.half_height),
        velocity=(side * speed, 0.0, 0.0),
        spin=(0.0, side * speed / ball.size[0], 0.0),
        rolling=0.03,
        density=900.0,
    )
    box = replace(box.at(0.1 * side, 0.0, box.half_height), parts=8, bounce=0.1, friction=0.5, density=300.0)
    beat = Beat(kind="smash", objects=(0, 1), direction="right" if side > 0 else "left")
    return Script(kind="smash", solids=(ball, box), beats=(beat,))


def tower(cast: Casting) -> Script:
    """Three small solids rest on each other."""
    cast = replace(cast, scale=0.72 * cast.scale)
    top, middle, base = cast.solids(cast.shape("box", "cylinder"), *("box", "cylinder")[:: int(cast.side())])
    x = float(cast.rng.uniform(-0.4, 0.4))
    base = base.at(x, 0.0, base.half_height)
    middle = middle.at(x, 0.0, 2 * base.half_height + middle.half_height)
    top = top.at(x, 0.0, 2 * (base.half_height + middle.half_height) + top.half_height)
    beats = (
        Beat(kind="rest on", objects=(0, 1)),
        Beat(kind="rest on", objects=(1, 2)),
        Beat(kind="stand", objects=(2,)),
    )
    return Script(kind="tower", solids=(top, middle, base), beats=beats)


def crowd(cast: Casting) -> Script:
    """Four or five solids stand in two rows."""
    count = int(cast.rng.integers(4, 6))
    solids = _rows(cast, cast.solids(*(cast.shape() for _ in range(count))))
    return Script(kind="stand", solids=solids, beats=tuple(Beat(kind="stand", objects=(i,)) for i in range(count)))


def rain(cast: Casting) -> Script:
    """Three to five solids fall at once."""
    count = int(cast.rng.integers(3, 6))
    solids = _rows(cast, cast.solids(*(cast.shape() for _ in range(count))))
    lifted = tuple(s.at(s.position[0], s.position[1], s.position[2] + cast.rng.uniform(0.5, 0.7)) for s in solids)
    return Script(kind="fall", solids=lifted, beats=tuple(Beat(kind="fall", objects=(i,)) for i in range(count)))


def paints(cast: Casting) -> Script:
    """A solid crosses the floor and leaves a stroke of paint that stays."""
    (solid,) = cast.solids(cast.shape())
    solid, beat = scenario.crossing(cast, solid, 0, cast.side(), 0.1)
    beats = (replace(beat, kind="paint"),)
    return Script(kind="paint", solids=(solid,), beats=beats, paint=Stroke(solid=0))


def is_eaten(cast: Casting) -> Script:
    """A box loses its corner bite by bite; another solid stands by."""
    solid, box = cast.solids(cast.shape(), "box")
    side = cast.side()
    bites = tuple(cast.seconds * np.array([0.2, 0.45, 0.7]) + cast.rng.uniform(0.0, 0.1 * cast.seconds, 3))
    cake = props.eaten(box.colour, (0.45 * side, 0.0), 1.2 * box.size[0], bites, -side)
    solid = solid.at(-0.5 * side, cast.rng.uniform(-0.1, 0.2), solid.half_height)
    beats = (Beat(kind="bite", objects=(1,)), Beat(kind="stand", objects=(0,)))
    return Script(kind="bite", solids=(solid,), beats=beats, props=(cake,))


def walks(cast: Casting) -> Script:
    """A puppet walks past one to three solids that stand, before or behind it."""
    solids, puppet, side, depth = _puppet(cast, int(cast.rng.integers(1, 4)))
    back = 0.55 if depth < 0 else -0.45
    spots = (np.arange(len(solids)) - (len(solids) - 1) / 2) * 0.75
    placed = tuple(s.at(x, back, s.half_height) for s, x in zip(solids, spots, strict=True))
    beats = (Beat(kind="walk", objects=(len(placed),), direction="right" if side > 0 else "left"),)
    beats += tuple(Beat(kind="stand", objects=(i,)) for i in range(len(placed)))
    return Script(kind="walk", solids=placed, beats=beats, props=(puppet,))


def _puppet(cast: Casting, count: int) -> tuple[list[Solid], Prop, float, float]:
    """Solids, a puppet of yet another colour walking to a side, that side, and the puppet's depth."""
    *solids, double = cast.solids(*(cast.shape() for _ in range(count + 1)))
    side, depth = cast.side(), float(cast.rng.choice((-0.35, 0.4)))
    make = (props.biped, props.quadruped)[int(cast.rng.integers(2))]
    walk = props.stroll(side, -0.75 * side, min(1.5, 0.9 * max(cast.seconds, 0.5)), cast.seconds)
    return solids, make(double.colour, walk, side, depth), side, depth


def _rows(cast: Casting, solids: list[Solid]) -> tuple[Solid, ...]:
    """Two staggered rows, the back one first."""
    back = len(solids) // 2
    placed = []
    for i, solid in enumerate(solids):
        row, place, of = (0, i, back) if i < back else (1, i - back, len(solids) - back)
        x = (place - (of - 1) / 2) * 0.78 + cast.rng.uniform(-0.03, 0.03)
        placed.append(solid.at(x, 0.55 - 0.95 * row, solid.half_height))
    return tuple(placed)


LEVELS: dict[int, tuple[tuple[Scenario, float], ...]] = {
    **scenario.LEVELS,
    3: (
        *scenario.LEVELS[2],
        (hides, 1.6),
        (rolls_down, 1.4),
        (rebounds, 1.2),
        (breaks, 1.2),
        (smashes, 1.2),
        (tower, 0.8),
    ),
}
LEVELS[4] = (*LEVELS[3], (crowd, 1.2), (rain, 1.0), (paints, 1.4), (is_eaten, 1.2), (walks, 2.4))
"""Scenarios of each level with their weights."""

STILLS: tuple[tuple[Scenario, float], ...] = (
    (scenario.stands, 2.0),
    (scenario.stand_together, 2.0),
    (scenario.stack_stands, 1.0),
    (tower, 0.5),
    (crowd, 1.0),
)
"""Scenarios that one frame can show: for images of levels 3 and 4."""

SCALES = {**scenario.SCALES, 3: 0.98, 4: 0.92}
SIZES = {1: (0.33, 0.38), 2: (0.33, 0.38), 3: (0.28, 0.34), 4: (0.265, 0.32)}
"""Below the first a solid is small, above the second large: radius in metres of the ball of equal volume."""
