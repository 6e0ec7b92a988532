"""The seven kinds of impossible twins, and how they are drawn.

A kind is a function (Studio) -> a couple of pairs (possible, impossible), or None where the scene drawn does not do.
Nothing but physics may tell twins apart. But what breaks a law nearly always moves more as well, or less, or hides
something, or shows it in a dearer colour, and a model's loss depends far more on that than on any law. So twins have
the same motions in another order, or else the two pairs of a couple complement each other: what sets the impossible
twin apart in one sets the possible one apart in the other, and only both together are judged (`likelihood.py`).

Axes and units are those of a scene: right, away from the camera, up, in metres.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np
from jaxtyping import Float

from worldpatch.config import UserError
from worldpatch.evals.suites._task import Form
from worldpatch.evals.suites.twins.studio import Studio, apart, differing, in_frame, reverse, splice, studio
from worldpatch.types import Clip
from worldpatch.worlds.tabletop import Prop, Solid, props

SEED = 14_142_135  # of the twins' scenes; training never uses it
TRIES = 200
MANY = 20  # bounces: more than any clip shows
CHOICE = 300  # draws from which the fittest bounces are taken
GRAVITY = 9.81
GOLDEN = (5**0.5 - 1) / 2  # its multiples are evenly spread between whole numbers
DISTANCE = 4.0  # metres by which something must be farther from the middle to look half as large, about
SHORTEST, LONGEST = 2.0, 6.0  # seconds of a clip: less is too short to fall and rise again, more too long to cross in

Twins = tuple[Clip, Clip]
Kind = Callable[[Studio], tuple[Twins, Twins] | None]
Series = Float[np.ndarray, " t"]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Twins, alike in all but physics. In the frames `same` they are equal; `control` is the frame that is shown alone
    of both."""

    possible: Clip
    impossible: Clip
    same: slice
    control: int


def couple(kind: str, number: int, form: Form) -> tuple[Pair, Pair]:
    """Couple `number` of a kind: the same arguments give the same bytes. Raises UserError on an unfit length.

    The control is a moment, the same in both pairs, at which the twins of either differ and no frame is impossible by
    itself: the couples of a kind spread theirs evenly over all there are, for early and late ones may look different.
    """
    seconds = (form.frames - 1) / form.rate
    if not SHORTEST <= seconds <= LONGEST:
        raise UserError(f"twins of {seconds:g} s cannot be staged: {SHORTEST:g} to {LONGEST:g} s, by frames and rate")
    rng = np.random.default_rng([SEED, crc32(kind.encode()), number])
    for _ in range(TRIES):
        drawn = KINDS[kind](studio(rng, form, number))
        if drawn is not None and all(in_frame(clip) for twins in drawn for clip in twins):
            fit = np.flatnonzero(np.all([differing(*twins) & apart(*twins) for twins in drawn], axis=0))
            control = int(fit[int(len(fit) * (number * GOLDEN % 1))])
            one, two = (_pair(*twins, control) for twins in drawn)
            return one, two
    raise AssertionError(f"no scene of kind {kind} did in {TRIES} tries")


def staged(job: tuple[str, int, Form]) -> tuple[Pair, Pair]:
    """`couple` of one argument, for a pool of processes."""
    return couple(*job)


def _pair(possible: Clip, impossible: Clip, control: int) -> Pair:
    first = int(np.argmax(differing(possible, impossible)))
    return Pair(possible=possible, impossible=impossible, same=slice(0, first), control=control)


# ------------------------------------------------------------------------------------------------------------ one solid


def gravity(s: Studio) -> tuple[Twins, Twins]:
    """A ball bounces; its twin does so upside down, between the same heights: it falls up, and turns gently below.

    A ball that loses little is mostly high, one that loses more mostly low. The second pair's bounces are chosen to be
    at each height as often as the first pair's are upside down, so that neither twin is the higher one.
    """
    cast, scale, y = s.cast("ball", "ball"), s.between(0.85, 1.15), s.between(-0.1, 0.3)
    high = _bounces_on(s, s.between(0.55, 0.8), s.between(0.97, 1.0))
    drawn = [_bounces_on(s, high.max() * s.between(0.9, 1.1), s.between(0.75, 0.95)) for _ in range(CHOICE)]
    low = min(drawn, key=lambda heights: np.abs(np.sort(heights) - np.sort(_flipped(high))).sum())
    one, two = (_upside_down(s, cast.solid(i, y=y, scale=scale), heights) for i, heights in enumerate((high, low)))
    return one, two


