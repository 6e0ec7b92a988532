"""Features of clips by the video encoder that ships: what distances between sets of clips are taken in."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from worldpatch.config import UserError
from worldpatch.embed import _shipped
from worldpatch.evals.metrics._result import Frames
from worldpatch.vae._pixels import to_tensor

BATCH = 16  # clips at a time: larger ones are slower on a CPU, for they leave its caches


@functools.cache
def encoder() -> Any:
    return _shipped.load()


@torch.no_grad()
def features(clips: Sequence[Frames]) -> Float[np.ndarray, "n d"]:
    """One vector per clip, clips of any size and length. Over clips like those of its training the features are
    uncorrelated and of unit variance, in order of how much the encoder's own features varied along each."""
    found: list[np.ndarray] = [np.empty(0)] * len(clips)
    sizes: dict[tuple[int, ...], list[int]] = {}
    for i, clip in enumerate(clips):
        sizes.setdefault(clip.shape, []).append(i)
    for alike in sizes.values():
        for start in range(0, len(alike), BATCH):
            chosen = alike[start : start + BATCH]
            vectors = encoder().encode(torch.stack([to_tensor(clips[i]) for i in chosen]))
            for i, vector in zip(chosen, vectors.numpy(), strict=True):
                found[i] = vector
    return np.stack(found)


def check_count(generated: Sequence[Frames], reference: Sequence[Frames], least: int) -> None:
    """Raises UserError where one of the sets is too small for a distance between sets to mean something."""
    if min(len(generated), len(reference)) < least:
        raise UserError(
            f"{len(generated)} generated and {len(reference)} reference clips: this distance needs {least} of each"
        )
