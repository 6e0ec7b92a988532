"""What does it cost that context never looks at the noise? The same small transformer with one-way and full attention.

    python benchmarks/context.py DATA VALIDATION VAE [--short] [--steps 400] [--depth 4] [-o result.md]

Under the one-way rule known patches attend to what is known, so that their keys and values are computed once per
sample and not once per step. Under the full rule they attend to noisy patches as well. All else is equal: data,
batches, noise, steps. Judged by the validation loss (mean over ten bins of noise time) of whole clips, where no patch
is known, and of clips whose first latent frame is. The prefix (registers, shape, text) asks nothing under either
rule: it only gives keys and values of its own.
"""

import dataclasses
from unittest import mock

import torch
from _machine import Report
from _trials import run, trained, trial_parser, validation_loss
from torch import Tensor

from worldpatch.dit._attention import Layout
from worldpatch.train.optim import Optim
from worldpatch.train.stages import dit
from worldpatch.types import Plan

SEEDS = (0, 1)


def everyone(layout: Layout) -> list[tuple[Tensor, Tensor]]:
    """The full rule: all patches of a sample attend to its prefix and to all of its patches."""
    patches = [(prefix, torch.cat((known, noisy))) for prefix, known, noisy in layout.samples]
    return [(asking - layout.offset, torch.cat((prefix, asking))) for prefix, asking in patches]


RULES = {"one-way": Layout.asked, "full": property(everyone)}


def losses(task: dit.Task) -> tuple[float, float]:
    """Validation loss of whole clips, and of what follows a first latent frame that is known."""
    whole, fixed = validation_loss(task), task._fixed

    def following(*of: object) -> Plan:
        plan = fixed(*of)  # type: ignore[arg-type]
        plan.start[0] = 0
        return plan

    with mock.patch.object(task, "_fixed", following):
        return whole, validation_loss(task)


def main() -> None:
    made = trial_parser(__doc__)
    made.set_defaults(steps=400, depth=4)
    arguments = made.parse_args()
    report = Report("One-way or full attention", arguments)
    runs = [dataclasses.replace(run(arguments, Optim(rate=1.5e-3)), seed=seed) for seed in SEEDS]
    steps = runs[0].steps
    report.say(f"\nDepth {arguments.depth}, {steps} steps of {arguments.budget} tokens, decay over the last 30%.")
    rows = []
    for one in runs:
        for name, rule in RULES.items():
            with mock.patch.object(Layout, "asked", rule):
                whole, following, spent = trained(one, losses)
            rows.append((name, one.seed, f"{whole:.4f}", f"{following:.4f}", f"{spent:.0f}"))
    report.table(("attention", "seed", "whole clips", "first frame known", "seconds"), rows)
    report.finish()


if __name__ == "__main__":
    main()