def _bounces_on(s: Studio, top: float, bounce: float) -> Series:
    """Heights of a ball that begins anywhere in a bounce up to `top`."""
    tops = top * bounce ** (2 * np.arange(MANY))
    return _bouncing(s.times, tops, s.between(0.0, np.sqrt(8 * top / GRAVITY)))


def _flipped(heights: Series) -> Series:
    return heights.max() + heights.min() - heights


def _upside_down(s: Studio, ball: Solid, heights: Series) -> Twins:
    x = s.between(-0.2, 0.2) + s.side() * s.between(0.0, 0.25) * (s.times - s.seconds / 2)
    clips = []
    for height in (heights, _flipped(heights)):
        pose = s.still(ball)
        pose[:, 0, 0] = x
        pose[:, 0, 2] += height
        clips.append(s.film(ball, pose=pose))
    return clips[0], clips[1]


def energy(s: Studio) -> tuple[Twins, Twins]:
    """Bounces that grow from each to the next, instead of falling off; and a slide that speeds up where friction should
    slow it. Twins make the same moves in the reverse order."""
    return _bounces(s), _slides_on(s)


def _bounces(s: Studio) -> Twins:
    """From the first touch of the floor to the last one in the clip, the twin's bounces come in the reverse order."""
    cast, drift = s.cast("ball"), s.side() * s.between(0.0, 0.25)
    ball = cast.solid(0, y=s.between(-0.1, 0.3), scale=s.between(0.85, 1.15))
    kept = s.between(0.81, 0.87) ** 2  # of the height from bounce to bounce
    tops = s.between(0.8, 1.0) * kept ** np.arange(MANY)
    touches = np.cumsum(np.sqrt(8 * tops / GRAVITY))  # at the end of each bounce
    touches -= touches[0] - s.between(0.15, 0.45)
    whole = np.flatnonzero(touches < s.seconds)[1:]  # bounces that begin and end in the clip
    order = np.arange(MANY)
    order[whole] = whole[::-1]
    x = s.between(-0.3, 0.3) + drift * (s.times - s.seconds / 2)
    clips = []
    for heights in (tops, tops[order]):
        pose = s.still(ball)
        pose[:, 0, 0] = x
        pose[:, 0, 2] += _bouncing(s.times, heights, touches[0])
        clips.append(s.film(ball, pose=pose))
    return clips[0], clips[1]


def _bouncing(times: Series, tops: Float[np.ndarray, " b"], touch: float) -> Series:
    """Height of a ball that rises to `tops` in turn, then lies; it touches the floor at `touch` after the first."""
    lasts = np.sqrt(8 * tops / GRAVITY)
    ends = np.cumsum(lasts) - lasts[0] + touch
    which = np.minimum(np.searchsorted(ends, times), len(tops) - 1)
    left = ends[which] - times
    return np.maximum(GRAVITY * left * (lasts[which] - left) / 2, 0.0)


def _slides_on(s: Studio) -> Twins:
    """Slowed by friction to a fraction of its speed; its twin begins and ends at the same places."""
    cast = s.cast(s.shape("box", "cylinder"))
    side, way, y = s.side(), s.between(1.5, 1.7), s.between(-0.1, 0.4)
    solid = cast.solid(0, y=y, scale=s.between(0.85, 1.15), turn=s.between(0.0, 1.2))
    u = s.times / s.seconds
    slowing = (1 + s.between(0.6, 0.75)) * u  # 1.6 u - 0.6 u^2: from 1.6 times the mean speed to 0.4 times
    slowing -= (slowing[-1] - 1) * u**2
    clips = []
    for share in (slowing, 1 - slowing[::-1]):
        pose = s.still(solid)
        pose[:, 0, 0] = side * way * (share - 0.5)
        clips.append(s.film(solid, pose=pose))
    return clips[0], clips[1]


