"""Collision: one solid strikes another; momentum is kept, energy never grows, and neither enters the other."""

import numpy as np
from jaxtyping import Float

from worldpatch.evals.suites._task import Metric
from worldpatch.evals.suites.physics._measure import path_error, velocity
from worldpatch.evals.suites.physics._scene import Cast, Probe, Range, Staged
from worldpatch.evals.suites.physics._seen import Seen
from worldpatch.worlds.tabletop import Script, Solid

SHOWN_BY = ("hit",)
PARAMETERS = {
    "speed": Range(inside=(0.6, 0.85), outside=((0.42, 0.5),)),  # m/s
    "bounce": Range(inside=(0.4, 0.8), outside=((0.1, 0.2), (0.95, 1.0))),
    "scale": Range(inside=(0.85, 1.05), outside=((0.65, 0.75), (1.2, 1.3))),  # of the struck solid
    "offset": Range(inside=(0.0, 0.0), outside=((0.1, 0.16),)),  # metres by which the first passes beside the middle
    "side": Range(inside=(-1.0, 1.0)),
}
ACTORS = (("ball", "box"), ("ball", "box"))
METRICS = {
    "passed on": Metric(unit="share", worst=1.0),
    "momentum": Metric(unit="relative", worst=1.0),
    "energy gained": Metric(unit="relative", worst=1.0, naive=1.0),
    "entered": Metric(unit="m", worst=0.3, naive=0.3),
    "contact": Metric(unit="s", worst=1.0, needs="video"),
    "path": Metric(unit="m", worst=1.0, needs="video"),
}
START, STRUCK = 0.85, 0.1  # metres: where the first begins and where the second waits, on either side of the middle
NOTICEABLE = 0.08  # m/s
VOLUME = {"ball": 4 / 3 * np.pi, "box": 8.0}


def stage(p: dict[str, float], cast: Cast) -> Staged:
    side = 1.0 if p["side"] > 0 else -1.0
    glide = {"friction": 0.0, "bounce": p["bounce"]}
    first = cast.solid(0, x=-START * side, y=p["offset"], velocity=(side * p["speed"], 0.0, 0.0), **glide)
    second = cast.solid(1, x=STRUCK * side, scale=p["scale"], **glide)
    where = f"{'rolls' if first.shape == 'ball' else 'slides'} to the {'right' if side > 0 else 'left'}"
    script = Script(kind="hit", solids=(first, second), beats=())
    return Staged(script=script, prompt=f"a {cast.name(0)} {where} and hits a {cast.name(1)}")


def measure(seen: Seen, probe: Probe) -> dict[str, float]:
    one, two = probe.scene.script.solids[:2]
    a, b = (seen.ground(probe.k(i)) for i in (0, 1))
    true_a, true_b = (probe.truth.pose[:, probe.k(i), :2].astype(float) for i in (0, 1))
    side = np.sign(true_b[-1, 0] - true_b[0, 0])
    moved = _contact(seen.times, side * b[:, 0], first=max(probe.given - 1, 0))
    before = seen.times < moved - 0.02
    after = (seen.times > moved + 0.02) & (np.arange(len(b)) >= probe.given)
    mass, struck = _mass(one), _mass(two)
    speeds = [_velocity(seen.times[part], x[part]) for x, part in ((a, before), (a, after), (b, after))]
    momentum = mass * speeds[0]
    energy = mass * speeds[0] @ speeds[0]
    later = mass * speeds[1] @ speeds[1] + struck * speeds[2] @ speeds[2]
    return {
        "passed on": float(not side * speeds[2][0] > NOTICEABLE),
        "momentum": float(np.linalg.norm(mass * speeds[1] + struck * speeds[2] - momentum) / np.linalg.norm(momentum)),
        "energy gained": max(0.0, float(later / energy) - 1.0) if energy > 0 else np.nan,
        "entered": _entered(a[probe.given :], b[probe.given :], one, two),
        "contact": abs(moved - _contact(seen.times, side * true_b[:, 0], first=max(probe.given - 1, 0))),
        "path": (path_error(seen, probe, probe.k(0), "ground") + path_error(seen, probe, probe.k(1), "ground")) / 2,
    }


def _contact(times: Float[np.ndarray, " t"], right: Float[np.ndarray, " t"], first: int) -> float:
    """When the struck solid's line of motion leaves the place where it waited, in seconds; nan if it never moves."""
    waits = right[first] if np.isfinite(right[first]) else np.nan
    gone = np.flatnonzero((right > waits + 0.05) & (np.arange(len(right)) >= first))
    if len(gone) < 2:
        return np.nan
    part = gone[gone < gone[0] + max(3, len(times) // 3)]
    speed = velocity(times[part], right[part])
    return float(times[part].mean() - (right[part].mean() - waits) / speed) if speed > NOTICEABLE else np.nan


def _velocity(times: Float[np.ndarray, " n"], place: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " 2"]:
    return np.array([velocity(times, place[:, axis]) for axis in (0, 1)])


def _mass(solid: Solid) -> float:
    """In kg: all solids are equally dense."""
    return solid.density * VOLUME[solid.shape] * solid.size[0] ** 3


def _entered(a: Float[np.ndarray, "t 2"], b: Float[np.ndarray, "t 2"], one: Solid, two: Solid) -> float:
    """How deep the two are in each other at most, in metres, taken as balls of their half widths; nan if never seen."""
    deep = one.size[0] + two.size[0] - np.linalg.norm(a - b, axis=1)
    known = deep[np.isfinite(deep)]
    return float(np.max(known, initial=0.0)) if len(known) else np.nan
