"""The curve of a fine-tuning: losses over steps, and where it began to learn by heart."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from worldpatch.config import UserError
from worldpatch.train.loop import SLACK


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Losses at each validation: of clips trained on (`fit`), held out, and of the model's own (none: empty)."""

    steps: tuple[int, ...]
    fit: tuple[float, ...]
    held_out: tuple[float, ...]
    prior: tuple[float, ...] = ()

    @property
    def best(self) -> int:
        """The step whose weights are kept: the latest whose loss of clips held out is within SLACK of the lowest."""
        kept, lowest = self.steps[0], math.inf
        for step, loss in zip(self.steps, self.held_out, strict=True):
            if loss <= (1 + SLACK) * lowest:
                kept, lowest = step, min(loss, lowest)
        return kept

    @property
    def over_fitted(self) -> bool:
        """Whether the clips held out got worse after the best step, while those trained on got better."""
        at = self.steps.index(self.best)
        return self.best < self.steps[-1] and self.fit[-1] < self.fit[at]


def read(log: Path) -> Curve:
    """The curve in a run's log.jsonl; of a run that was resumed the last word on each step."""
    lines = {}
    for line in log.read_text().splitlines():
        figures = json.loads(line)
        if "val/loss" in figures:
            lines[figures["step"]] = figures
    if not lines:
        raise UserError(f"{log} holds no validation yet: let the run go on")
    rows = [lines[step] for step in sorted(lines)]
    prior = tuple(row["prior/loss"] for row in rows) if "prior/loss" in rows[0] else ()
    return Curve(
        steps=tuple(sorted(lines)), fit=tuple(row["fit/loss"] for row in rows),
        held_out=tuple(row["val/loss"] for row in rows), prior=prior,
    )  # fmt: skip


def say(curve: Curve) -> str:
    """One sentence for the end of a run."""
    first, best = curve.held_out[0], curve.held_out[curve.steps.index(curve.best)]
    text = f"held-out loss {first:.4f} -> {best:.4f} at step {curve.best}, which was kept"
    if curve.best == 0:
        return f"held-out loss {first:.4f} was never beaten: what was kept is the model as it was"
    return text + (f"; from there on the clips were learned by heart ({curve.held_out[-1]:.4f} at the end)"
                   if curve.over_fitted else "")  # fmt: skip


def draw(curve: Curve, path: Path) -> Path:
    """A PNG of the curve. Needs matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.4), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.plot(curve.steps, curve.fit, "o-", ms=3, color="#2f6db3", label="clips trained on")
    axes.plot(curve.steps, curve.held_out, "o-", ms=3, color="#c0392b", label="clips held out")
    if curve.prior:
        axes.plot(curve.steps, curve.prior, "o-", ms=3, color="0.6", label="what it knew before")
    axes.axvline(curve.best, color="#26282c", lw=0.8, ls=":")
    axes.annotate(
        "kept",
        (curve.best, curve.held_out[curve.steps.index(curve.best)]),
        (4, -12),
        textcoords="offset points",
        fontsize=8,
    )
    if curve.over_fitted:
        axes.axvspan(curve.best, curve.steps[-1], color="#c0392b", alpha=0.08, lw=0, label="learned by heart")
    axes.set(xlabel="step", ylabel="flow-matching loss")
    axes.legend(fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)
    return path
