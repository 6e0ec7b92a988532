"""What the stages hand on: plain values, as they stand in the ledger."""

from dataclasses import dataclass, field
from typing import Any

VERSION = 1  # of what the stages compute: another one, and old results are made again


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file that somebody asked for, with what was said about it: its own caption, licence and origin."""

    path: str
    caption: str = ""
    licence: str = ""
    origin: str = ""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file as probed. `reason` says why nothing of it can be used, where that is so; `notes` what is unusual in it.

    `height` and `width` are those displayed, without black bars; `box` is the part (left, top, right, bottom) of the
    stored pixels between these.
    """

    path: str
    sha256: str
    bytes: int
    reason: str = ""
    height: int = 0
    width: int = 0
    rate: float = 0.0
    frames: int = 0
    codec: str = ""
    pix_fmt: str = ""
    rotation: int = 0
    box: tuple[int, int, int, int] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A clip cut from a file: frames `start` up to `stop` of the file at its steady rate.

    `pts` are the first and the last frame's time stamps in units of `time_base`. `scores` are what was measured; one
    that does not apply is left out. `reason` says why it was not kept when it was cut; `media` whether it was encoded.
    """

    id: str
    file: str  # sha256 of the file
    path: str
    shot: int
    start: int
    stop: int
    rate: float
    height: int = 0
    width: int = 0
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)  # of the displayed picture: left, top, width, height
    pts: tuple[int | None, int | None] = (None, None)
    time_base: str = ""
    scores: dict[str, float] = field(default_factory=dict)
    hashes: tuple[str, ...] = ()
    reason: str = ""
    media: bool = False
    bytes: int = 0

    @property
    def frames(self) -> int:
        return self.stop - self.start

    @property
    def seconds(self) -> float:
        return self.frames / self.rate


Job = dict[str, Any]
