"""Pictures of a law: loss against compute, isoFLOP curves, loss per noise time, learning rates over widths, scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldpatch.train.scaling import points
from worldpatch.train.scaling.law import Law
from worldpatch.train.scaling.points import Point

SIZE = (7.0, 4.6)  # inches
DOTS = 130  # per inch
INK = "#26282c"
COMPUTE = "training compute, FLOPs"


def draw(law: Law, found: Sequence[Point], folder: Path) -> list[Path]:
    """All pictures that the points allow; returns their paths."""
    import matplotlib

    matplotlib.use("Agg")
    of_law = points.law(found)
    made = [_frontier(law, of_law, folder), _isoflop(law, of_law, folder)]
    if all(p.bins for p in of_law):
        made.append(_bins(of_law, folder))
    if law.transfers:
        made.append(_rates(law, points.rates(found), folder))
    if curves := score_curves(of_law):
        made.append(_scores(curves, folder))
    return made


def _frontier(law: Law, found: Sequence[Point], folder: Path) -> Path:
    """Every run, both predictions of the best loss, and the held-out budget's lowest point."""
    figure, axes = _figure(COMPUTE, "validation loss")
    for colour, (size, group) in zip(_colours(len(_by_size(found))), _by_size(found).items(), strict=True):
        group = sorted(group, key=lambda p: p.flops)
        axes.plot([p.flops for p in group], [p.loss for p in group], "o-", color=colour, ms=3, lw=0.8, label=size)
    budgets = sorted({p.budget for p in found})
    span = np.geomspace(budgets[0], budgets[-1] * 1.3, 50)
    axes.plot(span, [law.isoflop.frontier(c) for c in span], color=INK, lw=1.2, label="best, a power law (isoFLOP)")
    best = [law.parametric.loss(*law.parametric.best(c)) for c in span]
    axes.plot(span, best, "--", color=INK, lw=1.2, label="best, with a floor (parametric)")
    held = law.held_out.valley
    axes.plot(held.budget, held.loss, "*", color="#c0392b", ms=13, label="held out: lowest point", zorder=5)
    axes.axvspan(budgets[-2] * 1.2, span[-1], color="0.93", zorder=0)
    axes.set(xscale="log", yscale="log")
    _plain_ticks(axes.yaxis)
    axes.legend(fontsize=7, frameon=False, ncols=2)
    return _save(figure, folder / "loss_compute.png")


def _isoflop(law: Law, found: Sequence[Point], folder: Path) -> Path:
    figure, axes = _figure("parameters of the blocks", "validation loss")
    valleys = [*law.isoflop.valleys, law.held_out.valley]
    for colour, valley in zip(_colours(len(valleys)), valleys, strict=True):
        group = sorted((p for p in found if p.budget == valley.budget), key=lambda p: p.parameters)
        n = np.array([p.parameters for p in group])
        held = valley is law.held_out.valley
        label = f"{valley.budget:.2g} FLOPs{', held out' if held else ''}"
        axes.plot(n, [p.loss for p in group], "*" if held else "o", color=colour, ms=7 if held else 4, label=label)
        if valley.curve[0] > 0:
            span = np.geomspace(max(n.min(), valley.parameters / 6), min(n.max(), valley.parameters * 6), 60)
            axes.plot(span, np.polyval(valley.curve, np.log(span)), color=colour, lw=1, ls="--" if held else "-")
            axes.plot(valley.parameters, valley.loss, "x", color=colour, ms=7)
    axes.plot(law.held_out.isoflop_parameters, law.held_out.valley.loss, "|", color=INK, ms=16, label="size predicted")
    axes.set(xscale="log")
    axes.legend(fontsize=7, frameon=False)
    return _save(figure, folder / "isoflop.png")


def _bins(found: Sequence[Point], folder: Path) -> Path:
    """Where in noise time compute helps: the best run's loss per tenth, one line per budget."""
    figure, axes = _figure("noise time (0 clean, 1 pure noise)", "validation loss")
    best = points.best(found)
    for colour, point in zip(_colours(len(best)), best, strict=True):
        times = (np.arange(len(point.bins)) + 0.5) / len(point.bins)
        axes.plot(times, point.bins, "o-", color=colour, ms=3, lw=1, label=f"{point.budget:.2g} FLOPs")
    axes.legend(fontsize=7, frameon=False)
    return _save(figure, folder / "loss_times.png")


