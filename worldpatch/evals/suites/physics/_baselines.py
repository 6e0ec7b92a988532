"""What little or much understanding would make of a scene: clips for the same scorers.

`copy` holds the last given frame. `constant velocity` lets every solid go on as it was last seen to move. `refit` is
the simulator itself with the scene's parameters fitted to the given frames, and at their usual values where those do
not show them. `real` is the scene.
"""

from types import ModuleType

import numpy as np
from jaxtyping import Float, UInt8
from scipy.optimize import minimize

from worldpatch.evals.suites.physics._scene import Probe, Range, build, module
from worldpatch.worlds import tabletop

DRAWS, STEPS = 24, 30  # guesses from the prior, then steps of a simplex from the best
PULL = 0.05  # pixels that a parameter costs at the end of its range, so that what is not seen stays usual

Frames = UInt8[np.ndarray, "t h w 3"]


def clips(probe: Probe) -> dict[str, Frames]:
    """The clips of all baselines."""
    still = copy(probe)
    moving = constant_velocity(probe) if probe.given > 1 else still
    return {"real": probe.clip.frames, "copy": still, "constant velocity": moving, "refit": refit(probe)}


def copy(probe: Probe) -> Frames:
    """The last given frame held; with nothing given, the real first frame."""
    frames, last = probe.clip.frames.copy(), max(probe.given - 1, 0)
    frames[last:] = frames[last]
    return frames


def constant_velocity(probe: Probe) -> Frames:
    """Each solid goes on from its last given pose with the speed it had across the picture, rendered."""
    last, solids = probe.given - 1, len(probe.scene.script.solids)
    pose = probe.truth.pose[:, :solids].astype(float).copy()
    pose[last:] = pose[last]
    step = np.stack([_step(probe, k, last) for k in range(solids)])  # metres per frame
    pose[last:, :, :3] += np.arange(len(pose) - last)[:, None, None] * step
    frames = tabletop.enact(probe.scene, probe.cast.film, pose).frames
    frames[: probe.given] = probe.clip.frames[: probe.given]
    return frames


def _step(probe: Probe, k: int, last: int) -> Float[np.ndarray, " 3"]:
    """How far solid k moved between the last two given frames, as seen, parallel to the picture."""
    pixels = probe.real.centre[last, k] - probe.real.centre[last - 1, k]
    if not np.isfinite(pixels).all():
        return np.zeros(3)
    pose = probe.camera.pose[last].astype(float)
    depth = (probe.truth.pose[last, k, :3] - pose[:3, 3]) @ pose[:3, 2]
    return pose[:3, :2] @ (pixels * depth / probe.camera.intrinsics[last, :2])


def refit(probe: Probe) -> Frames:
    """The simulator with parameters fitted to what the given frames show of the solids' places."""
    scenario = module(probe.scenario)
    scene = build(scenario, fit(probe, scenario), probe.cast)
    frames = tabletop.enact(scene, probe.cast.film).frames
    frames[: probe.given] = probe.clip.frames[: probe.given]
    return frames


def fit(probe: Probe, scenario: ModuleType) -> dict[str, float]:
    """Parameters that bring simulated places nearest to the seen ones (pixels), found by guesses and a simplex."""
    ranges: dict[str, Range] = {k: r for k, r in scenario.PARAMETERS.items() if r.width > 0}
    fixed = {k: r.middle for k, r in scenario.PARAMETERS.items() if r.width == 0}

    def parameters(z: np.ndarray) -> dict[str, float]:
        return fixed | {k: r.at(v) for (k, r), v in zip(ranges.items(), z, strict=True)}

    def cost(z: np.ndarray) -> float:
        return _misfit(probe, scenario, parameters(z)) + PULL * float(np.square(z).sum())

    if not probe.given or not ranges:
        return parameters(np.zeros(len(ranges)))
    rng = np.random.default_rng(probe.index)
    guesses = [np.zeros(len(ranges)), *rng.uniform(-1, 1, (DRAWS, len(ranges)))]
    best = min(guesses, key=cost)
    found = minimize(cost, best, method="Nelder-Mead", options={"maxfev": STEPS})
    return parameters(found.x)


def _misfit(probe: Probe, scenario: ModuleType, parameters: dict[str, float]) -> float:
    """Root mean square distance in pixels between simulated and seen centres over the given frames."""
    scene = build(scenario, parameters, probe.cast)
    solids = len(scene.script.solids)
    pose = tabletop.simulate(scene, probe.cast.film, probe.given)[:, :solids, :3]
    pixels = tabletop.pictured(scene, probe.cast.film, pose)
    gap = np.square(pixels - probe.real.centre[: probe.given, :solids]).sum(-1)
    usable = np.stack([probe.real.whole(k)[: probe.given] for k in range(solids)], -1) & np.isfinite(gap)
    return float(np.sqrt(gap[usable].mean())) if usable.any() else 0.0
