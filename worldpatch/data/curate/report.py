"""What a build came to, for eyes: a page, a plot of the funnel and of all scores, sheets of kept and rejected clips.

The pictures are the previews in the work folder; nothing is decoded again.
"""

import base64
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from worldpatch.config import UserError
from worldpatch.data import licences, manifest
from worldpatch.data.curate.limits import RULES, Limits, verdict
from worldpatch.data.curate.pipeline import Built, Decision, Plan, funnel
from worldpatch.data.curate.split import look
from worldpatch.video._atomic import atomic
from worldpatch.video.sheet import contact_sheet

SHOWN = 48  # clips on a sheet
BINS = 30
KEPT, LEFT_OUT = "#2f5d9b", "#c06030"


def report(plan: Plan, built: Built, folder: Path, out: Path) -> list[Path]:
    """Write report.html, report.png, kept.png and rejected.png of a build in `folder` to `out`; returns the files."""
    out.mkdir(parents=True, exist_ok=True)
    rejected = [d for d in built.decisions if d.reason and d.cut.scores]
    paths = [out / "report.png"]
    plot(built, plan.settings.limits, paths[0])
    for name, decisions in (("kept", built.kept), ("rejected", rejected)):
        if sheet(decisions, folder, out / f"{name}.png"):
            paths.append(out / f"{name}.png")
    page = out / "report.html"
    with atomic(page) as draft:
        draft.write_text(html(plan, built, folder, paths))
    return [page, *paths]


