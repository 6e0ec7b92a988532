"""Which frames become clips: the insides of shots, without black and frozen stretches, of a bounded length.

A shot longer than a clip may be gives several, one after another; nothing is dropped but what is named here.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from worldpatch.data.shots import Boundary


@dataclass(frozen=True, kw_only=True)
class Spans:
    """Lengths in seconds. `margin` is left out on both sides of a boundary; a stretch in which nothing changes for
    longer than `still` ends a clip."""

    shortest: float = 1.0
    longest: float = 10.0
    margin: float = 0.1
    still: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Span:
    """Frames `start` up to `stop`; `reason` where they are no clip. All spans together are all frames, each once."""

    shot: int
    start: int
    stop: int
    reason: str = ""


class Chooser:
    """Takes what is known of frames one by one and tells spans as they end."""

    def __init__(self, spans: Spans, rate: float):
        self.rate, self.shot = rate, 0
        self.longest = max(1, round(spans.longest * rate))
        self.shortest = min(self.longest, max(1, round(spans.shortest * rate)))
        self.margin, self.still = round(spans.margin * rate), max(2, round(spans.still * rate))
        self.at = 0  # frames taken
        self.told = 0  # frames that belong to a span that was told
        self._begun: int | None = None  # of the clip that goes on
        self._why = ""  # frames are left out
        self._unchanged = self._resume = 0

    def add(self, boundary: Boundary | None, black: bool, still: bool) -> Iterator[Span]:
        """The next frame: the boundary that begins here, whether it shows nothing, or what the one before showed."""
        at = self.at
        self._unchanged = self._unchanged + 1 if still else 0
        if boundary is not None:
            yield from self._end(max(self.told, at - self.margin), "between shots")
            self._resume = max(self._resume, boundary.stop + (boundary.kind != "cut") + self.margin)
        if black:
            yield from self._end(at, "black")
            self._resume = max(self._resume, at + 1)
        elif self._unchanged == self.still:
            yield from self._end(max(self.told, at - self.still + 1), "nothing changes")
        self.at += 1
        if self._begun is None and at >= self._resume and self._unchanged < self.still:
            yield from self._leave(at)
            self._begun = at
        if boundary is not None:
            self.shot += 1
        if self._begun is not None and at - self._begun + 1 == self.longest:
            yield from self._end(at + 1, "")

    def finish(self) -> Iterator[Span]:
        """The video ends."""
        yield from self._end(self.at, "")
        yield from self._leave(self.at)

    def _end(self, stop: int, why: str) -> Iterator[Span]:
        """The clip that goes on ends before frame `stop`; frames after it are left out because of `why`."""
        begun, self._begun = self._begun, None
        if begun is not None and stop > begun:
            length, least = (stop - begun) / self.rate, self.shortest / self.rate
            short = "" if stop - begun >= self.shortest else f"too short: {length:.2f} s is below {least:.2f} s"
            yield Span(shot=self.shot, start=begun, stop=stop, reason=short)
            self.told = stop
        elif begun is None and self._why != why:
            yield from self._leave(stop)
        self._why = why

    def _leave(self, stop: int) -> Iterator[Span]:
        """Frames up to `stop` that are part of no clip."""
        if stop > self.told:
            yield Span(shot=self.shot, start=self.told, stop=stop, reason=self._why)
            self.told = stop
