"""Pictures of what was found about twins: preference per kind, learning curves, and the twins themselves."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

from worldpatch.config import UserError
from worldpatch.evals.suites.twins.store import TWINS, TwinSet
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Plan
from worldpatch.video.sheet import contact_sheet

INK, MUTED, CHANCE = "#2a5d8f", "#9a9a9a", "#c0392b"
SHOWN = 4  # pairs of each kind on a sheet
FRAMES = 13  # of each twin on a sheet


def bars(report: dict[str, Any], path: Path, title: str = "") -> None:
    """Per kind and for their mean how often the possible twin is preferred, with its interval; its control beside."""
    rows = {**report["kinds"], "mean": report["mean"]}
    figure, axes = _axes(title, width=1.0 + 0.9 * len(rows))
    for offset, side, label, colour, mark in (
        (-0.12, "twins", "possible preferred to impossible", INK, "o"),
        (0.12, "control", "the same of one frame (control)", MUTED, "s"),
    ):
        shares = [row[side] for row in rows.values()]
        middle = [100 * share["preferred"] for share in shares]
        low = [m - 100 * share["low"] for m, share in zip(middle, shares, strict=True)]
        high = [100 * share["high"] - m for m, share in zip(middle, shares, strict=True)]
        places = [x + offset for x in range(len(rows))]
        axes.errorbar(places, middle, yerr=[low, high], fmt=mark, color=colour, capsize=3, label=label)
    axes.set_xticks(range(len(rows)), list(rows))
    axes.legend(loc="lower left", frameon=False)
    figure.savefig(path)


def curve(run: Path, path: Path) -> None:
    """A training run's preference per kind over its steps, from the `physics/` figures of its log.

    Raises UserError where there is no log, or it has no such figures.
    """
    log = run / "log.jsonl"
    if not log.exists():
        raise UserError(f"{run} holds no log.jsonl: give the folder of a training run")
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for line in log.read_text().splitlines():
        figures = json.loads(line)
        for name, value in figures.items():
            if name.startswith("physics/") and value is not None:
                points[name.removeprefix("physics/")].append((figures["step"], 100 * value))
    if not points:
        raise UserError(f"{log} has no figures of physics: train with options.twins=FOLDER, which `eval twins` builds")
    figure, axes = _axes(f"{run.name}: physics learned", width=8.0)
    for name, line in points.items():
        style = {"mean": {"color": "black", "lw": 2.5}, "control": {"color": MUTED, "ls": "--"}}.get(name, {"lw": 1.0})
        axes.plot(*zip(*line, strict=True), marker=".", label=name, **style)
    axes.set_xlabel("step")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.savefig(path, bbox_inches="tight")


def sheet(pipeline: Pipeline, twins: TwinSet, path: Path) -> None:
    """The first pairs of every kind as the autoencoder gives them back: possible to the left, impossible right."""
    shown = sorted(twins.first(SHOWN).twins, key=lambda trial: trial.kind)
    latents = [getattr(trial, twin).float() for trial in shown for twin in TWINS]
    plans = [Plan(start=torch.zeros(latent.shape[1:]), rate=shown[0].rate) for latent in latents]
    videos = pipeline.decode(plans, [latent.to(pipeline.device) for latent in latents])
    names = [f"{trial.kind} {trial.couple}: {twin}" for trial in shown for twin in TWINS]
    contact_sheet([v.numpy() for v in videos], names, path, columns=2, frames_per_clip=FRAMES, scale=1)


def _axes(title: str, width: float) -> tuple[Any, Any]:
    """A figure in per cent with the line of chance."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 4.0), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.axhline(50, color=CHANCE, lw=1.0, ls=":")
    axes.set(ylim=(0, 102), ylabel="possible preferred, %", title=title)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
