"""Did it happen? Every beat a script claims is checked against the simulation, in the world and in the picture."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worldpatch.types import Camera, Event
from worldpatch.worlds._tabletop.camera import project
from worldpatch.worlds._tabletop.records import Beat, Prop, Script, Trace

STILL = 0.03  # metres: less is standing still
CROSSING = 0.22  # share of the frame's width that a move to one side must cover
SHARE_IN_FRAME = 0.7


@dataclass(frozen=True, kw_only=True)
class View:
    """Where each object's centre is in the picture: `share` "t k 2" in units of the frame (0..1 from the top left),
    `depth` "t k" in metres; `duration` in seconds; and the script and camera that it was seen with.
    """

    share: np.ndarray
    depth: np.ndarray
    duration: float
    script: Script
    camera: Camera


def view(script: Script, trace: Trace, camera: Camera, height: int, width: int, rate: float) -> View:
    """The objects of a trace as the camera has them in a frame of this size."""
    pixels, depth = project(camera, trace.pose[..., :3])
    share, duration = pixels / [width, height], (len(pixels) - 1) / rate
    return View(share=share, depth=depth, duration=duration, script=script, camera=camera)


def judge(script: Script, trace: Trace, seen: View) -> tuple[Event, ...] | None:
    """Events of the script in the order they happened, or None if any beat did not happen or was not in frame."""
    inside = np.all((seen.share > 0.04) & (seen.share < 0.96), axis=-1)
    if (inside.mean(0) < SHARE_IN_FRAME).any() or not inside[0].all():
        return None
    events = []
    for beat in script.beats:
        time = CHECKS[beat.kind](beat, trace, seen)
        if time is None:
            return None
        events.append(Event(kind=beat.kind, time=float(time), objects=beat.objects))
    return tuple(sorted(events, key=lambda event: event.time))


def _fall(beat: Beat, trace: Trace, seen: View) -> float | None:
    """Comes down from the air by at least 0.3 m and reaches something. Time: when it starts to move down."""
    z = trace.path[:, beat.objects[0], 2]
    landed = [time for (a, b), time in trace.touch.items() if beat.objects[0] in (a, b)]
    if not landed or min(landed) <= 0 or z[0] - z.min() < 0.3:
        return None
    return float(trace.times[np.argmax(z < z[0] - 0.01)])


def _bounce(beat: Beat, trace: Trace, seen: View) -> float | None:
    """After its first touch it rises visibly (by 0.12 m). Time: the first touch."""
    z = trace.path[:, beat.objects[0], 2]
    first = trace.touch.get((beat.objects[0], -1))
    if first is None or first <= 0:
        return None
    after = z[trace.times >= first]
    return first if after.max() - after[0] > 0.12 else None


def _travel(beat: Beat, trace: Trace, seen: View) -> float | None:
    """Stays on the floor and moves in the named direction, in the picture. Time: 0."""
    k = beat.objects[0]
    z = trace.path[:, k, 2]
    x = seen.share[:, k, 0]
    if np.abs(z - z[0]).max() > 0.08:
        return None
    away = seen.depth[-1, k] - seen.depth[0, k]
    good = {
        "right": x[-1] - x[0] > CROSSING,
        "left": x[0] - x[-1] > CROSSING,
        "towards": away < -0.6,
        "away": away > 0.6,
    }[beat.direction]
    return 0.0 if good else None


def _stand(beat: Beat, trace: Trace, seen: View) -> float | None:
    """Does not move or turn over at all."""
    k = beat.objects[0]
    moved = np.linalg.norm(trace.path[:, k] - trace.path[0, k], axis=-1).max()
    turned = np.abs(trace.pose[:, k, 3:] @ trace.pose[0, k, 3:]).min()
    return 0.0 if moved < STILL and turned > 0.999 else None


def _hit(beat: Beat, trace: Trace, seen: View) -> float | None:
    """The first touches the second, which had stood still and then moves by 0.12 m; and it came going the named way.

    Time: the touch.
    """
    a, b = beat.objects
    time = trace.touch.get((min(a, b), max(a, b)))
    if time is None or time <= 0.15 or time > seen.duration - 0.3:
        return None
    moved = np.linalg.norm(trace.path[:, b] - trace.path[0, b], axis=-1)
    before = moved[trace.times < time - 0.02]
    frame = round(time / max(seen.duration, 1e-6) * (len(seen.share) - 1))
    way = seen.share[frame, a, 0] - seen.share[0, a, 0]
    if abs(way) < 0.06 or (way > 0) != (beat.direction == "right"):
        return None
    return time if before.max(initial=0.0) < STILL and moved[-1] > 0.12 else None


def _land(beat: Beat, trace: Trace, seen: View) -> float | None:
    """The first comes down from the air onto the second before it touches the floor. Time: the touch."""
    a, b = beat.objects
    time = trace.touch.get((min(a, b), max(a, b)))
    floor = trace.touch.get((a, -1), np.inf)
    z = trace.path[:, a, 2]
    return time if time is not None and 0 < time < floor and z[0] - z.min() > 0.25 else None


def _topple(beat: Beat, trace: Trace, seen: View) -> float | None:
    """Ends tipped by 60 degrees or more, or fallen by 0.2 m from where it stood. Time: when it first has."""
    k = beat.objects[0]
    quaternion = trace.pose[:, k, 3:]
    upright = 1 - 2 * (quaternion[:, 1] ** 2 + quaternion[:, 2] ** 2)
    down = (upright < 0.5) | (trace.pose[:, k, 2] < trace.pose[0, k, 2] - 0.2)
    return float(np.argmax(down)) / max(len(down) - 1, 1) * seen.duration if down[-1] else None


def _jump(beat: Beat, trace: Trace, seen: View) -> float | None:
    """Starts on the floor and rises by 0.3 m, then lands."""
    k = beat.objects[0]
    z = trace.path[:, k, 2]
    return 0.0 if z.max() - z[0] > 0.3 and z[-1] < z[0] + 0.15 else None


def _spin(beat: Beat, trace: Trace, seen: View) -> float | None:
    """Turns on the spot by at least half a turn, upright. Time: 0."""
    k = beat.objects[0]
    moved = np.linalg.norm(trace.path[:, k] - trace.path[0, k], axis=-1).max()
    turn = np.abs(trace.velocity[:, k, 5]).mean() * seen.duration
    return 0.0 if moved < 0.1 and turn > np.pi else None


def _hide(beat: Beat, trace: Trace, seen: View) -> float | None:
    """Travels, and on the way its centre is behind the wall for two frames or more, but not at first or last."""
    hidden = _occluded(trace.pose[:, beat.objects[0], :3], seen)
    if hidden[0] or hidden[-1] or hidden.sum() < 2 or _travel(beat, trace, seen) is None:
        return None
    return float(np.argmax(hidden)) / max(len(hidden) - 1, 1) * seen.duration


def _occluded(points: np.ndarray, seen: View) -> np.ndarray:
    """Whether the script's first wall is between the camera and each point "t 3" (slabs, Kay and Kajiya 1986)."""
    wall = next(prop for prop in seen.script.props if prop.shape == "wall")
    turn = np.radians(seen.script.heading - 90.0)
    to_world = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    middle = wall.motion(0.0)[0, :3]
    eye, point = seen.camera.pose[:, :3, 3] @ to_world - middle, points @ to_world - middle
    way = point - eye
    way = np.where(np.abs(way) < 1e-9, 1e-9, way)
    first, second = (-np.array(wall.size) - eye) / way, (np.array(wall.size) - eye) / way
    near, far = np.minimum(first, second).max(1), np.maximum(first, second).min(1)
    return (near < far) & (near > 0) & (near < 1)


