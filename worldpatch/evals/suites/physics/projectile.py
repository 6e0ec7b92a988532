"""Projectile: what is thrown keeps its speed sideways, is pulled down evenly, and so lands where the throw decides."""

from dataclasses import dataclass

import numpy as np

from worldpatch.evals.suites._task import Metric
from worldpatch.evals.suites.physics._measure import LANDED, Series, acceleration, path_error, relative
from worldpatch.evals.suites.physics._scene import Cast, Probe, Range, Staged
from worldpatch.evals.suites.physics._seen import Seen
from worldpatch.worlds.tabletop import Script, resting

SHOWN_BY = ("jump",)
PARAMETERS = {
    "up": Range(inside=(5.0, 5.25)),  # m/s: the apex comes after 0.5 s, the highest throw stays in the frame
    "across": Range(inside=(0.85, 1.1), outside=((0.5, 0.65), (1.25, 1.4))),  # m/s
    "lift": Range(inside=(0.0, 0.06), outside=((0.2, 0.3),)),  # metres between the floor and the solid
    "side": Range(inside=(-1.0, 1.0)),
}
ACTORS = (("ball", "box", "cylinder"),)
METRICS = {
    "gravity": Metric(unit="relative", worst=1.0),
    "drift": Metric(unit="relative", worst=1.0),
    "apex": Metric(unit="s", worst=0.5, needs="video"),
    "landing": Metric(unit="m", worst=1.0, needs="video"),
    "path": Metric(unit="m", worst=1.0, needs="video"),
}
SCALE, AIM = 0.7, 0.95  # of a solid's usual size; metres above the floor that the camera looks at
FEWEST = 4  # frames in the air that a law is read from
LIGHTEST = 0.1  # m/s2: what is pulled down less has no apex
SLOWEST = 0.1  # m/s: below it nothing was thrown sideways


def stage(p: dict[str, float], cast: Cast) -> Staged:
    side = 1.0 if p["side"] > 0 else -1.0
    solid = cast.solid(
        0, x=-0.65 * side, lift=p["lift"] + 0.01, scale=SCALE, velocity=(side * p["across"], 0.0, p["up"]),
        bounce=0.03, friction=0.3, rolling=0.06,
    )  # fmt: skip
    where = "to the right" if side > 0 else "to the left"
    return Staged(
        script=Script(kind="throw", solids=(solid,), beats=()),
        prompt=f"a {cast.name(0)} jumps up {where} and lands",
        shot=resting(cast.film, target=(0.0, 0.0, AIM)),
    )


def measure(seen: Seen, probe: Probe) -> dict[str, float]:
    k, first = probe.k(0), max(probe.given - 1, 0)
    found = {"path": path_error(seen, probe, k)}
    times, truth = seen.times[first:], probe.truth.pose[first:, k]
    if _air(truth[:, 2]).sum() >= FEWEST:
        true = Throw.fit(times, truth[:, 0], truth[:, 2])
        throw = Throw.fit(times, *seen.upright(k)[first:].T)
        floor = probe.scene.script.solids[0].half_height
        found["gravity"] = relative(throw.gravity, probe.scene.script.gravity)
        found["drift"] = throw.drift
        found["landing"] = abs(throw.landing(floor) - true.landing(floor))
        if true.apex > times[0]:
            found["apex"] = abs(throw.apex - true.apex)
    return found


@dataclass(frozen=True, kw_only=True)
class Throw:
    """The parabola through what is seen of a flight; nan all through where too little is. Seconds and metres."""

    gravity: float
    apex: float  # when it is highest
    top: float  # how high that is
    across: float  # speed sideways
    middle: float  # the place sideways at the apex
    drift: float  # change of the speed sideways, of that speed

    @classmethod
    def fit(cls, times: Series, right: Series, up: Series) -> "Throw":
        air = _air(up)
        t, x, z = times[air], right[air], up[air]
        pull, rise = acceleration(t, z)
        if len(t) < FEWEST or pull > -LIGHTEST:
            return cls(**dict.fromkeys(("gravity", "apex", "top", "across", "middle", "drift"), np.nan))
        push, _ = acceleration(t, x)
        apex = t[0] - rise / pull
        across, start = np.polyfit(t - apex, x, 1)
        top = float(np.mean(z - pull * (t - apex) ** 2 / 2))
        drift = float(abs(push) * (t[-1] - t[0]) / abs(across)) if abs(across) > SLOWEST else np.nan
        return cls(gravity=-pull, apex=float(apex), top=top, across=float(across), middle=float(start), drift=drift)

    def landing(self, floor: float) -> float:
        """The place sideways when the centre is down at the height `floor`."""
        fall = (self.top - floor) * 2 / self.gravity
        return self.middle + self.across * float(np.sqrt(fall)) if fall > 0 else np.nan


def _air(up: Series) -> np.ndarray:
    """The frames around the highest place in which something is seen above its lowest one: one flight, "t" bool."""
    air = np.zeros(len(up), bool)
    if np.isfinite(up).any():
        aloft = np.where(np.isfinite(up), up, np.inf) > np.nanmin(up) + LANDED
        top = int(np.nanargmax(up))
        before, after = np.flatnonzero(~aloft[:top]), np.flatnonzero(~aloft[top:])
        air[(before[-1] + 1 if len(before) else 0) : (top + after[0] if len(after) else len(up))] = True
    return air & np.isfinite(up)
