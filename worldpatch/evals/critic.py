"""The model as its own critic: draw several clips, say what is wrong with each, keep the best, try again what failed.

    best = best_of(request, pipeline, 4)          # four variants, the best of them
    best = improve(request, pipeline, rounds=3)   # draws, finds faults, draws again a part or all, keeps the best
    print(story(best))                            # `_story.py`

What a prompt asks for is read by `wish`, what a clip shows by `detect`, what cannot be by `paradox`; among clips with
equally few faults the model's own likelihood decides. Every pass is on record as a `Step`, from which `remake` makes
the same clip again and judges nothing.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from worldpatch import config, generate
from worldpatch.config import UserError
from worldpatch.evals._likelihood import surprise
from worldpatch.evals._redraw import Region, redrawn, region, share
from worldpatch.evals._truth import Expected
from worldpatch.evals._wish import expected, read
from worldpatch.evals.detect import Seen, detect
from worldpatch.evals.metrics.prompt import Wrong, wrongs
from worldpatch.evals.paradox import Paradox, around, paradoxes
from worldpatch.generate.pipeline import Pipeline, Progress
from worldpatch.types import Plan, Request, Result

Frames = UInt8[np.ndarray, "t h w 3"]
Latent = Float[Tensor, "c _ _ _"]
TOGETHER = 2  # clips that `improve` draws in each round
FEW = 3  # faults: a clip with more is drawn anew. On tuning prompts redrawing helped 60% of the better clips, a new
# draw 35%; of the worse ones 33 to 42% and 48 to 62%
LARGEST = 0.8  # of a clip: where more would have to be drawn again, all is


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is wrong with a clip. `surprise` is the model's loss on it, infinite where that was not asked."""

    wrongs: tuple[Wrong, ...]
    paradoxes: tuple[Paradox, ...]
    surprise: float = float("inf")

    @property
    def weight(self) -> int:
        """How many criteria fail, and how many kinds of things that cannot be there are."""
        return len({c for wrong in self.wrongs for c in wrong.criteria}) + len({p.kind for p in self.paradoxes})

    @property
    def faults(self) -> tuple[str, ...]:
        return (*(wrong.text for wrong in self.wrongs), *map(str, self.paradoxes))


@dataclass(frozen=True, kw_only=True)
class Step:
    """One pass of the model, and which of its clips was kept.

    `count` clips are drawn with the noise of variants `first`, `first` + 1, ...: to `prompt`, whole, or of a `part` of
    what step number `source` kept.
    """

    prompt: str
    first: int
    count: int
    pick: int = 0
    part: Region = ()
    source: int = -1


