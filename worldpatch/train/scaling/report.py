"""A law as Markdown."""

from collections.abc import Sequence
from pathlib import Path

from worldpatch.train.scaling import points
from worldpatch.train.scaling.fits import CONFIDENCE, DELTA, NEAR, Power
from worldpatch.train.scaling.law import Law
from worldpatch.train.scaling.plots import score_curves
from worldpatch.train.scaling.points import Point
from worldpatch.train.scaling.rates import Transfer

CAPTIONS = {
    "loss_compute.png": "Loss against compute; grey: what no fit has seen",
    "isoflop.png": "One curve per budget; crosses: lowest points",
    "loss_times.png": "Loss per noise time of each budget's best network",
    "rates.png": "Learning rate and width",
    "physics_compute.png": "What samples get wrong against compute",
    "sheet.png": "The same prompts and noise at small, middle and large compute",
}

HEAD = """# Scaling law

{count} networks of {low:.2g}M to {high:.2g}M parameters, {seeds} seed(s), clips of {grid} patches, batches of
{batch:.0f}, {precision} ({flops:.2g} FLOPs, each network counted from its beginning, at {rate:.0f} GFLOP/s). The
longest run saw each of the {data} clips {epochs:.1f} times.

**A demonstration of the method, not a law to build on**: published laws of diffusion transformers are fitted at 1e17 to
6e18 FLOPs (arXiv 2410.08184).
"""
FITS = """## Fits

Parabolas over the {near} sizes nearest each budget's best; L = E + A/N^alpha + B/D^beta with a Huber loss of {delta:g}
on log L. Intervals ({confidence:.0%}) are bootstraps of the residuals: they know nothing of a wrong form. Compute per
parameter and patch was {per_pair:.2f}, where 6ND says 6: attention, and what only some tokens meet.
"""

EDGE = """The best size lies at an end of those that were given this budget: the one measured is only the best of them.

"""


def markdown(law: Law, found: Sequence[Point], pictures: Sequence[Path], made: str = "") -> str:
    """The whole report, pictures by their names; `made` says when, where and how."""
    of_law = points.law(found)
    parts = [
        _head(law, of_law), made and f"{made}\n", _exponents(law), _valleys(law), _held_out(law),
        *[_transfer(t) for t in law.transfers], _scores(of_law),
        *[f"![{CAPTIONS[p.name]}]({p.name})\n" for p in pictures], _runs(found),
    ]  # fmt: skip
    return "\n".join(part for part in parts if part)


def _head(law: Law, found: Sequence[Point]) -> str:
    setting, low, high = law.setting, min(p.parameters for p in found), max(p.parameters for p in found)
    flops, seconds = sum(p.flops for p in found), sum(p.seconds for p in found)
    epochs = max(p.tokens for p in found) / setting.batch * setting.clips / setting.data
    return HEAD.format(
        count=len(found), low=low / 1e6, high=high / 1e6, seeds=len({p.seed for p in found}),
        grid="x".join(map(str, setting.grid)), batch=setting.batch, flops=flops, data=setting.data, epochs=epochs,
        precision=", ".join(sorted({p.precision for p in found})), rate=flops / max(seconds, 1e-9) / 1e9,
    )  # fmt: skip


def _exponents(law: Law) -> str:
    iso, par = law.isoflop, law.parametric
    spans = iso.intervals | {f"fit {k}": v for k, v in par.intervals.items()}
    rows = [
        ("best parameters, isoFLOP", _power(iso.parameters), "parameters"),
        ("best patches seen, isoFLOP", _power(iso.tokens), "tokens"),
        ("best loss, isoFLOP", _power(iso.frontier), "frontier"),
        ("E, parametric", f"{par.floor:.4f}", "fit floor"),
        ("A, alpha, parametric", f"{par.a:.3g}, {par.alpha:.3f}", "fit alpha"),
        ("B, beta, parametric", f"{par.b:.3g}, {par.beta:.3f}", "fit beta"),
        ("exponent of the best parameters, parametric", f"{par.exponent:.3f}", "fit exponent"),
    ]
    head = FITS.format(near=NEAR, delta=DELTA, confidence=CONFIDENCE, per_pair=par.per_pair)
    lines = [head, "| constant | value | interval of the exponent |", "|---|---|---|"]
    lines += [f"| {name} | {value} | {_span(spans.get(key))} |" for name, value, key in rows]
    if par.at_bound:
        lines.append(f"\n**The points do not determine {', '.join(par.at_bound)}**: the fit ends at a bound there.")
    return "\n".join(lines) + "\n"


