"""Request -> Plan -> sampled latents -> frames.

    pipeline = load(find("tabletop"))
    result = run(Request(ability="text_to_video", params={"prompt": "a red ball falls"}), pipeline)

An ability is a file in `ops/`, which makes the Plan, or a Script of several; every request goes through `run`.
"""

import logging
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.flow.guidance import Guidance
from worldpatch.flow.plan import finish, solved
from worldpatch.flow.samplers import SAMPLERS
from worldpatch.generate import drawing, memory
from worldpatch.generate.models import find as find
from worldpatch.generate.pipeline import Pipeline, Progress
from worldpatch.generate.pipeline import load as load
from worldpatch.types import Final, Plan, Request, Result, Script, Shots

log = logging.getLogger(__name__)

MOST_VARIANTS, MOST_STEPS = 64, 1000


def run(request: Request, pipeline: Pipeline, progress: Progress | None = None) -> Result:
    """The frames a request asks for, all its variants drawn in one packed pass.

    Raises UserError on an unknown ability, parameter or sampler, and on values that the ability refuses. The same
    request gives the same bits on the same machine with the same number of threads.
    """
    return next(run_many([request], pipeline, progress))


def check(request: Request, pipeline: Pipeline) -> None:
    """Raises whatever UserError `run` would raise, in milliseconds."""
    pipeline.network.text.encode([plan(request, pipeline).prompt])


def plan(request: Request, pipeline: Pipeline) -> Plan:
    """The plan of a request, or the first of several: each variant is one sample. Raises UserError as `run` does."""
    return prepare(request, pipeline).first


def draw(
    plans: Sequence[Plan],
    seeds: Sequence[tuple[int, int]],
    request: Request,
    pipeline: Pipeline,
    progress: Progress | None = None,
) -> tuple[list[Tensor], list[Tensor], dict[str, float]]:
    """Latents "c t h w" and frames "t h w 3" of plans, sampled in one packed pass as the request says, each with the
    noise of its (seed, variant); and the seconds of each phase."""
    begun = time.perf_counter()
    latents = pipeline.latents(plans, seeds, **_sampling(request), progress=progress)
    denoised = time.perf_counter()
    frames = pipeline.decode(plans, latents, progress)
    return latents, frames, {"denoise": denoised - begun, "decode": time.perf_counter() - denoised}


