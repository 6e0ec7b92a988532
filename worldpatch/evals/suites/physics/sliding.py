"""Sliding: friction slows a solid evenly, v^2 = 2 mu g s, until it rests; it never starts again by itself."""

from dataclasses import replace

import numpy as np

from worldpatch.evals.suites._task import Metric
from worldpatch.evals.suites.physics._measure import acceleration, path_error, relative, velocity
from worldpatch.evals.suites.physics._scene import Cast, Probe, Range, Staged
from worldpatch.evals.suites.physics._seen import Seen
from worldpatch.worlds.tabletop import Script

SHOWN_BY = ("slide",)
PARAMETERS = {
    "distance": Range(inside=(1.1, 1.45), outside=((0.7, 0.9),)),  # metres to where it rests
    "seconds": Range(inside=(1.7, 2.3), outside=((1.2, 1.5), (2.5, 2.8))),  # until it rests
    "side": Range(inside=(-1.0, 1.0)),
}
ACTORS = (("box", "cylinder"),)
METRICS = {
    "friction": Metric(unit="relative", worst=1.0, needs="video"),
    "stop": Metric(unit="m", worst=1.0, needs="video"),
    "speeding up": Metric(unit="m/s", worst=1.0, naive=1.0),
    "path": Metric(unit="m", worst=1.0, needs="video"),
}
START = 0.75  # metres from the middle to where it begins
WINDOW = 0.5  # seconds over which a speed is taken, so that a pixel's error in a place does not count
GRAVITY = 9.81


def stage(p: dict[str, float], cast: Cast) -> Staged:
    side = 1.0 if p["side"] > 0 else -1.0
    speed = 2 * p["distance"] / p["seconds"]
    solid = cast.solid(0, x=-START * side, velocity=(side * speed, 0.0, 0.0), turn=0.5)
    solid = replace(solid, friction=speed / (p["seconds"] * GRAVITY))
    where = "to the right" if side > 0 else "to the left"
    script = Script(kind="slide", solids=(solid,), beats=())
    return Staged(script=script, prompt=f"a {cast.name(0)} slides {where}")


def measure(seen: Seen, probe: Probe) -> dict[str, float]:
    k, first = probe.k(0), max(probe.given - 1, 0)
    side = np.sign(probe.truth.velocity[0, k, 0])
    right, times = side * seen.ground(k)[first:, 0], seen.times[first:]
    true = probe.scene.script.solids[k].friction
    found = {
        "path": path_error(seen, probe, k, "ground"),
        "speeding up": _speeding_up(times, right),
        "stop": float(abs(_rest(right) - side * probe.truth.pose[-1, k, 0])),
    }
    moving = times < probe.parameters["seconds"]
    if moving.sum() >= 5:
        found["friction"] = relative(-acceleration(times[moving], right[moving])[0] / GRAVITY, true)
    return found


def _rest(right: np.ndarray) -> float:
    """Where it is at the end: the median of the last three places."""
    last = right[-3:][np.isfinite(right[-3:])]
    return float(np.median(last)) if len(last) else np.nan


def _speeding_up(times: np.ndarray, right: np.ndarray) -> float:
    """The most by which speed grows from one window to the next, turning back included; nan if it is hardly seen."""
    edges = np.arange(times[0], times[-1] - WINDOW / 2, WINDOW)
    speeds = [velocity(times[part], right[part]) for part in ((times >= e) & (times <= e + WINDOW) for e in edges)]
    known = np.abs([s for s in speeds if np.isfinite(s)])
    return float(np.max(np.diff(known), initial=0.0)) if len(known) > 1 else np.nan
