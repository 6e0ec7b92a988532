"""What a request takes in memory, told before the work: refused with what would fit, instead of killed in the middle.

Counted are the activations of one pass of the network, the keys and values of known patches, a chunk of the decoder and
the frames themselves; what each takes was measured (docs/LOG.md). Weights are in memory already.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from worldpatch.config import UserError
from worldpatch.generate.pipeline import CHUNK, Pipeline
from worldpatch.types import Plan

PATCH = 42  # numbers of the network's width that a patch has at the widest place of a pass
NUMBER = 4  # bytes
DECODED = 110  # bytes that the decoder takes for a pixel of its chunk
SHOWN, PASTED = 9, 16  # bytes of a pixel of the result; of one that is pasted, besides
SHARE = 0.9  # of what is free
GIGA = 1e9


def free(device: str = "cpu") -> tuple[int, int] | None:
    """(bytes that are free, bytes in all) of a device; None where the system does not say."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)
    info = Path("/proc/meminfo")
    if not info.exists():
        return None
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in info.read_text().splitlines()}
    return 1024 * kilobytes["MemAvailable"], 1024 * kilobytes["MemTotal"]


def of_pass(plans: Sequence[Plan], pipeline: Pipeline, guided: bool = True) -> int:
    """Bytes that one packed pass takes; `guided` runs every patch twice."""
    config = pipeline.network.dit.config
    patches = sum(plan.start.numel() for plan in plans) // _volume(pipeline)
    known = sum(int((plan.start == 0).sum()) for plan in plans) // _volume(pipeline)
    kept = 2 * config.depth * known
    return (2 if guided else 1) * NUMBER * config.width * (PATCH * patches + kept)


def of_frames(count: int, height: int, width: int, pasted: bool) -> int:
    """Bytes that decoding so many frames, and holding them, takes; `pasted`: some of them were given."""
    return height * width * (DECODED * min(count, CHUNK) + (SHOWN + PASTED * pasted) * count)


def check_plan(plan: Plan, pipeline: Pipeline, guided: bool) -> None:
    """Raises UserError where a plan takes more than is free, with a size and a length that would fit."""
    frames = pipeline.spec.frames(plan.grid[0])
    height, width = (side * pipeline.spec.stride_s for side in plan.grid[1:])
    shown = of_frames(frames, height, width, plan.paste is not None)
    _check(max(of_pass([plan], pipeline, guided), shown), frames, height, width, plan.rate, pipeline)


def check_film(frames: int, height: int, width: int, pipeline: Pipeline) -> None:
    """Raises UserError where a video of windows, all of them joined and decoded, takes more than is free."""
    needed = of_frames(frames, height, width, pasted=True)
    _check(needed, frames, height, width, pipeline.usual.rate, pipeline)


def _check(needed: int, frames: int, height: int, width: int, rate: float, pipeline: Pipeline) -> None:
    """All that is counted grows with the number of pixels: what fits is a share of the size, or of the length."""
    found = free(pipeline.device)
    if found is None or needed <= SHARE * found[0]:
        return
    share, side, stride = SHARE * found[0] / needed, pipeline.side, pipeline.spec.stride_t
    smaller = "x".join(str(max(side, int(s * share**0.5) // side * side)) for s in (width, height))
    shorter = 1 + int(frames * share - 1) // stride * stride
    raise UserError(
        f"{width}x{height} with {frames} frames takes about {needed / GIGA:.1f} GB, and {found[0] / GIGA:.1f} GB are "
        f"free: {smaller} would fit" + (f", or {shorter} frames ({shorter / rate:.1f} s)" if shorter > 1 else "")
    )


def _volume(pipeline: Pipeline) -> int:
    t, h, w = pipeline.patch
    return t * h * w
