"""Rehearsal: solids of the tabletop carried along free paths, seen by a camera that moves freely.

No physics, and few words: what a caption cannot tell, where exactly something goes and how far the camera turns,
stands in the tracks and in the camera alone. From these clips a model learns to obey both (docs/directing.md).
Clip i is a pure function of (config, seed, i).
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from worldpatch.config import UserError
from worldpatch.types import Clip
from worldpatch.worlds import tabletop
from worldpatch.worlds._tabletop import caption, scenario
from worldpatch.worlds._tabletop.palette import ALL, FEW
from worldpatch.worlds.tabletop import Decor, Format, Scene, Script, Shot, Solid
from worldpatch.worlds.tabletop import mirror as mirror
from worldpatch.worlds.tabletop import recolour as recolour

KINDS = {"path": 0.45, "camera": 0.4, "both": 0.15}
SECOND = 0.4  # share of clips of level 2 with a second solid, which stands
ACROSS, UP = 1.0, 1.45  # metres from the middle, and above the floor, that paths stay within
EVEN = 0.6  # share of paths and camera moves of even speed; the others begin and end slowly
# What a camera may do, from its first frame to its last: at least and at most, either way. Degrees; logarithms of the
# distance and of the focal length; metres.
MOVES = {
    "orbit": (10.0, 60.0), "pan": (6.0, 25.0), "tilt": (3.0, 10.0), "dolly": (0.15, 0.6), "zoom": (0.15, 0.6),
    "truck": (0.2, 0.8), "pedestal": (0.15, 0.5),
}  # fmt: skip
BACK = 0.25  # logarithm of how much further away a camera may go
COMMON = (3.0, 3.0, 1.0, 2.0, 2.0, 1.0, 1.0)  # how often each comes


@dataclass(frozen=True, kw_only=True)
class Config(Format):
    """What to film. `level` 1: one solid, six colours. 2: one or two, eight colours."""

    level: int = 2

    def __post_init__(self) -> None:
        if self.level not in (1, 2):
            raise UserError(f"rehearsal level {self.level} does not exist; choose 1 or 2")


def clips(config: Config, seed: int) -> Iterator[Clip]:
    """Endless clips: `clip(config, seed, 0)`, `clip(config, seed, 1)`, ..."""
    return (clip(config, seed, index) for index in itertools.count())


def clip(config: Config, seed: int, index: int) -> Clip:
    """The clip with this number; the same arguments give the same bytes."""
    rng = np.random.default_rng([seed, index, 7])
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    moving, filmed = kind != "camera", kind != "path"
    solids = _cast(config, rng, moving)
    decor, shot = tabletop.choose_decor(rng, 1), _shoot(config, rng) if filmed else tabletop.resting(config)
    scene = Scene(script=Script(kind="rehearsal", solids=solids, beats=()), decor=decor, shot=shot, caption="")
    pose = np.zeros((config.frames, len(solids), 7), np.float32)
    for k, solid in enumerate(solids):
        pose[:, k, :3] = _path(config, rng, solid) if moving and k == 0 else solid.position
        pose[:, k, 3], pose[:, k, 6] = np.cos(solid.turn / 2), np.sin(solid.turn / 2)
    made = tabletop.enact(scene, config, pose)
    assert made.truth is not None
    told = {"level": config.level, "look": decor.look, "floor": decor.floor, "pattern": decor.pattern}
    told |= {"gloss": decor.gloss, "wall": decor.wall}
    truth = replace(made.truth, scene=made.truth.scene | told)
    return replace(made, captions=_captions(solids, decor, moving, filmed), truth=truth, seed=index, source="rehearsal")


def palette(config: Config) -> tuple[str, ...]:
    """The colour words of a level's solids."""
    return FEW if config.level == 1 else ALL


def _cast(config: Config, rng: np.random.Generator, moving: bool) -> tuple[Solid, ...]:
    """A solid near the middle, and perhaps one beside and behind it."""
    cast = scenario.Casting(rng=rng, colours=palette(config), seconds=1.0, scale=1.15)
    second = config.level > 1 and rng.random() < SECOND
    first, *rest = cast.solids(*(cast.shape() for _ in range(1 + second)))
    x, y = rng.uniform(-0.35, 0.35, 2)
    side = -np.sign(x) if not moving else cast.side()
    beside = (s.at(side * rng.uniform(0.4, 0.7), rng.uniform(0.45, 0.8), s.half_height) for s in rest)
    return (first.at(x, y * (not moving), first.half_height), *beside)


