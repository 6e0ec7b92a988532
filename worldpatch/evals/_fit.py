"""Train the detectors' small networks on renders and write `detectors.npz`: about 20 minutes on one core.

    python -m worldpatch.evals._fit

Every clip is read twice: as rendered, and mirrored, blurred and noisy as a generated clip may be. Solids are known by
their colour, which no two of a clip share, so the labels sit on what detection really cuts out.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import ndimage

from worldpatch.evals import _motion, _shape
from worldpatch.evals._background import affine_flow
from worldpatch.evals._network import FILE, Network
from worldpatch.evals._segment import blobs, label
from worldpatch.evals._tracks import follow
from worldpatch.evals._truth import CAMERAS, EVENTS, Expected, Solid, expected
from worldpatch.types import Clip
from worldpatch.worlds import tabletop
from worldpatch.worlds._tabletop.scenario import SHAPES

SEED = 777_001  # neither a training seed nor that of the frozen prompts
CLIPS = {(2, 64): 1500, (1, 64): 300, (2, 128): 500}  # (level, side in pixels) -> how many
CLASSES = {"shape": SHAPES, "event": tuple(e for e in EVENTS if e != "left"), "camera": CAMERAS}
HIDDEN = {"shape": 24, "event": 48, "camera": 24}
EPOCHS = {"shape": 8, "event": 150, "camera": 150}
DROPOUT = {"shape": 0.1, "event": 0.3, "camera": 0.1}


@dataclass(kw_only=True)
class Lessons:
    """Examples of one detector: features and the numbers of their classes."""

    features: list[np.ndarray] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def add(self, features: np.ndarray, number: int) -> None:
        self.features.append(features.astype(np.float32))
        self.labels.append(number)


def render() -> Iterator[Clip]:
    for (level, side), count in CLIPS.items():
        config = tabletop.Config(level=level, height=side, width=side, masks=False)
        yield from itertools.islice(tabletop.clips(config, SEED), count)


def lessons(clips: Iterable[Clip], seed: int = SEED) -> dict[str, Lessons]:
    """Examples for every detector, two readings of each clip."""
    rng = np.random.default_rng(seed)
    sets = {name: Lessons() for name in CLASSES}
    for clip in clips:
        truth = expected(clip)
        _read(clip.frames, truth, False, sets)
        _read(worsen(clip.frames, rng), truth, True, sets)
    return sets


def worsen(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The clip mirrored, blurred by up to 1.2 pixels of 64 and with noise of up to 6 grey levels."""
    blur = rng.uniform(0, 1.2) * frames.shape[1] / 64
    spoilt = ndimage.gaussian_filter(frames[:, :, ::-1].astype(np.float32), (0, blur, blur, 0))
    spoilt += rng.normal(size=spoilt.shape) * rng.uniform(0, 6)
    return np.clip(spoilt, 0, 255).astype(np.uint8)


def _read(frames: np.ndarray, truth: Expected, mirrored: bool, sets: dict[str, Lessons]) -> None:
    labels = label(frames)
    tracks = follow([blobs(frame) for frame in labels])
    flow = affine_flow(frames, labels > 0)
    move = _motion.mirror(truth.camera) if mirrored else truth.camera
    sets["camera"].add(_motion.camera_features(tracks, flow), CAMERAS.index(move))
    for solid, track in itertools.product(truth.solids, tracks):
        if track.colour == solid.colour:
            for f in _shape.good_frames(track):
                sets["shape"].add(_shape.features(frames[f], track.blobs[f]), SHAPES.index(solid.shape))
            if solid.events:
                sets["event"].add(_motion.event_features(frames, track, flow)[0], _event_number(solid))


def _event_number(solid: Solid) -> int:
    """Event features are mirrored so that all that moves across moves to the right."""
    event = "right" if "left" in solid.events else solid.events[0]
    return CLASSES["event"].index(event)


def train(name: str, data: Lessons, seed: int = SEED) -> Network:
    """A network fitted by AdamW on cross-entropy, with dropout on features and hidden units."""
    torch.manual_seed(seed)
    x = torch.tensor(np.stack(data.features))
    y = torch.tensor(data.labels)
    mean, scale = x.mean(0), x.std(0) + 1e-3
    drop, hidden = DROPOUT[name], HIDDEN[name]
    inner, outer = torch.nn.Linear(x.shape[1], hidden), torch.nn.Linear(hidden, len(CLASSES[name]))
    model = torch.nn.Sequential(torch.nn.Dropout(drop / 2), inner, torch.nn.ReLU(), torch.nn.Dropout(drop), outer)
    steps = EPOCHS[name] * (len(x) // 128 + 1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for _ in range(steps):
        at = torch.randint(len(x), (128,))
        loss = torch.nn.functional.cross_entropy(model((x[at] - mean) / scale), y[at], label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return Network(
        classes=CLASSES[name],
        mean=mean.numpy(),
        scale=scale.numpy(),
        inner=inner.weight.T.detach().numpy(),
        inner_bias=inner.bias.detach().numpy(),
        outer=outer.weight.T.detach().numpy(),
        outer_bias=outer.bias.detach().numpy(),
    )


def save(networks: dict[str, Network]) -> None:
    """Write `detectors.npz`, weights in half precision."""
    arrays = {}
    for name, network in networks.items():
        for key, value in vars(network).items():
            arrays[f"{name}/{key}"] = np.array(value) if key == "classes" else value.astype(np.float16)
    np.savez_compressed(FILE, **arrays)


def main() -> None:
    sets = lessons(render())
    save({name: train(name, data) for name, data in sets.items()})


if __name__ == "__main__":
    main()
