"""Videos of any length: windows over one stream of latents, each knowing what lies beside it.

All is joined as latents and decoded once, as one stream: pixels never pass from window to window, so nothing fades from
join to join. A stream begins with a single frame; a window in its middle is a continuation.
"""

import logging
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

from jaxtyping import Bool, Float
from torch import Tensor

from worldpatch.config import UserError
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Plan, Reference

log = logging.getLogger(__name__)

Latents = Float[Tensor, "c _ h w"]


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How many latents a window has, how many of them it takes from one side, and the frames of each."""

    window: int
    context: int
    stride: int
    rate: float

    def seconds(self, index: int) -> float:
        """When the first frame of a stream's latent is shown."""
        return max(0, 1 + (index - 1) * self.stride) / self.rate


def reach(
    pipeline: Pipeline, height: int, width: int, context: float | None = None, window: float | None = None
) -> Reach:
    """Windows of so many seconds (None: as long as the clips the model was trained on), the first `context` seconds of
    each known (None: two fifths). Raises UserError where the context leaves nothing to draw."""
    usual, stride = pipeline.usual, pipeline.spec.stride_t
    trained = pipeline.spec.grid(usual.frames, height, width)[0]
    long = trained if window is None else max(2, round(window * usual.rate / stride))
    if long > trained:
        log.warning(
            f"windows of {window:g} s are longer than the clips this model was trained on "
            f"({trained * stride / usual.rate:.3g} s): expect them to be worse"
        )
    wished = 0.4 * long if context is None else context * usual.rate / stride
    if round(wished) >= long:
        raise UserError(
            f"a context of {context:g} s leaves nothing to draw in windows of {long * stride / usual.rate:.3g} s: "
            "make it shorter, or the window longer"
        )
    known = min(max(1, round(wished)), long - 1)  # none for a model of pictures
    return Reach(window=long, context=known, stride=stride, rate=usual.rate)


def draw(
    stream: Latents, done: Bool[Tensor, " t"], prompts: Sequence[str], reach: Reach,
    references: Sequence[Reference] = (),
) -> Generator[Plan, Tensor, Latents]:  # fmt: skip
    """The stream with all latents drawn that are not `done`, each to its prompt.

    References of a time have the stream's seconds, and are seen by the window that holds them; all others by all.

    What lies between two known parts knows both of them as soon as a window reaches so far.
    """
    stream, done = stream.clone(), done.clone()
    while not done.all():
        window, part = _next(done.tolist(), prompts, reach)
        inside = slice(window.start, window.stop)
        begins, ends = reach.seconds(window.start), reach.seconds(window.stop)
        near = [r if r.time is None else replace(r, time=r.time - begins) for r in references]
        near = [r for r in near if r.time is None or 0 <= r.time < ends - begins]
        missing = (~done[inside]).float()[:, None, None]
        made = yield Plan(
            start=missing.expand(-1, *stream.shape[2:]).clone(), rate=reach.rate, prompt=prompts[part.start],
            known=stream[:, inside], kind="clip" if window.start == 0 else "continuation",
            references=tuple(near),
        )  # fmt: skip
        stream[:, part.start : part.stop] = made[:, part.start - window.start : part.stop - window.start]
        done[part.start : part.stop] = True
    return stream


def _next(done: Sequence[bool], prompts: Sequence[str], reach: Reach) -> tuple[range, range]:
    """(a window, the latents in it that are drawn next): missing ones beside what is known, all with one prompt."""

    def run(of: bool, at: int) -> int:
        """How many latents from `at` on are done or not, as `of` says."""
        return next((i for i in range(at, len(done)) if done[i] != of), len(done)) - at

    first = done.index(False)
    if first == 0 and any(done):  # nothing before it: the way leads back from what is known
        stop = done.index(True)
        begin = next(i for i in range(stop) if len(set(prompts[i:stop])) == 1)
        context = min(run(True, stop), reach.context)
        begin = max(begin, stop + context - reach.window)
        return range(begin, stop + context), range(begin, stop)
    missing = run(False, first)
    alike = next((i for i in range(missing) if prompts[first + i] != prompts[first]), missing)
    after = run(True, first + missing) if alike == missing else 0
    if after and 0 < missing <= reach.window - 2:  # near enough to see both sides
        begin = first - min(first, (reach.window - missing + 1) // 2)
        return range(begin, min(first + missing + after, begin + reach.window)), range(first, first + missing)
    begin = first - min(first, reach.context)
    stop = min(first + alike, begin + reach.window)
    return range(begin, stop), range(first, stop)
