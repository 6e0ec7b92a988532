"""Bounce: a dropped ball comes back lower each time, by the same share, and is in the air as long as its height says.

How much it bounces no picture of a ball shows: the restitution and the path are asked for where the given frames show a
bounce. The engine's contact is soft: a bounce takes about 20 ms, and its restitution varies by about 0.02 from one to
the next.
"""

from dataclasses import dataclass

import numpy as np

from worldpatch.evals.suites._task import Metric
from worldpatch.evals.suites.physics._measure import Series, path_error
from worldpatch.evals.suites.physics._scene import Cast, Probe, Range, Staged
from worldpatch.evals.suites.physics._seen import Seen
from worldpatch.worlds.tabletop import Script

SHOWN_BY = ("fall",)
PARAMETERS = {
    "height": Range(inside=(0.65, 0.78), outside=((0.85, 0.95),)),  # metres between the floor and the ball
    "bounce": Range(inside=(0.88, 0.93), outside=((0.8, 0.84), (0.96, 0.99))),  # the coefficient asked of the engine
    "x": Range(inside=(-0.4, 0.4)),
}
ACTORS = (("ball",),)
METRICS = {
    "energy": Metric(unit="relative", worst=1.0),
    "timing": Metric(unit="relative", worst=1.0),
    "steady": Metric(unit="share", worst=0.5),
    "restitution": Metric(unit="share", worst=0.5, needs="video"),
    "path": Metric(unit="m", worst=1.0, needs="video"),
}
SCALE = 0.8  # of a ball's usual size
SHORTEST, LOWEST = 4, 0.15  # frames from one bounce to the next and metres between them, for them to be measured
DIP = 0.03  # metres that a place must be lower than those around it, to be a bounce
PARTIAL = 2  # frames before the first bounce and after the last
SOFT = 0.08  # metres that a ball may seem to sink into what it bounces off
FLAT = 0.005  # metres: the least height of an arch
RISING = 0.1  # m/s


def stage(p: dict[str, float], cast: Cast) -> Staged:
    ball = cast.solid(0, x=p["x"], lift=p["height"], scale=SCALE, bounce=p["bounce"])
    return Staged(
        script=Script(kind="bounce", solids=(ball,), beats=()), prompt=f"a {cast.name(0)} falls down and bounces"
    )


def measure(seen: Seen, probe: Probe) -> dict[str, float]:
    k, first = probe.k(0), max(probe.given - 1, 0)
    times, gravity = seen.times[first:], probe.scene.script.gravity
    true = Bounces.fit(times, probe.truth.pose[first:, k, 2], gravity)
    bounces = Bounces.fit(times, seen.upright(k)[first:, 1], gravity)
    shown = probe.truth.velocity[: probe.given, k, 2].max(initial=0.0) > RISING
    found = {"path": path_error(seen, probe, k)} if shown else {}
    if len(true.kept):
        due = np.sqrt(8 * bounces.heights[1:] / gravity)
        found["energy"] = _worst(bounces.kept**2 - 1)
        found["timing"] = _mean(np.abs(bounces.lasting[1:] / due - 1))
        if shown:
            found["restitution"] = abs(_mean(bounces.kept) - _mean(true.kept))
    if len(true.kept) > 1:
        found["steady"] = _worst(np.abs(np.diff(bounces.kept)))
    return found


