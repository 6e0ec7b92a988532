"""Sliding: friction brings a sliding solid to rest, evenly, and it does not start again.

How rough the floor is no picture of it shows: friction, the way to the stop and the path are asked for where the given
frames show the braking.
"""

import numpy as np

from worldpatch.evals.suites._task import Metric
from worldpatch.evals.suites.physics._measure import Series, path_error, relative, velocity
from worldpatch.evals.suites.physics._scene import Cast, Probe, Range, Staged
from worldpatch.evals.suites.physics._seen import Seen
from worldpatch.worlds.tabletop import Script

SHOWN_BY = ("slide",)
PARAMETERS = {
    "speed": Range(inside=(1.1, 1.4)),  # m/s at the beginning
    "way": Range(inside=(0.9, 1.3), outside=((0.7, 0.8), (1.45, 1.55))),  # metres to the stop
    "side": Range(inside=(-1.0, 1.0)),
}
ACTORS = (("box", "cylinder"),)
METRICS = {
    "onward": Metric(unit="m/s", worst=1.0),
    "even": Metric(unit="of the way", worst=0.2),
    "friction": Metric(unit="relative", worst=1.0, needs="video"),
    "stop": Metric(unit="m", worst=1.0, needs="video"),
    "path": Metric(unit="m", worst=1.0, needs="video"),
}
START, SCALE, GRAVITY = 0.8, 0.8, 9.81
BRAKED = 0.17  # share of the speed that must be lost within the given frames for braking to be seen
GLANCE = 0.3  # seconds over which a speed is read
STILL = 0.05  # metres: what moves less does not slide
LONGER = 3.0  # seconds after the clip in which it may still come to rest


def stage(p: dict[str, float], cast: Cast) -> Staged:
    side = 1.0 if p["side"] > 0 else -1.0
    solid = cast.solid(
        0, x=-START * side, scale=SCALE, velocity=(side * p["speed"], 0.0, 0.0),
        friction=p["speed"] ** 2 / (2 * GRAVITY * p["way"]),
    )  # fmt: skip
    where = "to the right" if side > 0 else "to the left"
    return Staged(script=Script(kind="slide", solids=(solid,), beats=()), prompt=f"a {cast.name(0)} slides {where}")


def measure(seen: Seen, probe: Probe) -> dict[str, float]:
    k, first = probe.k(0), max(probe.given - 1, 0)
    solid = probe.scene.script.solids[0]
    times, speed, side = seen.times[first:], np.abs(probe.truth.velocity[:, k, 0]), np.sign(solid.velocity[0])
    right, true = side * seen.upright(k)[first:, 0], side * probe.truth.pose[first:, k, 0]
    braking, miss = _braking(times, right)
    found = {"onward": _onward(times, right), "even": miss}
    if speed[first] < (1 - BRAKED) * speed[0]:
        found["friction"] = relative(braking / probe.scene.script.gravity, solid.friction)
        found["stop"] = float(abs(_last(right) - true[-1]))
        found["path"] = path_error(seen, probe, k)
    return found


def _braking(times: Series, right: Series) -> tuple[float, float]:
    """The even braking, and rest after it, that comes nearest to a path: its deceleration, and by how much the path
    departs from it (root mean square, as a share of the way); nan where nothing moves."""
    known = np.isfinite(right)
    t, x = times[known], right[known]
    if len(t) < 4 or np.ptp(x) < STILL:
        return np.nan, np.nan
    ends = np.linspace(t[1], t[-1] + LONGER, 400)
    left = np.maximum(ends[:, None] - t, 0.0) ** 2 / 2  # x = stop - braking * left
    spread = left - left.mean(1, keepdims=True)
    braking = -(spread * x).sum(1) / (spread**2).sum(1)
    stop = x.mean() + braking * left.mean(1)
    miss = np.sqrt(((stop[:, None] - braking[:, None] * left - x) ** 2).mean(1))
    best = int(np.argmin(miss))
    return float(braking[best]), float(miss[best] / np.ptp(x))


def _last(right: Series) -> float:
    """The place where it is last seen."""
    known = right[np.isfinite(right)]
    return float(known[-1]) if len(known) else np.nan


def _onward(times: Series, right: Series) -> float:
    """The most speed that is gained, or had backwards, at any later time than a lower speed; m/s, nan where nothing
    moves."""
    known = np.isfinite(right)
    t, x = times[known], right[known]
    size = max(3, 1 + round(GLANCE / (times[1] - times[0])))
    if len(t) < size or np.ptp(x) < STILL:
        return np.nan
    speeds = np.array([velocity(t[i : i + size], x[i : i + size]) for i in range(len(t) - size + 1)])
    gained = speeds - np.minimum.accumulate(speeds)
    return float(max(gained.max(), -speeds.min()))
