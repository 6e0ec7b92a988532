"""A sweep as data: sizes, budgets, seeds and learning rates become runs that share what they can.

Training has a constant rate and a falling last part (WSD), so one long run serves all budgets of a size: it is a trunk,
and at each budget a copy of it is cooled down and measured. Such a copy has the bits of a run of that length alone.
"""

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.train.loop import Run, resolve_precision

SAMPLED = 8  # batches whose mean says what a step costs
FREE = ("steps", "save_minutes", "sheet_minutes", "validate_every")  # what may differ when a sweep is taken up again

Size = tuple[int, int]
"""Depth and width of a backbone."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What a recipe of `worldpatch scale` returns.

    `base` is what all runs share, its model but for depth and width included; its warm-up should be over before the
    shortest run cools down. Each size is trained at each of the rising `budgets` (training FLOPs) that gives it from
    `least_steps` to `most_steps`, with each seed. `rate_sizes` are trained for `rate_steps` at each of `rates` instead,
    with each of `base_widths` (`Optim.base_width`; 0: one rate for all), to see whether the best rate depends on width.
    """

    base: Run
    sizes: tuple[Size, ...] = ()
    budgets: tuple[float, ...] = ()
    seeds: tuple[int, ...] = (0,)
    least_steps: int = 100
    most_steps: int = 10**9
    rate_sizes: tuple[Size, ...] = ()
    rates: tuple[float, ...] = ()
    rate_steps: int = 200
    base_widths: tuple[int, ...] = (0,)


@dataclass(frozen=True, kw_only=True)
class End:
    """Where a trunk is measured: after so many steps, for a budget of training FLOPs (0: to compare rates)."""

    budget: float
    steps: int


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """One network and its ends. `flops` and `tokens` are those of a step, `parameters` the blocks'."""

    depth: int
    width: int
    seed: int
    rate: float
    base_width: int
    parameters: int
    flops: float
    tokens: float
    ends: tuple[End, ...]

    @property
    def name(self) -> str:
        return f"d{self.depth}-w{self.width}-r{self.rate:g}-b{self.base_width}-s{self.seed}"

    def run(self, base: Run, end: End) -> Run:
        """The run that ends there; those of one trunk differ in nothing but their length."""
        options = {**base.options, "model": {**base.options.get("model", {}), "depth": self.depth, "width": self.width}}
        if not end.budget:
            options["sheet_level"] = 0
        optim = replace(base.optim, rate=self.rate, base_width=self.base_width)
        return replace(base, steps=end.steps, seed=self.seed, options=options, optim=optim)

    def cost(self, decay: float) -> float:
        """Training FLOPs of the trunk and of all its ends' falling parts."""
        fork = (1 - decay) * max(end.steps for end in self.ends)
        return self.flops * (fork + sum(decay * end.steps for end in self.ends))


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a law is about, enough to count the FLOPs of any size: the backbone and the clip that is usual in a batch.

    `model` are the fields of the backbone's Config but for depth and width; `grid` is in patches, `rate` in frames per
    second, `text` in tokens; `batch` are the patches and `clips` the clips of a step.
    """

    backbone: str
    model: dict[str, Any]
    grid: tuple[int, int, int]
    rate: float
    text: int
    batch: float
    clips: float
    data: int  # clips in the training set
    learning_rate: float
    base_width: int
    sizes: tuple[Size, ...]


def survey(grid: Grid) -> tuple[list[Trunk], Setting]:
    """All trunks, the costliest first, and what they are about. Raises UserError on a grid that makes no sense."""
    _check(grid)
    stage, optim = config.resolve("train/stages", grid.base.stage), grid.base.optim
    task = stage.Task(config.build(stage.Config, grid.base.options, "options."), grid.base.seed, "cpu")
    batches = [task.batch(step) for step in range(SAMPLED)]
    setting = _setting(grid, task, batches)
    costs = {size: _cost(task, batches, size) for size in (*grid.sizes, *grid.rate_sizes)}
    made = []
    for size, seed in itertools.product(grid.sizes, grid.seeds):
        steps = [(budget, round(budget / costs[size]["flops"])) for budget in grid.budgets]
        if ends := tuple(End(budget=b, steps=n) for b, n in steps if grid.least_steps <= n <= grid.most_steps):
            made.append(_trunk(size, seed, optim.rate, optim.base_width, ends, costs[size]))
    for size, rate, base_width in itertools.product(grid.rate_sizes, grid.rates, grid.base_widths):
        end = End(budget=0.0, steps=grid.rate_steps)
        made.append(_trunk(size, grid.seeds[0], rate, base_width, (end,), costs[size]))
    if not made:
        span = f"{grid.least_steps} to {grid.most_steps} steps"
        raise UserError(f"no size gets {span} at {grid.budgets[0]:g} to {grid.budgets[-1]:g} FLOPs: change the budgets")
    return sorted(made, key=lambda trunk: -trunk.cost(optim.decay)), setting


def _trunk(
    size: Size, seed: int, rate: float, base_width: int, ends: tuple[End, ...], costs: dict[str, Any]
) -> Trunk:  # fmt: skip
    return Trunk(depth=size[0], width=size[1], seed=seed, rate=rate, base_width=base_width, ends=ends, **costs)


def _check(grid: Grid) -> None:
    if not 0 < grid.base.optim.decay < 1:
        raise UserError(f"optim.decay {grid.base.optim.decay} of a sweep must lie between 0 and 1: 0.2 is usual")
    if list(grid.budgets) != sorted(set(grid.budgets)) or any(b <= 0 for b in grid.budgets):
        raise UserError(f"budgets {grid.budgets} must be positive and rise")
    if not grid.seeds or not (grid.sizes and grid.budgets or grid.rate_sizes and grid.rates):
        raise UserError("the grid asks for no run: give sizes and budgets, or rate_sizes and rates, and a seed")


def _cost(task: Any, batches: Sequence[Any], size: Size) -> dict[str, Any]:
    """FLOPs and tokens of a size's mean step, on the batches it will see first, and the parameters of its blocks."""
    shape = replace(task.model.dit.config, depth=size[0], width=size[1])
    with torch.device("meta"):  # only counted
        task.model.dit = type(task.model.dit)(shape)
    found = [task.size(batch) for batch in batches]
    return {
        "flops": sum(flops for _, _, flops in found) / len(found),
        "tokens": sum(tokens for _, tokens, _ in found) / len(found),
        "parameters": sum(p.numel() for p in task.model.dit.blocks.parameters()),
    }


