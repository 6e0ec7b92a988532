"""How often does a model find the possible clip likelier than its impossible twin?

LikePhys (Yuan et al. 2025, arXiv 2510.11512): the loss a denoiser is trained by bounds a clip's likelihood, so of two
clips that differ in nothing but physics, the one with the smaller loss is the one the model holds for likelier. Both
get the same noise at the same time, and the times of a kind's couples are spread evenly over 0 to 1. A model that knows
no physics is at 50%, and so must every model be on single frames of the twins (the control): what a frame alone can
tell is no physics.

A vote is that of a couple: the losses of its two possible clips together against those of its two impossible ones. In
the one pair the impossible twin may well move more, or hide for longer; in the other it is the possible one (`kinds.py`
says why). Counted by themselves, the pairs would tell which of these a model finds dear.

The caption is empty unless one is given. A sentence would tell what happens, and then the twins would be compared by
how well they fit the words; and a model has one unconditional likelihood, but as many conditional ones as sentences.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from worldpatch.evals import _likelihood
from worldpatch.evals.suites.twins.store import Progress, Trial, TwinSet
from worldpatch.flow.pack import Patch
from worldpatch.types import LatentSpec, Plan

TOKENS = 8192  # patches in one forward pass
CONFIDENT = 1.96  # standard deviations of a normal variable: 95%


@dataclass(frozen=True, kw_only=True)
class Share:
    """The share of `couples` in which the possible twins were `preferred`, and Wilson's interval of 95%."""

    preferred: float
    couples: int

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson (1927): the true shares from which this one is not more than 1.96 standard errors away."""
        z, n, p = CONFIDENT, self.couples, self.preferred
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return float(middle - half), float(middle + half)


def preference(network: Any, trials: Sequence[Trial], **how: Any) -> dict[str, Share]:
    """Kind -> in which share of its couples the network has the smaller loss on the possible ones; equal losses count
    half. `how` is that of `losses`."""
    gaps = losses(network, trials, **how).mean(1).diff(dim=-1)[:, 0]  # impossible - possible
    couples: dict[str, dict[int, float]] = {}
    for trial, gap in zip(trials, gaps.tolist(), strict=True):
        of = couples.setdefault(trial.kind, {})
        of[trial.couple] = of.get(trial.couple, 0.0) + gap
    votes = {kind: [(float(gap > 0) + float(gap >= 0)) / 2 for gap in of.values()] for kind, of in couples.items()}
    return {kind: Share(preferred=sum(of) / len(of), couples=len(of)) for kind, of in votes.items()}


def score(network: Any, twins: TwinSet, *, patch: Patch, device: str = "cpu") -> dict[str, Share]:
    """What a training run logs: the share of each kind, "mean" of all, and "control" of whatever controls there are."""
    how: dict[str, Any] = {"spec": twins.spec, "patch": patch, "device": device}
    shares = preference(network, twins.twins, **how)
    shares["mean"] = pooled(shares.values())
    if twins.controls:
        shares["control"] = pooled(preference(network, twins.controls, **how).values())
    return shares


def report(
    network: Any,
    twins: TwinSet,
    *,
    patch: Patch,
    device: str = "cpu",
    times: int = 1,
    caption: str = "",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """A model's card on twins, as plain values: per kind and for their mean the share preferred with its interval, of
    twins and of controls, and what they were measured with."""
    how: dict[str, Any] = {"spec": twins.spec, "patch": patch, "device": device, "times": times, "caption": caption}
    sides = {
        "twins": preference(network, twins.twins, **how, progress=_named(progress, "twins")),
        "control": preference(network, twins.controls, **how, progress=_named(progress, "controls")),
    }
    kinds = {kind: {side: _plain(shares[kind]) for side, shares in sides.items()} for kind in sides["twins"]}
    return {
        "kinds": kinds,
        "mean": {side: _plain(pooled(shares.values())) for side, shares in sides.items()},
        "times": times, "caption": caption, "version": twins.version, "fingerprint": twins.fingerprint,
    }  # fmt: skip


def table(report: dict[str, Any]) -> str:
    """A report in Markdown."""
    lines = ["| kind | couples | possible preferred | 95% | one frame (control) | 95% |", "|---|---|---|---|---|---|"]
    for name, row in {**report["kinds"], "**mean**": report["mean"]}.items():
        cells = [cell for side in ("twins", "control") for cell in _cells(row[side])]
        lines.append(f"| {name} | {row['twins']['couples']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


# --------------------------------------------------------------------------------------------------------------- losses


@torch.no_grad()
def losses(
    network: Any,
    trials: Sequence[Trial],
    *,
    spec: LatentSpec,
    patch: Patch,
    device: str = "cpu",
    times: int = 1,
    caption: str = "",
    progress: Progress | None = None,
) -> Float[Tensor, "pairs times 2"]:
    """The flow-matching loss of the possible and the impossible one of each trial, at `times` noise times.

    `network` has `text.encode` and `dit`, as a Pipeline's has. Costs 2 * times evaluations per trial; several share a
    forward pass, which changes nothing but rounding.
    """
    found = torch.zeros(len(trials), times, 2)
    when = stratified([(trial.kind, trial.couple) for trial in trials], times)
    jobs = [(i, k, twin) for i in range(len(trials)) for k in range(times) for twin in (0, 1)]
    done = 0
    for batch in _batches(jobs, [trial.possible.shape[1:].numel() for trial in trials], TOKENS * int(np.prod(patch))):
        plans = [_plan(trials[i], twin, float(when[i, k]), caption) for i, k, twin in batch]
        # The same seed for both twins: common noise, so that only their difference makes the losses differ.
        seeds = [(i, k) for i, k, _ in batch]
        for job, loss in zip(
            batch, _likelihood.losses(network, plans, seeds, spec=spec, patch=patch, device=device), strict=True
        ):
            found[job] = loss
        done += len(batch)
        if progress:
            progress("score", done, len(jobs))
    return found


def stratified(couples: Sequence[tuple[str, int]], times: int) -> Float[np.ndarray, "pairs times"]:
    """Noise times in (0, 1) for pairs of these couples (kind, number): equal in a couple, evenly spaced over those of a
    kind, and so, nearly, are the `times` of each couple."""
    when = np.zeros((len(couples), times))
    for kind in dict.fromkeys(kind for kind, _ in couples):
        numbers = sorted({number for of, number in couples if of == kind})
        order = np.random.default_rng(crc32(kind.encode())).permutation(len(numbers))
        for place, number in zip(order, numbers, strict=True):
            members = [i for i, couple in enumerate(couples) if couple == (kind, number)]
            when[members] = (np.arange(times) + (place + 0.5) / len(numbers)) / times
    return when


def _plan(trial: Trial, twin: int, time: float, caption: str) -> Plan:
    latent = (trial.possible, trial.impossible)[twin].float()
    kind = "image" if latent.shape[1] == 1 else "clip"
    start = torch.full(latent.shape[1:], time)
    return Plan(start=start, rate=trial.rate, kind=kind, known=latent, prompt=caption)


def _batches(jobs: list[tuple[int, int, int]], sizes: list[int], most: int) -> Iterator[list[tuple[int, int, int]]]:
    """The jobs in order, as many at a time as have together at most `most` latents, and at least one."""
    batch, used = [], 0
    for job in jobs:
        if batch and used + sizes[job[0]] > most:
            yield batch
            batch, used = [], 0
        batch.append(job)
        used += sizes[job[0]]
    if batch:
        yield batch


# --------------------------------------------------------------------------------------------------------------- shares


def pooled(shares: Iterable[Share]) -> Share:
    """All their couples as one."""
    shares = list(shares)
    couples = sum(share.couples for share in shares)
    return Share(preferred=sum(share.preferred * share.couples for share in shares) / couples, couples=couples)


def _plain(share: Share) -> dict[str, Any]:
    low, high = share.interval
    return {"preferred": share.preferred, "low": low, "high": high, "couples": share.couples}


def _cells(share: dict[str, Any]) -> tuple[str, str]:
    return f"{100 * share['preferred']:.0f}%", f"{100 * share['low']:.0f} to {100 * share['high']:.0f}"


def _named(progress: Progress | None, phase: str) -> Progress | None:
    return progress and (lambda _, done, total: progress(phase, done, total))
