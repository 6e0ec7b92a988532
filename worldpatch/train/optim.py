"""Optimisers, the learning-rate schedule, adaptive clipping and the moving average of the weights."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from worldpatch.config import UserError


@dataclass(frozen=True, kw_only=True)
class Optim:
    """How weights move.

    Warm-up, then constant, then linear decay over the last `decay` of all steps (WSD, Hu et al. 2024): the constant
    part does not depend on the total, so a run can be lengthened. `name` "adamw", or "muon" for the matrices inside
    blocks (Jordan et al. 2024) with AdamW for the rest.

    With a `base_width`, matrices of the backbone that read k times as many numbers as they would at that width learn at
    rate / k, so that the rate tuned there is the best one at every width (muP, Yang et al. 2022, table 3; for diffusion
    transformers Zheng et al. 2025, arXiv 2505.15270). Its other half, initial weights by fan-in, is what the networks
    have anyway.
    """

    name: str = "adamw"
    rate: float = 1e-3
    base_width: int = 0  # 0: one rate for all
    warmup: int = 200
    decay: float = 0.2
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    muon_rate: float = 1e-3  # on AdamW's scale of updates (Liu et al. 2025, "Muon is scalable")
    ema: float = 0.999


def make_optimisers(model: nn.Module, optim: Optim) -> list[torch.optim.Optimizer]:
    """AdamW, or Muon on the matrices of blocks and AdamW on all else; weight decay on matrices only."""
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    if optim.name not in ("adamw", "muon"):
        raise ValueError(f"optimiser {optim.name!r} is unknown; known: adamw, muon")
    muon = [p for n, p in named if optim.name == "muon" and _is_matrix(n, p)]
    chosen = {id(p) for p in muon}
    groups = _groups(model, [p for _, p in named if id(p) not in chosen], optim)
    made: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=optim.rate, betas=optim.betas)]
    if muon:
        made.append(
            torch.optim.Muon(muon, lr=optim.muon_rate, weight_decay=optim.weight_decay, adjust_lr_fn="match_rms_adamw")
        )
    for optimiser in made:
        for group in optimiser.param_groups:
            group["peak"] = group["lr"]
    return made


def _groups(model: nn.Module, parameters: list[nn.Parameter], optim: Optim) -> list[dict[str, Any]]:
    """AdamW's groups: vectors without weight decay, and matrices, those of a rate of their own apart."""
    growth = _growth(model, optim.base_width) if optim.base_width else {}
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {(True, 1.0): [], (False, 1.0): []}
    for p in parameters:
        groups.setdefault((p.ndim >= 2, growth.get(id(p), 1.0)), []).append(p)
    return [
        {"params": of, "lr": optim.rate / k, "weight_decay": optim.weight_decay if matrix else 0.0}
        for (matrix, k), of in groups.items()
    ]


def _growth(model: nn.Module, base_width: int) -> dict[int, float]:
    """How many times more numbers each linear layer of the backbone reads than in one that is `base_width` wide."""
    dit: Any = getattr(model, "dit", None)
    if dit is None:
        raise UserError(f"optim.base_width {base_width} is for a model with a backbone: leave it out here")
    with torch.device("meta"):  # for its shapes alone
        base = type(dit)(replace(dit.config, width=base_width))
    pairs = zip(dit.modules(), base.modules(), strict=True)
    return {id(m.weight): m.in_features / b.in_features for m, b in pairs if isinstance(m, nn.Linear)}


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter is the matrix of a linear layer inside a block, which is what Muon is for."""
    return parameter.ndim == 2 and name.endswith("weight") and (".blocks." in name or ".layers." in name)


def schedule(step: int, steps: int, optim: Optim) -> float:
    """Share of the peak learning rate at a step."""
    left = (steps - step) / max(1.0, optim.decay * steps)
    return min(1.0, (step + 1) / max(1, optim.warmup), max(left, 0.0))


class Clipper:
    """Clips gradients at the running mean of their norm plus three deviations (Open-Sora-Plan 1.5, report).

    A fixed limit is either idle or always on as training goes; this one takes only the spikes.
    """

    def __init__(self, memory: float = 0.98):
        self.memory, self.mean, self.square, self.seen = memory, 0.0, 0.0, 0

    def __call__(self, parameters: list[nn.Parameter]) -> tuple[float, float]:
        """Clip in place; returns (norm before, limit). A norm that is no number zeroes the step."""
        grads = [p.grad for p in parameters if p.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(grads))
        limit = self.limit()
        if not math.isfinite(norm):
            for g in grads:
                g.zero_()
            return norm, limit
        if norm > limit:
            torch.nn.utils.clip_grads_with_norm_(parameters, limit, torch.tensor(norm))
        kept, m = min(norm, limit), min(self.memory, self.seen / (self.seen + 1))
        self.mean, self.square = m * self.mean + (1 - m) * kept, m * self.square + (1 - m) * kept**2
        self.seen += 1
        return norm, limit

    def limit(self) -> float:
        if self.seen < 20:
            return math.inf
        return self.mean + 3 * math.sqrt(max(self.square - self.mean**2, 0.0)) + 1e-12


class Average:
    """Exponential moving average of the weights, shorter at the beginning so that it does not remember noise."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self.weights: dict[str, Tensor] = {n: p.detach().clone() for n, p in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1 - decay)
            else:
                self.weights[name].copy_(value)
