"""Dominoes: each of a row knocks over the next, none of its own accord, and the fall runs on at a steady pace."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from worldpatch.evals.suites._task import Metric
from worldpatch.evals.suites.physics._measure import Series, middle, relative, velocity
from worldpatch.evals.suites.physics._scene import Cast, Probe, Range, Staged
from worldpatch.evals.suites.physics._seen import Seen
from worldpatch.worlds.tabletop import Script, Solid, resting

SHOWN_BY = ()
PARAMETERS = {
    "spacing": Range(inside=(0.27, 0.3), outside=((0.245, 0.26), (0.32, 0.335))),  # metres from one to the next
    "push": Range(inside=(1.15, 1.25)),  # initial spin of the first, in units of the least that tips it over
    "side": Range(inside=(-1.0, 1.0)),
}
ACTORS = (("box",),) * 5
METRICS = {
    "disorder": Metric(unit="share of pairs", worst=1.0),
    "standing": Metric(unit="share", worst=1.0),
    "front": Metric(unit="relative", worst=1.0, needs="video"),
    "times": Metric(unit="s", worst=1.0, needs="video"),
}
SIZE = (0.05, 0.16, 0.32)  # metres: half sides
START = 0.95  # metres from the middle to the first
VIEW = 20.0  # degrees from the front, towards the first: from there none hides another
TIPPED = 0.1  # metres that the middle has moved when it is over: about 18 degrees
LIES = 0.2  # metres that the middle of what has fallen has moved in the end; what leans on one that stands hides less
GRAVITY = 9.81  # m/s2


def stage(p: dict[str, float], cast: Cast) -> Staged:
    side = 1.0 if p["side"] > 0 else -1.0
    row = [
        cast.solid(i, x=side * (p["spacing"] * i - START), size=SIZE, friction=0.3, density=300.0)
        for i in range(len(ACTORS))
    ]
    row[0] = _pushed(row[0], side, p["push"])
    where = "left to right" if side > 0 else "right to left"
    names = ", ".join(f"a {cast.name(i)}" for i in range(len(row)))
    script = Script(kind="dominoes", solids=tuple(row), beats=())
    prompt = f"{names} stand in a row and fall like dominoes from {where}"
    return Staged(script=script, prompt=prompt, shot=resting(cast.film, azimuth=90.0 - side * VIEW))


def measure(seen: Seen, probe: Probe) -> dict[str, float]:
    """From when each goes over. What never does counts as out of order and late; the pace of the front is taken in
    seconds per metre, so that a row that falls all at once has one, of zero."""
    row = [probe.k(i) for i in range(len(ACTORS))]
    side = 1.0 if probe.parameters["side"] > 0 else -1.0
    clip = np.stack([seen.upright(k) for k in row], 1)
    true = probe.truth.pose[:, row][..., [0, 2]]
    over, truly = (np.array([_over(seen.times, place[:, i]) for i in range(len(row))]) for place in (clip, true))
    along = side * true[0, :, 0]
    known = np.isfinite(over)
    late = np.where(known, np.abs(over - truly), METRICS["times"].worst)
    return {
        "disorder": _disorder(over),
        "standing": float(1 - known.mean()),
        "front": relative(velocity(along, over), velocity(along, truly)),
        "times": float(late.mean()),
    }


def _pushed(first: Solid, side: float, push: float) -> Solid:
    """The solid turning about its lower edge: `push` times what just lifts its middle over that edge."""
    a, _, h = first.size
    least = np.sqrt(2 * GRAVITY * (np.hypot(a, h) - h) / (4 / 3 * (a * a + h * h)))
    spin = float(push * least)
    return replace(first, spin=(0.0, side * spin, 0.0), velocity=(side * spin * h, 0.0, spin * a))


def _over(times: Series, place: Float[np.ndarray, "t 2"]) -> float:
    """When the middle has moved TIPPED from where it was first seen, between frames by straight lines; nan where it
    does not end lying."""
    known = np.isfinite(place).all(-1)
    moved, at = np.linalg.norm(place[known] - place[known][:1], axis=-1), times[known]
    if not middle(moved[-(len(moved) // 4) :]) > LIES:
        return np.nan
    i = int(np.argmax(moved > TIPPED))
    return float(np.interp(TIPPED, moved[i - 1 : i + 1], at[i - 1 : i + 1]))


def _disorder(over: Series) -> float:
    """Share of pairs in which the one farther on did not go over after the other: where all do, (1 - Kendall's tau) / 2
    of place in the row and time."""
    pairs = [over[j] > over[i] for i in range(len(over)) for j in range(i + 1, len(over))]
    return float(1 - np.mean(pairs))
