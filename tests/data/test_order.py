"""The arithmetic of batches: exact shares, permutations that cover, and gaps that are filled."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import PATIENT
from worldpatch.data import _order

counts = st.lists(st.integers(1, 40), min_size=1, max_size=4)


@PATIENT
@given(counts, st.integers(0, 50), st.integers(0, 3))
def test_without_weights_a_round_is_an_epoch(counts: list[int], number: int, seed: int):
    drawn = _order.draws(counts, counts, number)
    assert [len(draw) for draw in drawn] == counts
    assert sorted(_order.order(counts, drawn, seed, number).tolist()) == list(range(sum(counts)))


@PATIENT
@given(counts, st.data(), st.integers(1, 30))
def test_weights_are_exact_and_nothing_is_drawn_twice(counts: list[int], data: st.DataObject, rounds: int):
    weights = data.draw(st.lists(st.floats(0.01, 10), min_size=len(counts), max_size=len(counts)))
    drawn = [_order.draws(counts, weights, number) for number in range(rounds)]
    total = rounds * sum(counts)
    for which, weight in enumerate(weights):
        ends = [draws[which] for draws in drawn]
        assert ends[0].start == 0 and all(a.stop == b.start for a, b in pairwise(ends)), "each draw is made once"
        assert -1 < ends[-1].stop - total * weight / sum(weights) < 1e-6 * total + 1e-9


@PATIENT
@given(counts, st.integers(1, 5), st.integers(0, 3))
def test_a_set_goes_through_all_its_clips_before_it_begins_again(counts: list[int], factor: int, seed: int):
    """However its stream is cut into rounds."""
    weights = [count * (factor if which == 0 else 1) for which, count in enumerate(counts)]
    seen: Counter[int] = Counter()
    for number in range(12):
        seen.update(_order.order(counts, _order.draws(counts, weights, number), seed, number).tolist())
        first = 0
        for count in counts:
            own = [seen[i] for i in range(first, first + count)]
            assert max(own) - min(own) <= 1
            first += count


def test_orders_differ_by_seed_and_round():
    def order(seed: int, number: int) -> list[int]:
        return _order.order([50], _order.draws([50], [50], number), seed, number).tolist()

    assert len({tuple(order(seed, number)) for seed in range(3) for number in range(3)}) == 9
    assert order(1, 2) == order(1, 2)


@PATIENT
@given(st.lists(st.integers(1, 100), min_size=1, max_size=200), st.integers(100, 300))
def test_packing_loses_nothing_and_keeps_to_the_budget(sizes: list[int], budget: int):
    batches = _order.pack(range(len(sizes)), sizes, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(sizes)))
    loads = [sum(sizes[i] for i in batch) for batch in batches]
    assert max(loads) <= budget
    assert sum(load * 2 <= budget for load in loads) <= 1 + len(sizes) // _order.OPEN, "any two halves are one batch"
    assert [batch[0] for batch in batches] == sorted(batch[0] for batch in batches)


MIXES = {
    "one size, a twelfth of the budget": ([448], 5376),
    "images and videos": ([16, 64, 448, 1024], 5376),
    "native sizes": ([t * h * w for t in (1, 3, 5, 9) for h, w in ((8, 8), (6, 10), (10, 6), (12, 12))], 5376),
    "anything up to three quarters of the budget": (list(range(100, 4000)), 5376),
}


@pytest.mark.parametrize("name", MIXES)
def test_batches_are_full(name: str):
    kinds, budget = MIXES[name]
    sizes = np.random.default_rng(0).choice(kinds, 3000).tolist()
    batches = _order.pack(range(3000), sizes, budget)
    assert sum(sizes) / (budget * len(batches)) >= 0.95
