"""A bank of clips: rendered once, kept on disk with all that their truth says, for stages that train on pixels."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from worldpatch.data import render, shards
from worldpatch.types import Clip, Event, Truth


@dataclass(frozen=True, kw_only=True)
class Bank:
    """Clips of one size and length. `records` are as in a shard; `states` are poses (7) and velocities (6) of the
    objects of all clips, one after another."""

    frames: UInt8[np.ndarray, "n t h w 3"]
    masks: UInt8[np.ndarray, "n t h w"]
    records: tuple[dict[str, Any], ...]
    states: Float[np.ndarray, "k t 13"]

    def __len__(self) -> int:
        return len(self.frames)

    def clip(self, number: int, frames: Int[np.ndarray, " t"] | slice = slice(None)) -> Clip:
        """A clip, or some frames of it, with its truth. It has no camera and, cut short, its events' old times."""
        record = self.records[number]
        first = sum(len(r["objects"]) for r in self.records[:number])
        states = self.states[first : first + len(record["objects"]), frames].swapaxes(0, 1)
        truth = Truth(
            objects=tuple(record["objects"]),
            events=tuple(Event(**{**e, "objects": tuple(e["objects"])}) for e in record["events"]),
            pose=states[..., :7],
            velocity=states[..., 7:],
            masks=self.masks[number, frames],
            scene=record["scene"],
        )
        more = {name: record[name] for name in ("rate", "captions", "seed", "source", "licence")}
        return Clip(frames=self.frames[number, frames], truth=truth, **more)


def load(folder: Path, world: str, options: dict[str, Any], seed: int, indices: range, *, workers: int = 1) -> Bank:
    """The bank of clips `indices` of a world in `folder`, rendered where it is not there yet (or is another one)."""
    wanted = {"world": world, "options": options, "seed": seed, "first": indices.start, "clips": len(indices)}
    described = folder / "bank.json"
    if not described.exists() or json.loads(described.read_text()) != wanted:
        described.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        _fill(folder, render.clips(world, options, seed, indices, workers), len(indices))
        described.write_text(json.dumps(wanted))
    frames, masks, states = (np.load(folder / f"{name}.npy") for name in ("frames", "masks", "states"))
    records = json.loads((folder / "records.json").read_text())
    return Bank(frames=frames, masks=masks, records=tuple(records), states=states)


def _fill(folder: Path, clips: Iterable[Clip], total: int) -> None:
    """Write the arrays of all clips; only one clip is in memory at a time."""
    frames = masks = None
    records, states = [], []
    for i, clip in enumerate(clips):
        truth = clip.truth
        assert truth is not None and truth.masks is not None
        if frames is None or masks is None:
            shape = (total, *clip.frames.shape)
            frames = np.lib.format.open_memmap(folder / "frames.npy", "w+", np.uint8, shape)
            masks = np.lib.format.open_memmap(folder / "masks.npy", "w+", np.uint8, shape[:-1])
        frames[i], masks[i] = clip.frames, truth.masks
        records.append(shards.describe(clip))
        states.append(np.concatenate([truth.pose, truth.velocity], axis=-1).swapaxes(0, 1))
    assert frames is not None and masks is not None
    frames.flush()
    masks.flush()
    np.save(folder / "states.npy", np.concatenate(states).astype(np.float32))
    (folder / "records.json").write_text(json.dumps(records, default=shards.plain))
