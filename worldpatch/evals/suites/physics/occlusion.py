"""Occlusion: a ball rolls behind a wall, stays itself while nobody sees it, and comes out when and where it must."""

from dataclasses import replace

import numpy as np

from worldpatch.evals.suites._task import Metric
from worldpatch.evals.suites.physics._measure import path_error, relative, velocity
from worldpatch.evals.suites.physics._scene import Cast, Probe, Range, Staged
from worldpatch.evals.suites.physics._seen import Seen
from worldpatch.worlds.tabletop import Script, props

SHOWN_BY = ("hide",)
PARAMETERS = {
    "speed": Range(inside=(0.7, 0.9), outside=((0.58, 0.64), (1.0, 1.2))),  # m/s
    "half": Range(inside=(0.28, 0.34), outside=((0.38, 0.44),)),  # metres: half the wall's width
    "side": Range(inside=(-1.0, 1.0)),
}
ACTORS = (("ball",),)
METRICS = {
    "permanence": Metric(unit="share", worst=1.0),
    "speed": Metric(unit="relative", worst=1.0),
    "exit": Metric(unit="s", worst=1.0, needs="video"),
    "path": Metric(unit="m", worst=1.0, needs="video"),
}
START, DEPTH, SCALE = 1.05, 0.45, 0.8  # metres from the middle to where the ball begins; behind the wall; of its size
NEARER = 1.15  # the wall hides more than its width, for it is nearer to the camera than the ball


def stage(p: dict[str, float], cast: Cast) -> Staged:
    side = 1.0 if p["side"] > 0 else -1.0
    ball = cast.solid(0, x=-START * side, y=DEPTH, scale=SCALE, velocity=(side * p["speed"], 0.0, 0.0))
    ball = replace(ball, spin=(0.0, side * p["speed"] / ball.size[0], 0.0))
    wall = props.wall((0.0, -0.05, 0.0), (p["half"], 0.06, 0.55))
    script = Script(kind="hide", solids=(ball,), beats=(), props=(wall,))
    where = "to the right" if side > 0 else "to the left"
    return Staged(script=script, prompt=f"a {cast.name(0)} moves {where} behind a wall and comes out again")


def measure(seen: Seen, probe: Probe) -> dict[str, float]:
    k, p = probe.k(0), probe.parameters
    side = np.sign(probe.truth.velocity[0, k, 0])
    right, true = side * seen.upright(k)[:, 0], side * probe.truth.pose[:, k, 0]
    edge = NEARER * p["half"] + probe.scene.script.solids[0].size[0] + 0.02  # beyond it nothing of the ball is hidden
    new = np.arange(len(right)) >= probe.given
    before, after = right < -edge, (right > edge) & new
    speeds = [velocity(seen.times[part], right[part]) for part in (before, after)]
    return {
        "permanence": 0.0 if after.any() else 1.0,
        "speed": relative(speeds[1], speeds[0]),
        "exit": abs(_passes(seen.times, right, edge, after) - _passes(seen.times, true, edge, true > edge)),
        "path": path_error(seen, probe, k),
    }


def _passes(times: np.ndarray, right: np.ndarray, edge: float, after: np.ndarray) -> float:
    """When the line through the places after the wall passes its edge, in seconds."""
    speed = velocity(times[after], right[after])
    return float(np.mean(times[after]) - (np.mean(right[after]) - edge) / speed) if speed > 0.05 else np.nan
