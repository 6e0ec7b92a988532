"""What a suite asks for and what it measures: the records that suites, models, folders of clips and cards share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from worldpatch.config import UserError
from worldpatch.types import Camera

Mode = Literal["text", "image", "video", "action"]
MODES: tuple[Mode, ...] = ("text", "image", "video", "action")
"""What a model is given: a prompt; a prompt and the first frame; a prompt and some frames; actions as well."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number measured from a clip.

    `best` is what perfection gets; `worst` is what a clip gets that shows too little to be measured, and what no clip
    falls below: what has vanished is an error, not missing data. `needs` is the least a model must have been given for
    the number to mean something: a law can be read from any clip, a path only where the motion had begun. `naive` is
    the value that earns no skill; None: what a copy of the last given frame gets. The skills of a `family` are averaged
    before they count, as one. `bar` is what a shipped model is held to.
    """

    unit: str
    worst: float
    higher: bool = False
    needs: Mode = "text"
    naive: float | None = None
    best: float = 0.0
    family: str = ""
    bar: float | None = None

    def bounded(self, value: float) -> float:
        """The value, or the worst where it is none or beyond."""
        if not np.isfinite(value):
            return self.worst
        return float(max(value, self.worst) if self.higher else min(value, self.worst))


@dataclass(frozen=True, kw_only=True)
class Form:
    """The clips asked for: pixels, frames per second, number of frames, and how many of them a "video" mode gives."""

    height: int = 64
    width: int = 64
    rate: float = 8.0
    frames: int = 25
    given: int = 5


Scores = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One clip asked for. `key` names it in folders; `context` are the frames given; `reference` is for the scorer.

    `metrics` are those that mean something for it; `baselines` the scores of other clips, "real" and "copy" among them.
    """

    key: str
    prompt: str
    form: Form
    strata: dict[str, str]
    context: UInt8[np.ndarray, "c h w 3"] | None = None
    camera: Camera | None = None
    reference: Any = None
    metrics: dict[str, Metric] = field(default_factory=dict)
    baselines: dict[str, Scores] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which part of a suite: how many scenes of each scenario and split, or prompts; which scenarios (none: all)."""

    form: Form = Form()
    modes: tuple[Mode, ...] = ("text",)
    count: int | None = None
    only: tuple[str, ...] = ()


Progress = Callable[[str, int, int], None]


@runtime_checkable
class Suite(Protocol):
    """A frozen set of tasks and their scorer. `group` is the stratum whose values are skills of their own; `modes` are
    those it can be asked in."""

    @property
    def name(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def modes(self) -> tuple[Mode, ...]: ...

    def tasks(self, choice: Choice, workers: int = 1, progress: Progress | None = None) -> list[Task]:
        """The tasks with their baselines; the same choice gives the same tasks."""
        ...

    def score(self, task: Task, frames: UInt8[np.ndarray, "t h w 3"]) -> Scores:
        """Bounded scores of a clip of the task's form."""
        ...

    def real(self, task: Task) -> UInt8[np.ndarray, "t h w 3"] | None:
        """The clip that the task's truth is of."""
        ...


def bounded(scores: Scores, metrics: dict[str, Metric]) -> Scores:
    """The scores of these metrics, each within its bounds; a metric that was left out stays out."""
    return {name: metrics[name].bounded(value) for name, value in scores.items() if name in metrics}


def allowed(metrics: dict[str, Metric], mode: Mode) -> dict[str, Metric]:
    """The metrics that mean something in a mode."""
    return {name: m for name, m in metrics.items() if MODES.index(m.needs) <= MODES.index(mode)}


def chosen(names: Sequence[str], only: Sequence[str], what: str) -> list[str]:
    """The names asked for, all if none are. Raises UserError that lists the known."""
    for name in only:
        if name not in names:
            raise UserError(f"no {what} is named {name!r}; known: {', '.join(names)}")
    return [name for name in names if not only or name in only]
