"""Captioners: clips -> captions. One file per captioner; the name on the command line is the file's.

Each has a `Config` and a `Captioner(config)` with a `name`, which identifies the model in the record of a set, and
`caption(clips)`, which gives one `Captioned` per clip, in order. What goes wrong with one clip is that clip's `error`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from worldpatch import config

Clip = tuple[str, UInt8[np.ndarray, "t h w 3"], float]
"""(clip_id, frames, frames per second)."""


@dataclass(frozen=True, kw_only=True)
class Captioned:
    """A clip's captions by kind ("dense", "terse"), or why there are none; tokens read and written; their price."""

    clip_id: str
    captions: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    tokens: tuple[int, int] = (0, 0)
    cost: float = 0.0


@runtime_checkable
class Captioner(Protocol):
    name: str

    def caption(self, clips: Sequence[Clip]) -> list[Captioned]: ...


def create(name: str, values: dict[str, Any]) -> Captioner:
    """The captioner of this name; `values` are fields of its Config. Raises UserError that lists the known ones."""
    module = config.resolve("data/captioners", name)
    return module.Captioner(config.build(module.Config, values, f"{name}."))
