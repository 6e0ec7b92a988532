"""Look away: the camera turns from a scene and comes back. What stood is still there; what rolled has rolled on."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from worldpatch.evals.suites._task import Metric
from worldpatch.evals.suites.physics._measure import LOST, middle
from worldpatch.evals.suites.physics._scene import Cast, Probe, Range, Staged
from worldpatch.evals.suites.physics._seen import Seen
from worldpatch.worlds.tabletop import Format, Script, Shot, resting

SHOWN_BY = ()
PARAMETERS = {
    "travel": Range(inside=(0.6, 0.9), outside=((0.35, 0.5), (1.05, 1.2))),  # metres that the ball rolls
    "moves": Range(inside=(-1.0, 1.0)),  # above zero: it does roll
    "side": Range(inside=(-1.0, 1.0)),
    "turn": Range(inside=(-1.0, 1.0)),  # above zero: the camera turns to the left
}
ACTORS = (("ball",), ("ball", "box", "cylinder"))
METRICS = {
    "stays": Metric(unit="share of frames", worst=1.0, needs="video"),
    "missing": Metric(unit="share", worst=1.0, needs="video"),
    "place": Metric(unit="m", worst=1.0, needs="video"),
    "progress": Metric(unit="relative", worst=1.0, needs="video"),
    "colour": Metric(unit="of full brightness", worst=0.3, needs="video"),
}
AWAY = 60.0  # degrees that the camera turns: nothing of the scene is left in the frame
MOMENTS = (0.15, 0.35, 0.6, 0.8)  # shares of the clip: it begins to turn, has turned, begins to return, is back
SCALE = 0.8  # of their size


def stage(p: dict[str, float], cast: Cast) -> Staged:
    side, film = _sign(p["side"]), cast.film
    speed = side * p["travel"] * film.rate / (film.frames - 1) if p["moves"] > 0 else 0.0
    ball = cast.solid(0, x=-0.55 * side, y=-0.45, scale=SCALE, velocity=(speed, 0.0, 0.0))
    ball = replace(ball, spin=(0.0, speed / ball.size[0], 0.0))
    other = cast.solid(1, x=0.2 * side, y=0.65, scale=SCALE)
    does = f"rolls to the {'right' if side > 0 else 'left'}" if speed else "stands still"
    said = f"a {cast.name(0)} {does}, a {cast.name(1)} stands still"
    pan = f"the camera pans {'left' if p['turn'] > 0 else 'right'} until they are out of view and comes back"
    script = Script(kind="look away", solids=(ball, other), beats=())
    return Staged(script=script, prompt=f"{said}, {pan}", shot=_there_and_back(film, _sign(p["turn"])))


def measure(seen: Seen, probe: Probe) -> dict[str, float]:
    """What the truth has in the frame once the camera is back, against the clip. Where the actors never left the frame
    their return shows nothing."""
    actors, later = [probe.k(0), probe.k(1)], np.arange(len(seen.times)) >= probe.given
    anchor, back = max(probe.given - 1, 0), _is_back(probe)
    count, visible = seen.count[:, actors], probe.truth.visibility
    assert visible is not None
    hidden = (visible[:, actors] == 0).all(1) & later
    found = {"stays": float((count[hidden] > 0).mean()) if (count[later] > 0).any() else np.nan}
    gap = np.stack([np.linalg.norm(seen.ground(k) - probe.truth.pose[:, k, :2], axis=-1) for k in actors], -1)
    found |= {
        "missing": float((count[back] != 1).mean()),
        "place": float(np.where(gap[back] < LOST, gap[back], LOST).mean()),
        "colour": float(np.max([_recoloured(seen, probe, k, anchor, back) for k in actors])),
    }
    if probe.parameters["moves"] > 0:
        right, true = seen.ground(actors[0])[:, 0], probe.truth.pose[:, actors[0], 0]
        found["progress"] = abs(middle((right - right[anchor])[back] / (true - true[anchor])[back]) - 1)
    left = ((count == 0).all(1) & later & ~back).any()
    return found if left else {k: v if k == "stays" else np.nan for k, v in found.items()}


def _there_and_back(film: Format, way: float) -> Shot:
    """The camera stands where it always does and turns away to one side (+1 left), waits, and turns back."""
    rest = resting(film)
    share = np.arange(film.frames) / max(film.frames - 1, 1)
    turned = np.interp(share, MOMENTS, (0.0, 1.0, 1.0, 0.0))
    angle = np.radians(rest.azimuth + way * AWAY * turned**2 * (3 - 2 * turned))
    reach = rest.distance * np.cos(np.radians(rest.elevation))
    shift = np.stack([np.cos(angle), np.sin(angle) - 1.0, 0 * angle], -1)  # it looks along +y at rest
    return replace(rest, move="look away", azimuth=np.degrees(angle), target=rest.target + reach[:, None] * shift)


def _is_back(probe: Probe) -> Bool[np.ndarray, " t"]:
    """The frames after the camera has come back."""
    assert probe.scene.shot is not None
    azimuth = probe.scene.shot.azimuth
    away = np.flatnonzero(np.abs(azimuth - azimuth[0]) > 0.01)
    return np.arange(len(azimuth)) > away[-1]


def _recoloured(seen: Seen, probe: Probe, k: int, anchor: int, back: Bool[np.ndarray, " t"]) -> float:
    """Distance of an object's mean colour on return from that in an earlier frame; nan where it is not seen."""
    mask = seen.mask(str(probe.truth.objects[k]["colour"]))
    before, after = seen.frames[anchor][mask[anchor]], seen.frames[back][mask[back]]
    if not len(before) or not len(after):
        return np.nan
    return float(np.abs(after.mean(0) - before.mean(0)).mean() / 255)


def _sign(value: float) -> float:
    return 1.0 if value > 0 else -1.0
