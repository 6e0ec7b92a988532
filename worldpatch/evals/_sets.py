"""How far the clips of an evaluation are, as a set, from the real clips of their tasks, for each mode."""

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.evals._features import features
from worldpatch.evals.card import Sample
from worldpatch.evals.suites._task import Suite

METRICS = ("frechet", "kernel")

Frames = UInt8[np.ndarray, "t h w 3"]
log = logging.getLogger(__name__)


def distances(suite: Suite, samples: Sequence[Sample], clips: Sequence[Frames]) -> dict[str, dict[str, Any]]:
    """Mode -> metric -> its value, its floor and the numbers of clips; without those that need more clips than there
    are. Given frames are part of the clips of either side. Empty, with a note, where no encoder is at hand."""
    found: dict[str, dict[str, Any]] = {}
    for mode in dict.fromkeys(s.task.strata.get("mode", "text") for s in samples):
        chosen = [i for i, s in enumerate(samples) if s.task.strata.get("mode", "text") == mode]
        tasks = list({samples[i].task.key: samples[i].task for i in chosen}.values())
        metrics = {name: config.resolve("evals/metrics", name) for name in METRICS}
        fit = {name: m for name, m in metrics.items() if min(len(chosen), len(tasks)) >= m.LEAST}
        real = [clip for task in tasks if (clip := suite.real(task)) is not None] if fit else []
        if not fit or len(real) < len(tasks):
            continue
        try:
            made, due = features([clips[i] for i in chosen]), features(real)
        except UserError as error:
            log.warning("no distances between sets of clips: %s", error)
            return {}
        results = {name: m.between(made, due) for name, m in fit.items()}
        counts = {"clips": len(made), "reals": len(due)}
        found[mode] = {name: {"value": r.value, "floor": r.floor, **counts} for name, r in results.items()}
    return found
