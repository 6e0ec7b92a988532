"""Builders of props: walls, ramps, two puppets that walk, a stroke of paint, a box that is eaten.

All poses are in the view frame: right, away from the camera, up; metres and unit quaternions (w x y z).
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from worldpatch.worlds._tabletop.records import Part, Prop, Vector

PALE: Vector = (0.66, 0.65, 0.62)  # scenery, under 10% saturation
LIMB: Vector = (0.32, 0.31, 0.33)
SWING = 0.5  # radians that a walking leg swings to either side
DABS = 18


def wall(position: Vector, size: Vector) -> Prop:
    """A standing block; `position` is the middle of its foot."""
    x, y, z = position
    return _still("wall", Part(shape="box", size=size, colour=PALE), (x, y, z + size[2]))


def ramp(foot: float, depth: float, side: float, length: float, angle: float, width: float) -> Prop:
    """A plank that slopes down towards `side` (+1 right) and meets the floor at x = `foot`; `angle` in radians."""
    middle = (foot - side * length / 2 * np.cos(angle), depth, length / 2 * np.sin(angle))
    plank = Part(shape="box", size=(length / 2, width / 2, 0.025), colour=PALE)
    return _still("ramp", plank, middle, _tilt(side * angle))


def biped(colour: str, walk: Callable[[float], tuple[float, float]], side: float, depth: float) -> Prop:
    """A puppet on two legs with a balloon for a head, about 1.2 m tall. `walk` maps seconds to (place, leg phase)."""
    leg, hip = 0.42, 0.44
    parts = (
        Part(shape="box", size=(0.09, 0.13, 0.17), colour=LIMB),
        Part(shape="ball", size=(0.21,)),
        Part(shape="capsule", size=(0.012, 0.05), colour=LIMB),
        *(Part(shape="capsule", size=(0.045, leg / 2 - 0.045), colour=LIMB) for _ in range(2)),
        *(Part(shape="capsule", size=(0.03, 0.13), colour=LIMB) for _ in range(2)),
    )

    def motion(seconds: float) -> Float[np.ndarray, "p 7"]:
        x, phase = walk(seconds)
        swing = SWING * np.sin(phase)
        rise = hip - 0.5 * leg * (1 - np.cos(swing))  # hips sink as the legs spread
        sway = 0.06 * np.sin(phase * 0.5)
        return np.array(
            [
                [x, depth, rise + 0.19, *_tilt(0.0)],
                [x - side * 0.03 + sway, depth, rise + 0.19 + 0.50, *_tilt(0.0)],
                [x + sway / 2, depth, rise + 0.19 + 0.23, *_tilt(sway)],
                *(_hang(x, depth + d, rise, s * swing, leg) for s, d in ((1, -0.08), (-1, 0.08))),
                *(_hang(x, depth + d, rise + 0.32, -s * 0.8 * swing, 0.30) for s, d in ((1, -0.17), (-1, 0.17))),
            ]
        )

    return Prop(shape="biped", colour=colour, parts=parts, motion=motion, extent=(0.2, 0.2, 0.6))


def quadruped(colour: str, walk: Callable[[float], tuple[float, float]], side: float, depth: float) -> Prop:
    """A puppet on four legs, about 0.8 m long. `walk` maps seconds to (place, leg phase)."""
    leg, hip, long = 0.36, 0.36, 0.30
    parts = (
        Part(shape="box", size=(long, 0.14, 0.12)),
        Part(shape="box", size=(0.12, 0.10, 0.10)),
        Part(shape="capsule", size=(0.03, 0.10)),
        *(Part(shape="capsule", size=(0.045, leg / 2 - 0.045), colour=LIMB) for _ in range(4)),
    )

    def motion(seconds: float) -> Float[np.ndarray, "p 7"]:
        x, phase = walk(seconds)
        bob = 0.015 * np.cos(2 * phase)
        feet = ((1, 1, 0.0), (1, -1, np.pi), (-1, 1, np.pi), (-1, -1, 0.0))  # diagonal legs swing together: a trot
        return np.array(
            [
                [x, depth, hip + 0.10 + bob, *_tilt(0.0)],
                [x + side * (long + 0.10), depth, hip + 0.26 + bob, *_tilt(0.0)],
                [x - side * (long + 0.06), depth, hip + 0.24 + bob, *_tilt(-side * 0.6)],
                *(
                    _hang(x + side * f * (long - 0.06), depth + 0.09 * w, hip, SWING * np.sin(phase + shift), leg)
                    for f, w, shift in feet
                ),
            ]
        )

    return Prop(shape="quadruped", colour=colour, parts=parts, motion=motion, extent=(0.45, 0.15, 0.35))


def paint(colour: str, places: Float[np.ndarray, "s 2"], times: Float[np.ndarray, " s"], radius: float) -> Prop:
    """Dabs of paint on the floor along a path (view frame), each there from the moment it was passed."""
    keep = np.linspace(0, len(places) - 1, DABS).round().astype(int)
    dabs = tuple(Part(shape="cylinder", size=(radius, 0.002), since=float(times[i])) for i in keep)
    poses = np.array([[*places[i], 0.003, 1, 0, 0, 0] for i in keep])
    return Prop(shape="paint", colour=colour, parts=dabs, motion=lambda seconds: poses, extent=(radius, radius, 0.002))


def eaten(colour: str, place: tuple[float, float], half: float, bites: tuple[float, ...], side: float) -> Prop:
    """A box built of 27 blocks around a core, of which the corner nearest the viewer goes bite by bite."""
    block, x0, y0 = half / 3, *place
    order = {(side, -1.0, 1.0): 0, (0.0, -1.0, 1.0): 1, (side, -1.0, 0.0): 1, (side, 0.0, 1.0): 2, (0.0, 0.0, 1.0): 2}
    parts, poses = [Part(shape="box", size=(half * 0.6,) * 3)], [[x0, y0, half, 1, 0, 0, 0]]
    for cell in np.ndindex(3, 3, 3):
        offset = np.array(cell) - 1.0
        bite = order.get((float(offset[0]), float(offset[1]), float(offset[2])))
        until = bites[bite] if bite is not None and bite < len(bites) else np.inf
        parts.append(Part(shape="box", size=(block,) * 3, until=until))
        poses.append([x0 + 2 * block * offset[0], y0 + 2 * block * offset[1], half + 2 * block * offset[2], 1, 0, 0, 0])
    fixed = np.array(poses)
    return Prop(shape="box", colour=colour, parts=tuple(parts), motion=lambda seconds: fixed, extent=(half,) * 3)


def gnawed(colour: str, place: tuple[float, float], half: float, bites: tuple[float, ...], side: float) -> Prop:
    """A box built of nine bars from front to back, of which those at one side go bite by bite, top down, so that every
    bite shows in the outline. At most six bites."""
    order = [(x, z) for x in (side, 0.0) for z in (1.0, 0.0, -1.0)]
    cells = [(0.0, 0.0), *((x, z) for x in (-1.0, 0.0, 1.0) for z in (-1.0, 0.0, 1.0) if (x, z) != (0.0, 0.0))]
    until = dict(zip(order, bites, strict=False))
    bars = tuple(Part(shape="box", size=(half / 3, half, half / 3), until=until.get(cell, np.inf)) for cell in cells)
    fixed = np.array([[place[0] + 2 / 3 * half * x, place[1], half + 2 / 3 * half * z, 1, 0, 0, 0] for x, z in cells])
    return Prop(shape="box", colour=colour, parts=bars, motion=lambda seconds: fixed, extent=(half,) * 3)


def stroll(side: float, start: float, length: float, seconds: float) -> Callable[[float], tuple[float, float]]:
    """A steady walk of `length` metres from x = `start` to `side`, with the leg phase that keeps feet from sliding."""
    speed = length / max(seconds, 0.5)
    stride = 4 * 0.4 * np.sin(SWING)  # metres per two steps
    return lambda t: (start + side * speed * t, 2 * np.pi * speed * t / stride + 0.6)


def _still(shape: str, part: Part, position: tuple[float, float, float], quaternion=(1.0, 0.0, 0.0, 0.0)) -> Prop:
    pose = np.array([[*position, *quaternion]])
    return Prop(shape=shape, parts=(part,), motion=lambda seconds: pose, extent=part.size, collides=True)


def _tilt(angle: float) -> tuple[float, float, float, float]:
    """Quaternion of a turn about the view axis "away" by `angle` radians (positive: the right end down)."""
    return float(np.cos(angle / 2)), 0.0, float(np.sin(angle / 2)), 0.0


def _hang(x: float, y: float, z: float, swing: float, length: float) -> list[float]:
    """Pose of a limb of this length that hangs from (x, y, z) and swings by `swing` radians."""
    return [x - length / 2 * np.sin(swing), y, z - length / 2 * np.cos(swing), *_tilt(swing)]