def _path(config: Config, rng: np.random.Generator, solid: Solid) -> Float[np.ndarray, "t 3"]:
    """Two to four places, one after the other, straight or along a curve through them; never below the floor."""
    count = int(rng.integers(2, 5))
    low, high = solid.half_height, max(UP - solid.half_height, solid.half_height)
    while True:
        places = np.stack([rng.uniform(-ACROSS, ACROSS, count), rng.uniform(low, high, count)], 1)
        length = np.linalg.norm(np.diff(places, axis=0), axis=1)
        if length.min() > 0.4 and length.sum() < 3.0:
            break
    at = np.concatenate(([0.0], np.cumsum(length))) / length.sum()
    u = _clock(config, rng)
    line = np.stack([np.interp(u, at, places[:, k]) for k in range(2)], 1)
    if count > 2 and rng.random() < 0.5:  # the curve of least degree through all places
        curve = np.stack([np.polynomial.Polynomial.fit(at, places[:, k], count - 1)(u) for k in range(2)], 1)
        line = np.clip(curve, (-1.2 * ACROSS, low), (1.2 * ACROSS, high))
    return np.stack([line[:, 0], np.full(len(u), solid.position[1]), line[:, 1]], 1)


def _shoot(config: Config, rng: np.random.Generator) -> Shot:
    """From the usual view, one or two moves at once."""
    share = np.array(COMMON) / sum(COMMON)
    chosen = rng.choice(list(MOVES), size=1 + (rng.random() < 0.4), replace=False, p=share)
    amount = {name: float(rng.choice((-1, 1)) * rng.uniform(*MOVES[name])) for name in chosen}
    u, still = _clock(config, rng), tabletop.resting(config)

    if "dolly" in amount:  # backwards there is a wall
        amount["dolly"] = min(amount["dolly"], BACK)

    def moved(name: str) -> np.ndarray:
        return amount.get(name, 0.0) * u

    azimuth, elevation = still.azimuth + moved("orbit"), still.elevation
    forward, right = _axes(azimuth, elevation)
    far = still.distance * np.exp(moved("dolly"))
    place = still.target - far[:, None] * forward + moved("truck")[:, None] * right
    place[:, 2] += moved("pedestal")
    azimuth, elevation = azimuth - moved("pan"), elevation + moved("tilt")
    focal = np.exp(moved("zoom")) / np.tan(np.radians(still.fovy) / 2)
    return replace(
        still, move="moves", azimuth=azimuth, elevation=elevation,
        target=place + still.distance[:, None] * _axes(azimuth, elevation)[0],
        fovy=np.degrees(2 * np.arctan(1 / focal)),
    )  # fmt: skip


def _axes(azimuth: np.ndarray, elevation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a camera of these angles (degrees) looks, and what is to its right."""
    a, e = np.radians(azimuth), np.radians(elevation)
    forward = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], -1)
    return forward, np.stack([np.sin(a), -np.cos(a), np.zeros_like(a)], -1)


def _clock(config: Config, rng: np.random.Generator) -> Float[np.ndarray, " t"]:
    """How much of a move is done by each frame."""
    u = np.linspace(0.0, 1.0, config.frames)
    return u if rng.random() < EVEN else u * u * (3 - 2 * u)


def _captions(solids: tuple[Solid, ...], decor: Decor, moving: bool, filmed: bool) -> dict[str, str]:
    """Who is there and whether it moves; nothing of where to."""
    names = [f"{s.colour} {s.shape}" for s in solids]
    still, stays = "stands still", "standing still"
    does = ["moves" if moving else still, *[still] * len(solids)]
    doing = ["moving" if moving else stays, *[stays] * len(solids)]
    told = [f"{caption.indefinite(name)} {name} {d}" for name, d in zip(names, does, strict=False)]
    terse, typed = " and ".join(told), ", ".join(f"{name} {d}" for name, d in zip(names, doing, strict=False))
    told[0] += f" {caption.surface(decor)}"
    dense = " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in told)
    if filmed:
        terse, dense, typed = f"{terse}, the camera moves", f"{dense} The camera moves.", f"{typed}, camera moving"
    return {"terse": terse, "dense": dense, "typed": typed}
