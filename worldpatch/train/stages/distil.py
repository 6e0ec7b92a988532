"""Few steps: a trained model learns to go in one jump where it went in several, its guidance included.

Its own trajectories are recorded once: plans of the training mix, solved by its guided Euler steps from pure noise.
Then it learns, at a time and with the time it is to arrive at (`until`), the velocity that leads straight there: the
chord between two states of one trajectory. That is piecewise rectified flow (PeRFlow, Yan et al. 2024) with windows of
any length, in the form of a flow map (Boffi et al. 2024), so that 4 steps, 6, or those of an edit are all known to it.
The rest of every batch is plain flow matching: the same weights go on to answer without `until` as they did.
"""

import json
import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Generator, Tensor, nn

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.data.loader import Batches, hash_seed
from worldpatch.flow.guidance import Guidance
from worldpatch.flow.loss import flow_matching_loss
from worldpatch.flow.noise import below, noised, schedule, shift_of
from worldpatch.flow.pack import distinct, pack
from worldpatch.flow.plan import draw_noise, solve, to_device
from worldpatch.generate.models import fingerprint
from worldpatch.train import checkpoint
from worldpatch.train.stages import dit
from worldpatch.types import Cond, Packed, Plan

log = logging.getLogger(__name__)

HELD_OUT = 1  # recorded batches, the first ones, that are never trained on
SHOWN, VARIANTS = 8, 4  # prompts on a sheet, and clips of each
# Options that no trajectory depends on; all others say which plans are solved, or how.
FREE = {
    "recorded", "cache", "jumps", "keep", "budget", "share", "start_from", "data", "validation", "validation_clips",
    "vae", "sheet_level", "twins", "pad_to",
}  # fmt: skip
LONGEST = 1 / 3  # of a trajectory: what a jump of any length spans at most


