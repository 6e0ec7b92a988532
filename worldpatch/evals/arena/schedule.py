"""Which pair comes next: the least compared first, sides by lot, now and then an old one with its sides swapped.

What comes next follows from the seed, the judge's name and the judgements so far alone: a session that was stopped goes
on as if it had not been, and one that takes a judgement back meets the same pair again.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from worldpatch.evals.arena.gallery import Gallery, Key, Pair, identity, key
from worldpatch.generate.preferences import Preference, Rival

EVERY = 7  # new pairs to one that is shown again
APART = 4  # judgements at least between a pair and its repetition


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Two clips to judge."""

    prompt: str
    left: Rival
    right: Rival


class Schedule:
    """The order of one judge's turns. `others` are judgements by other people, whose pairs come later."""

    def __init__(self, gallery: Gallery, judge: str, seed: int = 0, others: Sequence[Preference] = ()):
        self.pairs = {pair.key: pair for pair in gallery.pairs}
        self.clips = gallery.clips
        self.lots = {pair.key: _lot(seed, judge, pair) for pair in gallery.pairs}
        self.others = [p for p in others if p.picked != "skipped"]

    @property
    def total(self) -> int:
        """Turns in all, if none is skipped."""
        return len(self.pairs) + (math.ceil(len(self.pairs) / EVERY) if len(self.pairs) > APART else 0)

    def next(self, history: Sequence[Preference]) -> Turn | None:
        """The turn after this judge's `history`; None at the end."""
        times = Counter(key(p.rivals) for p in history)
        fresh = [k for k in self.pairs if k not in times]
        due = len(times) // EVERY if fresh else math.ceil(len(self.pairs) / EVERY)
        if len(history) - len(times) < due and (again := self._repetition(history, times)):
            return again
        return self._new(fresh, history) if fresh else None

    def _repetition(self, history: Sequence[Preference], times: Counter[Key]) -> Turn | None:
        """An old pair, judged once and some while ago, with its sides swapped."""
        old = [p for p in history[:-APART] if times[key(p.rivals)] == 1 and p.picked != "skipped"]
        if not old:
            return None
        chosen = min(old, key=lambda p: self.lots[key(p.rivals)])
        left, right = (self.clips[identity(clip)] for clip in reversed(chosen.rivals))
        return Turn(prompt=self.pairs[key(chosen.rivals)].prompt, left=left, right=right)

    def _new(self, fresh: list[Key], history: Sequence[Preference]) -> Turn:
        """The pair whose folders met least, of those the one that was itself judged least, of those one by lot."""
        judged = [p for p in (*self.others, *history) if p.picked != "skipped"]
        met = Counter(frozenset(clip.model for clip in p.rivals) for p in judged)
        seen = Counter(key(p.rivals) for p in judged)
        best = min(fresh, key=lambda k: (met[self.pairs[k].names], seen[k], self.lots[k]))
        pair = self.pairs[best]
        left, right = (pair.first, pair.second) if self.lots[best] % 2 else (pair.second, pair.first)
        return Turn(prompt=pair.prompt, left=left, right=right)


def _lot(seed: int, judge: str, pair: Pair) -> int:
    """A number that only the seed, the judge and the pair decide."""
    text = repr((seed, judge, sorted(pair.key)))
    return int.from_bytes(sha256(text.encode()).digest()[:8])