def time(s: Studio) -> tuple[Twins, Twins]:
    """What cannot happen backwards: a slide to rest, bounces that end in rest, a solid that topples off another."""
    events = (_slides, _settles, _topples)
    one, two = (events[(s.number + i) % 3](s) for i in (0, 1))
    return (one, reverse(one)), (two, reverse(two))


def _slides(s: Studio) -> Clip:
    """Slowed to rest by friction: v^2 = 2 mu g d."""
    cast = s.cast(s.shape("box", "cylinder"))
    side, way, rest = s.side(), s.between(0.9, 1.3), s.between(0.7, 0.95) * s.seconds
    speed = 2 * way / rest
    solid = cast.solid(
        0, x=-side * way / 2 + s.between(-0.2, 0.2), y=s.between(-0.1, 0.4), scale=s.between(0.9, 1.2),
        turn=s.between(0.0, 1.2), velocity=(side * speed, 0.0, 0.0), friction=speed**2 / (2 * GRAVITY * way),
    )  # fmt: skip
    return s.film(solid)


def _settles(s: Studio) -> Clip:
    """A ball leaves the floor and bounces until it lies there again."""
    cast, drift = s.cast("ball"), s.side() * s.between(0.0, 0.2)
    ball = cast.solid(
        0, x=s.between(-0.3, 0.3) - drift * s.seconds / 2, y=s.between(-0.1, 0.3), scale=s.between(0.85, 1.15),
        velocity=(drift, 0.0, s.between(3.4, 4.1)), bounce=s.between(0.68, 0.76), friction=0.0,
    )  # fmt: skip
    return s.film(ball)


def _topples(s: Studio) -> Clip:
    """The upper solid leans out so little that it falls off only after a second."""
    cast = s.cast("box", s.shape("box", "cylinder"))
    side, x, y = s.side(), s.between(-0.2, 0.2), s.between(-0.1, 0.3)
    lower, upper = cast.solid(0, x=x, y=y, density=900.0), cast.solid(1, scale=s.between(0.8, 1.0))
    out = x + side * (lower.size[0] + s.between(0.0005, 0.002))
    return s.film(lower, upper.at(out, y, 2 * lower.half_height + upper.half_height))


# -------------------------------------------------------------------------------------------------------- behind a wall


def teleport(s: Studio) -> tuple[Twins, Twins] | None:
    """Passes behind a wall and comes out too early, too late, or in another lane."""
    solid, wall = _hider(s)
    side, way, y = s.side(), s.between(0.85, 0.9), s.between(0.3, 0.4)
    ahead, lane = (s.between(0.17, 0.21), y) if s.number % 2 else (0.0, y + s.between(0.65, 0.8))
    return _crossed(_passes(s, solid, wall, side, way, -ahead, y), _passes(s, solid, wall, side, way, ahead, lane))


def colour(s: Studio) -> tuple[Twins, Twins] | None:
    """Passes behind a wall and comes out in another colour."""
    solid, wall = _hider(s)
    other = replace(solid, colour=s.cast(solid.shape).colours[0])
    side, way, y = s.side(), s.between(0.8, 0.95), s.between(0.3, 0.6)
    if other.colour == solid.colour:
        return None
    return _crossed(*(_passes(s, one, wall, side, way, 0.0, y) for one in (solid, other)))


def _hider(s: Studio) -> tuple[Solid, Prop]:
    cast = s.cast(s.shape())
    solid = cast.solid(0, scale=s.between(0.65, 0.75), turn=s.between(0.0, 1.2), friction=0.0)
    return solid, props.wall((0.0, -0.05, 0.0), (s.between(0.38, 0.44), 0.06, 0.55))


def _passes(s: Studio, solid: Solid, wall: Prop, side: float, way: float, ahead: float, lane: float) -> Clip:
    """Crosses to a side at a steady speed, 2 * `way` in all; at half time it is `ahead` metres beyond the middle."""
    solid = solid.at(side * (ahead - way), lane, solid.half_height)
    return s.film(replace(solid, velocity=(2 * side * way / s.seconds, 0.0, 0.0)), props=(wall,))


