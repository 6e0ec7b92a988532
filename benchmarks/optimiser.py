"""AdamW or Muon? The same small transformer, data, batches and steps; what differs is the optimiser and its rate.

    python benchmarks/optimiser.py DATA VALIDATION VAE [--short] [--steps 200] [-o result.md]

Judged by the validation loss (mean over ten bins of noise time) after equal steps; the recipes take the winner.
"""

from _machine import Report
from _trials import run, trained, trial_parser, validation_loss

from worldpatch.train.optim import Optim

CANDIDATES = {
    "adamw 5e-4": Optim(name="adamw", rate=5e-4),
    "adamw 1e-3": Optim(name="adamw", rate=1e-3),
    "adamw 2e-3": Optim(name="adamw", rate=2e-3),
    "muon 5e-4": Optim(name="muon", rate=1e-3, muon_rate=5e-4),
    "muon 1e-3": Optim(name="muon", rate=1e-3, muon_rate=1e-3),
    "muon 2e-3": Optim(name="muon", rate=1e-3, muon_rate=2e-3),
}


def main() -> None:
    arguments = trial_parser(__doc__).parse_args()
    report = Report("AdamW or Muon", arguments)
    runs = {name: run(arguments, optim) for name, optim in CANDIDATES.items()}
    steps = next(iter(runs.values())).steps
    report.say(f"\nDepth {arguments.depth}, {steps} steps of {arguments.budget} tokens, decay over the last 30%.")
    found = {name: trained(made, lambda task: (validation_loss(task),)) for name, made in runs.items()}
    ranked = sorted(found.items(), key=lambda item: item[1][0])
    report.table(
        ("optimiser", "validation loss", "seconds"), [(n, f"{loss:.4f}", f"{spent:.0f}") for n, (loss, spent) in ranked]
    )
    report.say(f"\nThe lowest loss is that of {ranked[0][0]}.")
    report.finish()


if __name__ == "__main__":
    main()
