"""Orbit: the camera circles solids that stand still and comes back. The room keeps its shape, and looks as before."""

from dataclasses import replace

import numpy as np

from worldpatch.evals.metrics.epipolar import rigidity
from worldpatch.evals.suites._task import Metric
from worldpatch.evals.suites.physics._measure import path_error
from worldpatch.evals.suites.physics._scene import Cast, Probe, Range, Staged
from worldpatch.evals.suites.physics._seen import Seen
from worldpatch.worlds.tabletop import Script, resting

SHOWN_BY = ("stand",)
PARAMETERS = {
    "turn": Range(inside=(25.0, 38.0), outside=((45.0, 55.0),)),  # degrees that the camera circles to, and back
    "side": Range(inside=(-1.0, 1.0)),
}
ACTORS = (("ball", "box", "cylinder"),) * 3
METRICS = {
    "bent": Metric(unit="pixels", worst=0.4),
    "unlike": Metric(unit="of full brightness", worst=0.2),
    "place": Metric(unit="m", worst=1.0, needs="video"),
}
PLACES = ((-0.6, -0.2), (0.0, 0.5), (0.6, -0.1))  # metres to the right and away: an orbit hides none for long
SCALE = 0.75  # of their size
LEAST = 0.05  # of the frame's side: a camera that moves the solids by less has not gone round them


def stage(p: dict[str, float], cast: Cast) -> Staged:
    side = 1.0 if p["side"] > 0 else -1.0
    turned = side * p["turn"] * np.sin(np.pi * np.linspace(0, 1, cast.form.frames)) ** 2
    solids = tuple(cast.solid(i, x=x, y=y, scale=SCALE) for i, (x, y) in enumerate(PLACES))
    said = f"a {cast.name(0)}, a {cast.name(1)} and a {cast.name(2)} stand still"
    way = f"the camera orbits to the {'right' if side > 0 else 'left'} and comes back"
    return Staged(
        script=Script(kind="stand", solids=solids, beats=()),
        prompt=f"{said}, {way}",
        shot=resting(cast.film, azimuth=90.0 + turned, move="orbit"),
        decor=replace(cast.decor, pattern="checkered"),  # corners to track: of plain floors an eye learns little
    )


def measure(seen: Seen, probe: Probe) -> dict[str, float]:
    """Where the camera does not move, the clip tells nothing of the room's shape."""
    actors, first = [probe.k(i) for i in range(len(ACTORS))], max(probe.given - 1, 0)
    found = {"place": float(np.mean([path_error(seen, probe, k, "ground") for k in actors]))}
    shift = np.linalg.norm(seen.centre[first:, actors] - seen.centre[first, actors], axis=-1)
    if not np.nanmax(shift, initial=0.0) > LEAST * seen.frames.shape[2]:
        return found | {"bent": np.nan, "unlike": np.nan}
    difference = seen.frames[-1].astype(float) - seen.frames[0]
    return found | {
        "bent": rigidity(seen.frames[first:]).error,
        "unlike": float(np.sqrt(np.square(difference).mean()) / 255),
    }
