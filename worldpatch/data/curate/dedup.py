"""Copies of one another, over the whole set: re-encoded, resized, trimmed, mirrored, at another rate.

Each clip has a thumbnail of 16 x 16 every eighth of a second. Signs of their lowest cosines, looked up in many tables
of few bits (locality-sensitive hashing, Indyk & Motwani 1998), propose pairs of clips and how far one lies behind the
other; the thumbnails of both, so aligned, decide. Two moments of one resting camera look alike without being copies: so
what changes in them must agree as well, where anything does.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

TABLES, BITS = 24, 18  # of the hash: a copy with six of 63 signs changed shares one with probability 0.95
MOST = 40  # clips that may share one place of a table; more of them have nothing in common but emptiness
PROPOSED = 3  # alignments tried per pair
PLAIN = 4.0  # grey levels: a thumbnail with less contrast is like any other such
ALIKE = 0.9  # correlation of the aligned clips
PARTS = (-0.5, -0.25, 0.0, 0.25, 0.5)  # of the time between thumbnails, that copies may be off the grid by
MOVED = 0.6  # correlation of what changes in them
NOTICED = 2.0  # grey levels, root mean square: less change than that is coding noise
COVERED = 0.5  # share of a clip that must be in the other one

Looks = UInt8[np.ndarray, "n side side"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A clip to compare: its file, its thumbnails, and how good it is: of copies the best is kept, by this order."""

    id: str
    file: str
    looks: Looks
    rank: tuple[float, ...]


def duplicates(entries: Sequence[Entry]) -> dict[str, str]:
    """Clip -> the better clip that it is a copy of, for all that are copies. Independent of the order given."""
    entries = sorted(entries, key=lambda e: (tuple(-r for r in e.rank), e.id))
    better: dict[int, list[int]] = {}
    for a, b in _pairs(entries):
        better.setdefault(b, []).append(a)
    copies: dict[int, int] = {}
    for i in sorted(better):  # the best first: a copy of a copy that is not kept is kept itself
        kept = (j for j in better[i] if j not in copies and _is_copy(entries[j], entries[i]))
        if (first := next(kept, None)) is not None:
            copies[i] = first
    return {entries[i].id: entries[j].id for i, j in copies.items()}


# --------------------------------------------------------------------------------------------------------- candidates


def _pairs(entries: Sequence[Entry]) -> Iterator[tuple[int, int]]:
    """Pairs of clips that may be copies, the earlier first."""
    signs, owner = [], []
    for i, entry in enumerate(entries):
        chosen = entry.looks[entry.looks.std((1, 2)) > PLAIN]
        signs.append(_signs(chosen))
        owner.append(np.full(len(chosen), i))
    if not signs:
        return
    bits, owners = np.concatenate(signs), np.concatenate(owner)
    mirrored = bits ^ _ODD
    rng = np.random.default_rng(0)
    votes: Counter[tuple[int, int]] = Counter()
    for _ in range(TABLES):
        table = rng.choice(63, BITS, replace=False)
        weights = 1 << np.arange(BITS)
        keys = np.concatenate([b[:, table] @ weights for b in (bits, mirrored)])
        votes.update(_sharing(keys, np.concatenate([owners, owners]), len(owners)))
    yield from sorted(votes)


def _sharing(keys: Int[np.ndarray, " m"], owners: Int[np.ndarray, " m"], plain: int) -> set[tuple[int, int]]:
    """Pairs of owners of which one's own thumbnail and any of the other's lie in the same place of a table."""
    order = np.argsort(keys, kind="stable")
    edges = np.flatnonzero(np.diff(keys[order])) + 1
    found: set[tuple[int, int]] = set()
    for group in np.split(order, edges):
        if len(group) < 2:
            continue
        own = sorted({int(owners[g]) for g in group if g < plain})
        every = sorted({int(owners[g]) for g in group})
        if len(every) <= MOST:
            found |= {(min(a, b), max(a, b)) for a in own for b in every if a != b}
    return found


