"""Rolling: down a ramp a ball gains 5/7, a cylinder 2/3 of g sin(slope) each second, and stays on the ramp.

The engine rolls within 0.02% of these laws, so all of the floor is that of the eyes.
"""

import numpy as np

from worldpatch.evals.suites._task import Metric
from worldpatch.evals.suites.physics._measure import Series, acceleration, path_error, relative
from worldpatch.evals.suites.physics._scene import Cast, Probe, Range, Staged
from worldpatch.evals.suites.physics._seen import Seen
from worldpatch.worlds.tabletop import Script, props

SHOWN_BY = ("ramp",)
PARAMETERS = {
    "slope": Range(inside=(0.13, 0.2), outside=((0.08, 0.1), (0.25, 0.3))),  # radians
    "side": Range(inside=(-1.0, 1.0)),
}
ACTORS = (("ball", "cylinder"),)
METRICS = {
    "gain": Metric(unit="relative", worst=1.0),
    "surface": Metric(unit="m", worst=0.3, needs="image"),
    "path": Metric(unit="m", worst=1.0, needs="image"),
}
SHARE = {"ball": 5 / 7, "cylinder": 2 / 3}  # of g sin(slope): 1 / (1 + moment of inertia / (mass * radius^2))
FOOT, LENGTH, WIDTH, PLANK = 0.7, 1.75, 0.75, 0.025  # metres: the ramp, half its thickness
DOWN = 0.045  # metres above its lowest place: nearer than this it may have left the ramp, whose end is a step
FEWEST, STILL = 4, 0.05  # frames on the ramp that a law is read from; metres: what moves less does not roll
START, STOP, SCALE = 1.55, 1.05, 0.75  # metres up the ramp from its foot; to the block behind it; of a solid's size


def stage(p: dict[str, float], cast: Cast) -> Staged:
    side = 1.0 if p["side"] > 0 else -1.0
    kind = {"lying": True, "turn": np.pi / 2} if cast.shapes[0] == "cylinder" else {}
    solid = cast.solid(0, scale=SCALE, bounce=0.02, friction=0.9, **kind)
    off = solid.size[0] + PLANK
    sin, cos = np.sin(p["slope"]), np.cos(p["slope"])
    solid = solid.at(side * (FOOT - START * cos + off * sin), 0.0, START * sin + off * cos)
    ramp = props.ramp(FOOT * side, 0.0, side, LENGTH, p["slope"], WIDTH)
    block = props.wall((STOP * side, 0.0, 0.0), (0.05, 0.4, 0.09))
    where = "to the right" if side > 0 else "to the left"
    return Staged(
        script=Script(kind="ramp", solids=(solid,), beats=(), props=(ramp, block)),
        prompt=f"a {cast.name(0)} rolls down a ramp {where}",
    )


def measure(seen: Seen, probe: Probe) -> dict[str, float]:
    k, first = probe.k(0), max(probe.given - 1, 0)
    p, side = probe.parameters, np.sign(probe.parameters["side"])
    times, (right, up) = seen.times[first:], seen.upright(k)[first:].T * [[side], [1.0]]
    found = {"path": path_error(seen, probe, k), "surface": _off(right[1:], up[1:], p["slope"], probe)}
    if _descent(probe.truth.pose[first:, k, 2]).sum() >= FEWEST:
        found["gain"] = relative(_gain(times, right, up, probe), SHARE[probe.cast.shapes[0]])
    return found


def _descent(up: Series) -> np.ndarray:
    """The frames before it is nearly down: "t" bool."""
    known = np.isfinite(up)
    low = np.flatnonzero(known & (up < np.nanmin(up) + DOWN)) if known.any() else [0]
    return known & (np.arange(len(up)) < low[0])


def _gain(times: Series, right: Series, up: Series, probe: Probe) -> float:
    """Acceleration down the slope over g sin(slope). A ramp that no frame has shown slopes as its path does."""
    rolls = _descent(up)
    t, x, z = times[rolls], right[rolls], up[rolls]
    if len(t) < FEWEST or np.ptp(x) < STILL:
        return np.nan
    slope = probe.parameters["slope"] if probe.given else np.arctan(np.polyfit(x, -z, 1)[0])
    along = x * np.cos(slope) - z * np.sin(slope)
    start = 0.0 if probe.given == 1 else None  # from rest, if the first frame is given
    return acceleration(t, along, start)[0] / float(probe.scene.script.gravity * np.sin(slope))


def _off(right: Series, up: Series, slope: float, probe: Probe) -> float:
    """Mean distance in metres of the centre from where the surface holds it, while it is over the ramp; nan
    for what does not move."""
    known = right[np.isfinite(right)]
    if not len(known) or np.ptp(known) < STILL:
        return np.nan
    over = (right < FOOT) & (right > FOOT - LENGTH * np.cos(slope))
    off = (right - FOOT) * np.sin(slope) + up * np.cos(slope) - probe.scene.script.solids[0].size[0] - PLANK
    return float(np.abs(off[over]).mean()) if over.any() else np.nan
