"""What a suite asks for and what it measures: the records that suites, models, folders of clips and cards share."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from worldpatch.types import Camera

Mode = Literal["text", "image", "video", "action"]
MODES: tuple[Mode, ...] = ("text", "image", "video", "action")
"""What a model is given: a prompt; a prompt and the first frame; a prompt and some frames; actions as well."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number measured from a clip.

    `worst` is what a clip gets that shows too little to be measured, and the most that any clip gets (the least where
    higher is better): what has vanished is an error, not missing data. `needs` is the least a model must have been
    given for the number to mean something: a law can be read from any clip, a path only where the motion had begun.
    `naive` is the value that earns no skill; None: what a copy of the last given frame gets.
    """

    unit: str
    worst: float
    higher: bool = False
    needs: Mode = "text"
    naive: float | None = None

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


@dataclass(frozen=True, kw_only=True)
class Task:
    """One clip asked for. `key` names it in folders; `context` are the frames given; `reference` is for the scorer."""

    key: str
    prompt: str
    form: Form
    strata: dict[str, str]
    context: UInt8[np.ndarray, "c h w 3"] | None = None
    camera: Camera | None = None
    reference: Any = None
