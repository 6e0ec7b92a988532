"""Batches are a pure function of (seed, step), and every clip is used once per epoch."""

import tempfile
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests import builders
from tests.builders import PATCH
from worldpatch.config import UserError
from worldpatch.data.loader import LatentSet

GRIDS = [((4, 4, 4), (1, 4, 6), (3, 6, 4), (2, 2, 2))[i % 4] for i in range(11)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return builders.data_set(tmp_path_factory.mktemp("set"), GRIDS)


def keys(data: LatentSet, steps: range, budget: int = 40) -> list[list[str]]:
    return [[item.key for item in data.batch(step, budget, PATCH)] for step in steps]


def test_a_batch_is_a_pure_function_of_seed_and_step(folder: Path):
    forwards = keys(LatentSet([folder], seed=3), range(20))
    backwards = keys(LatentSet([folder], seed=3), range(19, -1, -1))
    assert forwards == backwards[::-1]
    assert forwards != keys(LatentSet([folder], seed=4), range(20))


@builders.PATIENT
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=12),
    st.integers(36, 120),
    st.integers(0, 5),
)
def test_every_clip_is_used_once_per_epoch(patches: list[tuple[int, int, int]], budget: int, seed: int):
    with tempfile.TemporaryDirectory() as folder:
        grids = [(t, 2 * h, 2 * w) for t, h, w in patches]
        data = LatentSet([builders.data_set(Path(folder), grids)], seed)
    seen: list[str] = []
    for step in range(1000):
        items = data.batch(step, budget, PATCH)
        assert 0 < sum(i.latent[0].numel() // 4 for i in items) <= budget
        seen += [item.key for item in items]
        if len(seen) >= 3 * len(grids):
            break
    for epoch in range(3):
        assert len(set(seen[epoch * len(grids) : (epoch + 1) * len(grids)])) == len(grids)
    assert set(Counter(seen).values()) == {3}


def test_a_clip_over_the_budget_is_refused(folder: Path):
    with pytest.raises(UserError, match=r"clip clip-\d+ has 18 tokens, over the budget of 17: raise the budget"):
        LatentSet([folder]).batch(0, 17, PATCH)


def test_items_say_what_was_stored(folder: Path):
    data = LatentSet([folder, folder])
    assert len(data) == 22 and [tuple(i.latent.shape[1:]) for i in data.items[:11]] == GRIDS
    first, second = data.items[:2]
    assert first.latent.dtype == torch.float16 and first.rate == 8 and first.captions["terse"] == builders.CAPTIONS[0]
    assert [r.time for r in first.keyframes] == [0.0, 0.25] and first.keyframes[0].latent.shape == (4, 4, 4)
    assert first.camera is None and second.camera is not None and second.camera.pose.shape == (1, 4, 4)