def _valleys(law: Law) -> str:
    lines = [
        "## Lowest points",
        "",
        "| budget, FLOPs | parameters | patches seen | loss | between sizes |",
        "|---|---|---|---|---|",
    ]
    for valley in (*law.isoflop.valleys, law.held_out.valley):
        held = " (held out)" if valley is law.held_out.valley else ""
        inside = "yes" if valley.inside else "no, left out of the fit"
        cells = (f"{valley.budget:.3g}{held}", f"{valley.parameters:.3g}", f"{valley.tokens:.3g}", f"{valley.loss:.4f}")
        lines.append(f"| {' | '.join(cells)} | {inside} |")
    return "\n".join(lines) + "\n"


def _held_out(law: Law) -> str:
    held = law.held_out
    worst, edge = max(held.errors, key=abs), "" if held.valley.inside else EDGE
    mean = sum(map(abs, held.errors)) / len(held.errors)
    return f"""## The held-out budget, {held.valley.budget:.3g} FLOPs

| | measured | isoFLOP predicted | parametric predicted |
|---|---|---|---|
| lowest loss | {held.valley.loss:.4f} | {held.isoflop_loss:.4f} ({held.isoflop_loss / held.valley.loss - 1:+.1%}) \
| {held.parametric_loss:.4f} ({held.parametric_loss / held.valley.loss - 1:+.1%}) |
| best parameters | {held.valley.parameters:.3g} | {held.isoflop_parameters:.3g} \
({held.isoflop_parameters / held.valley.parameters:.2f}x) | {held.parametric_parameters:.3g} \
({held.parametric_parameters / held.valley.parameters:.2f}x) |

{edge}Each of its {len(held.errors)} networks: the parametric fit is off by {mean:.1%} on average, \
{worst:+.1%} at worst.
"""


def _transfer(transfer: Transfer) -> str:
    title = f"muP, base width {transfer.base_width}" if transfer.base_width else "one rate for all"
    lines = [f"## Learning rate over widths: {title}", "", "| width | best rate | loss there |", "|---|---|---|"]
    for best in transfer.best:
        lines.append(
            f"| {best.width} | {best.rate:.3g}{'' if best.inside else ' (an end of the grid)'} | {best.loss:.4f} |"
        )
    verdict = "it transfers" if transfer.transfers else "it does not transfer"
    if not transfer.told:
        verdict = "whether it transfers cannot be told, for a best rate lies at an end of the grid"
    lines.append(
        f"\nThe best rate drifts {transfer.drift:.2f}-fold from the narrowest to the widest, the grid's step is "
        f"{transfer.step:.3g}: {verdict}. The widest network at the narrowest one's best rate: {transfer.penalty:+.4f}."
    )
    return "\n".join(lines) + "\n"


def _scores(found: Sequence[Point]) -> str:
    curves = score_curves(found)
    if not curves:
        return ""
    lines = ["## Errors of samples against compute, each budget's best network", ""]
    for name, pairs in curves.items():
        lines.append(f"- {name}: " + ", ".join(f"{value:.3g} at {flops:.2g}" for flops, value in pairs))
    return "\n".join(lines) + "\n"


def _runs(found: Sequence[Point]) -> str:
    lines = [
        "## Runs",
        "",
        "| network | budget | FLOPs | parameters | patches | steps | rate | loss |",
        "|" + "---|" * 8,
    ]
    for p in sorted(found, key=lambda p: (p.budget, p.parameters, p.base_width, p.rate, p.seed)):
        lines.append(
            f"| {p.name} | {p.budget:.3g} | {p.flops:.3g} | {p.parameters} | {p.tokens:.3g} | {p.steps} | {p.rate:g} "
            f"| {p.loss:.4f} |"
        )
    return "\n".join(lines) + "\n"


def _power(power: Power) -> str:
    return f"{power.coefficient:.3g} C^{power.exponent:.3f}"


def _span(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