@dataclass(frozen=True, kw_only=True)
class Config(dit.Config):
    """`start_from` is the model. `recorded` batches of its trajectories, with `share` of the tokens of `budget` each,
    are kept in `cache`: `teacher_steps` guided steps, of which a jump is to span `teacher_steps / jumps`.

    Half of the recorded samples of a step are at one of the `jumps`, half anywhere. `keep` is the weight of plain flow
    matching beside that of the chords.
    """

    recorded: int = 100
    cache: str = "out/trajectories"
    share: float = 0.6
    teacher_steps: int = 24
    guidance: float = 2.0
    jumps: int = 4
    keep: float = 1.0

    def __post_init__(self) -> None:
        if self.teacher_steps % self.jumps:
            raise UserError(f"{self.teacher_steps} teacher_steps are no multiple of {self.jumps} jumps: make them one")
        if not 0 < self.share < 1 or self.recorded <= HELD_OUT:
            raise UserError(f"share {self.share} must lie between 0 and 1, and recorded {self.recorded} be above 1")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Recorded plans at their states, then the clips of plain flow matching; `x` and `target` are theirs together."""

    packed: Packed
    x: Tensor
    target: Tensor
    until: Tensor
    jumping: Tensor  # which tokens are recorded ones
    captions: list[str]


class Task(dit.Task):
    def __init__(self, options: Config, seed: int, device: str):
        super().__init__(replace(options, budget=round(options.budget * (1 - options.share))), seed, device)
        self.few = options
        budget = round(options.budget * options.share)
        self.recorded = Batches(self.data, seed=seed + 1, budget=budget, patch=self.patch, weights=options.weights)
        self.model.to(device)
        self._record(Path(options.cache))

    # -------------------------------------------------------------------------------------------------- trajectories

    def plans(self, number: int) -> tuple[list[Plan], list[tuple[int, int]]]:
        """The plans of a recorded batch as they are sampled, and the seeds of their noise."""
        generator = Generator().manual_seed(hash_seed(self.seed + 1, number))
        plans = [self._plan(item, generator) for item in self.recorded.batch(number)]
        # Whatever is to be drawn starts from noise alone; what is known stays known.
        plans = [replace(plan, start=(plan.start > 0).float()) for plan in plans]
        return plans, [(self.seed, 1000 * number + i) for i in range(len(plans))]

    def _record(self, folder: Path) -> None:
        """Solve what is not yet solved: a file of states "s n c" for each batch. Stopped, it goes on where it was."""
        folder.mkdir(parents=True, exist_ok=True)
        options = self.few
        wanted = {
            "model": fingerprint(Path(options.start_from)), "data": self.data.fingerprint, "seed": str(self.seed),
            "tokens": str(self.recorded.budget), "options": json.dumps(
                {name: value for name, value in config.dump(options).items() if name not in FREE}, sort_keys=True
            ),
        }  # fmt: skip
        begun = time.monotonic()
        missing = [k for k in range(options.recorded) if not _holds(self._file(folder, k), wanted)]
        for done, k in enumerate(missing, start=1):
            draft = folder / "draft"
            checkpoint.write(draft, {"states": self._solved(k)}, wanted)
            draft.rename(self._file(folder, k))
            left = (time.monotonic() - begun) / done * (len(missing) - done)
            log.info("trajectories: %d of %d batches, about %.0f min left", k + 1, options.recorded, left / 60)

    @torch.no_grad()
    def _solved(self, number: int) -> Tensor:
        """The noisy tokens of a batch at each of the teacher's times but the first, at which they are noise."""
        plans, seeds = self.plans(number)
        text, lengths = self.network.text.encode([plan.prompt for plan in plans])
        solving = solve(
            self.network.dit, plans, Cond(text=text, text_lengths=lengths), seeds, spec=self.spec, patch=self.patch,
            steps=self.few.teacher_steps, guidance=Guidance(scale=self.few.guidance), device=self.device,
        )  # fmt: skip
        return torch.stack([state.x.cpu() for state in solving])

    def _file(self, folder: Path, number: int) -> Path:
        return folder / f"batch-{number:05d}.safetensors"

    # ------------------------------------------------------------------------------------------------------- batches

    def batch(self, step: int) -> Batch:  # type: ignore[override]
        """A recorded batch, each sample between two of its states, and clips of plain flow matching."""
        number = HELD_OUT + step % (self.few.recorded - HELD_OUT)
        generator = Generator().manual_seed(hash_seed(self.seed + 2, step))
        plain, drawn, captions = super().batch(step)
        plans, seeds = self.plans(number)
        jumps = self._jumps(number, plans, seeds, [self._span(generator) for _ in plans])
        x, target = noised(plain.tokens, drawn, plain.time)
        both = _joined(jumps.packed, plain)
        return Batch(
            packed=both, x=torch.cat((jumps.x, x)), target=torch.cat((jumps.target, target)),
            until=torch.cat((jumps.until, plain.time)),
            jumping=torch.cat((torch.ones(len(jumps.x)), torch.zeros(len(x)))).bool(),
            captions=[*jumps.captions, *captions],
        )  # fmt: skip

    def _span(self, generator: Generator) -> tuple[int, int]:
        """From which of the teacher's times to which other one."""
        steps, window = self.few.teacher_steps, self.few.teacher_steps // self.few.jumps
        if torch.rand((), generator=generator) < 0.5:
            first = window * below(self.few.jumps, generator)
            return first, first + window
        first = below(steps, generator)
        return first, min(steps, first + 1 + below(max(1, round(LONGEST * steps)), generator))

    def _jumps(
        self, number: int, plans: list[Plan], seeds: list[tuple[int, int]], spans: list[tuple[int, int]]
    ) -> Batch:
        """Recorded samples, each at the first of its two times, with the chord to the second."""
        packed = pack(plans, self.patch, self.spec)
        x, time, until = packed.tokens.clone(), packed.time.clone(), packed.time.clone()
        target, noise = torch.zeros_like(x), draw_noise(plans, packed, seeds)
        with safe_open(self._file(Path(self.few.cache), number), "pt") as file:
            states = file.get_slice("states")
            at = 0
            for s in (s for s in packed.segments if s.rule == "noisy"):
                first, last = spans[s.sample]
                times = schedule(self.few.teacher_steps, shift_of(s.length))

                def state(k: int, rows: slice, own: slice) -> Tensor:
                    return noise[own] if k == 0 else states[k - 1 : k, rows][0]  # noqa: B023

                rows, own = slice(at, at + s.length), slice(s.start, s.stop)
                before, after = state(first, rows, own), state(last, rows, own)
                x[own], target[own] = before, (after - before) / (times[last] - times[first])
                time[own], until[own] = times[first], times[last]
                at += s.length
        return Batch(
            packed=replace(packed, time=time), x=x, target=target, until=until,
            jumping=torch.ones(len(x)).bool(), captions=[plan.prompt for plan in plans],
        )  # fmt: skip

    # ---------------------------------------------------------------------------------------------------------- loss

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, float]]:  # type: ignore[override]
        velocity, batch = self._velocity(model, batch)
        noisy, jumping = batch.packed.noisy, batch.jumping
        jumped = flow_matching_loss(velocity, batch.target, noisy & jumping)
        plain = flow_matching_loss(velocity, batch.target, noisy & ~jumping)
        return jumped + self.few.keep * plain, {
            "loss/jump": float(jumped.detach()),
            "loss/plain": float(plain.detach()),
        }

    def _velocity(self, model: Any, batch: Batch) -> tuple[Tensor, Batch]:
        packed = to_device(batch.packed, self.device)
        batch = replace(batch, packed=packed, **{
            name: getattr(batch, name).to(self.device) for name in ("x", "target", "until", "jumping")
        })  # fmt: skip
        text, lengths = model.text.encode(batch.captions)
        cond = Cond(text=text, text_lengths=lengths, hints=packed.hints)
        times, index, until = distinct(packed.time, batch.until)
        return model.dit(batch.x, packed.position, times, index, packed.segments, cond, until), batch

    def size(self, batch: Batch) -> tuple[int, int, int]:  # type: ignore[override]
        lengths, times = self.network.text.lengths(batch.captions), len(distinct(batch.packed.time, batch.until)[0])
        flops = self.network.dit.flops(batch.packed.segments, lengths, times=times, training=True)
        return len(batch.captions), len(batch.packed.tokens), flops

    def validate(self, model: nn.Module) -> dict[str, float]:
        """As ever, without `until`; and the error of each jump on trajectories that were held out."""
        figures = super().validate(model)
        window = self.few.teacher_steps // self.few.jumps
        plans, seeds = self.plans(0)
        for j in range(self.few.jumps):
            velocity, batch = self._velocity(
                model, self._jumps(0, plans, seeds, [(j * window, (j + 1) * window)] * len(plans))
            )
            figures[f"jump/{j}"] = float(flow_matching_loss(velocity, batch.target, batch.packed.noisy))
        return figures

    def sheet(self, model: nn.Module, path: Path) -> dict[str, float]:
        """Fixed prompts in so many jumps above the same in the teacher's steps; their scores, and the alarm for a
        collapse."""
        from worldpatch.evals import collapse
        from worldpatch.evals.suites import prompts
        from worldpatch.video.sheet import contact_sheet

        if not self.options.sheet_level:
            return {}
        asked = prompts.fixed32(self.options.sheet_level)[:: 32 // SHOWN]
        every = [p for p in asked for _ in range(VARIANTS)]
        plans, pipeline = self._drawn([p.caption for p in every]), self._pipeline(model)
        seeds = [(i // VARIANTS, i % VARIANTS) for i in range(len(plans))]
        ways = {
            "jumps": {"steps": self.few.jumps, "sampler": "jump"},
            "steps": {"steps": self.few.teacher_steps, "guidance": Guidance(scale=self.few.guidance)},
        }
        drawn = {
            name: [f.numpy() for f in pipeline.decode(plans, pipeline.latents(plans, seeds, **way))]
            for name, way in ways.items()
        }
        groups = {name: [of[i : i + VARIANTS] for i in range(0, len(of), VARIANTS)] for name, of in drawn.items()}
        contact_sheet(
            [group[0] for pair in zip(*groups.values(), strict=True) for group in pair],
            [f"{p.caption}, {name}" for p in asked for name in groups], path,
        )  # fmt: skip
        ratios = collapse.compare(groups["jumps"], groups["steps"])
        for alarm in collapse.alarms(ratios):
            log.warning("collapse: in %d jumps %s", self.few.jumps, alarm)
        scores = {f"{name}/{k}": v for name, of in drawn.items() for k, v in prompts.rates(of, every).items()}
        return scores | {f"collapse/{name}": ratio for name, ratio in ratios.items()}


def _joined(one: Packed, other: Packed) -> Packed:
    """Two packed sequences as one."""
    tokens, samples = len(one.tokens), one.samples
    moved = tuple(
        replace(s, start=s.start + tokens, stop=s.stop + tokens, sample=s.sample + samples) for s in other.segments
    )
    fields = ("tokens", "position", "time", "hints")
    return Packed(
        segments=one.segments + moved,
        **{name: torch.cat((getattr(one, name), getattr(other, name))) for name in fields},
    )


def _holds(path: Path, wanted: dict[str, str]) -> bool:
    """Whether a file of states is there, whole, and of the same teacher."""
    if not path.exists():
        return False
    try:
        with safe_open(path, "pt") as file:
            return (file.metadata() or {}) == wanted
    except SafetensorError:
        return False