def _signs(looks: Looks) -> Bool[np.ndarray, "n 63"]:
    """Signs of the lowest 8 x 8 cosines without the mean."""
    cosines = [cv2.dct(look.astype(np.float32))[:8, :8].ravel()[1:] for look in looks]
    return np.array(cosines).reshape(-1, 63) > 0


# Cosines with an odd number of half waves across change their sign in a mirror.
_ODD = (np.arange(64).reshape(8, 8) % 2 == 1).ravel()[1:]


# ------------------------------------------------------------------------------------------------------- verification


def _is_copy(better: Entry, worse: Entry) -> bool:
    """Whether at least half of the worse clip is in the better one, as it is or mirrored."""
    return any(_matches(better, worse, flip) for flip in (False, True))


def _matches(better: Entry, worse: Entry, flip: bool) -> bool:
    a, b = better.looks.astype(np.float32), worse.looks.astype(np.float32)
    b = b[:, :, ::-1] if flip else b
    if (len(a) == 1) != (len(b) == 1):  # a picture is no copy of a film it may be from
        return False
    least, likeness = max(1, round(COVERED * len(b))), _likenesses(a, b)
    shifts = range(least - len(b), len(a) - least + 1)
    scored = sorted(((likeness[s + len(b) - 1], s) for s in shifts), reverse=True)[:PROPOSED]
    same = better.file == worse.file
    return any(like > ALIKE and _changes_agree(*_aligned(a, b, s), strict=same) for like, s in scored)


Films = Float[np.ndarray, "_ side side"]


def _likenesses(a: Films, b: Films) -> Float[np.ndarray, " shifts"]:
    """Correlation of the pictures, each freed of its mean (brighter or paler ones are the same), where b begins
    1 - len(b) thumbnails after a, one more, and so on to len(a) - 1."""
    flat = [(x - x.mean((1, 2), keepdims=True)).reshape(len(x), -1).astype(float) for x in (a, b)]
    shift = np.arange(len(a))[:, None] - np.arange(len(b)) + len(b) - 1
    products = np.bincount(shift.ravel(), (flat[0] @ flat[1].T).ravel())
    power_a, power_b = (np.concatenate([[0.0], np.cumsum((x**2).sum(1))]) for x in flat)
    start = np.arange(1 - len(b), len(a))
    first, last = np.maximum(start, 0), np.minimum(len(a), start + len(b))
    scale = np.sqrt((power_a[last] - power_a[first]) * (power_b[last - start] - power_b[first - start]))
    return np.divide(products, scale, out=np.zeros_like(products), where=scale > 0)


def _aligned(a: Films, b: Films, shift: int) -> tuple[Films, Films]:
    """The parts of both that are shown at the same time where b begins `shift` thumbnails after a."""
    start, stop = max(0, shift), min(len(a), shift + len(b))
    return a[start:stop], b[start - shift : stop - shift]


def _changes_agree(a: Films, b: Films, strict: bool) -> bool:
    """Whether what differs from the mean over time is the same in both; `strict`: nothing is no agreement."""
    if len(a) == 1:
        return not strict and _likenesses(a, b)[0] > (1 + ALIKE) / 2
    a, b = a - a.mean(0), b - b.mean(0)
    if max(np.sqrt((a**2).mean()), np.sqrt((b**2).mean())) < NOTICED:
        return not strict
    return max(_correlation(*_nudged(a, b, part)) for part in PARTS) > MOVED


def _nudged(a: Films, b: Films, part: float) -> tuple[Films, Films]:
    """Both where b comes later by part of a thumbnail's time (negative: earlier), between its thumbnails."""
    if len(b) < 2 or part == 0:
        return a, b
    between = (1 - abs(part)) * (b[1:] if part > 0 else b[:-1]) + abs(part) * (b[:-1] if part > 0 else b[1:])
    return (a[1:] if part > 0 else a[:-1]), between


def _correlation(a: Films, b: Films) -> float:
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale else 0.0