@dataclass(frozen=True, kw_only=True)
class Bounces:
    """What is seen of a path, as arches that meet at one level: how high each is (metres above the level) and how long
    it lasts (seconds), in order. Of the first its end alone need be seen; its height is nan where its top is not."""

    heights: Series
    lasting: Series

    @property
    def kept(self) -> Series:
        """The share of the speed that each bounce leaves, where both heights are known."""
        share = np.sqrt(self.heights[1:] / self.heights[:-1])
        return share[np.isfinite(share)]

    @classmethod
    def fit(cls, times: Series, up: Series, gravity: float) -> "Bounces":
        """The arches of least squares; none where there are not two bounces. `gravity` is where the search begins."""
        from scipy.optimize import least_squares

        known = np.isfinite(up)
        t, z = times[known], up[known]
        span, lows = _stretch(z)
        t, z = t[span], z[span]
        n = len(lows)
        if n < 2:
            return cls(heights=np.zeros(0), lasting=np.zeros(0))

        def miss(x: np.ndarray) -> np.ndarray:
            contacts, heights, level = x[: n + 2], x[n + 2 : -1], x[-1]
            i = np.clip(np.searchsorted(contacts, t) - 1, 0, n)
            a, b = contacts[i], contacts[i + 1]
            return level + 4 * heights[i] * (t - a) * (b - t) / (b - a) ** 2 - z

        bounds = np.full((2, 2 * n + 4), [[-np.inf], [np.inf]])
        bounds[0, n + 2 : -1] = FLAT
        bounds[:, -1] = z.min() - SOFT, z.min() + FLAT
        x = least_squares(miss, _guess(t, z, lows, gravity), bounds=bounds).x
        contacts, heights = x[: n + 1], x[n + 2 : -2]
        if (contacts[0] + contacts[1]) / 2 < t[0] - (t[1] - t[0]):
            heights[0] = np.nan
        return cls(heights=heights, lasting=np.diff(contacts))


def _stretch(up: Series) -> tuple[slice, np.ndarray]:
    """The frames whose bounces are far enough apart to be measured, and which of them are lowest."""
    from scipy.signal import find_peaks

    lows, start, stop = find_peaks(-up, prominence=DIP)[0], 0, len(up)
    while len(lows) and lows[0] - start < PARTIAL:
        start, lows = lows[0] + 1, lows[1:]
    if len(lows) < 2:
        return slice(start, stop), lows - start
    tops = np.array([up[a:b].max() for a, b in zip(lows[:-1], lows[1:], strict=True)])
    poor = np.flatnonzero((np.diff(lows) < SHORTEST) | (tops < up.min() + LOWEST))
    if len(poor):
        stop, lows = lows[poor[0] + 1], lows[: poor[0] + 1]
    if len(lows) > 1:  # the same of those too low to be noticed
        stop = min(stop, 2 * lows[-1] - lows[-2] - 1)
    if stop - lows[-1] <= PARTIAL:
        stop, lows = lows[-1], lows[:-1]
    return slice(start, stop), lows - start


def _guess(t: Series, z: Series, lows: np.ndarray, gravity: float) -> np.ndarray:
    """Contacts, heights and level of arches of this gravity through the frames between the lowest ones, from before
    the first frame to after the last."""
    first, *later = np.split(np.arange(len(t)), lows)
    pieces = (first, *(piece[1:] for piece in later))  # on which side of its bounce the lowest frame lies is not known
    slope, start = np.array([np.polyfit(t[p], z[p] + gravity * t[p] ** 2 / 2, 1) for p in pieces]).T
    level, tops = z.min() - SOFT / 2, slope / gravity
    with np.errstate(divide="ignore", invalid="ignore"):
        contacts = -np.diff(start) / np.diff(slope)
    contacts = np.where(np.isfinite(contacts), np.clip(contacts, t[lows - 1], t[lows + 1]), t[lows])
    heights = np.maximum(start + slope * tops / 2 - level, 2 * FLAT)
    before, after = min(2 * tops[0], t[0]) - contacts[0], max(2 * tops[-1] - contacts[-1], t[-1])
    return np.concatenate([[min(before, t[0] - 0.05)], contacts, [after + 0.05], heights, [level]])


def _worst(values: Series) -> float:
    return float(max(values.max(), 0.0)) if len(values) else np.nan


def _mean(values: Series) -> float:
    return float(np.nanmean(values)) if np.isfinite(values).any() else np.nan
