"""Rolling down a ramp: part of the pull goes into turning, so a ball gains 5/7 and a cylinder 2/3 of g sin(angle)."""

from dataclasses import replace

import numpy as np

from worldpatch.evals.suites._task import Metric
from worldpatch.evals.suites.physics._measure import acceleration, path_error, relative
from worldpatch.evals.suites.physics._scene import Cast, Probe, Range, Staged
from worldpatch.evals.suites.physics._seen import Seen
from worldpatch.worlds.tabletop import Script, props

SHOWN_BY = ("ramp",)
PARAMETERS = {
    "angle": Range(inside=(0.09, 0.14), outside=((0.05, 0.07), (0.18, 0.24))),  # radians
    "side": Range(inside=(-1.0, 1.0)),
}
ACTORS = (("ball", "cylinder"),)
METRICS = {
    "speeding up": Metric(unit="share", worst=1.0),
    "acceleration": Metric(unit="relative", worst=1.0, needs="image"),
    "off the ramp": Metric(unit="m", worst=0.3, naive=0.3, needs="image"),
    "path": Metric(unit="m", worst=1.0, needs="image"),
}
SHARE = {"ball": 5 / 7, "cylinder": 2 / 3}  # of g sin(angle): 1 / (1 + I / m r^2)
LENGTH, FOOT, SCALE, GRAVITY = 1.6, 0.75, 0.75, 9.81
NOTICEABLE = 0.1  # m/s2


def stage(p: dict[str, float], cast: Cast) -> Staged:
    side, angle = 1.0 if p["side"] > 0 else -1.0, p["angle"]
    solid = cast.solid(0, scale=SCALE, rolling=0.0, bounce=0.0)
    if solid.shape == "cylinder":  # its axis across the way it rolls
        solid = replace(solid, lying=True, turn=np.pi / 2)
    along, up = LENGTH - 0.1, solid.size[0] + 0.026  # from the foot; off the middle of the plank
    x = FOOT * side - side * (along * np.cos(angle) - up * np.sin(angle))
    solid = solid.at(float(x), 0.0, float(along * np.sin(angle) + up * np.cos(angle)))
    ramp = props.ramp(FOOT * side, 0.0, side, LENGTH, angle, 0.7)
    script = Script(kind="ramp", solids=(solid,), beats=(), props=(ramp,))
    where = "to the right" if side > 0 else "to the left"
    return Staged(script=script, prompt=f"a {cast.name(0)} rolls down a ramp {where}")


def measure(seen: Seen, probe: Probe) -> dict[str, float]:
    k, first, angle = probe.k(0), max(probe.given - 1, 0), probe.parameters["angle"]
    along, off = _on_the_ramp(seen.upright(k), probe)
    rolling = (np.arange(len(along)) >= first) & (along < LENGTH - 0.2)
    fitted, _ = acceleration(seen.times[rolling], along[rolling], 0.0 if probe.given == 1 else None)
    law = SHARE[probe.cast.shapes[0]] * GRAVITY * np.sin(angle)
    return {
        "speeding up": float(not fitted > NOTICEABLE),
        "acceleration": relative(fitted, law),
        "off the ramp": float(np.nanmean(np.abs(off[rolling]))) if np.isfinite(off[rolling]).any() else np.nan,
        "path": path_error(seen, probe, k),
    }


def _on_the_ramp(place: np.ndarray, probe: Probe) -> tuple[np.ndarray, np.ndarray]:
    """(right, up) places as metres down the ramp from its top, and metres off the line a rolling centre keeps to."""
    angle, way = probe.parameters["angle"], probe.truth.pose[:, probe.k(0), 0]
    side = np.sign(way[-1] - way[0])
    solid = probe.scene.script.solids[0]
    right, up = side * (place[:, 0] - side * FOOT), place[:, 1]
    along = LENGTH + right * np.cos(angle) - up * np.sin(angle)
    off = right * np.sin(angle) + up * np.cos(angle) - (solid.size[0] + 0.025)
    return along, off
