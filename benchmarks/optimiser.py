"""AdamW or Muon? The same small transformer, data, batches and steps; what differs is the optimiser and its rate.

    python benchmarks/optimiser.py DATA VALIDATION VAE [--steps 300]

Prints validation loss (mean over ten bins of noise time) and seconds for each, as a Markdown table.
"""

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path

import torch

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("data", "validation", "vae"):
        parser.add_argument(name)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--budget", type=int, default=16 * 112)
    parser.add_argument("--only", nargs="*", default=list(CANDIDATES))
    arguments = parser.parse_args()
    options = {
        "data": [arguments.data], "validation": arguments.validation, "vae": arguments.vae, "budget": arguments.budget,
        "model": {"depth": arguments.depth}, "text": {"width": 64, "depth": 1}, "sheet_level": 0,
    }  # fmt: skip
    sizes = f"depth {arguments.depth}, {arguments.steps} steps of {arguments.budget} tokens"
    print(f"{sizes}, {torch.get_num_threads()} threads\n")
    print("| optimiser | validation loss | seconds |\n|---|---|---|")
    for name in arguments.only:
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            train(run(CANDIDATES[name], options, arguments.steps), Path(folder))
            lines = [json.loads(line) for line in (Path(folder) / "log.jsonl").read_text().splitlines()]
            loss = next(line["val/loss"] for line in reversed(lines) if "val/loss" in line)
            print(f"| {name} | {loss:.4f} | {time.perf_counter() - begun:.0f} |", flush=True)


if __name__ == "__main__":
    main()
