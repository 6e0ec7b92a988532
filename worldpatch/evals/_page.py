"""A card as people look at it: a Markdown table, an HTML page, a PNG, and contact sheets of clips, worst first."""

import base64
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from worldpatch.evals.card import Sample, save
from worldpatch.evals.evaluate import Made
from worldpatch.evals.suites._task import Metric
from worldpatch.video.sheet import contact_sheet

log = logging.getLogger(__name__)

WORST = 24  # clips on the first sheet
SHEET = 32  # clips on each of the others
INK, OURS = "#26282c", "#2f5d9b"
BASELINES = ("#9a9da4", "#c06030", "#3a7d44")


def write(made: Made, folder: Path, sheets: bool = False) -> None:
    """card.json, card.html, card.png, worst.png and, with `sheets`, all clips in the suite's order."""
    save(made.card, folder / "card.json")
    (folder / "card.md").write_text(table(made.card))
    order = np.argsort([_share(s) for s in made.samples], kind="stable")
    _sheet(made, [int(i) for i in order[:WORST]], folder / "worst.png")
    if sheets:
        for number, start in enumerate(range(0, len(made.clips), SHEET), 1):
            _sheet(made, range(start, min(start + SHEET, len(made.clips))), folder / f"sheet-{number}.png")
    try:
        plot(made.card, folder / "card.png")
    except ModuleNotFoundError:  # a bare GPU host: the page comes without its plot
        log.warning("card.png is not drawn: pip install 'worldpatch[eval]' for matplotlib")
    (folder / "card.html").write_text(html(made.card, folder))


# -------------------------------------------------------------------------------------------------------------- tables


def table(card: dict[str, Any]) -> str:
    """Markdown: the headline, each group's skill beside the baselines', and every metric with its floor."""
    h, subject = card["headline"], card["subject"]
    others = list(h["baselines"])
    lines = [
        f"{subject['name']} on {card['suite']}: skill {_share_of(h['skill'])} ({_range(h['interval'])}), "
        f"smoothed geometric mean {_share_of(h['geometric'])}; {len(card['samples'])} clips.",
        "",
    ]
    if len(card["groups"]) > 1:
        lines += [_row("skill", "of the clips", "95%", *others), _rule(3 + len(others))]
        for g in card["groups"]:
            mark = "" if shown(card, g["name"]) else " (never shown)"
            cells = [_share_of(g["baselines"][b]) for b in others]
            lines.append(_row(g["name"].replace("_", " ") + mark, _share_of(g["skill"]), _range(g["interval"]), *cells))
        lines.append("")
    for stratum, values in card["strata"].items():
        told = ", ".join(f"{v} {_share_of(s['skill'])}" for v, s in values.items() if s["skill"] is not None)
        lines.append(f"by {stratum}: {told}")
    if card.get("variety") is not None:
        lines.append(f"clips of one task differ: {_share_of(card['variety'])}")
    for mode, of in card.get("distances", {}).items():
        told = ", ".join(f"{k} {_number(d['value'])} (floor {_number(d['floor'])})" for k, d in of.items())
        lines.append(f"distance from the set of real clips, {mode}: {told}")
    barred = any(m["bar"] is not None for g in card["groups"] for m in g["metrics"])
    heads = ("metric", "value", "real", "naive", "skill", *(["bar"] if barred else []), *others)
    lines += ["", _row(*heads), _rule(len(heads))]
    for g in card["groups"]:
        for m in g["metrics"]:
            name = f"{g['name']}: {m['metric']}" if len(card["groups"]) > 1 else m["metric"]
            skill = _share_of(m["skill"]) if m["sees"] else "cannot see"
            cells = [_number(m["bar"])] if barred else []
            cells += [_number(m["baselines"][b]) for b in others]
            figures = (_number(m["value"]), _number(m["real"]), _number(m["naive"]), skill, *cells)
            lines.append(_row(f"{name.replace('_', ' ')}, {m['unit']}", *figures))
    return "\n".join(lines + [f"\nnote: {n}" for n in card["protocol"].get("notes", [])]) + "\n"


def shown(card: dict[str, Any], group: str) -> bool:
    """Whether the model was trained on scenes of a group's kind; folders of clips do not say, and are not marked."""
    kinds = card["subject"].get("shown")
    if card["suite"] != "physics" or kinds is None:
        return True
    from worldpatch.evals.suites.physics import shown_by

    return bool(set(shown_by(group)) & set(kinds))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _rule(columns: int) -> str:
    return "|" + "---|" * columns


