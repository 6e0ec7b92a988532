"""Where twins are filmed: one cast, one decor and one camera at rest for both, and the rules that every pair keeps."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from worldpatch.evals.suites._task import Form
from worldpatch.evals.suites.physics._scene import Cast
from worldpatch.types import Clip, Truth
from worldpatch.worlds import tabletop
from worldpatch.worlds._holdout import UNSEEN_PAIRS
from worldpatch.worlds.tabletop import Decor, Prop, Scene, Script, Shot, Solid

MARGIN = 0.02  # share of the frame's side that solids keep from its edge
OVERLAP = 0.98  # of the least distance between solids: nearer than this, and they are in each other

Pose = Float[np.ndarray, "t k 7"]


@dataclass(frozen=True, kw_only=True)
class Studio:
    """Draws what twins share and films them. `number` is the couple's; `seconds` from the first frame to the last."""

    number: int
    rng: np.random.Generator
    form: Form
    decor: Decor
    shot: Shot

    @property
    def seconds(self) -> float:
        return (self.form.frames - 1) / self.form.rate

    @property
    def times(self) -> Float[np.ndarray, " t"]:
        return np.arange(self.form.frames) / self.form.rate

    def side(self) -> float:
        """+1 right or -1 left."""
        return float(self.rng.choice((-1.0, 1.0)))

    def between(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def cast(self, *shapes: str) -> Cast:
        """One actor per shape, all colours different, no colour-shape pair that training never has."""
        colours: list[str] = []
        for shape in shapes:
            free = [c for c in self._palette if c not in colours and (c, shape) not in UNSEEN_PAIRS]
            colours.append(str(self.rng.choice(free)))
        return Cast(shapes=shapes, colours=tuple(colours), form=self.form, decor=self.decor)

    def shape(self, *of: str) -> str:
        return str(self.rng.choice(of or ("ball", "box", "cylinder")))

    @property
    def _palette(self) -> tuple[str, ...]:
        return tabletop.palette(tabletop.Config(level=2))

    def path(self, *solids: Solid, frames: int = 0) -> Pose:
        """Where the physics engine takes the solids, for so many frames instead of the form's."""
        form = replace(self._format, frames=frames or self.form.frames)
        return tabletop.simulate(replace(self._scene(solids, ()), shot=None), form)

    def still(self, *solids: Solid) -> Pose:
        """The solids where they are, in every frame; to be moved by whoever knows the law."""
        return np.repeat(self.path(*solids, frames=1), self.form.frames, axis=0)

    def film(self, *solids: Solid, props: tuple[Prop, ...] = (), pose: Pose | None = None) -> Clip:
        """The solids' play as the physics engine has it, or wherever `pose` puts them."""
        return tabletop.enact(self._scene(solids, props), self._format, pose)

    def _scene(self, solids: tuple[Solid, ...], props: tuple[Prop, ...]) -> Scene:
        script = Script(kind="twin", solids=solids, beats=(), props=props)
        return Scene(script=script, decor=self.decor, caption="", shot=self.shot)

    @property
    def _format(self) -> tabletop.Format:
        f = self.form
        return tabletop.Format(height=f.height, width=f.width, rate=f.rate, frames=f.frames, masks=False)


def studio(rng: np.random.Generator, form: Form, number: int) -> Studio:
    """A decor and a camera as clips of level 2 have them."""
    plain = tabletop.Format(height=form.height, width=form.width, rate=form.rate, frames=form.frames)
    shot = tabletop.resting(
        plain, azimuth=90 + rng.uniform(-5, 5), elevation=rng.uniform(-30, -24), distance=rng.uniform(3.4, 3.7)
    )
    return Studio(number=number, rng=rng, form=form, decor=tabletop.choose_decor(rng, 2), shot=shot)


# ----------------------------------------------------------------------------------------------------- cut and reversed


def splice(before: Clip, after: Clip, frame: int) -> Clip:
    """One clip until `frame`, from there another."""
    pose = np.concatenate([truth(before).pose[:frame], truth(after).pose[frame:]])
    frames = np.concatenate([before.frames[:frame], after.frames[frame:]])
    return replace(before, frames=frames, truth=replace(truth(before), pose=pose))


def reverse(clip: Clip) -> Clip:
    """The clip from its last frame to its first."""
    return replace(clip, frames=clip.frames[::-1].copy(), truth=replace(truth(clip), pose=truth(clip).pose[::-1]))


def truth(clip: Clip) -> Truth:
    assert clip.truth is not None
    return clip.truth


# ---------------------------------------------------------------------------------------------------------------- rules


def differing(a: Clip, b: Clip) -> np.ndarray:
    """Which frames of two clips differ, in any pixel."""
    return (a.frames != b.frames).reshape(len(a.frames), -1).any(1)


def in_frame(clip: Clip) -> bool:
    """Whether every solid's enclosing ball is in the picture throughout, or hidden in it: neither of two twins may have
    less to show."""
    assert clip.camera is not None
    height, width = clip.frames.shape[1:3]
    centre, depth = tabletop.project(clip.camera, truth(clip).pose[..., :3])
    reach = np.array([max(o["size"]) for o in truth(clip).objects]) * clip.camera.intrinsics[:, :1] / depth
    side = np.array([width, height])
    low, high = centre - reach[..., None], centre + reach[..., None]
    return bool((low > MARGIN * side).all() and (high < (1 - MARGIN) * side).all())


def apart(possible: Clip, impossible: Clip) -> np.ndarray:
    """In which frames no solids of the impossible twin are nearer to each other than they ever are in the possible one:
    in the others they are in each other, which a single frame shows."""
    least = OVERLAP * _nearest(possible).min()
    return _nearest(impossible) >= least


def _nearest(clip: Clip) -> np.ndarray:
    """Least distance between the centres of two solids in each frame; infinite for one."""
    place = truth(clip).pose[..., :3].astype(float)
    gap = np.linalg.norm(place[:, :, None] - place[:, None], axis=-1)
    gap[:, np.arange(place.shape[1]), np.arange(place.shape[1])] = np.inf
    return gap.min((1, 2))
