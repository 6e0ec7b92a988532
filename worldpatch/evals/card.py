"""Report cards: one JSON that says everything about an evaluation, and what may be compared with what.

A card holds what was judged (model or folder, fingerprint, recipe), how (suite, cut, sampling, preprocessing), every
sample's scores, the skills with their intervals, and the machine. `difference` says why two cards cannot be compared.
"""

import hashlib
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from worldpatch import __version__
from worldpatch.config import UserError
from worldpatch.evals._skill import summarise
from worldpatch.evals.suites._task import Scores, Suite, Task

FORMAT = 1
DIGITS = 5  # significant ones: more would say nothing and make cards large
ROUNDING = 0.005  # in a score, all of which go from 0 to about 1; scores of other weights are further off


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One clip judged: its task, its seed (or place among a folder's clips of the task), its scores, and notes."""

    task: Task
    seed: int
    scores: Scores
    notes: tuple[str, ...] = ()


def build(
    suite: Suite, tasks: Sequence[Task], samples: Sequence[Sample], subject: dict[str, Any], protocol: dict[str, Any]
) -> dict[str, Any]:  # fmt: skip
    """The card as plain values, fit for JSON."""
    by_task: dict[str, list[Scores]] = {task.key: [] for task in tasks}
    for sample in samples:
        by_task[sample.task.key].append(sample.scores)
    scores = [by_task[task.key] for task in tasks]
    headline, groups = summarise(tasks, scores, suite.group)
    return plain(
        {
            "format": FORMAT,
            "suite": suite.name,
            "tasks_hash": tasks_hash(tasks),
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "subject": subject,
            "protocol": protocol,
            "headline": asdict(headline),
            "groups": [asdict(g) for g in groups],
            "strata": _strata(suite, tasks, scores),
            "samples": [
                {"key": s.task.key, "prompt": s.task.prompt, "seed": s.seed, **s.task.strata, "scores": s.scores,
                 "notes": list(s.notes)}
                for s in samples
            ],
            "baselines": {t.key: t.baselines for t in tasks},
            "environment": environment(),
        }
    )  # fmt: skip


def _strata(suite: Suite, tasks: Sequence[Task], scores: Sequence[Sequence[Scores]]) -> dict[str, dict[str, Any]]:
    """The headline of every value of every other stratum, such as split and mode."""
    found: dict[str, dict[str, Any]] = {}
    for stratum in dict.fromkeys(s for t in tasks for s in t.strata if s != suite.group):
        found[stratum] = {}
        for value in dict.fromkeys(t.strata[stratum] for t in tasks if stratum in t.strata):
            part = [i for i, t in enumerate(tasks) if t.strata.get(stratum) == value]
            headline, _ = summarise([tasks[i] for i in part], [scores[i] for i in part], suite.group)
            found[stratum][value] = asdict(headline)
    return found


def tasks_hash(tasks: Sequence[Task]) -> str:
    """Identity of what was asked and of the real clips' scores: the same 16 characters, comparable results."""
    digest = hashlib.sha256()
    for task in tasks:
        told = {k: round(v, 6) for k, v in sorted(task.baselines.get("real", {}).items())}
        digest.update(json.dumps([task.key, task.prompt, asdict(task.form), told], default=str).encode())
    return digest.hexdigest()[:16]


def environment() -> dict[str, Any]:
    """The machine and the versions that a result was made with."""
    return {
        "worldpatch": __version__, "python": platform.python_version(), "torch": torch.__version__,
        "numpy": np.__version__, "machine": platform.machine(), "system": platform.platform(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }  # fmt: skip


def plain(value: Any) -> Any:
    """JSON has no nan, tuples or numpy numbers: null, lists and plain numbers instead, to DIGITS digits."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    return value


def save(card: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(card, separators=(",", ":")) + "\n")


def load(path: Path) -> dict[str, Any]:
    """A card from its JSON or its folder. Raises UserError where it is none."""
    path = path / "card.json" if path.is_dir() else path
    if not path.exists():
        raise UserError(f"{path} does not exist: give a card.json, or the folder that `worldpatch eval` wrote")
    try:
        card = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): make the card again") from error
    if card.get("format") != FORMAT or "headline" not in card:
        raise UserError(f"{path} is no card of format {FORMAT}: make it again with this version's `worldpatch eval`")
    return card


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """Why two cards cannot be compared; empty where they can."""
    found = []
    if a["suite"] != b["suite"]:
        found.append(f"suites {a['suite']} and {b['suite']}")
    for key in sorted(set(a["protocol"]) | set(b["protocol"])):
        if key in ("sampling", "notes", "seeds"):  # a property of the model, as its weights are
            continue
        left, right = a["protocol"].get(key), b["protocol"].get(key)
        if left != right:
            found.append(f"{key} {left} and {right}")
    if not found and a["tasks_hash"] != b["tasks_hash"]:
        found.append("the suite itself has changed between them (another hash of its tasks)")
    return found


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What changed when a card was made again: samples compared, those with equal scores (to `ROUNDING`, for another
    processor rounds in another way), the largest change of any score."""

    samples: int
    equal: int
    largest: float
    where: str = ""
    skill: tuple[float, float] = field(default=(0.0, 0.0))


def reproduction(old: dict[str, Any], new: dict[str, Any]) -> Reproduction:
    """The differences between a card and the same evaluation, or a part of it, run again."""
    fresh = {(s["key"], s["seed"]): s["scores"] for s in new["samples"]}
    equal, largest, where = 0, 0.0, ""
    for sample in old["samples"]:
        again = fresh.pop((sample["key"], sample["seed"]), None)
        if again is None:
            continue
        gaps = {k: abs(v - again[k]) if k in again else float("inf") for k, v in sample["scores"].items()}
        worst = max(gaps, key=lambda k: gaps[k], default="")
        equal += not worst or gaps[worst] <= ROUNDING
        if worst and gaps[worst] > largest:
            largest, where = gaps[worst], f"{worst} of {sample['key']}, seed {sample['seed']}"
    skills = (old["headline"]["skill"], new["headline"]["skill"])
    count = len(new["samples"]) - len(fresh)
    return Reproduction(samples=count, equal=equal, largest=largest, where=where, skill=skills)
