"""Collision: two balls meet; momentum stays, no energy comes from nothing, and neither enters the other.

Mass goes with volume, for all balls are of one stuff. The floor is smooth, so that nothing else takes momentum, and the
coefficient of restitution that of all tabletop collisions.
"""

from dataclasses import dataclass

import numpy as np

from worldpatch.evals.suites._task import Metric
from worldpatch.evals.suites.physics._measure import Series, path_error
from worldpatch.evals.suites.physics._scene import Cast, Probe, Range, Staged
from worldpatch.evals.suites.physics._seen import Seen
from worldpatch.worlds.tabletop import Script

SHOWN_BY = ("hit",)
PARAMETERS = {
    "speed": Range(inside=(0.45, 0.55), outside=((0.62, 0.7),)),  # m/s, of the first
    "against": Range(inside=(0.0, 0.0), outside=((0.3, 0.35),)),  # m/s, of the second, towards the first
    "when": Range(inside=(1.0, 1.15)),  # seconds to the contact
    "first": Range(inside=(0.7, 0.8), outside=((0.6, 0.66),)),  # of a ball's usual size
    "second": Range(inside=(0.7, 0.85), outside=((0.9, 0.97),)),
    "aside": Range(inside=(-0.4, 0.4), outside=((-0.6, -0.5), (0.5, 0.6))),  # of both radii: 0 is head-on
    "side": Range(inside=(-1.0, 1.0)),
}
ACTORS = (("ball",), ("ball",))
METRICS = {
    "momentum": Metric(unit="relative", worst=1.0),
    "energy": Metric(unit="relative", worst=1.0),
    "through": Metric(unit="share", worst=1.0),
    "overlap": Metric(unit="m", worst=0.3),
    "contact": Metric(unit="s", worst=1.0, needs="video"),
    "path": Metric(unit="m", worst=1.0, needs="video"),
}
START, BOUNCE = -1.0, 0.5  # metres: where the first begins; restitution
FEWEST = 3  # frames on either side of the contact
NEAR = 0.12  # metres between surfaces: balls that never come nearer do not collide
OUTLINE = 0.5  # pixels by which outlines may seem to overlap where they only touch
SLOWEST = 0.1  # m/s: balls that are slower together do not move


def stage(p: dict[str, float], cast: Cast) -> Staged:
    side = 1.0 if p["side"] > 0 else -1.0
    smooth = {"friction": 0.0, "bounce": BOUNCE}
    a = cast.solid(0, scale=p["first"], velocity=(side * p["speed"], 0.0, 0.0), **smooth)
    b = cast.solid(1, scale=p["second"], velocity=(-side * p["against"], 0.0, 0.0), **smooth)
    reach = a.size[0] + b.size[0]
    rise, aside = a.size[0] - b.size[0], p["aside"] * reach  # balls that touch are `reach` apart, in all directions
    gap = np.sqrt(reach**2 - aside**2 - rise**2) + (p["speed"] + p["against"]) * p["when"]
    a = a.at(side * START, -aside / 2, a.half_height)
    b = b.at(side * (START + gap), aside / 2, b.half_height)
    return Staged(script=Script(kind="hit", solids=(a, b), beats=()), prompt=f"a {cast.name(0)} hits a {cast.name(1)}")


def measure(seen: Seen, probe: Probe) -> dict[str, float]:
    first, pair = max(probe.given - 1, 0), [probe.k(0), probe.k(1)]
    times, real = seen.times[first:], np.array([s.size[0] for s in probe.scene.script.solids[:2]])
    radii = real if probe.given else _radii(seen, pair)  # a clip made from words alone has balls of its own sizes
    there = np.stack([seen.ground(k) for k in pair])[:, first:]
    true = Hit.fit(times, np.moveaxis(probe.truth.pose[first:, pair, :2], 1, 0), real)
    gap = _gap(there, radii)
    hit = Hit.fit(times, np.where(_clear(seen, pair)[first:, None], there, np.nan), radii)
    met = bool((gap < NEAR).any())
    if not met:
        hit = Hit.none()
    return {
        "momentum": hit.momentum,
        "energy": max(hit.energy, 0.0),
        "through": float(not hit.rebound > 0),
        "overlap": float(np.nanmax(-gap, initial=0.0)) if met else np.nan,
        "contact": abs(hit.time - true.time),
        "path": float(np.mean([path_error(seen, probe, k, "ground") for k in pair])),
    }


