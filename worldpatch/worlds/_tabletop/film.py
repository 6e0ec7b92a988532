"""From a seed to a clip: cast, simulate, judge, photograph, tell."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from worldpatch.types import Camera, Clip, Event, Truth
from worldpatch.worlds._tabletop import caption, looks, props, scenario, stories
from worldpatch.worlds._tabletop.camera import close_up, geometry, shoot, silhouettes
from worldpatch.worlds._tabletop.judge import CHECKS, View, judge, view
from worldpatch.worlds._tabletop.palette import TONES
from worldpatch.worlds._tabletop.records import Beat, Decor, Format, Script, Shot, Solid, Stroke, Trace
from worldpatch.worlds._tabletop.stage import PATTERNS, Stage, stage

TRIES = 40
CUT = "cut to a close-up"
_MOVES: tuple[tuple[str, float], ...] = (
    ("rest", 4.0),
    ("orbit left", 1.5),
    ("orbit right", 1.5),
    ("pan left", 0.75),
    ("pan right", 0.75),
    ("zoom in", 0.75),
    ("zoom out", 0.75),
)
MOVES: dict[int, tuple[tuple[str, float], ...]] = {  # level -> camera moves with their weights
    1: (("rest", 2.0), ("orbit left", 1.0), ("orbit right", 1.0)),
    2: _MOVES,
    3: _MOVES,
    4: (*_MOVES, ("dolly in", 0.75), ("dolly out", 0.75), (CUT, 1.5)),
}
HEADING = 5.0
"""Degrees by which a view may be turned away from the middle of the back wall. So nearly straight, an orbit shows first
the one corner of the room and then the other, and a picture tells which way the camera goes (docs/LOG.md)."""
LOOKS: dict[int, tuple[tuple[str, float], ...]] = {
    3: (("plain", 7.0), ("clay", 1.0), ("outline", 1.0), ("night", 1.0)),
    4: (("plain", 6.0), ("clay", 1.0), ("outline", 1.0), ("pencil", 1.0), ("night", 1.0)),
}


@dataclass(frozen=True, kw_only=True)
class Take:
    """A rehearsal that passed the judge: what was staged, what happened, and how it will be filmed."""

    script: Script
    shot: Shot
    camera: Camera
    trace: Trace
    states: Float[np.ndarray, "t q"]
    seen: View
    events: tuple[Event, ...]
    cuts: tuple[int, ...] = ()  # the first frames of views after the first


def film(config: Format, sequence: np.random.SeedSequence, *, seed: int, licence: str) -> Clip:
    """One clip. Scripts are drawn until one does what it claims (at most `TRIES`, then a solid that stands still)."""
    direction, wording, extra = (np.random.default_rng(s) for s in sequence.spawn(3))
    theatre = stage(3) if config.level <= 2 else stage(12, 48)
    decor = choose_decor(direction, config.level)
    take = _rehearse(config, direction, theatre, decor)
    if take.shot.move == CUT:
        take = _cut(config, extra, take)
    if take.script.paint:
        take = paint(take, take.script.paint, theatre)
    grain = extra.random((config.height * config.supersample, config.width * config.supersample))
    frames, masks, visibility = photograph(config, theatre, take, decor.look, grain)
    bounces = _bounces(take)
    tale = caption.Tale(
        objects=take.script.objects,
        beats=take.script.beats,
        relations=caption.relations(take.script, take.seen),
        bounced=frozenset(event.objects[0] for event in bounces),
        move=take.shot.move,
        decor=decor,
        sizes=stories.SIZES[config.level],
    )
    truth = Truth(
        objects=tuple(describe(item) for item in take.script.objects),
        events=tuple(sorted(take.events + bounces, key=lambda event: event.time)),
        pose=take.trace.pose,
        velocity=take.trace.velocity,
        contacts=take.trace.contacts,
        masks=masks,
        visibility=visibility,
        scene=_scene(config, take, tale),
    )
    return Clip(
        frames=frames,
        rate=config.rate,
        captions=caption.write(wording, tale),
        camera=take.camera,
        truth=truth,
        seed=seed,
        source="tabletop",
        licence=licence,
    )


# ---------------------------------------------------------------------------------------------------------- rehearsing


def _rehearse(config: Format, rng: np.random.Generator, theatre: Stage, decor: Decor) -> Take:
    """Draw scripts and camera moves until one passes the judge."""
    level, seconds = config.level, (config.frames - 1) / config.rate
    scripts = stories.STILLS if config.frames == 1 and level > 2 else stories.LEVELS[level]
    colours = scenario.PALETTES[min(level, 2)]
    cast = scenario.Casting(rng=rng, colours=colours, seconds=seconds, scale=stories.SCALES[level])
    for attempt in range(TRIES + 1):
        write = _draw(rng, scripts) if attempt < TRIES else scenario.stands
        move = _draw(rng, MOVES[level])
        if attempt == TRIES or config.frames == 1:
            move = "rest"
        script = replace(write(cast), heading=90.0 + rng.uniform(-HEADING, HEADING))
        shot = shoot(rng, move, script.heading, config.frames, seconds, config.height, config.width)
        camera = geometry(shot, config.height, config.width)
        theatre.dress(script, decor)
        trace, states = theatre.play(config.frames, config.rate)
        seen = view(script, trace, camera, config.height, config.width, config.rate)
        events = judge(script, trace, seen)
        if events is not None:
            return Take(script=script, shot=shot, camera=camera, trace=trace, states=states, seen=seen, events=events)
    raise AssertionError("a solid that stands still in the middle of the floor was not seen to stand still")


def _cut(config: Format, rng: np.random.Generator, take: Take) -> Take:
    """After 45 to 60% of the clip, the second view: a close-up of the first beat's subject."""
    frame = max(1, round(config.frames * rng.uniform(0.45, 0.6)))
    subject = take.trace.pose[:, take.script.beats[0].objects[0], :3]
    shot = close_up(rng, take.shot, frame, subject, config.height, config.width)
    return replace(take, shot=shot, camera=geometry(shot, config.height, config.width), cuts=(frame,))