def _share_of(value: float | None) -> str:
    return "" if value is None else f"{100 * value + 0.0:.0f}%"  # the sum makes -0 a 0


def _range(interval: Sequence[float]) -> str:
    low, high = interval
    return "" if low is None else f"{100 * low:.0f} to {100 * high:.0f}%"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


# ------------------------------------------------------------------------------------------------------------ pictures


def _share(sample: Sample) -> float:
    """A clip's own rank: the mean of its scores, each from 0 (worst) to 1 (best)."""
    metrics = sample.task.metrics
    parts = [1 - _distance(metrics[k], v) for k, v in sample.scores.items()]
    return float(np.mean(parts)) if parts else 0.0


def _distance(metric: Metric, value: float) -> float:
    """How far a score is from perfection (0) to the worst (1)."""
    return (value - metric.best) / (metric.worst - metric.best)


def _sheet(made: Made, which: Sequence[int], path: Path) -> None:
    captions = [f"{made.samples[i].task.prompt}\n{_faults(made.samples[i])}" for i in which]
    contact_sheet([made.clips[i] for i in which], captions, path, columns=3)


def _faults(sample: Sample) -> str:
    """What is furthest from right in a clip."""
    metrics = sample.task.metrics
    if all(m.unit == "share" and m.higher for m in metrics.values()):
        wrong = [k.replace("_", " ") for k, v in sample.scores.items() if v == metrics[k].worst]
        return f"wrong: {', '.join(wrong)}" if wrong else "all right"
    where = "-".join(v for k, v in sample.task.strata.items() if k in ("split", "mode"))
    bad = sorted(sample.scores, key=lambda k: -_distance(metrics[k], sample.scores[k]))[:3]
    return f"{where}: " + ", ".join(f"{k} {sample.scores[k]:.2g}" for k in bad)


def plot(card: dict[str, Any], path: Path) -> None:
    """The skills with their intervals, and those of the baselines, as a PNG."""
    from matplotlib.figure import Figure

    rows = bars(card)
    figure = Figure(figsize=(7.5, 1.3 + 0.34 * len(rows)), dpi=120, layout="constrained")
    axes = figure.subplots()
    for y, (_, skill, (low, high), others) in enumerate(rows):
        axes.barh(y, skill, color=OURS if y else INK, height=0.62)
        axes.plot([low, high], [y, y], color="black", lw=1)
        for (label, value), colour in zip(others.items(), BASELINES, strict=False):
            axes.plot(value, y, "d", color=colour, ms=6, label=label if y == 0 else "_")
    unseen = "; * never shown in training" if any(name.endswith("*") for name, *_ in rows) else ""
    axes.set(yticks=range(len(rows)), xlim=(0, 1.02), xlabel=f"skill: 0 as a frozen clip, 1 as a real one{unseen}")
    axes.set_yticklabels([name for name, *_ in rows])
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(f"{card['subject']['name']} on {card['suite']}", loc="left", fontsize=11)
    if any(others for *_, others in rows):
        figure.legend(frameon=False, loc="outside upper right", ncols=2, fontsize=8)
    figure.savefig(path)


def bars(card: dict[str, Any]) -> list[tuple[str, float, Sequence[float], dict[str, float]]]:
    """(name, skill, interval, baselines) of the headline and of every group, or of the metrics of a lone group."""
    h = card["headline"]
    rows = [("all", h["skill"], h["interval"], h["baselines"])]
    if len(card["groups"]) == 1:
        of = card["groups"][0]["metrics"]
        return rows + [(m["metric"].replace("_", " "), m["skill"], m["interval"], {}) for m in of if m["sees"]]
    for g in card["groups"]:
        mark = "" if shown(card, g["name"]) else " *"
        rows.append((g["name"].replace("_", " ") + mark, g["skill"], g["interval"], g["baselines"]))
    return rows


def html(card: dict[str, Any], folder: Path) -> str:
    """One file that needs no other: tables, the plot, and the sheet of the worst clips."""
    from jinja2 import Environment, FileSystemLoader

    pictures = {
        name: base64.b64encode((folder / f"{name}.png").read_bytes()).decode()
        for name in ("card", "worst")
        if (folder / f"{name}.png").exists()
    }
    filters = {"share": _share_of, "range": _range, "number": _number}
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    environment.filters.update(filters)
    never = [g["name"] for g in card["groups"] if not shown(card, g["name"])]
    return environment.get_template("_page.html").render(card=card, pictures=pictures, never=never)
