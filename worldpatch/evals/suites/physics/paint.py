"""Paint: a solid leaves a stroke on the floor. Paint comes where the solid has passed, nowhere else, and stays."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from worldpatch.evals.suites._task import Metric
from worldpatch.evals.suites.physics._scene import Cast, Probe, Range, Staged
from worldpatch.evals.suites.physics._seen import Seen
from worldpatch.worlds import tabletop
from worldpatch.worlds.tabletop import Script, Stroke

SHOWN_BY = ("paint",)
PARAMETERS = {
    "travel": Range(inside=(1.2, 1.5), outside=((0.7, 1.0),)),  # metres in the whole clip
    "away": Range(inside=(-0.35, -0.05), outside=((0.1, 0.25),)),  # metres behind the middle of the floor
    "side": Range(inside=(-1.0, 1.0)),
}
ACTORS = (("ball", "box", "cylinder"),)
METRICS = {
    "lost": Metric(unit="share of the paint", worst=1.0),
    "strays": Metric(unit="share of the paint", worst=1.0),
    "area": Metric(unit="relative", worst=1.0, needs="video"),
    "stroke": Metric(unit="1 - overlap", worst=1.0, needs="video"),
}
START, SCALE = 0.8, 0.8  # metres from the middle; of its size
RADIUS = 0.15  # metres: half the stroke's width, some four pixels of 64 across
LEAST = 0.005  # of the frame: twenty pixels of 64 x 64; less paint than that is none


def stage(p: dict[str, float], cast: Cast) -> Staged:
    side = 1.0 if p["side"] > 0 else -1.0
    speed = side * p["travel"] * cast.form.rate / (cast.form.frames - 1)
    solid = cast.solid(0, x=-START * side, y=p["away"], scale=SCALE, velocity=(speed, 0.0, 0.0))
    if solid.shape == "ball":
        solid = replace(solid, spin=(0.0, speed / solid.size[0], 0.0))
    else:
        solid = replace(solid, friction=0.003)
    stroke = Stroke(solid=0, colour=_another(cast), radius=RADIUS)
    script = Script(kind="paint", solids=(solid,), beats=(), paint=stroke)
    where = "to the right" if side > 0 else "to the left"
    return Staged(script=script, prompt=f"a {cast.name(0)} moves {where} and leaves a stroke of {stroke.colour} paint")


def measure(seen: Seen, probe: Probe) -> dict[str, float]:
    """Laws from the paint that the clip itself shows; where none is added, nothing can be said of it."""
    new = slice(probe.given, None)
    paint, real = (s.mask(_another(probe.cast)) for s in (seen, probe.real))
    area, true = paint.sum((1, 2))[new], real.sum((1, 2))[new]
    both, either = (paint & real).sum((1, 2))[new], (paint | real).sum((1, 2))[new]
    found = {}
    if true.any():
        found["area"] = float(np.abs(area - true).sum() / true.sum())
        found["stroke"] = float(1 - both.sum() / either.sum())
    first = max(probe.given, 1)
    if (paint[first:].any(0) & ~paint[:first].any(0)).sum() < LEAST * paint[0].size:
        return found | {"lost": np.nan, "strays": np.nan}
    before = np.logical_or.accumulate(paint)[first - 1 : -1]
    bare = (seen.labels == 0) & ~_near(paint)
    strays = paint & ~_near(np.logical_or.accumulate(seen.mask(probe.cast.colours[0])))
    return found | {
        "lost": float((before & bare[first:]).sum() / before.sum()) if before.any() else 0.0,
        "strays": float(strays[new].sum() / area.sum()),
    }


def _another(cast: Cast) -> str:
    """A colour that nobody has, from the other end of the palette: the painter's own could not be told from it."""
    colours = tabletop.palette(tabletop.Config(level=2))
    middle = (colours.index(cast.colours[0]) + len(colours) // 2) % len(colours)
    return next(c for c in (*colours[middle:], *colours[:middle]) if c not in cast.colours)


def _near(masks: Bool[np.ndarray, "t h w"]) -> Bool[np.ndarray, "t h w"]:
    """Grown by one pixel, for edges tremble."""
    return np.asarray(ndimage.binary_dilation(masks, np.ones((1, 3, 3))), dtype=bool)
