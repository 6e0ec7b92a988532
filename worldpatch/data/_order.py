"""In which order clips come, and which of them share a batch: pure arithmetic on counts and sizes."""

from bisect import bisect_left, insort
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from jaxtyping import Int

OPEN = 32  # batches that wait for a clip that fits


def draws(counts: Sequence[int], weights: Sequence[float | int], number: int) -> list[range]:
    """What each set gives to a round: draws of its endless stream of clips.

    A round has about as many clips as the sets together. After any number of rounds every set has given its exact share
    of them, rounded down. With weights that are the counts, each round takes each clip once.
    """
    exact = [Fraction(str(weight)) for weight in weights]
    given = [[int(rounds * sum(counts) * weight / sum(exact)) for weight in exact] for rounds in (number, number + 1)]
    return [range(a, b) for a, b in zip(*given, strict=True)]


def order(counts: Sequence[int], drawn: Sequence[range], seed: int, number: int) -> Int[np.ndarray, " n"]:
    """The clips of a round, numbered through all sets, in the order of a permutation keyed by (seed, round).

    A set's own stream goes through all of its clips, permuted by (seed, set, epoch), before it begins again.
    """
    parts, first = [], 0
    for which, (count, draw) in enumerate(zip(counts, drawn, strict=True)):
        if count:
            epochs = range(draw.start // count, -(-draw.stop // count))
            stream = [np.random.default_rng([seed, 1 + which, epoch]).permutation(count) for epoch in epochs]
            offset = epochs.start * count
            parts.append(first + np.concatenate([*stream, np.zeros(0, int)])[draw.start - offset : draw.stop - offset])
        first += count
    return np.random.default_rng([seed, 0, number]).permutation(np.concatenate(parts).astype(np.int64))


def pack(items: Sequence[int], sizes: Sequence[int], budget: int) -> list[list[int]]:
    """Items into batches of at most `budget` tokens: each into the fullest open batch that still has room for it.

    Where none has, a new one is opened, and of more than `OPEN` the fullest is closed: small clips fill the gaps that
    large ones leave, and a batch holds clips that stood near each other. Batches come in the order of their first clip.
    """
    batches: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens left, batch), in order
    for item in items:
        size = sizes[item]
        place = bisect_left(room, (size, -1))
        if place == len(room):
            batches.append([item])
            left, batch = budget - size, len(batches) - 1
            if len(room) == OPEN:
                del room[0]
        else:
            left, batch = room.pop(place)
            batches[batch].append(item)
            left -= size
        if left:
            insort(room, (left, batch))
    return batches
