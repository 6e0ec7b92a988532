"""A wish staged: solids that do what a sentence asks for, as a record that can be read, changed, and played again."""

from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np

from worldpatch.config import UserError
from worldpatch.worlds._tabletop import scenario, stories
from worldpatch.worlds._tabletop.camera import geometry, shoot
from worldpatch.worlds._tabletop.enact import Scene
from worldpatch.worlds._tabletop.film import choose_decor
from worldpatch.worlds._tabletop.judge import judge, view
from worldpatch.worlds._tabletop.palette import ALL
from worldpatch.worlds._tabletop.records import Beat, Decor, Format, Script, Solid
from worldpatch.worlds._tabletop.stage import stage
from worldpatch.worlds._tabletop.wish import Wish

LEVEL = 3  # whose scenarios are tried
DRAWS, TRIES = 4000, 30  # scripts that are proposed, and those of them that are played
HEADING = 90.0


@dataclass(frozen=True, kw_only=True)
class Staged:
    """What stands where and how it starts, and the camera's move as captions name it. Plain values: fit for JSON."""

    caption: str
    solids: tuple[Solid, ...]
    decor: Decor
    move: str = "rest"
    gravity: float = 9.81

    def scene(self, form: Format) -> Scene:
        """As the physics engine plays it."""
        seconds = (form.frames - 1) / form.rate
        shot = shoot(np.random.default_rng(0), self.move, HEADING, form.frames, seconds, form.height, form.width)
        script = Script(kind="wish", solids=self.solids, beats=(), heading=HEADING, gravity=self.gravity)
        return Scene(script=script, decor=self.decor, caption=self.caption, shot=shot)


def perform(wish: Wish, form: Format, seed: int) -> Staged:
    """A staging in which all that is wished for happens and is seen, fixed by the seed.

    Raises UserError where nothing was understood, and where the scenarios of the world do not hold it.
    """
    if not wish.solids:
        raise UserError(
            f"no solid was understood in it ({', '.join(wish.unread) or 'no words'}): name a ball, box or cylinder"
        )
    rng, seconds = np.random.default_rng([seed, 5]), max((form.frames - 1) / form.rate, 1.0)
    cast = scenario.Casting(rng=rng, colours=ALL, seconds=seconds, scale=stories.SCALES[2])
    scripts = [write for write, _ in stories.LEVELS[LEVEL]]
    decor, theatre, played = choose_decor(rng, 1), stage(3), 0
    for number in range(DRAWS):
        script = _cast(scripts[number % len(scripts)](cast), wish)
        if script is None:
            continue
        found = Staged(caption=wish.caption, solids=script.solids, decor=decor, move=wish.move or "rest")
        shot = found.scene(form).shot
        assert shot is not None
        theatre.dress(script, decor)
        trace, _ = theatre.play(form.frames, form.rate)
        camera = geometry(shot, form.height, form.width)
        if judge(script, trace, view(script, trace, camera, form.height, form.width, form.rate)) is not None:
            return found
        played += 1
        if played == TRIES:
            break
    why = f"none of {played} tries showed it" if played else "no scenario of the tabletop holds it"
    raise UserError(
        f"{wish.caption!r} cannot be staged: {why}. One to three solids fall, roll, slide, hit, stack, stand"
    )


def _cast(script: Script, wish: Wish) -> Script | None:
    """The script with the wished solids in its roles; None where it tells something else."""
    if script.props or script.paint or len(script.solids) != len(wish.solids):
        return None
    for roles in permutations(range(len(script.solids))):  # wished solid k plays solid roles[k]
        shapes = [script.solids[i].shape for i in roles]
        if all(shape in ("", found) for (_, shape), found in zip(wish.solids, shapes, strict=True)):
            wanted = [replace(beat, objects=tuple(roles[k] for k in beat.objects)) for beat in wish.beats]
            if _tells(script.beats, wanted):
                return replace(
                    script, solids=_coloured(script.solids, {roles[k]: c for k, (c, _) in enumerate(wish.solids)})
                )
    return None


def _tells(beats: tuple[Beat, ...], wanted: list[Beat]) -> bool:
    """Whether a script does all that is wanted, and nothing else but stand and take a run."""
    hitters = {beat.objects[0] for beat in wanted if beat.kind == "hit"}
    left = list(beats)
    for beat in wanted:
        same = [
            b for b in left if (b.kind, b.objects) == (beat.kind, beat.objects) and beat.direction in ("", b.direction)
        ]
        if not same:
            return False
        left.remove(same[0])
    return all(b.kind == "stand" or (b.kind in ("roll", "slide") and b.objects[0] in hitters) for b in left)


def _coloured(solids: tuple[Solid, ...], colours: dict[int, str]) -> tuple[Solid, ...]:
    """The solids in these colours; those of no colour ("") in others that are left."""
    free = [colour for colour in ALL if colour not in colours.values()]
    return tuple(replace(s, colour=colours[k] or free.pop(0)) for k, s in enumerate(solids))
