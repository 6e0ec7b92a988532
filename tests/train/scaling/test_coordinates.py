"""The coordinate check of muP (Yang et al. 2022, appendix D.1): what a few steps change does not grow with width."""

import numpy as np
import torch
from torch import nn

from tests import builders
from worldpatch.train.optim import Optim, make_optimisers

WIDTHS = (64, 128, 256, 512)
STEPS, RATE = 3, 3e-3


def changes(base_width: int) -> dict[str, float]:
    """How fast, as an exponent of the width, the change of each place grows that STEPS steps of AdamW make.

    Places are what each block adds up to; the change is the mean size of its entries.
    """
    table: dict[str, list[float]] = {}
    for width in WIDTHS:
        for place, change in _changed(width, base_width).items():
            table.setdefault(place, []).append(change)
    return {place: float(np.polyfit(np.log(WIDTHS), np.log(sizes), 1)[0]) for place, sizes in table.items()}


def _changed(width: int, base_width: int) -> dict[str, float]:
    torch.manual_seed(0)
    model = builders.backbone(perturbed=False, depth=3, width=width, head_width=32)
    packed, cond = builders.mixed()
    target = torch.randn(packed.tokens.shape)
    seen: dict[str, torch.Tensor] = {}

    def listen(name: str):
        return lambda _, inputs, out: seen.update({name: out[0].detach()})

    for name, block in model.get_submodule("blocks").named_children():
        block.register_forward_hook(listen(f"block {name}"))
    optimisers = make_optimisers(nn.ModuleDict({"dit": model}), Optim(rate=RATE, base_width=base_width))
    builders.velocity_of(model, packed, cond)
    before = dict(seen)
    for _ in range(STEPS):
        loss = (builders.velocity_of(model, packed, cond) - target)[packed.noisy].square().mean()
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
    builders.velocity_of(model, packed, cond)
    return {place: float((seen[place] - x).abs().mean()) for place, x in before.items()}


def test_changes_keep_their_size_under_mup_and_grow_without():
    mup, plain = changes(base_width=64), changes(base_width=0)
    assert max(map(abs, mup.values())) < 0.1, mup
    assert min(plain.values()) > 0.7, plain