@dataclass(frozen=True, kw_only=True)
class Round:
    """A step with what it was for, its clips and their verdicts, whether it `helped`, and the seconds it took."""

    step: Step
    aim: str
    frames: tuple[Frames, ...]
    latents: tuple[Latent, ...]
    verdicts: tuple[Verdict, ...]
    helped: bool
    seconds: float

    @property
    def verdict(self) -> Verdict:
        """Of the clip that it kept."""
        return self.verdicts[self.step.pick]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The best clip of all rounds, and the rounds. `stopped`: the user did not wait for the end."""

    request: Request
    rate: float
    rounds: tuple[Round, ...]
    best: int
    stopped: bool = False

    @property
    def verdict(self) -> Verdict:
        return self.rounds[self.best].verdict

    @property
    def clips(self) -> int:
        """How many were drawn, whole or in part."""
        return sum(r.step.count for r in self.rounds)

    @property
    def steps(self) -> tuple[Step, ...]:
        """Those that lead to the best clip, which is what the last of them keeps."""
        chain = [self.best]
        while (source := self.rounds[chain[0]].step.source) >= 0:
            chain.insert(0, source)
        return tuple(replace(self.rounds[at].step, source=i - 1) for i, at in enumerate(chain))

    @property
    def result(self) -> Result:
        """The best clip as the result of the request."""
        kept = self.rounds[self.best]
        return Result(
            frames=torch.from_numpy(kept.frames[kept.step.pick])[None], latents=kept.latents[kept.step.pick][None],
            rate=self.rate, request=self.request, seconds={"critic": sum(r.seconds for r in self.rounds)},
        )  # fmt: skip


# --------------------------------------------------------------------------------------------------------------- rivals


def best_of(request: Request, pipeline: Pipeline, n: int, progress: Progress | None = None) -> Chosen:
    """The best of `n` variants, drawn in one packed pass."""
    return improve(request, pipeline, rounds=0, n=n, progress=progress)


def criticise(frames: Frames, wish: Expected, seen: Seen | None = None) -> Verdict:
    """What of the wish is missing in a clip, and what in it cannot be. An image shows no events and no camera moves.

    `seen` spares a second look at the clip.
    """
    seen = detect(frames) if seen is None else seen
    if len(frames) == 1:
        wish = replace(wish, camera="", solids=tuple(replace(solid, events=()) for solid in wish.solids))
    # What detection calls a flaw is a paradox here, with its place and time: it is not counted twice.
    spotless = replace(seen, solids=tuple(replace(solid, flaws=()) for solid in seen.solids))
    return Verdict(wrongs=tuple(wrongs(spotless, wish)), paradoxes=tuple(paradoxes(frames, seen)))


def weigh(verdicts: Sequence[Verdict], latents: Sequence[Latent], plan: Plan, pipeline: Pipeline) -> list[Verdict]:
    """The verdicts with the model's surprise where several have equally few faults, for `pick` to tell them apart."""
    least = min(v.weight for v in verdicts)
    tied = [i for i, v in enumerate(verdicts) if v.weight == least]
    weighed = list(verdicts)
    if len(tied) > 1:
        for i, loss in zip(tied, surprise(pipeline, [latents[i] for i in tied], plan), strict=True):
            weighed[i] = replace(weighed[i], surprise=float(loss))
    return weighed


def pick(verdicts: Sequence[Verdict]) -> int:
    """The one with the fewest faults; of those, the one that surprises the model least."""
    return min(range(len(verdicts)), key=lambda i: (verdicts[i].weight, verdicts[i].surprise))


# ----------------------------------------------------------------------------------------------------------------- loop


def improve(
    request: Request,
    pipeline: Pipeline,
    rounds: int,
    n: int = TOGETHER,
    seconds: float = float("inf"),
    progress: Progress | None = None,
) -> Chosen:
    """Draws `n` clips; then at most `rounds` times `n` more, each time for what is still wrong with the best so far.

    Stops when nothing is wrong, when `seconds` have passed, or at Ctrl-C once there is a clip to keep. Raises UserError
    on what `generate.run` refuses, and where there is more than one variant to improve.
    """
    _check(request, rounds, n)
    search, begun = _Search(request, pipeline, progress), time.monotonic()
    try:
        search.go(search.anew(n))
        for _ in range(rounds):
            if not search.verdict.weight or time.monotonic() - begun > seconds:
                break
            search.go(search.next(n))
    except KeyboardInterrupt:
        if not search.rounds:
            raise
        return search.chosen(stopped=True)
    return search.chosen()


def _check(request: Request, rounds: int, n: int) -> None:
    if request.variants != 1:
        raise UserError(
            f"{request.variants} variants of the best clip: ask for one, the critic draws its rivals itself"
        )
    if not 0 <= rounds <= 100:
        raise UserError(f"{rounds} rounds of improvement are outside 0 to 100; 3 are usual")
    if not 1 <= n <= generate.MOST_VARIANTS:
        raise UserError(f"the best of {n} is outside 1 to {generate.MOST_VARIANTS}; 4 is usual")


