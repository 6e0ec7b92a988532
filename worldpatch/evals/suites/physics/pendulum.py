"""Pendulum: a solid on a string swings in its own time, on a circle, and never higher than before."""

import numpy as np
from jaxtyping import Float
from scipy.special import ellipk

from worldpatch.evals.suites._task import Metric
from worldpatch.evals.suites.physics._measure import Series, path_error, relative, spread
from worldpatch.evals.suites.physics._scene import Cast, Probe, Range, Staged
from worldpatch.evals.suites.physics._seen import Seen
from worldpatch.worlds.tabletop import Script

SHOWN_BY = ()
PARAMETERS = {
    "length": Range(inside=(0.6, 0.8), outside=((0.4, 0.48), (0.9, 1.0))),  # metres from the peg to the middle
    "angle": Range(inside=(25.0, 40.0), outside=((50.0, 60.0),)),  # degrees from the vertical, where it is let go
    "side": Range(inside=(-1.0, 1.0)),
}
ACTORS = (("ball", "box", "cylinder"),)
METRICS = {
    "period": Metric(unit="relative", worst=1.0, needs="image"),
    "string": Metric(unit="of its length", worst=0.3),
    "energy": Metric(unit="relative", worst=1.0),
    "path": Metric(unit="m", worst=1.0, needs="image"),
}
PEG, SCALE = 1.55, 0.6  # metres above the floor; of its size
GRAVITY = 9.81  # m/s2
LONGEST = 2.0  # metres: a string of more is a straight path
SMALLEST = 0.1  # radians: a turn of less is trembling


def stage(p: dict[str, float], cast: Cast) -> Staged:
    angle = np.radians(p["angle"]) * (1.0 if p["side"] > 0 else -1.0)
    bob = cast.solid(0, scale=SCALE, string=(0.0, 0.0, PEG))
    bob = bob.at(p["length"] * np.sin(angle), 0.0, PEG - p["length"] * np.cos(angle))
    script = Script(kind="pendulum", solids=(bob,), beats=())
    return Staged(script=script, prompt=f"a {cast.name(0)} hangs on a string and swings")


def period(length: float, angle: float, gravity: float) -> float:
    """Seconds per swing of a point mass let go at `angle` radians: 4 sqrt(L / g) K(sin(angle / 2)), exact."""
    return float(4 * np.sqrt(length / gravity) * ellipk(np.sin(angle / 2) ** 2))


def measure(seen: Seen, probe: Probe) -> dict[str, float]:
    """What never turns back does not swing, and shows nothing of its string and its energy."""
    k, p, first = probe.k(0), probe.parameters, max(probe.given - 1, 0)
    place, times = seen.upright(k)[first:], seen.times[first:]
    peg = np.array([0.0, PEG]) if probe.given else _centre(place)  # no prompt says where the peg is
    right, up = (place - peg).T
    angle, length = np.arctan2(right, -up), np.hypot(right, up)
    released = np.radians(p["angle"])
    half = np.diff(_crossings(times, angle))
    turns = _turns(angle)
    return {
        "period": relative(2 * float(np.median(half)), period(p["length"], released, GRAVITY)) if len(half) else np.nan,
        "string": spread(length) / p["length"] if len(turns) else np.nan,
        "energy": _gain(turns, released if probe.given else None),
        "path": path_error(seen, probe, k),
    }


def _gain(turns: Float[np.ndarray, " n"], released: float | None) -> float:
    """By how much the highest turn exceeds the height it was let go from, or else the first turn; nan without any."""
    if not len(turns):
        return np.nan
    lifts = 1 - np.cos(np.append(turns[0] if released is None else released, turns))
    return float(lifts.max() / lifts[0] - 1)


def _crossings(times: Series, angle: Series) -> Float[np.ndarray, " n"]:
    """When the string hangs straight down, between frames by straight lines."""
    known = np.isfinite(angle)
    t, a = times[known], angle[known]
    at = np.flatnonzero(a[:-1] * a[1:] < 0)
    return t[at] + (t[at + 1] - t[at]) * a[at] / (a[at] - a[at + 1])


def _turns(angle: Series) -> Float[np.ndarray, " n"]:
    """Angles from the vertical, in radians, at which it turns back: peaks of parabolas through three frames."""
    size = np.abs(angle[np.isfinite(angle)])
    before, here, after = size[:-2], size[1:-1], size[2:]
    at = (here > SMALLEST) & (here >= before) & (here > after)
    bend = (2 * here - before - after)[at]
    return here[at] + (after - before)[at] ** 2 / (8 * bend)


def _centre(place: Float[np.ndarray, "t 2"]) -> Float[np.ndarray, " 2"]:
    """Centre of the circle through places (Kasa 1976: least squares in the squared radius); nan where none is near."""
    known = place[np.isfinite(place).all(-1)]
    if len(known) < 3:
        return np.full(2, np.nan)
    columns = np.concatenate([2 * known, np.ones((len(known), 1))], -1)
    centre = np.linalg.lstsq(columns, (known**2).sum(-1), rcond=None)[0][:2]
    return centre if np.linalg.norm(centre - known, axis=-1).max() < LONGEST else np.full(2, np.nan)