def paint(take: Take, stroke: Stroke, theatre: Stage) -> Take:
    """Put the stroke of paint where the painting solid went; it is one more object, which does not move."""
    script, trace, k = take.script, take.trace, stroke.solid
    turn = np.radians(script.heading - 90.0)
    to_view = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    colour = stroke.colour or script.solids[k].colour
    theatre.add(props.paint(colour, trace.path[:, k, :2] @ to_view, trace.times, stroke.radius))
    pose = np.zeros_like(trace.pose[:, :1])
    pose[..., :3], pose[..., 3] = trace.pose[:1, k : k + 1, :3], 1.0
    pose[..., 2] = 0.0
    trace = replace(
        trace,
        path=np.concatenate([trace.path, np.broadcast_to(pose[:1, :, :3], (len(trace.path), 1, 3))], axis=1),
        pose=np.concatenate([trace.pose, pose], axis=1),
        velocity=np.concatenate([trace.velocity, np.zeros_like(trace.velocity[:, :1])], axis=1),
    )
    return replace(take, script=theatre.script, trace=trace)


def _bounces(take: Take) -> tuple[Event, ...]:
    """Balls that rise again after their first touch of the floor: told, though no script asks for it."""
    found = []
    for k, solid in enumerate(take.script.solids):
        if solid.shape == "ball":
            time = CHECKS["bounce"](Beat(kind="bounce", objects=(k,)), take.trace, take.seen)
            found += [Event(kind="bounce", time=float(time), objects=(k,))] if time is not None else []
    return tuple(found)


# -------------------------------------------------------------------------------------------------------- photographing