def _roll_down(beat: Beat, trace: Trace, seen: View) -> float | None:
    """Loses 0.2 m of height to the named side without being in free fall at first. Time: 0."""
    k = beat.objects[0]
    touched, drop = trace.touch.get((k, -1)), trace.path[0, k, 2] - trace.path[-1, k, 2]
    way = (seen.share[-1, k, 0] - seen.share[0, k, 0]) * (1 if beat.direction == "right" else -1)
    return 0.0 if touched is not None and touched < 0.15 and drop > 0.2 and way > 0.2 else None


def _rebound(beat: Beat, trace: Trace, seen: View) -> float | None:
    """Moves in the named direction, then comes back by at least 0.12 of the frame. Time: when it turns."""
    x = seen.share[:, beat.objects[0], 0] * (1 if beat.direction == "right" else -1)
    turn = int(np.argmax(x))
    good = x[turn] - x[0] > 0.15 and x[turn] - x[-1] > 0.12
    return turn / max(len(x) - 1, 1) * seen.duration if good else None


def _apart(k: int, trace: Trace) -> float | None:
    """When the parts of solid k are 1.3 times as far from their middle as at first, if they end further than that."""
    if trace.spread is None or trace.spread[0, k] <= 0:
        return None
    ratio = trace.spread[:, k] / trace.spread[0, k]
    return float(trace.times[np.argmax(ratio > 1.3)]) if ratio[-1] > 1.45 else None


def _break(beat: Beat, trace: Trace, seen: View) -> float | None:
    """Falls, then its parts are apart. Time: when they are."""
    return _apart(beat.objects[0], trace) if _fall(beat, trace, seen) is not None else None


def _smash(beat: Beat, trace: Trace, seen: View) -> float | None:
    """The first touches the second, whose parts then are apart. Time: the touch."""
    a, b = beat.objects
    time, apart = trace.touch.get((a, b)), _apart(b, trace)
    return time if time is not None and apart is not None and 0.1 < time <= apart else None


def _bite(beat: Beat, trace: Trace, seen: View) -> float | None:
    """Some parts are gone before the end. Time: the first bite."""
    prop = seen.script.objects[beat.objects[0]]
    first = min(part.until for part in prop.parts) if isinstance(prop, Prop) else np.inf
    return float(first) if first < seen.duration - 0.2 else None


CHECKS: dict[str, Callable[[Beat, Trace, View], float | None]] = {
    "fall": _fall,
    "bounce": _bounce,
    "roll": _travel,
    "slide": _travel,
    "stand": _stand,
    "hit": _hit,
    "land": _land,
    "topple": _topple,
    "rest on": _stand,
    "hide": _hide,
    "roll down": _roll_down,
    "rebound": _rebound,
    "break": _break,
    "smash": _smash,
    "paint": _travel,
    "bite": _bite,
    "walk": _travel,
    "jump": _jump,
    "spin": _spin,
}