class _Search:
    """The rounds so far, and what to do next."""

    def __init__(self, request: Request, pipeline: Pipeline, progress: Progress | None):
        self.request, self.pipeline, self.progress = request, pipeline, progress
        self.prompt = str(request.params.get("prompt", ""))
        self.plan, self.wish = generate.plan(request, pipeline), read(self.prompt)
        self.rounds: list[Round] = []
        self.best = 0

    @property
    def verdict(self) -> Verdict:
        return self.rounds[self.best].verdict

    def chosen(self, stopped: bool = False) -> Chosen:
        return Chosen(
            request=self.request, rate=self.plan.rate, rounds=tuple(self.rounds), best=self.best, stopped=stopped
        )

    def anew(self, n: int) -> tuple[Step, str]:
        """All of the clip. From the second time on, a prompt with words that are not understood is said in words that
        are."""
        prompt = self.wish.caption if self.rounds and self.wish.unread else ""
        drawn = sum(r.step.count for r in self.rounds)
        return Step(prompt=prompt or self.prompt, first=drawn, count=n), f"say {prompt!r}" if prompt else "draw"

    def next(self, n: int) -> tuple[Step, str]:
        """Another try at the worst spot of a clip that is nearly right, or at all of one that is not."""
        anew, aim = self.anew(n)
        spots = _spots(self.verdict, len(self.rounds[self.best].frames[0]))
        tried = {r.aim for r in self.rounds if r.step.source == self.best}
        for fault, first, last, box in spots if self.verdict.weight <= FEW else []:
            part = region(first, last, box, self.plan.grid, self.pipeline.spec, self.pipeline.patch)
            if fault not in tried and share(part, self.plan.grid) <= LARGEST:
                prompt = self.rounds[self.best].step.prompt
                return replace(anew, prompt=prompt, part=part, source=self.best), fault
        return anew, aim

    def go(self, task: tuple[Step, str]) -> None:
        step, aim = task
        begun = time.monotonic()
        source = self.rounds[step.source] if step.source >= 0 else None
        known = source.latents[source.step.pick] if source else None
        plan, latents, frames = _draw(self.request, step, known, self.pipeline, self.progress)
        verdicts = [criticise(f, expected(self.wish)) for f in frames]
        verdicts = weigh(verdicts, latents, replace(plan, prompt=self.prompt), self.pipeline)
        step = replace(step, pick=pick(verdicts))
        helped = bool(self.rounds) and verdicts[step.pick].weight < self.verdict.weight
        if helped:
            self.best = len(self.rounds)
        self.rounds.append(
            Round(
                step=step, aim=aim, frames=tuple(frames), latents=tuple(latents), verdicts=tuple(verdicts),
                helped=helped, seconds=time.monotonic() - begun,
            )
        )  # fmt: skip


def _spots(verdict: Verdict, count: int) -> list[tuple[str, int, int, tuple[int, int, int, int]]]:
    """(fault, first frame, last, box) of the faults that have a place, those against the prompt first.

    What acts wrongly has none: where it should have been is not known.
    """
    spots = []
    for wrong in verdict.wrongs:
        if wrong.track is not None and "event" not in wrong.criteria:
            first, last = (0, count - 1) if "shape" in wrong.criteria else wrong.track.frames[[0, -1]].tolist()
            spots.append((wrong.text, first, last, around([wrong.track], first, last)))
    return spots + [(str(p), p.first, p.last, p.box) for p in verdict.paradoxes]


def _draw(
    request: Request, step: Step, known: Latent | None, pipeline: Pipeline, progress: Progress | None
) -> tuple[Plan, list[Latent], list[Frames]]:
    """The clips of a step; `known` is what its source kept."""
    plan = generate.plan(replace(request, params={**request.params, "prompt": step.prompt}), pipeline)
    if known is not None:
        plan = redrawn(plan, known, step.part)
    seeds = [(request.seed, step.first + i) for i in range(step.count)]
    latents, frames, _ = generate.draw([plan] * step.count, seeds, request, pipeline, progress)
    return plan, [latent.cpu() for latent in latents], [f.cpu().numpy() for f in frames]


def remake(request: Request, steps: Sequence[Step], pipeline: Pipeline, progress: Progress | None = None) -> Result:
    """The clip that `steps` lead to, made again from the request without a critic.

    Each pass draws all of its clips, for what a clip has for company changes its last bits.
    """
    begun, known, frames, rate = time.monotonic(), None, None, 0.0
    for step in steps:
        plan, latents, drawn = _draw(request, step, known, pipeline, progress)
        known, frames, rate = latents[step.pick], drawn[step.pick], plan.rate
    assert known is not None and frames is not None
    return Result(
        frames=torch.from_numpy(frames)[None], latents=known[None], rate=rate, request=request,
        seconds={"critic": time.monotonic() - begun},
    )  # fmt: skip


def steps_of(values: Sequence[dict[str, Any]]) -> tuple[Step, ...]:
    """Steps from their plain values."""
    return tuple(config.build(Step, value) for value in values)
