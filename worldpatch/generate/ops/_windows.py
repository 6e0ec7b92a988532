"""Long videos: windows of latents, each knowing the last ones of the window before.

All is joined as latents and decoded once, as one stream: pixels never pass from window to window, so nothing fades from
join to join. A window in the middle of a stream is a continuation, whose first latent is no single frame.
"""

from collections.abc import Generator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Kind, Plan

Latents = Float[Tensor, "c _ h w"]


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How many latents a window has, and how many of them it takes from the window before."""

    window: int
    context: int

    @property
    def step(self) -> int:
        return self.window - self.context


def reach(pipeline: Pipeline, height: int, width: int, context: float | None = None) -> Reach:
    """Windows as long as the clips the model was trained on; `context` seconds of each are known (None: two fifths)."""
    spec, usual = pipeline.spec, pipeline.usual
    window = spec.grid(usual.frames, height, width)[0]
    wished = 0.4 * window if context is None else context * usual.rate / spec.stride_t
    return Reach(window=window, context=min(max(1, round(wished)), window - 1))


def between(before: Latents, count: int, after: Latents | None, *, rate: float, prompt: str, kind: Kind) -> Plan:
    """`count` unknown latents after some known ones, and perhaps before others. `kind` is how `before` begins."""
    c, _, h, w = before.shape
    parts = [before, torch.zeros(c, count, h, w), *([] if after is None else [after])]
    times = [torch.full((part.shape[1], h, w), float(i == 1)) for i, part in enumerate(parts)]
    return Plan(start=torch.cat(times), rate=rate, prompt=prompt, kind=kind, known=torch.cat(parts, 1))


def forwards(stream: Latents, count: int, reach: Reach, rate: float, prompt: str) -> Generator[Plan, Tensor, Latents]:
    """A stream that begins with a single frame, and `count` more latents."""
    while count:
        context = min(reach.context, stream.shape[1])
        step = min(count, reach.window - context)
        kind: Kind = "clip" if context == stream.shape[1] else "continuation"
        made = yield between(stream[:, -context:], step, None, rate=rate, prompt=prompt, kind=kind)
        stream, count = torch.cat([stream, made[:, context:]], 1), count - step
    return stream


def backwards(stream: Latents, count: int, reach: Reach, rate: float, prompt: str) -> Generator[Plan, Tensor, Latents]:
    """`count` latents, the first of them a single frame, before a stream that has none of those."""
    c, _, h, w = stream.shape
    while count:
        context = min(reach.context, stream.shape[1])
        step = min(count, reach.window - context)
        kind: Kind = "clip" if step == count else "continuation"
        none = torch.zeros(c, 0, h, w)
        made = yield between(none, step, stream[:, :context], rate=rate, prompt=prompt, kind=kind)
        stream, count = torch.cat([made[:, :step], stream], 1), count - step
    return stream