def _setting(grid: Grid, task: Any, batches: Sequence[Any]) -> Setting:
    segments = [s for packed, _, _ in batches for s in packed.segments if s.rule == "noisy" and s.kind != "padding"]
    usual = Counter((s.grid, s.rate) for s in segments).most_common(1)[0][0]
    captions = [caption for _, _, of in batches for caption in of]
    shape = json.loads(json.dumps(config.dump(task.model.dit.config)))  # as it will be read again
    model = {k: v for k, v in shape.items() if k not in ("depth", "width")}
    return Setting(
        backbone=task.options.backbone, model=model, grid=usual[0], rate=usual[1],
        text=round(sum(task.model.text.lengths(captions)) / len(captions)),
        batch=sum(len(packed.tokens) for packed, _, _ in batches) / len(batches), clips=len(captions) / len(batches),
        data=len(task.data), learning_rate=grid.base.optim.rate, base_width=grid.base.optim.base_width,
        sizes=grid.sizes,
    )  # fmt: skip


def settle(grid: Grid, folder: Path, device: str) -> Grid:
    """The grid with one precision for all its runs: "auto" is measured once, not by each run on a busier machine.

    Raises UserError where the folder holds the runs of another base.
    """
    precision = grid.base.precision
    if (folder / "grid.json").exists():
        former = recall(folder)[0]["base"]
        values = json.loads(json.dumps(config.dump(grid)))["base"]
        precision = former["precision"] if precision == "auto" else precision
        if any(former.get(k) != v for k, v in {**values, "precision": precision}.items() if k not in FREE):
            raise UserError(f"{folder} holds a sweep of another base run: give another folder, or delete it")
    return replace(grid, base=replace(grid.base, precision=resolve_precision(precision, device)))


def remember(grid: Grid, setting: Setting, folder: Path) -> None:
    """Write down what is swept."""
    values = {"grid": config.dump(grid), "setting": config.dump(setting)}
    (folder / "grid.json").write_text(json.dumps(values, indent=1) + "\n")


def recall(folder: Path) -> tuple[dict[str, Any], Setting]:
    """The grid as plain values, and the setting, of a sweep. Raises UserError where there is none."""
    path = folder / "grid.json"
    if not path.exists():
        raise UserError(f"{path} is missing: give the folder of a `worldpatch scale run`")
    values = json.loads(path.read_text())
    return values["grid"], config.build(Setting, values["setting"], "setting.")
