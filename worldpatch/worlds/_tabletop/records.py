"""The records that pass between the rooms of tabletop: what is staged, what is claimed, what was seen.

Positions in a script are in the view frame: right, away from the camera, up, in metres from the middle of the floor.
The stage turns them by the script's heading, so that "left" in a script is left in the picture.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

Vector = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Format:
    """The part of `tabletop.Config` that filming reads; see there."""

    level: int = 1
    height: int = 64
    width: int = 64
    rate: float = 8.0
    frames: int = 25
    supersample: int = 2
    masks: bool = True


@dataclass(frozen=True, kw_only=True)
class Solid:
    """One coloured solid. `size` holds MuJoCo half sizes: ball (r,), box (x, y, z), cylinder (r, half height).

    `spin` is the angular velocity in view axes (rad/s), `turn` the yaw (rad); `lying` puts a cylinder on its side with
    its axis across the view. `bounce` is the coefficient of restitution asked for; `friction` the sliding coefficient,
    `rolling` the rolling coefficient in metres, `density` in kg/m3. `parts` 8 makes a box of eight that flies apart
    when it strikes something. `string` is the point that a taut string without mass hangs the centre from; only a
    script's first solid may have one. `ghost` solids pass through each other, as no real ones do.
    """

    shape: str
    colour: str
    size: tuple[float, ...]
    position: Vector
    velocity: Vector = (0.0, 0.0, 0.0)
    spin: Vector = (0.0, 0.0, 0.0)
    turn: float = 0.0
    lying: bool = False
    bounce: float = 0.1
    friction: float = 0.6
    rolling: float = 0.0
    density: float = 400.0
    parts: int = 1
    string: Vector | None = None
    ghost: bool = False

    @property
    def half_height(self) -> float:
        """Height of the centre above the floor at rest, in metres."""
        return self.size[0] if self.shape == "ball" or self.lying else self.size[-1]

    @property
    def reach(self) -> float:
        """Radius of the footprint's circumscribed circle, in metres."""
        if self.shape == "box":
            return float(np.hypot(self.size[0], self.size[1]))
        return max(self.size) if self.lying else self.size[0]

    def at(self, *position: float) -> "Solid":
        """The same solid elsewhere (right, away, up)."""
        return replace(self, position=tuple(position))


@dataclass(frozen=True, kw_only=True)
class Part:
    """One geom of a prop, shown from `since` to `until` seconds. `colour` is RGB, None for the prop's own colour."""

    shape: str
    size: tuple[float, ...]
    colour: Vector | None = None
    since: float = -1.0
    until: float = np.inf


@dataclass(frozen=True, kw_only=True)
class Prop:
    """Something that moves by rule, not by physics: scenery ("wall", "ramp"), a puppet, paint, a box that is eaten.

    `motion(seconds)` gives position and quaternion "p 7" of every part in the view frame; part 0 is the prop's pose.
    `extent` is about its half size in metres. Props with a `colour` word are objects that captions and truth name; they
    follow the solids in numbering.
    """

    shape: str
    parts: tuple[Part, ...]
    motion: Callable[[float], Float[np.ndarray, "p 7"]]
    extent: tuple[float, ...]
    colour: str = ""
    collides: bool = False

    @property
    def size(self) -> tuple[float, ...]:
        """Half sizes of the whole, as a solid has them."""
        return self.extent


@dataclass(frozen=True, kw_only=True)
class Beat:
    """A claim about what happens, to be checked after simulation: `kind`, the solids involved, a direction if any."""

    kind: str
    objects: tuple[int, ...]
    direction: str = ""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A camera move: a name for captions, and view parameters per frame.

    Angles are in degrees (MuJoCo's free camera: azimuth 90 looks along +y; negative elevation looks down), `target`
    and `distance` in metres.
    """

    move: str
    azimuth: Float[np.ndarray, " t"]
    elevation: Float[np.ndarray, " t"]
    distance: Float[np.ndarray, " t"]
    target: Float[np.ndarray, "t 3"]
    fovy: Float[np.ndarray, " t"]


@dataclass(frozen=True, kw_only=True)
class Decor:
    """Floor and wall tones, floor pattern and gloss, the look, and the light's azimuth from the heading in degrees."""

    pattern: str
    floor: str
    wall: str
    light: float
    gloss: bool = False
    look: str = "plain"


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """Paint that a script's solid of this number leaves on the floor where it goes: dabs of `radius` metres, in the
    solid's own colour or another.
    """

    solid: int
    colour: str = ""
    radius: float = 0.10


@dataclass(frozen=True, kw_only=True)
class Script:
    """A staged scene and the beats it should show.

    `heading` is the view azimuth (degrees) that "right" refers to; `gravity` pulls down, in m/s2.
    """

    kind: str
    solids: tuple[Solid, ...]
    beats: tuple[Beat, ...]
    heading: float = 90.0
    props: tuple[Prop, ...] = ()
    paint: Stroke | None = None
    gravity: float = 9.81

    @property
    def objects(self) -> tuple[Solid | Prop, ...]:
        """Solids, then props with a name."""
        return (*self.solids, *(p for p in self.props if p.colour))


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What the simulation did. Per frame: `pose` and `velocity` as in `types.Truth`, `contacts`. Finer (every few
    milliseconds, at `times`): `path`, the positions, and `spread`, the distance of a solid's parts from their middle
    relative to the first. `touch` maps a pair (solid, other; -1 the stage) to the first time they touched.
    """

    times: Float[np.ndarray, " s"]
    path: Float[np.ndarray, "s k 3"]
    pose: Float[np.ndarray, "t k 7"]
    velocity: Float[np.ndarray, "t k 6"]
    contacts: tuple[tuple[int, int, int], ...]
    touch: dict[tuple[int, int], float] = field(default_factory=dict)
    spread: Float[np.ndarray, "s _"] | None = None
