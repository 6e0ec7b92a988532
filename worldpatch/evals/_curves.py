"""Cards beside each other: what differs, and curves of skills."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from worldpatch.config import UserError
from worldpatch.evals import card
from worldpatch.evals._page import bars


def compare(cards: Sequence[dict[str, Any]]) -> str:
    """Markdown: every group's skill, a column per card. Raises UserError that says why cards cannot be compared."""
    first, *rest = cards
    for other in rest:
        if reasons := card.differences(first, other):
            names = f"{first['subject']['name']} and {other['subject']['name']}"
            raise UserError(f"cards of {names} cannot be compared: {'; '.join(reasons)}; make both in the same way")
    heads = [name(c) for c in cards]
    lines = ["| skill | " + " | ".join(heads) + " |", "|---" * (len(cards) + 1) + "|"]
    for rows in zip(*map(bars, cards), strict=True):
        cells = [f"{100 * skill:.0f}% ({100 * low:.0f} to {100 * high:.0f})" for _, skill, (low, high), _ in rows]
        lines.append(f"| {rows[0][0].rstrip(' *')} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def name(made: dict[str, Any]) -> str:
    """What was judged, with its step of training where it is known."""
    step = made["subject"].get("step")
    return made["subject"]["name"] + (f", step {step}" if step else "")


def curves(cards: Sequence[dict[str, Any]], path: Path) -> None:
    """A PNG: skills over the floating-point operations of training where all cards tell them, else card by card."""
    from matplotlib.figure import Figure

    flops = [c["subject"].get("flops") for c in cards]
    known = all(flops) and len(set(flops)) == len(cards)
    x = flops if known else list(range(len(cards)))
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.subplots()
    for i, rows in enumerate(zip(*map(bars, cards), strict=True)):
        label, y = rows[0][0].rstrip(" *"), [skill for _, skill, *_ in rows]
        below = [max(0.0, skill - low) for _, skill, (low, _), _ in rows]
        above = [max(0.0, high - skill) for _, skill, (_, high), _ in rows]
        if i == 0:
            axes.errorbar(x, y, [below, above], color="black", lw=2.5, marker="o", capsize=3, label=label, zorder=3)
        else:
            axes.plot(x, y, lw=1, marker=".", alpha=0.8, label=label)
    if known:
        axes.set(xscale="log", xlabel="floating-point operations of training")
    else:
        axes.set_xticks(x, [name(c) for c in cards])
    axes.set(ylim=(-0.02, 1.02), ylabel="skill", title=cards[0]["suite"])
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right center", frameon=False, fontsize=8)
    figure.savefig(path)