def sheet(decisions: Sequence[Decision], folder: Path, path: Path) -> bool:
    """A contact sheet of so many of these clips, spread evenly; whether there were any."""
    every = max(1, len(decisions) // SHOWN)
    chosen = [d for d in decisions[::every] if look(folder / "work", d.cut.id).exists()][:SHOWN]
    if chosen:
        strips = [preview(folder / "work", d.cut.id)[None] for d in chosen]
        contact_sheet(strips, [_told(d) for d in chosen], path, frames_per_clip=1, scale=1)
    return bool(chosen)


def preview(work: Path, identity: str) -> np.ndarray:
    """The first, middle and last frame of a clip side by side, "h w 3"."""
    with np.load(look(work, identity)) as stored:
        return np.asarray(Image.open(io.BytesIO(stored["preview"].tobytes())))


def _told(d: Decision) -> str:
    span = "" if d.cut.frames == 1 else f", {d.cut.start / d.cut.rate:.1f} to {d.cut.stop / d.cut.rate:.1f} s"
    return f"{Path(d.cut.path).name}{span}\n{d.reason or d.caption or d.cut.id}"


# ---------------------------------------------------------------------------------------------------------------- plot


def plot(built: Built, limits: Limits, path: Path) -> None:
    """The funnel in seconds, and how every score is distributed, with its limits."""
    from matplotlib.figure import Figure

    scored = [d for d in built.decisions if d.cut.scores]
    names = [name for name in dict.fromkeys(rule[0] for rule in RULES) if any(name in d.cut.scores for d in scored)]
    rows = 1 + -(-len(names) // 4)
    figure = Figure(figsize=(13, 2.6 * rows + 0.6), dpi=110, layout="constrained")
    grid = figure.add_gridspec(rows, 4)
    _funnel(figure.add_subplot(grid[0, :]), built)
    for i, name in enumerate(names):
        _histogram(figure.add_subplot(grid[1 + i // 4, i % 4]), name, scored, limits)
    with atomic(path) as draft:
        figure.savefig(draft, format="png")


def _funnel(axes: Any, built: Built) -> None:
    rows = list(funnel(built))[::-1]
    names = [f"{why} ({clips})" for why, clips, _ in rows]
    axes.barh(names, [seconds for *_, seconds in rows], color=[KEPT if why == "kept" else LEFT_OUT for why, *_ in rows])
    total = sum(seconds for *_, seconds in rows)
    for place, (*_, seconds) in enumerate(rows):
        axes.text(seconds, place, f" {seconds:.1f} s, {seconds / max(total, 1e-9):.0%}", va="center", fontsize=8)
    axes.set(title="what became of every second (and of how many stretches)", xlabel="seconds")
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)


def _histogram(axes: Any, name: str, scored: Sequence[Decision], limits: Limits) -> None:
    kept, left = (
        [d.cut.scores[name] for d in scored if name in d.cut.scores and bool(d.reason) == rejected]
        for rejected in (False, True)
    )
    values = np.array(kept + left)
    wide = values.min() > 0 and values.max() > 50 * np.median(values)
    edges = (
        np.geomspace(values.min(), values.max(), BINS) if wide else np.linspace(values.min(), values.max() + 1e-9, BINS)
    )
    axes.hist([kept, left], edges, stacked=True, color=[KEPT, LEFT_OUT])
    if wide:
        axes.set_xscale("log")
    for _, side, _ in (rule for rule in RULES if rule[0] == name):
        limit = getattr(limits, f"{name}_{'min' if side == 'least' else 'max'}")
        if limit is not None:
            axes.axvline(limit, color="black", lw=1, ls=":")
    axes.set_title(name, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


# ---------------------------------------------------------------------------------------------------------------- page


def html(plan: Plan, built: Built, folder: Path, pictures: Sequence[Path]) -> str:
    """One file that needs no other."""
    from jinja2 import Environment, FileSystemLoader

    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True)
    shown = {p.stem: base64.b64encode(p.read_bytes()).decode() for p in pictures}
    ledger = licences.ledger(folder) if (folder / manifest.NAME).exists() else []
    return environment.get_template("report.html").render(
        plan=plan, built=built, funnel=list(funnel(built)), pictures=shown, licences=ledger, folder=folder,
        limits={k: v for k, v in dataclasses.asdict(plan.settings.limits).items() if v is not None},
    )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------- questions


def find(built: Built, clip: str) -> Decision:
    """The decision about a clip, by its name or the beginning of it. Raises UserError where it is none, or several."""
    found = [d for d in built.decisions if d.cut.id.startswith(clip)]
    if len(found) != 1:
        said = "no clip's name begins" if not found else f"{len(found)} clips' names begin"
        raise UserError(f"{said} with {clip!r}: the manifest, decisions.jsonl and the report name them")
    return found[0]


def why(decision: Decision, limits: Limits) -> str:
    """Where a clip is from, what was measured, and what follows from it, in lines."""
    cut = decision.cut
    lines = [
        f"{cut.id}  {'left out: ' + decision.reason if decision.reason else 'kept'}",
        f"  file    {cut.path} (sha256 {cut.file[:16]})",
        f"  span    shot {cut.shot}, frames {cut.start} to {cut.stop - 1} of {cut.rate:g} per second, "
        f"{cut.start / cut.rate:.3f} to {cut.stop / cut.rate:.3f} s",
        f"  stored  {cut.width}x{cut.height}, {cut.bytes} bytes" if cut.media else "  stored  no",
    ]
    for name, value in cut.scores.items():
        bounds = ((side, getattr(limits, f"{name}_{side}", None)) for side in ("min", "max"))
        said = ", ".join(f"{side} {limit:g}" for side, limit in bounds if limit is not None)
        broken = verdict({name: value}, limits)
        lines.append(f"  {name:11} {value:<10.4g} {said or 'not judged'}{'  broken' if broken else ''}")
    if decision.caption:
        lines.append(f"  caption {decision.caption}")
    return "\n".join(lines)


def whatif(built: Built, limits: Limits) -> Built:
    """What these limits would have made of it. Copies are taken as they were found: a copy whose better one would go
    would be kept."""
    judged = {}
    for d in built.decisions:
        reason = verdict(d.cut.scores, limits) if d.cut.scores else d.reason
        judged[d.cut.id] = dataclasses.replace(d, reason=reason)
    decisions = tuple(
        dataclasses.replace(d, reason=built_reason)
        if (built_reason := _copy(d, judged)) and not judged[d.cut.id].reason else judged[d.cut.id]
        for d in built.decisions
    )  # fmt: skip
    return dataclasses.replace(built, decisions=decisions)


def _copy(d: Decision, judged: dict[str, Decision]) -> str:
    """Why a copy is left out still: its better one is there."""
    better = judged.get(d.copy_of)
    return d.reason if better is not None and not better.reason else ""