def run_many(
    requests: Sequence[Request], pipeline: Pipeline, progress: Progress | None = None, tokens: int = drawing.TOKENS
) -> Iterator[Result]:
    """Results in order, requests that sample alike sharing packed passes of about `tokens` patches.

    In company a request's latents are equal to those it gets alone to 1e-4: products of matrices depend on their size.
    """
    jobs = iter([prepare(request, pipeline) for request in requests])
    group = list(islice(jobs, 1))
    while group:
        ahead = next(jobs, None)
        if ahead is not None and ahead.fits(group, tokens):
            group.append(ahead)
            continue
        yield from _solve(group, pipeline, progress)
        group = [] if ahead is None else [ahead]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A request with its script and the first plan of that, the number of patches of all its variants, and the seconds
    spent on planning."""

    request: Request
    script: Script
    first: Plan
    tokens: int
    seconds: float

    def fits(self, group: Sequence["Job"], tokens: int) -> bool:
        """Whether this job can be sampled in one pass with a group."""
        alike = _sampling(self.request) == _sampling(group[0].request)
        return alike and self.tokens + sum(job.tokens for job in group) <= tokens


def _sampling(request: Request) -> dict[str, Any]:
    """How to sample, as `Pipeline.latents` takes it."""
    guidance = Guidance(scale=request.guidance, interval=request.guidance_interval, rescale=request.guidance_rescale)
    return {
        "steps": request.steps, "guidance": guidance, "sampler": request.sampler, "step_cache": request.step_cache,
    }  # fmt: skip


def prepare(request: Request, pipeline: Pipeline) -> Job:
    """A request made ready to be drawn: its files read and encoded. Raises UserError as `run` does."""
    begun = time.perf_counter()
    check_sampling(request)
    _note_jumps(request, pipeline)
    ability = config.resolve("generate/ops", request.ability)
    made = ability.plan(_params(ability.Params, request), pipeline)
    script: Script = (lambda: _alone(made)) if isinstance(made, Plan) else made
    said = drawing.advance(script(), None)
    first = said if isinstance(said, Plan) else said[0].plan
    memory.check_plan(first, pipeline, guided=request.guidance != 1 and request.sampler != "jump")
    tokens = request.variants * drawing.tokens(first, pipeline)
    return Job(request=request, script=script, first=first, tokens=tokens, seconds=time.perf_counter() - begun)


def _alone(plan: Plan) -> Generator[Plan, Tensor, Shots]:
    """The script of one plan."""
    return (Final(plan=solved(plan, (yield plan))),)


def drawn(
    jobs: Sequence[Job], pipeline: Pipeline, begin: drawing.Mark | None = None
) -> Generator[drawing.Mark, None, list[Shots]]:
    """Marks, a sampler step each, of packed passes for all variants of all jobs: their first plans together, then their
    second ones, and so on; in the end the shots of each variant. `begin` is a mark of an earlier drawing of these."""
    seeds = [(job.request.seed, variant) for job in jobs for variant in range(job.request.variants)]
    tellings = [job.script() for job in jobs for _ in range(job.request.variants)]
    return drawing.play(tellings, seeds, pipeline, _sampling(jobs[0].request), begin)


def developed(
    jobs: Sequence[Job], made: Sequence[Shots], pipeline: Pipeline, progress: Progress | None = None
) -> Iterator[Result]:
    """The result of each job from the shots of all their variants."""
    shots = iter(made)
    for job in jobs:
        own, begun = list(islice(shots, job.request.variants)), time.perf_counter()
        takes = _developed(own, pipeline, progress)
        yield Result(
            frames=torch.stack([frames for frames, _ in takes]),
            rate=own[0][0].plan.rate,
            latents=torch.stack([latents for _, latents in takes]),
            request=job.request,
            seconds={"plan": job.seconds, "decode": time.perf_counter() - begun},
        )


def _solve(jobs: Sequence[Job], pipeline: Pipeline, progress: Progress | None) -> Iterator[Result]:
    begun, steps = time.perf_counter(), jobs[0].request.steps

    def told(mark: drawing.Mark) -> None:
        if progress and mark.state:
            progress("denoise", mark.state.done, steps)

    made = finish(drawn(jobs, pipeline), told)
    seconds = time.perf_counter() - begun
    for result in developed(jobs, made, pipeline, progress):
        yield replace(result, seconds={**result.seconds, "denoise": seconds})


def _developed(made: Sequence[Shots], pipeline: Pipeline, progress: Progress | None) -> list[tuple[Tensor, Tensor]]:
    """(frames, latents) of each, its shots one after another."""
    finals = [final for shots in made for final in shots]
    latents = [final.plan.known for final in finals if final.plan.known is not None]
    videos = pipeline.decode([final.plan for final in finals], latents, progress)
    frames = iter([video[final.start : final.stop] for video, final in zip(videos, finals, strict=True)])
    rest = iter(latents)
    return [
        (torch.cat(list(islice(frames, len(shots)))), torch.cat(list(islice(rest, len(shots))), 1)) for shots in made
    ]


def check_sampling(request: Request) -> None:
    """Raises UserError where a request cannot be sampled, whatever its ability."""
    ranges = {"variants": (1, MOST_VARIANTS), "steps": (1, MOST_STEPS), "seed": (0, drawing.HIGHEST_SEED)}
    for name, (least, most) in ranges.items():
        value = getattr(request, name)
        if not least <= value <= most:
            raise UserError(f"{name} {value} is outside {least} to {most}; choose a number in between")
    if not 0 <= request.guidance <= 100:  # no number fails as well
        raise UserError(f"guidance {request.guidance} is outside 0 to 100; 1 means none, 4 is usual")
    if not 0 <= request.step_cache <= 1:
        raise UserError(f"step_cache {request.step_cache} is no relative error from 0 to 1; 0.2 halves the time")
    if request.sampler not in SAMPLERS:
        raise UserError(f"sampler {request.sampler!r} is unknown; known: {', '.join(SAMPLERS)}")
    if request.sampler == "jump" and request.step_cache:
        raise UserError(f"step_cache {request.step_cache} with jumps, between which nothing can be forecast: give 0")


def _note_jumps(request: Request, pipeline: Pipeline) -> None:
    """Say where a model is to jump that has not learned to."""
    record = pipeline.record or {}
    stages = {run.get("run", {}).get("stage") for run in (record.get("training", {}), *record.get("earlier", []))}
    if request.sampler == "jump" and "distil" not in stages:
        log.warning("this model never learned to jump: these are Euler's steps without guidance, expect it to be worse")


def _params(model: type, request: Request):
    """The ability's validated parameters; the first thing wrong becomes one line."""
    from pydantic import ValidationError  # not at the top: training samples too, on hosts that have torch alone

    try:
        return model(**request.params)
    except ValidationError as error:
        raise UserError(_explain(error.errors()[0], model, request.ability)) from error


def _explain(error, model, ability: str) -> str:
    """One of pydantic's errors as value, rule and remedy."""
    name = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"unknown parameter {name!r} of {ability}; known: {', '.join(model.model_fields)}"
    if error["type"] == "value_error":  # one of our own checks
        return str(error["ctx"]["error"])
    rule = error["msg"][0].lower() + error["msg"][1:]
    return f"{name} {error['input']!r}: {rule} ({model.model_fields[name].description})"
