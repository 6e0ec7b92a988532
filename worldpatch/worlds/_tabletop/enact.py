"""A scene staged on purpose: script, decor and shot are given, played and filmed. Nothing is drawn or judged."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from worldpatch.types import Camera, Clip, Truth
from worldpatch.worlds._tabletop.camera import AIM, DISTANCE, FOVY, fit_fovy, geometry, project
from worldpatch.worlds._tabletop.film import Take, describe, paint, photograph
from worldpatch.worlds._tabletop.judge import view
from worldpatch.worlds._tabletop.records import Decor, Format, Script, Shot
from worldpatch.worlds._tabletop.stage import stage

BODIES, PROPS = 8, 48
ELEVATION = -27.0  # degrees: the middle of what casting draws

Pose = Float[np.ndarray, "t k 7"]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is staged, and the sentence that tells it. `shot` None: the camera rests where it usually does."""

    script: Script
    decor: Decor
    caption: str
    shot: Shot | None = None


def enact(scene: Scene, form: Format, pose: Pose | None = None) -> Clip:
    """The scene played by the physics engine and filmed.

    `pose` (world axes, as in `Truth.pose`; one row per solid) overrules the engine: solids are put there frame by
    frame, whatever physics would say, while props go on by their rules.
    """
    theatre = stage(BODIES, PROPS, string=True)
    theatre.dress(scene.script, scene.decor)
    take = _take(scene, form)
    if pose is not None:
        take = _posed(take, np.asarray(pose, dtype=np.float32), form.rate)
    if scene.script.paint:
        take = paint(take, scene.script.paint, theatre)
    grain = np.zeros((form.height * form.supersample, form.width * form.supersample))
    frames, masks, visibility = photograph(form, theatre, take, scene.decor.look, grain)
    truth = Truth(
        objects=tuple(describe(item) for item in take.script.objects),
        events=(),
        pose=take.trace.pose,
        velocity=take.trace.velocity,
        contacts=take.trace.contacts,
        masks=masks,
        visibility=visibility,
        scene={"kind": scene.script.kind, "camera": take.shot.move, "gravity": scene.script.gravity},
    )
    return Clip(
        frames=frames, rate=form.rate, captions={"terse": scene.caption}, camera=take.camera, truth=truth,
        source="tabletop", licence="CC0-1.0",
    )  # fmt: skip


def simulate(scene: Scene, form: Format, frames: int | None = None) -> Pose:
    """The poses that the physics engine gives the scene's objects, or those of the first `frames`, without filming."""
    theatre = stage(BODIES, PROPS, string=True)
    theatre.dress(scene.script, scene.decor)
    return theatre.play(frames or form.frames, form.rate)[0].pose


def resting(form: Format, **changes: Any) -> Shot:
    """The camera at rest, looking at the middle of the floor; `changes` are fields of `Shot`, per frame or constant."""
    fields = {
        "azimuth": 90.0, "elevation": ELEVATION, "distance": DISTANCE, "target": (0.0, 0.0, AIM),
        "fovy": fit_fovy(FOVY, form.height, form.width),
    }  # fmt: skip
    move = changes.pop("move", "rest")
    shape = {"target": (form.frames, 3)}
    arrays = {k: np.broadcast_to(v, shape.get(k, (form.frames,))).astype(float) for k, v in (fields | changes).items()}
    return Shot(move=move, **arrays)


def look(scene: Scene, form: Format) -> Camera:
    """The camera that films the scene."""
    return geometry(scene.shot or resting(form), form.height, form.width)


def pictured(scene: Scene, form: Format, places: Float[np.ndarray, "f k 3"]) -> Float[np.ndarray, "f k 2"]:
    """Where places in the room are in the first frames of the picture, in pixels (x right, y down)."""
    camera = look(scene, form)
    first = Camera(intrinsics=camera.intrinsics[: len(places)], pose=camera.pose[: len(places)])
    return project(first, places)[0]


def _take(scene: Scene, form: Format) -> Take:
    theatre = stage(BODIES, PROPS, string=True)
    trace, states = theatre.play(form.frames, form.rate)
    camera = look(scene, form)
    seen = view(scene.script, trace, camera, form.height, form.width, form.rate)
    shot = scene.shot or resting(form)
    return Take(script=scene.script, shot=shot, camera=camera, trace=trace, states=states, seen=seen, events=())


def _posed(take: Take, pose: Pose, rate: float) -> Take:
    """The take with its solids where `pose` has them; their velocities are differences."""
    states, count = take.states.copy(), pose.shape[1]
    states[:, : 7 * count] = pose.reshape(len(pose), -1)
    whole = take.trace.pose.copy()
    whole[:, :count] = pose
    velocity = take.trace.velocity.copy()
    velocity[:, :count] = 0.0
    velocity[:, :count, :3] = np.gradient(pose[..., :3], 1 / rate, axis=0)
    return replace(take, states=states, trace=replace(take.trace, pose=whole, velocity=velocity, contacts=()))
