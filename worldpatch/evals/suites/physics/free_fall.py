"""Free fall: a solid let go in the air falls with the acceleration of gravity, straight down."""

import numpy as np

from worldpatch.evals.suites._task import Metric
from worldpatch.evals.suites.physics._measure import acceleration, flight, path_error, relative, spread
from worldpatch.evals.suites.physics._scene import Cast, Probe, Range, Staged
from worldpatch.evals.suites.physics._seen import Seen
from worldpatch.worlds.tabletop import Script

SHOWN_BY = ("fall",)
PARAMETERS = {
    "height": Range(inside=(0.85, 1.1)),  # metres between the floor and the solid
    "gravity": Range(inside=(9.81, 9.81), outside=((3.5, 4.5), (14.0, 16.0))),
    "x": Range(inside=(-0.4, 0.4), outside=((-0.7, -0.5), (0.5, 0.7))),
}
FALLEN = 0.1  # metres: what moves up or down by less does not fall
ACTORS = (("ball", "box", "cylinder"),)
METRICS = {
    "gravity": Metric(unit="relative", worst=1.0),
    "sideways": Metric(unit="m", worst=0.3, naive=0.3),
    "path": Metric(unit="m", worst=1.0, needs="image"),
}


def stage(p: dict[str, float], cast: Cast) -> Staged:
    solid = cast.solid(0, x=p["x"], lift=p["height"], bounce=0.05)
    pull = ", as on Mars" if p["gravity"] < 8 else ", under strong gravity" if p["gravity"] > 12 else ""
    script = Script(kind="fall", solids=(solid,), beats=(), gravity=p["gravity"])
    return Staged(script=script, prompt=f"a {cast.name(0)} falls{pull}")


def measure(seen: Seen, probe: Probe) -> dict[str, float]:
    k, first = probe.k(0), max(probe.given - 1, 0)
    right, up = seen.upright(k)[first:].T
    hangs = spread(probe.truth.pose[first:, k, 2]) > FALLEN and not spread(up) > FALLEN
    found = {"path": path_error(seen, probe, k), "sideways": np.nan if hangs else spread(right)}
    if flight(probe.truth.pose[first:, k, 2]).stop >= 4:  # three predicted frames in the air, by the truth
        air = flight(up)
        start = 0.0 if probe.given == 1 else None  # from rest, if the first frame is given
        fitted, _ = acceleration(seen.times[first:][air], up[air], start)
        found["gravity"] = relative(-fitted, probe.parameters["gravity"])
    return found
