"""AdamW or Muon? The same small transformer, data, batches and steps; what differs is the optimiser and its rate.

    python benchmarks/optimiser.py DATA VALIDATION VAE [--short] [--steps 200] [-o result.md]

Judged by the validation loss (mean over ten bins of noise time) after equal steps; the recipes take the winner.
"""

import dataclasses
import json
import tempfile
import time
from pathlib import Path

from _machine import Report, parser

from worldpatch.train.loop import Run, train
from worldpatch.train.optim import Optim

CANDIDATES = {
    "adamw 5e-4": Optim(name="adamw", rate=5e-4),
    "adamw 1e-3": Optim(name="adamw", rate=1e-3),
    "adamw 2e-3": Optim(name="adamw", rate=2e-3),
    "muon 5e-4": Optim(name="muon", rate=1e-3, muon_rate=5e-4),
    "muon 1e-3": Optim(name="muon", rate=1e-3, muon_rate=1e-3),
    "muon 2e-3": Optim(name="muon", rate=1e-3, muon_rate=2e-3),
}


def run(optim: Optim, options: dict, steps: int) -> Run:
    optim = dataclasses.replace(optim, warmup=steps // 10, decay=0.3, ema=0.98)
    return Run(stage="dit", steps=steps, options=options, optim=optim, sheet_minutes=1e9, validate_every=10**9)


def trained(optim: Optim, options: dict, steps: int) -> tuple[float, float]:
    """(validation loss, seconds) of a run from nothing."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        train(run(optim, options, steps), Path(folder))
        spent = time.perf_counter() - begun
        lines = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
    return next(line["val/loss"] for line in reversed(lines) if "val/loss" in line), spent


def main() -> None:
    made = parser(__doc__)
    for name in ("data", "validation", "vae"):
        made.add_argument(name)
    made.add_argument("--steps", type=int, default=200)
    made.add_argument("--depth", type=int, default=2)
    made.add_argument("--budget", type=int, default=16 * 112, help="patch tokens per step")
    arguments = made.parse_args()
    steps = 4 if arguments.short else arguments.steps
    options = {
        "data": [arguments.data], "validation": arguments.validation, "vae": arguments.vae, "budget": arguments.budget,
        "model": {"depth": arguments.depth}, "text": {"width": 64, "depth": 1}, "sheet_level": 0,
    }  # fmt: skip
    report = Report("AdamW or Muon", arguments)
    report.say(f"\nDepth {arguments.depth}, {steps} steps of {arguments.budget} tokens, decay over the last 30%.")
    found = {name: trained(optim, options, steps) for name, optim in CANDIDATES.items()}
    ranked = sorted(found.items(), key=lambda item: item[1][0])
    report.table(
        ("optimiser", "validation loss", "seconds"), [(n, f"{loss:.4f}", f"{spent:.0f}") for n, (loss, spent) in ranked]
    )
    report.say(f"\nThe lowest loss is that of {ranked[0][0]}.")
    report.finish()


if __name__ == "__main__":
    main()
