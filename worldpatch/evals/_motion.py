"""What each solid does and what the camera does: paths over time, shown to small networks.

Places are in half frames from the centre (right, down), so that size and shape of the frame do not matter; paths are
cut into equal parts, so that the number of frames does not matter.
"""

import numpy as np
from jaxtyping import Float, UInt8

from worldpatch.evals import _network
from worldpatch.evals._tracks import Track

PARTS = 12  # of a path
Frames = UInt8[np.ndarray, "t h w 3"]
Flow = Float[np.ndarray, "s 2 3"]


def path(track: Track, count: int) -> Float[np.ndarray, "t 4"]:
    """(right, down, bottom edge, log diameter) in every one of `count` frames, gaps bridged by straight lines."""
    seen = track.frames
    h, w = track.last.mask.shape
    places = np.array([(c[1] / w, c[0] / h) for c in track.centres]) * 2 - 1
    bottoms = np.array([track.blobs[f].box[2] / h * 2 - 1 for f in seen])
    sizes = 0.5 * np.log(track.areas / (h * w))
    every = np.arange(count)
    return np.stack([np.interp(every, seen, v) for v in (*places.T, bottoms, sizes)], -1)


def carried(places: Float[np.ndarray, "t 2"], flow: Flow) -> Float[np.ndarray, "s 2"]:
    """How far the background under a solid moves between consecutive frames."""
    here = np.concatenate([places[:-1], np.ones((len(places) - 1, 1))], -1)
    return np.einsum("sij,sj->si", flow, here)


def turning(frames: Frames, track: Track) -> Float[np.ndarray, " s"]:
    """Change of shading inside the solid between consecutive frames, relative to its brightness."""
    change = np.zeros(len(frames) - 1)
    grey = frames @ np.full(3, 1 / 3, np.float32)
    for f in range(len(frames) - 1):
        if f in track.blobs and f + 1 in track.blobs:
            both = track.blobs[f].mask & track.blobs[f + 1].mask
            if both.any():
                change[f] = np.abs(grey[f + 1] - grey[f])[both].mean() / grey[f][both].mean()
    return change


def event_features(frames: Frames, track: Track, flow: Flow) -> tuple[Float[np.ndarray, " f"], bool]:
    """The path in PARTS steps (own motion, seen motion, growth, turning), its extent, and what the camera does.

    Left and right are made one, since an event is the same in a mirror; the second result says if it was mirrored.
    """
    way = path(track, len(flow) + 1)
    steps = np.diff(way, axis=0)
    own = steps[:, :2] - carried(way[:, :2], flow)
    side = 1.0 if own[:, 0].sum() >= 0 else -1.0
    own, seen = own * (side, 1), steps * (side, 1, 1, 1)
    parts = resample(np.concatenate([own, seen, turning(frames, track)[:, None]], -1))  # (PARTS, 7)
    speed = np.hypot(*own.T)
    ends = [speed[: len(speed) // 4 + 1].mean(), speed[-(len(speed) // 4) - 1 :].mean(), speed.max(), speed.sum()]
    spans = np.ptp(np.cumsum(own, 0), axis=0)
    first, last = track.frames[[0, -1]] / len(flow)
    camera = flow.sum(0).ravel() * np.array([1, side, side, side, 1, 1])
    parts = np.concatenate([parts.ravel(), ends, spans, way[0, 1:], way[-1, 1:], [first, last], camera])
    return parts, side < 0


def resample(steps: Float[np.ndarray, "s c"]) -> Float[np.ndarray, "p c"]:
    """Steps between frames summed into PARTS steps of equal time."""
    way = np.concatenate([np.zeros((1, steps.shape[1])), np.cumsum(steps, 0)])
    knots = np.linspace(0, len(steps), PARTS + 1)
    return np.diff(np.stack([np.interp(knots, np.arange(len(way)), c) for c in way.T], -1), axis=0)


def camera_features(tracks: list[Track], flow: Flow) -> Float[np.ndarray, " f"]:
    """The background's flow in three thirds of the clip, its restlessness, and the seen motion of the solids."""
    thirds = [part.sum(0).ravel() for part in np.array_split(flow, 3)]
    restless = np.abs(flow).sum(0).ravel()
    solids = np.zeros((3, 4))
    for i, track in enumerate(tracks[:3]):
        way = path(track, len(flow) + 1)
        solids[i] = (way[-1] - way[0])[[0, 1, 3, 3]]
        solids[i, 3] = way[:, 1].mean()
    return np.concatenate([*thirds, restless, solids.ravel()])


def classify_event(frames: Frames, track: Track, flow: Flow) -> str:
    network = _network.load("event")
    features, mirrored = event_features(frames, track, flow)
    event = network.classes[int(network(features[None]).argmax())]
    return mirror(event) if mirrored else event


def mirror(name: str) -> str:
    """An event or camera move as seen in a mirror."""
    words = {"left": "right", "right": "left"}
    return " ".join(words.get(word, word) for word in name.split())


def classify_camera(tracks: list[Track], flow: Flow) -> str:
    network = _network.load("camera")
    return network.classes[int(network(camera_features(tracks, flow)[None]).argmax())]
