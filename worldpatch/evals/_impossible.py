"""Renders made impossible on purpose, one kind per kind of paradox: what the detectors of `paradox.py` are measured on.

Scenes are those of levels 1 and 2, staged by the world's own rules; then solids are taken out of the room, clips are
spliced, or paths written that no engine would give. Each clip is a pure function of (seed, kind, index).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
from jaxtyping import Float

from worldpatch.evals.paradox import LIMITS
from worldpatch.types import Clip
from worldpatch.worlds import tabletop
from worldpatch.worlds._tabletop import scenario
from worldpatch.worlds._tabletop.camera import shoot
from worldpatch.worlds._tabletop.film import PATTERNS
from worldpatch.worlds._tabletop.palette import TONES
from worldpatch.worlds.tabletop import Decor, Format, Scene, Script, Shot

AWAY = -6.0  # metres: under the floor, where nobody sees it
GRAVITY = 9.81
HEADING = 90.0  # degrees: the view azimuth of the scripts
SCENES = (scenario.falls, scenario.crosses, scenario.stands, scenario.falls_beside, scenario.stand_together)
QUIET = (scenario.crosses, scenario.stands, scenario.stand_together)
CAMERAS = ("rest", "rest", "orbit left", "orbit right", "pan left", "pan right", "zoom in", "zoom out")

Pose = Float[np.ndarray, "t k 7"]


@dataclass(frozen=True, kw_only=True)
class Set:
    """What a clip is made from: randomness, a decor, a camera, and the frame `cut` at which the impossible happens."""

    rng: np.random.Generator
    form: Format
    decor: Decor
    shot: Shot
    cut: int

    def script(self, *scenes: scenario.Scenario) -> Script:
        cast = scenario.Casting(rng=self.rng, colours=scenario.ALL, seconds=self.seconds, scale=1.1)
        return replace(scenes[int(self.rng.integers(len(scenes)))](cast), heading=HEADING)

    @property
    def seconds(self) -> float:
        return (self.form.frames - 1) / self.form.rate

    def scene(self, script: Script) -> Scene:
        return Scene(script=script, decor=self.decor, caption="", shot=self.shot)

    def path(self, script: Script) -> Pose:
        return tabletop.simulate(self.scene(script), self.form)

    def film(self, script: Script, pose: Pose | None = None) -> Clip:
        return tabletop.enact(self.scene(script), self.form, pose)


def clip(kind: str, index: int, seed: int, form: Format | None = None) -> Clip:
    """Impossible clip `index` of a kind; the same arguments give the same bytes."""
    form = form or Format(masks=False)
    rng = np.random.default_rng([seed, crc32(kind.encode()), index])
    floor, wall = rng.choice(list(TONES), 2, replace=False)
    decor = Decor(
        pattern=str(rng.choice(PATTERNS)), floor=str(floor), wall=str(wall), light=float(rng.uniform(-60, 60))
    )
    seconds = (form.frames - 1) / form.rate
    shot = shoot(rng, str(rng.choice(CAMERAS)), HEADING, form.frames, seconds, form.height, form.width)
    cut = int(rng.integers(form.frames // 4, 3 * form.frames // 4))
    return KINDS[kind](Set(rng=rng, form=form, decor=decor, shot=shot, cut=cut))


def vanishes(s: Set) -> Clip:
    script = s.script(*SCENES)
    return s.film(script, _hidden(s.path(script), 0, slice(s.cut, None)))


def appears(s: Set) -> Clip:
    script = s.script(*SCENES)
    return s.film(script, _hidden(s.path(script), 0, slice(0, s.cut)))


def doubles(s: Set) -> Clip:
    """A second one of the same colour and shape stands beside the first from the cut on."""
    script = s.script(scenario.stands)
    (solid,) = script.solids
    side = -1.0 if solid.position[0] > 0 else 1.0
    twin = solid.at(solid.position[0] + 0.85 * side, *solid.position[1:])
    script = replace(script, solids=(solid, twin))
    return s.film(script, _hidden(s.path(script), 1, slice(0, s.cut)))


def recoloured(s: Set) -> Clip:
    script = s.script(*SCENES)
    first, *rest = script.solids
    free = [c for c in scenario.ALL if c not in {solid.colour for solid in script.solids}]
    other = replace(script, solids=(replace(first, colour=str(s.rng.choice(free))), *rest))
    return _spliced(s.film(script), s.film(other), s.cut)


def reshaped(s: Set) -> Clip:
    script = s.script(*QUIET)
    first, *rest = script.solids
    r = first.size[0]
    shapes = {"ball": (r,), "box": (0.9 * r,) * 3, "cylinder": (0.85 * r, 1.1 * r)}
    shape = str(s.rng.choice([name for name in shapes if name != first.shape]))
    other = replace(script, solids=(replace(first, shape=shape, size=shapes[shape]), *rest))
    pose = s.path(script)
    return _spliced(s.film(script, pose), s.film(other, pose), s.cut)


def passes_through(s: Set) -> Clip:
    """One crosses the floor where another stands; both are ghosts."""
    script, standing = s.script(scenario.crosses), s.script(scenario.stands).solids[0]
    (moving,) = script.solids
    free = [c for c in scenario.ALL if c != moving.colour]
    standing = replace(
        standing.at(float(s.rng.uniform(-0.2, 0.2)), 0.0, standing.half_height), colour=str(s.rng.choice(free))
    )
    ghosts = tuple(replace(solid, ghost=True, density=1000.0) for solid in (moving, standing))
    return s.film(replace(script, solids=ghosts))


def gains_energy(s: Set) -> Clip:
    """A ball bounces higher than it fell from, or a solid on its way across the floor becomes faster."""
    script = s.script(scenario.crosses)
    (solid,) = script.solids
    pose, times = np.repeat(s.path(script)[:1], s.form.frames, 0), np.arange(s.form.frames) / s.form.rate
    moment = times[s.cut]
    if solid.shape == "ball":
        low, high = s.rng.uniform(0.25, 0.4), s.rng.uniform(0.8, 1.0)
        top = np.where(times < moment, low, high)
        period = np.sqrt(8 * top / GRAVITY)  # z = g u (T - u) / 2, u the time since it last touched
        since = (times - moment) % period
        pose[:, 0, 0] = s.rng.uniform(-0.3, 0.3)
        pose[:, 0, 2] = solid.half_height + GRAVITY * since * (period - since) / 2
    else:
        slow, side = s.rng.uniform(0.05, 0.15), np.sign(solid.velocity[0])
        fast = s.rng.uniform(0.9, 1.1)
        way = np.where(times < moment, slow * times, slow * moment + fast * (times - moment))
        pose[:, 0, 0] = side * (np.minimum(way, 1.6) - 0.8)
    return s.film(replace(script, solids=(solid,)), pose)


def _hidden(pose: Pose, k: int, frames: slice) -> Pose:
    pose = pose.copy()
    pose[frames, k, 2] = AWAY
    return pose


def _spliced(before: Clip, after: Clip, cut: int) -> Clip:
    return replace(before, frames=np.concatenate([before.frames[:cut], after.frames[cut:]]), truth=None)


Kind = Callable[[Set], Clip]
KINDS: dict[str, Kind] = {
    "vanishes": vanishes, "appears": appears, "doubles": doubles, "recoloured": recoloured, "reshaped": reshaped,
    "passes through": passes_through, "gains energy": gains_energy,
}  # fmt: skip
assert set(KINDS) == set(LIMITS)
