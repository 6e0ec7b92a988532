"""One judge at work: the pair at hand, judgements that go to the log at once, and what they say in the end."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from worldpatch.config import UserError
from worldpatch.evals.arena.gallery import Gallery
from worldpatch.evals.arena.report import Report, report
from worldpatch.evals.arena.schedule import Schedule, Turn
from worldpatch.generate import preferences
from worldpatch.generate.preferences import Preference, Retraction

Verdict = Literal["left", "right", "tie", "both bad", "skipped"]


def gather(
    log: Path, gallery: Gallery | None = None, imported: Sequence[Preference] = ()
) -> tuple[list[Preference], list[str]]:
    """The judgements that count, each once: those of the log, where a gallery is given of its clips alone, and the
    imported ones; and notes on what is left out."""
    logged = preferences.read(log)
    here = [p for p in logged if gallery is None or gallery.holds(p)]
    notes = list(gallery.notes) if gallery else []
    if elsewhere := len(logged) - len(here):
        notes.append(f"judgements in the log that are of other files: {elsewhere}")
    return list({p.id: p for p in (*here, *imported)}.values()), notes


class Session:
    """The turns of one judge over a gallery, continued from the log; `imported` judgements count in the report only."""

    def __init__(self, gallery: Gallery, log: Path, judge: str, seed: int = 0, imported: Sequence[Preference] = ()):
        if not judge.strip():
            raise UserError("the judge has no name: give one, so that the log can tell people apart")
        here = [p for p in preferences.read(log) if p.source == "arena" and gallery.holds(p)]
        self.gallery, self.log, self.judge, self.imported = gallery, log, judge, tuple(imported)
        self.history = [p for p in here if p.judge == judge]
        self.schedule = Schedule(gallery, judge, seed, [p for p in here if p.judge != judge])

    @property
    def turn(self) -> Turn | None:
        """The pair at hand; None when all are judged."""
        return self.schedule.next(self.history)

    @property
    def following(self) -> Turn | None:
        """The pair after the one at hand, if that is not skipped."""
        return self.schedule.next([*self.history, self._record(self.turn, "tie")]) if self.turn else None

    def record(self, verdict: Verdict) -> None:
        """The judgement of the pair at hand, on the disk before this returns. Raises UserError when all are judged."""
        if self.turn is None:
            raise UserError("every pair is judged: add clips for more")
        preference = self._record(self.turn, verdict)
        preferences.append(self.log, preference)
        self.history.append(preference)

    def undo(self) -> None:
        """Take this judge's last judgement back: its pair is at hand again. Raises UserError before the first."""
        if not self.history:
            raise UserError("there is no judgement to take back")
        preferences.append(self.log, Retraction(retracts=self.history[-1].id))
        self.history.pop()

    def report(self) -> Report:
        """What the log says by now of this gallery, other judges' work included."""
        return report(*gather(self.log, self.gallery, self.imported))

    def _record(self, turn: Turn, verdict: Verdict) -> Preference:
        return Preference(
            prompt=turn.prompt, rivals=(turn.left, turn.right), judge=self.judge, source="arena",
            picked=0 if verdict == "left" else 1 if verdict == "right" else verdict,
        )  # fmt: skip
