"""Measurements that several scenarios share: paths against the truth, flights, speeds."""

import numpy as np
from jaxtyping import Float

from worldpatch.evals.suites.physics._scene import Probe
from worldpatch.evals.suites.physics._seen import Seen

LOST = 1.0  # metres: the error of a frame in which an object is not where anything could be measured
LANDED = 0.06  # metres above its lowest place: nearer than this it has landed

Series = Float[np.ndarray, " t"]


def path_error(seen: Seen, probe: Probe, k: int, plane: str = "upright") -> float:
    """Mean distance in metres between object k's seen and true path over the predicted frames in which the truth shows
    it whole; LOST where it is not seen, and at most that."""
    axes = [0, 2] if plane == "upright" else [0, 1]
    there = getattr(seen, plane)(k)
    gap = np.linalg.norm(there - probe.truth.pose[:, k][:, axes], axis=-1)
    gap = np.minimum(np.where(np.isfinite(gap), gap, LOST), LOST)
    judged = probe.expected[:, k] & (np.arange(len(gap)) >= probe.given)
    return float(gap[judged].mean()) if judged.any() else np.nan


def flight(height: Series) -> slice:
    """The frames from the first in which something is seen to the last before it comes down to its lowest place."""
    known = np.flatnonzero(np.isfinite(height))
    if not len(known):
        return slice(0, 0)
    low = known[height[known] < np.nanmin(height) + LANDED]
    return slice(int(known[0]), int(low[0]))


def acceleration(times: Series, place: Series, speed: float | None = None) -> tuple[float, float]:
    """(acceleration, initial speed) of the parabola through what is known of a coordinate, by least squares; nan with
    too few places. A known initial `speed` leaves one unknown less."""
    known = np.isfinite(place)
    t, x = times[known], place[known]
    if len(t) < (3 if speed is None else 2):
        return np.nan, np.nan
    t = t - t[0]
    columns = [np.ones_like(t), t**2 / 2] + ([t] if speed is None else [])
    fit = np.linalg.lstsq(np.stack(columns, -1), x - (speed or 0.0) * t, rcond=None)[0]
    return float(fit[1]), float(fit[2]) if speed is None else speed


def velocity(times: Series, place: Series) -> float:
    """Slope of the line through what is known of a coordinate; nan with fewer than two places."""
    known = np.isfinite(place)
    return float(np.polyfit(times[known], place[known], 1)[0]) if known.sum() > 1 else np.nan


def spread(place: Series) -> float:
    """Range of what is known of a coordinate; nan where nothing is."""
    return float(np.nanmax(place) - np.nanmin(place)) if np.isfinite(place).any() else np.nan


def middle(place: Series) -> float:
    """Median of what is known of a coordinate; nan where nothing is."""
    return float(np.nanmedian(place)) if np.isfinite(place).any() else np.nan


def relative(value: float, truth: float) -> float:
    """|value - truth| over |truth|."""
    return float(abs(value - truth) / max(abs(truth), 1e-9))