def _radii(seen: Seen, pair: list[int]) -> np.ndarray:
    """Radii in metres of what is seen: of balls on the floor at the height of the truth's; nan if never whole."""
    origin, forward = seen.camera.pose[0, :3, 3], seen.camera.pose[0, :3, 2]
    clear = _clear(seen, pair)
    radii = []
    for k in pair:
        places = np.column_stack([seen.ground(k), np.full(len(clear), seen.places[k, 2])])[clear]
        sizes = np.sqrt(seen.area[clear, k] / np.pi) * ((places - origin) @ forward) / seen.camera.intrinsics[0, 0]
        sizes = sizes[np.isfinite(sizes)]
        radii.append(np.median(sizes) if len(sizes) else np.nan)
    return np.array(radii)


def _pixels(seen: Seen, pair: list[int]) -> np.ndarray:
    """Median radii in pixels; nan for what is never seen whole."""
    areas = (seen.area[seen.whole(k), k] for k in pair)
    return np.array([np.sqrt(np.median(area) / np.pi) if len(area) else np.nan for area in areas])


def _clear(seen: Seen, pair: list[int]) -> np.ndarray:
    """Frames "t" bool in which neither hides a part of the other, which would move its centre."""
    apart = np.linalg.norm(np.diff(seen.centre[:, pair], axis=1)[:, 0], axis=-1)
    return apart > _pixels(seen, pair).sum() - OUTLINE


def _gap(there: np.ndarray, radii: np.ndarray) -> Series:
    """Metres between the surfaces of two balls on the floor at "2 t 2"."""
    return np.hypot(np.linalg.norm(there[1] - there[0], axis=-1), radii[1] - radii[0]) - radii.sum()


@dataclass(frozen=True, kw_only=True)
class Hit:
    """Two straight paths with one bend: when it is (seconds), by how much momentum changes there, of all that there
    was, by what share the kinetic energy grows, and the restitution: how fast the two part along the line between them
    over how fast they met, below zero where they go on through each other."""

    time: float
    momentum: float
    energy: float
    rebound: float

    @classmethod
    def none(cls) -> "Hit":
        return cls(time=np.nan, momentum=np.nan, energy=np.nan, rebound=np.nan)

    @classmethod
    def fit(cls, times: Series, there: np.ndarray, radii: np.ndarray) -> "Hit":
        """The bend that leaves least of the path "2 t 2" from one ball to the other unexplained."""
        known = np.isfinite(there).all((0, 2))
        t, there = times[known], there[:, known]
        bends = range(FEWEST, len(t) - FEWEST + 1)
        if not len(bends):
            return cls.none()
        apart = there[1] - there[0]
        bend = min(bends, key=lambda i: _line(t[:i], apart[:i])[2] + _line(t[i:], apart[i:])[2])
        before, after = slice(bend), slice(bend, None)
        old, new = (np.stack([_line(t[part], x[part])[0] for x in there]) for part in (before, after))
        mass = radii[:, None] ** 3
        carried = (mass[:, 0] * np.linalg.norm(old, axis=-1)).sum()
        if carried < SLOWEST * mass.min():
            return cls.none()
        (slope, start, _), (later, restart, _) = (_line(t[part], apart[part]) for part in (before, after))
        turn, shift = later - slope, restart - start
        time = -float(turn @ shift / (turn @ turn))
        line = start + slope * time  # from the one to the other when they touch
        closing = -float(slope @ line)
        return cls(
            time=time,
            momentum=float(np.linalg.norm((mass * (new - old)).sum(0)) / carried),
            energy=float((mass * new**2).sum() / (mass * old**2).sum() - 1),
            rebound=float(later @ line) / closing if closing > 0 else np.nan,
        )


def _line(t: Series, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Slope and place at time zero of the line through places "t 2", and what it leaves unexplained."""
    slope, start = np.polyfit(t, x, 1)
    return slope, start, float(((x - start - np.outer(t, slope)) ** 2).sum())