def _rates(law: Law, found: Sequence[Point], folder: Path) -> Path:
    """A heat map per parametrisation: loss above the width's best one, and where the best rates lie."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(law.transfers), figsize=(4.6 * len(law.transfers), 3.4), squeeze=False)
    for axes, transfer in zip(panels[0], law.transfers, strict=True):
        mine = [p for p in found if p.base_width == transfer.base_width]
        widths, rates = ([*sorted({getattr(p, name) for p in mine})] for name in ("width", "rate"))
        table = np.full((len(widths), len(rates)), np.nan)
        for p in mine:
            table[widths.index(p.width), rates.index(p.rate)] = p.loss
        above = table - np.nanmin(table, axis=1, keepdims=True)
        image = axes.imshow(above, cmap="viridis_r", aspect="auto", vmin=0, vmax=0.3, origin="lower")
        for row, column in np.ndindex(table.shape):
            ink = "white" if above[row, column] > 0.15 else INK
            axes.text(column, row, f"{table[row, column]:.3f}", ha="center", va="center", fontsize=7, color=ink)
        at = [np.interp(np.log(b.rate), np.log(rates), range(len(rates))) for b in transfer.best]
        below = [widths.index(b.width) - 0.25 for b in transfer.best]  # the figures stay legible
        axes.plot(at, below, "-", color="#c0392b", marker="D", ms=5)
        axes.set_xticks(range(len(rates)), [f"{r:g}" for r in rates], fontsize=7)
        axes.set_yticks(range(len(widths)), [f"{w}" for w in widths], fontsize=7)
        title = f"muP, base width {transfer.base_width}" if transfer.base_width else "one rate for all"
        axes.set_title(f"{title}: best rate drifts {transfer.drift:.2g}-fold", fontsize=9)
        axes.set_xlabel("learning rate", fontsize=9)
        axes.set_ylabel("width", fontsize=9)
        figure.colorbar(image, ax=axes, label="loss above the width's best")
    return _save(figure, folder / "rates.png")


def score_curves(found: Sequence[Point]) -> dict[str, list[tuple[float, float]]]:
    """(FLOPs, value) of the best run of each budget: physics errors where a probe measured them, else the prompt score.

    The prompt score stands in, as the share of what prompts ask for that is wrong; it is no physics.
    """
    best = points.best(found)
    names = sorted({k for p in best for k in p.scores if k.startswith(points.PHYSICS)})
    if names:
        return {n.removeprefix(points.PHYSICS): [(p.flops, p.scores[n]) for p in best if n in p.scores] for n in names}
    judged = [p for p in best if p.scores]
    wrong = [(p.flops, 1 - float(np.mean(list(p.scores.values())))) for p in judged]
    return {"share of prompt criteria failed (stands in for physics)": wrong} if wrong else {}


def _scores(curves: dict[str, list[tuple[float, float]]], folder: Path) -> Path:
    figure, axes = _figure(COMPUTE, "error of the best network")
    for colour, (name, pairs) in zip(_colours(len(curves)), curves.items(), strict=True):
        axes.plot(*zip(*pairs, strict=True), "o-", color=colour, ms=4, lw=1, label=name)
    axes.set(xscale="log")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8, frameon=False)
    return _save(figure, folder / "physics_compute.png")


# ------------------------------------------------------------------------------------------------------------- pieces


def _figure(across: str, up: str) -> tuple[Any, Any]:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=SIZE)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _plain_ticks(axis: Any) -> None:
    """0.8 and 0.9 instead of 8 x 10^-1."""
    from matplotlib.ticker import FormatStrFormatter, MaxNLocator, NullLocator

    axis.set_major_locator(MaxNLocator(6))
    axis.set_major_formatter(FormatStrFormatter("%.3g"))
    axis.set_minor_locator(NullLocator())


def _colours(count: int) -> list[Any]:
    import matplotlib

    return list(matplotlib.colormaps["viridis"](np.linspace(0, 0.88, count)))


def _by_size(found: Sequence[Point]) -> dict[str, list[Point]]:
    sizes = sorted({(p.parameters, p.depth, p.width) for p in found})
    return {
        f"depth {d}, width {w}, {n / 1e6:.2g}M": [p for p in found if (p.parameters, p.depth, p.width) == (n, d, w)]
        for n, d, w in sizes
    }


def _save(figure: Any, path: Path) -> Path:
    import matplotlib.pyplot as plt

    figure.tight_layout()
    figure.savefig(path, dpi=DOTS)
    plt.close(figure)
    return path
