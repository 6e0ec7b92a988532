"""Solving a plan: pack it, draw its noise, run a sampler over it, and unpack the latents."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from worldpatch.flow.guidance import Guidance, velocity
from worldpatch.flow.noise import noised, schedule, shift_of
from worldpatch.flow.pack import Patch, pack, unpack
from worldpatch.flow.samplers import SAMPLERS, State, sample
from worldpatch.flow.stepcache import StepCache
from worldpatch.types import Cond, LatentSpec, Packed, Plan

Step = TypeVar("Step")
Result = TypeVar("Result")


def draw_noise(plans: Sequence[Plan], packed: Packed, seeds: Sequence[tuple[int, int]]) -> Float[Tensor, "n c"]:
    """Noise for every patch, fixed by each plan's (seed, variant) alone, so that its company changes nothing."""
    noise = torch.zeros_like(packed.tokens)
    generators = [torch.Generator().manual_seed((seed * 1_000_003 + variant) % 2**63) for seed, variant in seeds]
    assert len(generators) == len(plans)
    for s in packed.segments:
        if s.rule == "noisy":
            drawn = torch.randn(s.length, packed.tokens.shape[1], generator=generators[s.sample])
            noise[s.start : s.stop] = drawn.to(noise.device)
    return noise


def solve(
    network: Callable,
    plans: Sequence[Plan],
    text: Cond,
    seeds: Sequence[tuple[int, int]],
    *,
    spec: LatentSpec,
    patch: Patch,
    steps: int = 25,
    guidance: Guidance | None = None,
    sampler: str = "euler",
    cache: bool = True,
    step_cache: float = 0.0,
    begun: State | None = None,
    device: torch.device | str = "cpu",
) -> Generator[State, None, list[Float[Tensor, "c t h w"]]]:
    """The latents of all plans, drawn in one packed pass; before them the sampler's state after each step.

    Every token follows the schedule of its own sample's size, scaled to its start time; known patches come back as they
    were. With `step_cache`, a relative error, velocities are forecast where they may be expected to be off by less.
    Jumps have learned their guidance: with that sampler `guidance` is passed over. `begun` is a state of an
    earlier run of the same: the rest is done, to the same bits. Raises ValueError on an unknown
    sampler, listing the known, and on jumps with a step cache.
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler {sampler!r} is unknown; known: {', '.join(SAMPLERS)}")
    if sampler == "jump":
        if step_cache:
            raise ValueError(f"step_cache {step_cache} with jumps, between which nothing can be forecast: give 0")
        guidance = Guidance(scale=1.0)
    packed = to_device(pack(plans, patch, spec), device)
    noisy = packed.noisy
    x, _ = noised(packed.tokens, draw_noise(plans, packed, seeds), packed.time)
    spans = [s for s in packed.segments if s.rule == "noisy"]  # one per sample
    columns = [schedule(steps, shift_of(s.length))[:, None].expand(-1, s.length) for s in spans]
    times = torch.cat(columns, 1).to(device) * packed.time[noisy]
    with torch.no_grad():
        model = velocity(network, packed, text, guidance or Guidance(), cache)
    last = State(x[noisy]) if begun is None else _on(begun, device)

    def _unpacked(tokens: Tensor) -> list[Tensor]:
        return unpack(packed, packed.tokens.masked_scatter(noisy[:, None], tokens), plans, patch)

    forecast = StepCache(model, step_cache, last.memory) if step_cache else None
    for state in sample(SAMPLERS[sampler], forecast or model, last, times):
        last = state if forecast is None else replace(state, memory=state.memory | forecast.memory)
        yield replace(last, latents=partial(_unpacked, last.x if last.clean is None else last.clean))
    return _unpacked(last.x)


def finish(work: Generator[Step, None, Result], told: Callable[[Step], None] = lambda step: None) -> Result:
    """What work by steps comes to; `told` of each step, and raising there stops it."""
    while True:
        try:
            told(next(work))
        except StopIteration as end:
            return end.value


def _on(state: State, device: torch.device | str) -> State:
    return State(state.x.to(device), state.done, {name: value.to(device) for name, value in state.memory.items()})


def contrast(
    network: Callable, plan: Plan, text: Cond, draws: int, *, spec: LatentSpec, patch: Patch,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "t h w"]:  # fmt: skip
    """How differently two prompts would change each latent of a plan that is noised throughout: the mean difference of
    their velocities over so many draws of noise (DiffEdit, Couairon et al. 2022). `text` holds the first prompt for
    every draw, then the second one."""
    packed = to_device(pack([plan] * (2 * draws), patch, spec), device)
    noisy = packed.noisy
    x, _ = noised(
        packed.tokens, draw_noise([plan] * (2 * draws), packed, [(0, i % draws) for i in range(2 * draws)]), packed.time
    )
    one, other = velocity(network, packed, text, Guidance(scale=1.0))(x[noisy], packed.time[noisy]).chunk(2)
    t, h, w = (side // p for side, p in zip(plan.grid, patch, strict=True))
    found = (one - other).abs().mean(-1).view(draws, t, h, w).mean(0)
    for axis, p in enumerate(patch):
        found = found.repeat_interleave(p, axis)
    return found


def solved(plan: Plan, latents: Float[Tensor, "c t h w"]) -> Plan:
    """The plan with these latents, of which nothing is left to be sampled."""
    return replace(plan, start=torch.zeros(latents.shape[1:]), known=latents)


def to_device(packed: Packed, device: torch.device | str) -> Packed:
    """The packed sequence with its tensors on `device`."""
    moved = {k: v.to(device) for k, v in vars(packed).items() if isinstance(v, Tensor)}
    return replace(packed, **moved)
