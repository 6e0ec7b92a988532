"""Which part of a clip is drawn again, in latents, and the plan that does so: all outside it is known and stays."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from worldpatch.flow.pack import Patch
from worldpatch.types import LatentSpec, Plan

Region = tuple[int, ...]
"""Six numbers: the first latent and the one beyond the last, of time, height and width."""


def region(
    first: int, last: int, box: tuple[int, int, int, int], grid: tuple[int, int, int], spec: LatentSpec, patch: Patch
) -> Region:
    """The latents that make the frames `first` to `last` inside `box` (top, left, bottom, right; pixels).

    Grown to whole patches, and to half of each side of the grid: models are trained to fill in no less
    (`flow.noise.training_plan`).
    """
    top, left, bottom, right = (
        -(-side // spec.stride_s) if i > 1 else side // spec.stride_s for i, side in enumerate(box)
    )
    spans = ((_latent(first, spec), _latent(last, spec) + 1), (top, bottom), (left, right))
    (t, u), (v, w), (x, y) = (_grown(*span, side, p) for span, side, p in zip(spans, grid, patch, strict=True))
    return t, u, v, w, x, y


def _latent(frame: int, spec: LatentSpec) -> int:
    """The latent that makes a frame: the first one makes the first frame alone."""
    return (frame + spec.stride_t - 1) // spec.stride_t


def _grown(low: int, high: int, side: int, patch: int) -> tuple[int, int]:
    """The span in whole patches, then at both ends by turns until it is at least half of the side."""
    low, high, count = low // patch, -(-high // patch), side // patch
    while 2 * (high - low) < count:
        low, high = (low - 1, high) if (high - low) % 2 and low > 0 or high == count else (low, high + 1)
    return low * patch, high * patch


def share(part: Region, grid: tuple[int, int, int]) -> float:
    """How much of the grid a region is."""
    sizes = [b - a for a, b in zip(part[::2], part[1::2], strict=True)]
    return float(torch.tensor(sizes).prod() / torch.tensor(grid).prod())


def redrawn(plan: Plan, latents: Float[Tensor, "c t h w"], part: Region) -> Plan:
    """The plan for another try at a part of what it made: `latents` are known outside the part."""
    start = torch.zeros_like(plan.start)
    t, u, v, w, x, y = part
    start[t:u, v:w, x:y] = plan.start[t:u, v:w, x:y]
    return replace(plan, start=start, known=latents)
