"""What every metric returns, and the noise that every metric is held against."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from worldpatch.config import UserError

Frames = UInt8[np.ndarray, "_ _ _ 3"]  # clips of one call may differ in size


@dataclass(frozen=True, kw_only=True)
class Result:
    """A metric over a set of clips: the mean, each clip's own value, and the noise floor.

    The floor is what the metric says of copies that no eye can tell from their references (one grey level of noise):
    differences below it mean nothing.
    """

    value: float
    per_clip: tuple[float, ...]
    floor: float


def perturb(clip: Frames, seed: int = 0) -> Frames:
    """The clip with -1, 0 or +1 grey level added to every pixel."""
    noise = np.random.default_rng(seed).integers(-1, 2, size=clip.shape)
    return np.clip(clip.astype(np.int16) + noise, 0, 255).astype(np.uint8)


def check_pairs(generated: Sequence[Frames], reference: Sequence[Frames], same_shape: bool = False) -> None:
    """Raises UserError where the clips cannot be compared one to one."""
    if len(generated) != len(reference) or not reference:
        raise UserError(
            f"{len(generated)} generated and {len(reference)} reference clips: give one reference per generated clip"
        )
    for i, (g, r) in enumerate(zip(generated, reference, strict=True)):
        if same_shape and g.shape != r.shape:
            raise UserError(f"clip {i} is {g.shape} but its reference {r.shape}: give clips of equal size and length")
