"""Is everything still there, once, in its colour, size and shape? Asked of every scenario.

What vanishes, doubles, changes colour or form is an error here, whatever the scenario itself measures.
"""

import numpy as np

from worldpatch.evals.suites._task import Metric
from worldpatch.evals.suites.physics._scene import Probe
from worldpatch.evals.suites.physics._seen import Seen

METRICS = {
    "absent": Metric(unit="share of frames", worst=1.0, naive=1.0, family="identity"),
    "doubled": Metric(unit="share of frames", worst=1.0, naive=1.0, family="identity"),
    "strangers": Metric(unit="share of frames", worst=1.0, naive=1.0, family="identity"),
    "resized": Metric(unit="log of area", worst=1.0, naive=1.0, family="identity"),
    "reshaped": Metric(unit="log of aspect", worst=0.5, naive=0.5, family="identity"),
}


def measure(seen: Seen, probe: Probe) -> dict[str, float]:
    """Over the predicted frames. With a motion given, frame by frame against the truth; otherwise, since things may
    happen at other times, totals against totals."""
    later = slice(probe.given, None)
    expected, real = probe.expected[later], probe.real
    there = seen.count[later] > 0
    timed = probe.given > 1
    absent = (~there & expected).mean() if timed else max(0.0, expected.mean() - there.mean())
    share = max(expected.mean(), 1e-9)
    own = seen.clipped[later] | real.clipped[later]
    anything = there.any()  # an empty picture has neither doubles nor strangers, and earns nothing by it
    return {
        "absent": float(absent / share),
        "doubled": float((seen.count[later] > 1).mean()) if anything else np.nan,
        "strangers": float((seen.strangers[later] > 0).mean()) if anything else np.nan,
        "resized": _distance(_size(seen), _size(real), later, there & ~own, timed),
        "reshaped": _distance(_aspect(seen), _aspect(real), later, there & ~own, timed),
    }


def _size(seen: Seen) -> np.ndarray:
    """Log of every object's area."""
    return np.log(np.maximum(seen.area, 1))


def _aspect(seen: Seen) -> np.ndarray:
    """Log of width over height of every object's box."""
    top, left, bottom, right = np.moveaxis(seen.box, -1, 0)
    return np.log(np.maximum(right - left, 1)) - np.log(np.maximum(bottom - top, 1))


def _distance(a: np.ndarray, b: np.ndarray, later: slice, usable: np.ndarray, timed: bool) -> float:
    """Mean distance frame by frame, or of each object's medians; nan where nothing can be compared."""
    a, b = np.where(usable, a[later], np.nan), np.where(usable, b[later], np.nan)
    if not timed:
        a, b = _median(a), _median(b)
    gaps = np.abs(a - b)
    return float(np.nanmean(gaps)) if np.isfinite(gaps).any() else np.nan


def _median(values: np.ndarray) -> np.ndarray:
    return np.array([np.median(v[np.isfinite(v)]) if np.isfinite(v).any() else np.nan for v in values.T])
