"""Scripts drawn in packed passes, one after another: work that can be left after any step and gone on with.

Whoever draws asks for one mark after another. A mark holds all that is needed to go on elsewhere: kept on disk, it
outlives the process.
"""

import hashlib
import json
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from worldpatch.config import UserError
from worldpatch.flow.samplers import State
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Plan, Shots

TOKENS = 8192  # patches sampled in one packed pass: a few hundred MB for a network of 10M parameters
HIGHEST_SEED = 2**40

Telling = Generator[Plan, Tensor, Shots]
"""A script that has been called: it tells plans, and hears their latents."""


@dataclass(frozen=True)
class Mark:
    """Where a drawing stands: the latents of all plans that are drawn, in the order they were, and the sampler's state
    in the pass under way (None between passes)."""

    drawn: tuple[Tensor, ...] = ()
    state: State | None = None

    def write(self, path: Path) -> None:
        """Whole or not at all."""
        tensors = {f"drawn.{i}": latents for i, latents in enumerate(self.drawn)}
        facts = {"drawn": len(self.drawn), "done": None}
        if self.state is not None:
            tensors |= {"x": self.state.x} | {f"memory.{name}": value for name, value in self.state.memory.items()}
            facts["done"] = self.state.done
        facts["sum"] = _sum(tensors)
        part = path.with_name(path.name + ".part")
        # Copied: safetensors refuses tensors that share their storage, as slices of one batch do.
        part.write_bytes(save({k: v.detach().cpu().clone() for k, v in tensors.items()}, {"mark": json.dumps(facts)}))
        part.replace(path)

    @classmethod
    def read(cls, path: Path) -> "Mark":
        """Raises UserError where the file is damaged."""
        try:
            with safe_open(path, "pt") as file:
                facts = json.loads(file.metadata()["mark"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
                if _sum(tensors) != facts["sum"]:
                    raise ValueError("their bytes have changed")
                drawn = tuple(tensors[f"drawn.{i}"] for i in range(facts["drawn"]))
                if facts["done"] is None:
                    return cls(drawn)
                memory = {k.removeprefix("memory."): v for k, v in tensors.items() if k.startswith("memory.")}
                return cls(drawn, State(tensors["x"], facts["done"], memory))
        except (SafetensorError, KeyError, ValueError, TypeError, OSError) as error:
            raise UserError(f"the latents kept in {path} cannot be read ({error}): remove it to begin anew") from error


def _sum(tensors: dict[str, Tensor]) -> str:
    """Digest of the tensors' bytes, for the format has none: a file may be damaged and still be read."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(tensors[name].detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def play(
    tellings: Sequence[Telling], seeds: Sequence[tuple[int, int]], pipeline: Pipeline, sampling: dict[str, Any],
    begin: Mark | None = None,
) -> Generator[Mark, None, list[Shots]]:  # fmt: skip
    """A mark after each step, and in the end what each script comes to.

    All first plans share packed passes of about `TOKENS` patches, then all second ones, and so on; every turn has noise
    of its own. `begin` is a mark of an earlier drawing of the same scripts with the same seeds.
    """
    told = list((begin or Mark()).drawn)
    state = begin.state if begin else None
    drawn: list[Tensor] = []
    said: list[Plan | Shots] = [advance(telling, None) for telling in tellings]
    turn = 0
    while plans := {i: plan for i, plan in enumerate(said) if isinstance(plan, Plan)}:
        for some in _passes(plans, pipeline):
            if len(drawn) < len(told):
                latents = told[len(drawn) : len(drawn) + len(some)]
            else:
                noises = [(seeds[i][0] + turn * (HIGHEST_SEED + 1), seeds[i][1]) for i in some]
                solving = pipeline.sampling([plans[i] for i in some], noises, **sampling, begun=state)
                latents, state = (yield from _marked(solving, tuple(drawn))), None
            drawn += latents
            for i, own in zip(some, latents, strict=True):
                said[i] = advance(tellings[i], own)
        turn += 1
    yield Mark(tuple(drawn))
    return [shots for shots in said if not isinstance(shots, Plan)]


def advance(telling: Telling, latents: Tensor | None) -> Plan | Shots:
    """What a script tells next, given the latents of what it said before (None: nothing)."""
    try:
        return next(telling) if latents is None else telling.send(latents)
    except StopIteration as end:
        return end.value


def tokens(plan: Plan, pipeline: Pipeline) -> int:
    """How many patches a plan has."""
    return plan.start.numel() // math.prod(pipeline.patch)


def _marked(
    solving: Generator[State, None, list[Tensor]], drawn: tuple[Tensor, ...]
) -> Generator[Mark, None, list[Tensor]]:
    while True:
        try:
            state = next(solving)
        except StopIteration as end:
            return [latents.cpu() for latents in end.value]
        yield Mark(drawn, state)


def _passes(plans: dict[int, Plan], pipeline: Pipeline) -> Iterator[list[int]]:
    """Numbers of plans that are sampled together: those of about `TOKENS` patches."""
    group: list[int] = []
    total = 0
    for i, plan in plans.items():
        count = tokens(plan, pipeline)
        if group and total + count > TOKENS:
            yield group
            group, total = [], 0
        group.append(i)
        total += count
    yield group
