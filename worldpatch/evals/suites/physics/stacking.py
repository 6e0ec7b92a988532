"""Stacking: a solid over the edge of another stays if its middle has something beneath it, and falls if not."""

import numpy as np
from jaxtyping import Float

from worldpatch.evals.suites._task import Metric
from worldpatch.evals.suites.physics._measure import middle, path_error
from worldpatch.evals.suites.physics._scene import Cast, Probe, Range, Staged
from worldpatch.evals.suites.physics._seen import Seen
from worldpatch.worlds.tabletop import Script

SHOWN_BY = ("stack", "topple")
PARAMETERS = {
    "margin": Range(inside=(0.05, 0.12), outside=((0.025, 0.04), (0.15, 0.18))),  # metres from the middle to the edge
    "falls": Range(inside=(-1.0, 1.0)),  # above zero: the middle is beyond the edge
    "side": Range(inside=(-1.0, 1.0)),
}
ACTORS = (("box", "cylinder"), ("box", "cylinder"))  # the upper, the lower
METRICS = {
    "outcome": Metric(unit="share wrong", worst=1.0, needs="image"),
    "drift": Metric(unit="m", worst=0.3, needs="image", naive=0.3),
    "path": Metric(unit="m", worst=1.0, needs="image"),
    "hangs": Metric(unit="widths", worst=0.5),
}
UPPER, LOWER = 0.85, 0.95  # of their size
FALLEN = 0.2  # metres: about half of what a fall from the lower costs


def stage(p: dict[str, float], cast: Cast) -> Staged:
    side, over = _side(p["side"]), _side(p["falls"]) * p["margin"]
    lower = cast.solid(1, x=-0.25 * side, scale=LOWER, friction=0.8, density=900.0)
    place = -0.25 + lower.size[0] + over
    upper = cast.solid(0, x=side * place, lift=2 * lower.half_height, scale=UPPER, friction=0.8)
    script = Script(kind="topple" if over > 0 else "stack", solids=(upper, lower), beats=())
    return Staged(script=script, prompt=f"a {cast.name(0)} lies over the edge of a {cast.name(1)}")


def measure(seen: Seen, probe: Probe) -> dict[str, float]:
    """What falls is asked for its path and may not hang in the air; what stays is asked how still it does."""
    upper, lower = probe.k(0), probe.k(1)
    end = slice(-max(len(seen.times) // 4, 1), None)
    top = seen.places[upper, 2]
    fallen, height = top - probe.truth.pose[-1, upper, 2] > FALLEN, middle(seen.upright(upper)[end, 1])
    found = {"outcome": float((top - height > FALLEN) != fallen) if np.isfinite(height) else np.nan}
    if fallen:
        return found | {"path": path_error(seen, probe, upper), "hangs": _hangs(seen, upper, lower, end)}
    anchor = max(probe.given - 1, 0)
    return found | {"drift": float(np.max([_moved(seen.upright(k), anchor, end) for k in (upper, lower)]))}


def _moved(place: Float[np.ndarray, "t 2"], anchor: int, end: slice) -> float:
    """Distance in metres between the place in one frame and those at the end."""
    return middle(np.linalg.norm(place[end] - place[anchor], axis=-1))


def _hangs(seen: Seen, upper: int, lower: int, end: slice) -> float:
    """How far the middle of the upper is beyond the lower while above it, in widths of the lower."""
    top, left, _, right = seen.box[end, lower].T
    across, down = seen.centre[end, upper].T
    beyond = np.maximum(np.maximum(left - across, across - right), 0) / (right - left)
    return middle(np.where(down < top, beyond, 0 * beyond))


def _side(value: float) -> float:
    return 1.0 if value > 0 else -1.0
