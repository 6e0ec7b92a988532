"""Shadows: a shadow lies on the side away from the light, goes where its solid goes, and parts from what jumps."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from worldpatch.evals.suites._task import Metric
from worldpatch.evals.suites.physics._measure import relative, velocity
from worldpatch.evals.suites.physics._scene import Cast, Probe, Range, Staged
from worldpatch.evals.suites.physics._seen import Seen
from worldpatch.worlds.tabletop import Script

SHOWN_BY = ("slide", "jump")
PARAMETERS = {
    "light": Range(inside=(-60.0, -30.0), outside=((-100.0, -80.0), (145.0, 180.0))),  # degrees, as `Decor.light`
    "speed": Range(inside=(0.4, 0.5)),  # m/s of what slides
    "leap": Range(inside=(3.2, 3.6)),  # m/s upwards of what jumps
    "side": Range(inside=(-1.0, 1.0)),
}
ACTORS = (("ball", "box", "cylinder"),)  # a ball jumps, the others slide
METRICS = {
    "direction": Metric(unit="degrees", worst=90.0, needs="image"),
    "lags": Metric(unit="share of the motion", worst=1.0),
    "gain": Metric(unit="relative", worst=1.0, needs="image"),
}
SUN = (0.45, 0.30)  # metres that a metre of height throws its shadow to the right and away, at light 0
DARK = 0.8  # of the floor's brightness: what is darker is shadow
NEAR = 0.8  # metres from the foot: darker places farther off are others' shadows
ALOFT = 0.15  # metres: a lower jump hides its shadow
LEAST = 0.001  # of the frame: four pixels of 64 x 64
ROOM = 3.9  # metres from the middle to the walls, nearly


def stage(p: dict[str, float], cast: Cast) -> Staged:
    side = 1.0 if p["side"] > 0 else -1.0
    if cast.shapes[0] == "ball":
        solid = cast.solid(0, scale=0.8, velocity=(0.0, 0.0, p["leap"]), bounce=0.9)
        said, kind = "jumps up and down", "jump"
    else:
        solid = cast.solid(0, x=-0.75 * side, scale=0.8, velocity=(side * p["speed"], 0.0, 0.0), friction=0.003)
        said, kind = f"slides to the {'right' if side > 0 else 'left'}", "slide"
    decor = replace(cast.decor, pattern="plain", light=p["light"])
    script = Script(kind=kind, solids=(solid,), beats=())
    return Staged(script=script, prompt=f"a {cast.name(0)} {said} in light from one side", decor=decor)


def measure(seen: Seen, probe: Probe) -> dict[str, float]:
    """From the predicted frames in which the shadow can be told from its solid."""
    k, jumps = probe.k(0), probe.scene.script.kind == "jump"
    right, up = seen.upright(k).T
    foot = np.stack([right, np.full_like(right, seen.places[k, 1])], -1)
    shadow = _shadow(seen, foot)
    thrown = shadow - foot
    asked = (np.arange(len(up)) >= probe.given) & (up > seen.places[k, 2] + (ALOFT if jumps else -ALOFT))
    used = np.isfinite(thrown).all(-1) & asked
    moved, went = (up, np.linalg.norm(thrown, axis=-1)) if jumps else (right, shadow[:, 0])
    moved, went, thrown = moved[used], went[used], thrown[used]
    if len(moved) < max(3, asked.sum() / 2) or np.ptp(moved) < ALOFT:
        return dict.fromkeys(METRICS, np.nan)
    pace, whole = velocity(moved, went), float(np.std(went if jumps else moved))
    return {
        "direction": _between(thrown.mean(0), _away(probe.parameters["light"])),
        "lags": float(np.std(went - moved * (pace if jumps else 1.0))) / whole if whole > 0 else np.nan,
        "gain": relative(pace, float(np.hypot(*SUN)) if jumps else 1.0),
    }


def _away(light: float) -> Float[np.ndarray, " 2"]:
    """Where the light throws shadows: (right, away) per metre of height."""
    turn = np.radians(light)
    return np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.array(SUN)


def _between(a: Float[np.ndarray, " 2"], b: Float[np.ndarray, " 2"]) -> float:
    """Angle between two directions, in degrees."""
    return float(np.degrees(np.arccos(np.clip(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)), -1, 1))))


def _shadow(seen: Seen, foot: Float[np.ndarray, "t 2"]) -> Float[np.ndarray, "t 2"]:
    """Middle of the dark floor around a foot, (right, away) in metres; nan where none is seen."""
    floor = _floor(seen)
    grey = seen.frames.mean(-1)
    bare = ~np.asarray(ndimage.binary_dilation(seen.labels > 0, np.ones((1, 3, 3))), dtype=bool)
    bare &= np.isfinite(floor).all(-1)
    middle = np.full_like(foot, np.nan)
    for t in range(len(foot)):
        if not bare[t].any():
            continue
        dark = bare[t] & (grey[t] < DARK * np.median(grey[t][bare[t]]))
        near = dark & (np.linalg.norm(floor - foot[t], axis=-1) < NEAR)
        if near.sum() >= LEAST * near.size:
            middle[t] = floor[near].mean(0)
    return middle


def _floor(seen: Seen) -> Float[np.ndarray, "h w 2"]:
    """Where the floor is that each pixel shows, (right, away) in metres; nan where it shows none. The camera rests."""
    h, w = seen.labels.shape[1:]
    fx, fy, cx, cy = seen.camera.intrinsics[0].astype(float)
    pose = seen.camera.pose[0].astype(float)
    x, y = np.meshgrid((np.arange(w) + 0.5 - cx) / fx, (np.arange(h) + 0.5 - cy) / fy)
    ray = np.stack([x, y, np.ones_like(x)], -1) @ pose[:3, :3].T
    place = pose[:2, 3] - pose[2, 3] / ray[..., 2:] * ray[..., :2]
    return np.where((ray[..., 2:] < 0) & (np.abs(place) < ROOM).all(-1, keepdims=True), place, np.nan)