def photograph(
    config: Format, theatre: Stage, take: Take, look: str, grain: np.ndarray
) -> tuple[UInt8[np.ndarray, "t h w 3"], UInt8[np.ndarray, "t h w"] | None, Float[np.ndarray, "t k"] | None]:
    """Frames, averaged down from `supersample` times the size, and (with `config.masks`) masks and visible shares."""
    s, h, w = config.supersample, config.height, config.width
    shot, script, count = take.shot, take.script, len(take.states)
    frames, masks = np.empty((count, h, w, 3), np.uint8), np.empty((count, h, w), np.uint8)
    whole = silhouettes(take.camera, script.solids, take.trace.pose)
    whole = np.pad(whole, ((0, 0), (0, len(script.objects) - len(script.solids))))
    compound = [k for k, item in enumerate(script.objects) if len(_parts(item)) > 1]
    theatre.reserve(h * s, w * s)
    for t, qpos in enumerate(take.states):
        theatre.pose(qpos, t / config.rate)
        theatre.aim(shot.azimuth[t], shot.elevation[t], shot.distance[t], shot.target[t], shot.fovy[t])
        image = theatre.photograph(h * s, w * s)
        if look != "plain":
            image = looks.finish(look, image, theatre.segment(h * s, w * s), grain)
        frames[t] = image.reshape(h, s, w, s, 3).mean((1, 3)) + 0.5
        if config.masks:
            masks[t] = theatre.segment(h, w)
            for k in compound:
                whole[t, k] = (theatre.outline(h, w, k) == k + 1).sum()
    if not config.masks:
        return frames, None, None
    area = np.stack([(masks == k + 1).sum((1, 2)) for k in range(len(script.objects))], axis=1)
    return frames, masks, np.clip(area / np.maximum(whole, 1.0), 0.0, 1.0).astype(np.float32)


def choose_decor(rng: np.random.Generator, level: int) -> Decor:
    """A floor, a wall of another tone, and light from the left or right; from level 3 on gloss and looks."""
    floor, wall = rng.choice(list(TONES), 2, replace=False)
    decor = Decor(
        pattern=str(rng.choice(PATTERNS)),
        floor=str(floor),
        wall=str(wall),
        light=float(rng.choice((-1.0, 1.0)) * rng.uniform(10.0, 60.0)),
    )
    if level < 3:
        return decor
    return replace(decor, gloss=bool(rng.random() < 0.25), look=_draw(rng, LOOKS[level]))


# --------------------------------------------------------------------------------------------------------------- truth


def _parts(item: Any) -> range:
    return range(item.parts if isinstance(item, Solid) else len(item.parts))


def describe(item: Any) -> dict[str, Any]:
    """A solid or prop as a plain dict."""
    known = {"shape": item.shape, "colour": item.colour, "size": [float(s) for s in item.size]}
    return known | {"lying": isinstance(item, Solid) and item.lying, "parts": len(_parts(item))}


def _scene(config: Format, take: Take, tale: caption.Tale) -> dict[str, Any]:
    """All that captions name, as plain values."""
    decor = tale.decor
    return {
        "level": config.level,
        "kind": take.script.kind,
        "camera": take.shot.move,
        "cuts": list(take.cuts),
        "look": decor.look,
        "floor": decor.floor,
        "pattern": decor.pattern,
        "gloss": decor.gloss,
        "wall": decor.wall,
        "scenery": [prop.shape for prop in take.script.props if not prop.colour],
        "beats": [{"kind": b.kind, "objects": list(b.objects), "direction": b.direction} for b in tale.beats],
        "relations": [{"word": r.word, "subject": r.subject, "other": r.other} for r in tale.relations],
    }


def _draw(rng: np.random.Generator, options: tuple[tuple[Any, float], ...]) -> Any:
    """One of (item, weight) pairs."""
    weights = np.array([weight for _, weight in options])
    return options[int(rng.choice(len(options), p=weights / weights.sum()))][0]