def _crossed(one: Clip, two: Clip) -> tuple[Twins, Twins] | None:
    """Each goes on as the other does, from the middle of the time when no pixel tells them apart; None where there are
    not two such frames together. What begins as the one and ends as the other, and the reverse, show together just what
    both possible clips do."""
    hidden = np.flatnonzero(~differing(one, two))
    if len(hidden) < 2 or hidden[-1] - hidden[0] != len(hidden) - 1:
        return None
    frame = int(hidden[len(hidden) // 2])
    return (one, splice(one, two, frame)), (two, splice(two, one, frame))


# ----------------------------------------------------------------------------------------------------------- two solids


def solidity(s: Studio) -> tuple[Twins, Twins]:
    """A solid runs into a heavy pillar and comes back; its twin goes through it. Another goes past behind the pillar;
    its twin comes back though nothing is in its way.

    The lane decides which is possible. What is farther moves and measures as much more as makes it look alike, so that
    what goes past is hidden as long as what goes through: going on and coming back are each once impossible.
    """
    cast = s.cast(s.shape(), s.shape("box", "cylinder"))
    scale, half = s.between(0.58, 0.68), s.between(0.18, 0.21)
    pillar = replace(cast.solid(1), size=(half, half, 0.45) if cast.shapes[1] == "box" else (half, 0.45))
    pillar = pillar.at(s.between(-0.1, 0.1), s.between(-0.1, 0.1), pillar.half_height)
    x, y, _ = pillar.position
    side, meet, lane = s.side(), s.between(0.31, 0.35) * s.seconds, s.between(0.48, 0.55)
    on = s.between(1.8, 1.98) / s.seconds * (s.times - meet)
    back = np.where(on > 0, -s.between(0.35, 0.45) * on, on)  # a restitution of about 0.4, lest it leave the picture
    gap, clips = half + cast.solid(0, scale=scale).size[0], []
    for behind in (0.0, lane):
        farther = 1 + behind / DISTANCE
        solid = cast.solid(0, x=-1.0, scale=farther * scale)
        for way in (back, on):
            pose = s.still(solid, pillar)
            pose[:, 0, 0], pose[:, 0, 1] = x + side * farther * (way - gap), y + behind
            clips.append(s.film(solid, pillar, pose=pose))
    returns, through, shies, past = clips
    return (returns, through), (past, shies)


def cause(s: Studio) -> tuple[Twins, Twins]:
    """A solid is struck by another of equal mass, which stops, and slides to rest. Its twin sets off some time before
    it is struck; and where the striker comes early, its twin sets off only some time after.

    Crossed as well: early and late strikers, early and late departures. The light comes from before them, for a shadow
    that falls on its neighbour would tell whether they are near each other.
    """
    s = replace(s, decor=replace(s.decor, light=s.between(50.0, 62.0)))
    one, two = _facing(s)
    gap, side, y = one.size[0] + two.size[0], s.side(), s.between(-0.1, 0.3)
    speed, way = s.between(1.44, 1.62) / s.seconds, s.between(0.26, 0.32)
    early = s.between(0.26, 0.3) * s.seconds
    late = early + s.between(0.18, 0.21) * s.seconds
    place = s.between(-1.0 + gap + speed * late, 1.0 - way)

    def film(struck: float, leaves: float) -> Clip:
        pose = s.still(one, two)
        since = np.clip(s.times - leaves, 0.0, 2 * way / speed)
        pose[:, 0, 0] = side * (place - gap - speed * np.maximum(struck - s.times, 0.0))
        pose[:, 1, 0] = side * (place + speed * since - speed**2 * since**2 / (4 * way))
        pose[:, :, 1] = y
        return s.film(one, two, pose=pose)

    return (film(early, early), film(early, late)), (film(late, late), film(late, early))


def _facing(s: Studio) -> tuple[Solid, Solid]:
    """Two solids that turn their faces to each other."""
    cast = s.cast(s.shape(), s.shape())
    return cast.solid(0, x=-1.0, scale=s.between(0.8, 0.95)), cast.solid(1, x=1.0, scale=s.between(0.8, 0.95))


KINDS: dict[str, Kind] = {
    "gravity": gravity,
    "teleport": teleport,
    "energy": energy,
    "colour": colour,
    "solidity": solidity,
    "cause": cause,
    "time": time,
}
