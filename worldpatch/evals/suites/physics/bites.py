"""Bites: a box is eaten bite by bite. What is gone stays gone, and what stands beside it stays whole."""

import numpy as np
from scipy import ndimage

from worldpatch.evals.suites._task import Metric
from worldpatch.evals.suites.physics._measure import Series
from worldpatch.evals.suites.physics._scene import Cast, Probe, Range, Staged
from worldpatch.evals.suites.physics._seen import Seen
from worldpatch.worlds.tabletop import Script, props

SHOWN_BY = ("bite",)
PARAMETERS = {
    "bites": Range(inside=(3.0, 3.99), outside=((2.0, 2.99), (4.0, 4.99))),  # their whole number is taken
    "first": Range(inside=(0.22, 0.3)),  # share of the clip before the first bite
    "pause": Range(inside=(0.16, 0.2)),  # share of the clip between bites
    "side": Range(inside=(-1.0, 1.0)),
}
ACTORS = (("box",), ("ball", "box", "cylinder"))  # the eaten, the one beside
METRICS = {
    "regrown": Metric(unit="share of the box", worst=0.5),
    "count": Metric(unit="bites", worst=3.0),
    "beside": Metric(unit="m", worst=0.3),
    "eaten": Metric(unit="share of the box", worst=0.5, needs="video"),
}
WORDS = {2: "two", 3: "three", 4: "four"}
HALF = 0.3  # metres: half the side of the box
BITE, TREMBLE = 0.03, 0.01  # of the box: a smaller fall is no bite, a smaller change is rest; bites take 6% or more


def stage(p: dict[str, float], cast: Cast) -> Staged:
    side, count = 1.0 if p["side"] > 0 else -1.0, int(p["bites"])
    seconds = (cast.form.frames - 1) / cast.form.rate
    times = tuple(seconds * (p["first"] + p["pause"] * i) for i in range(count))
    cake = props.gnawed(cast.colours[0], (0.4 * side, 0.0), HALF, times, -side)
    other = cast.solid(1, x=-0.5 * side, scale=0.9)
    script = Script(kind="bite", solids=(other,), beats=(), props=(cake,))
    said = f"a {cast.name(0)} is eaten in {WORDS[count]} bites, a {cast.name(1)} stands still"
    return Staged(script=script, prompt=said)


def measure(seen: Seen, probe: Probe) -> dict[str, float]:
    """From the areas of the box. Where nothing is bitten off, nothing is shown."""
    box, other, first = probe.k(0), probe.k(1), max(probe.given - 1, 0)
    left, true = _left(seen, box, first), _left(probe.real, box, first)
    found = {"eaten": float(np.minimum(np.abs(left - true), 1.0).mean())}
    if not 1 - left.min() > BITE:
        return found | {"regrown": np.nan, "count": np.nan, "beside": np.nan}
    place = seen.ground(other)[first:]
    return found | {
        "regrown": float((left - np.minimum.accumulate(left)).max()),
        "count": float(abs(_steps(left) - _steps(true))),
        "beside": float(np.linalg.norm(place - place[0], axis=-1).max()),
    }


def _left(seen: Seen, k: int, first: int) -> Series:
    """Share of object k's area in frame `first` that is left from there on, single odd frames smoothed away; nan where
    it is not seen in that frame."""
    area = ndimage.median_filter(seen.area[first:, k], 3)
    return area / (area[0] or np.nan)


def _steps(left: Series) -> int:
    """How many times something is bitten off: falls between two rests, in however many frames."""
    change = np.diff(left)
    runs = np.split(change, np.flatnonzero(np.diff(change < -TREMBLE)) + 1)
    return int(sum(run.sum() < -BITE for run in runs))
