"""Batches are a pure function of (seed, number), every clip is used once per epoch, and none is lost without a word."""

import json
import threading
from collections import Counter
from itertools import count
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests import builders
from tests.builders import PATCH
from worldpatch.config import UserError
from worldpatch.data import loader, manifest, shards
from worldpatch.data.loader import Batches, Item, LatentSet, ahead, choose_caption, share
from worldpatch.vae._load import vae_id

GRIDS = [((4, 4, 4), (1, 4, 6), (3, 6, 4), (2, 2, 2))[i % 4] for i in range(11)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return builders.data_set(tmp_path_factory.mktemp("set"), GRIDS)


def batches(folders: list[Path], seed: int = 3, budget: int = 40, weights: tuple[float | int, ...] = ()) -> Batches:
    return Batches(LatentSet(folders), seed=seed, budget=budget, patch=PATCH, weights=weights)


def keys(source: Batches, numbers: range) -> list[list[str]]:
    return [[item.key for item in source.batch(number)] for number in numbers]


# -------------------------------------------------------------------------------------------------------------- batches


def test_a_batch_is_a_pure_function_of_seed_and_number(folder: Path):
    forwards = keys(batches([folder]), range(20))
    assert forwards == keys(batches([folder]), range(19, -1, -1))[::-1]
    assert forwards != keys(batches([folder], seed=4), range(20))


def test_a_manifest_changes_nothing(folder: Path, tmp_path: Path):
    builders.data_set(tmp_path, GRIDS)
    manifest.write(tmp_path)
    assert keys(batches([tmp_path]), range(9)) == keys(batches([folder]), range(9))
    assert LatentSet([tmp_path]).fingerprint == LatentSet([folder]).fingerprint


def test_epochs_use_each_clip_once_and_batches_keep_to_the_budget(folder: Path):
    found, seen = batches([folder]), []
    for number in count():
        items = found.batch(number)
        assert 0 < sum(i.latent[0].numel() // 4 for i in items) <= 40
        seen += [item.key for item in items]
        if len(seen) >= 3 * len(GRIDS):
            break
    for epoch in range(3):
        assert len(set(seen[epoch * len(GRIDS) : (epoch + 1) * len(GRIDS)])) == len(GRIDS)


@builders.PATIENT
@given(st.integers(1, 8), st.integers(0, 3), st.integers(0, 1000), st.integers(0, 3))
def test_ranks_share_the_same_batches(world: int, more: int, step: int, seed: int):
    """The union over ranks is what one rank computes, whatever the world, wherever the run begins."""
    alone = list(share(step, world + more))
    shares = [list(share(step, world + more, rank, world)) for rank in range(world)]
    assert sorted(n for numbers in shares for n in numbers) == alone and all(shares)
    assert share(step + 1, world + more)[0] == alone[-1] + 1
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_ranks_workers_and_restarts_change_no_bit(folder: Path):
    def tokens(world: int, workers: int, first: int) -> list[list[torch.Tensor]]:
        made: dict[int, list[torch.Tensor]] = {}
        for rank in range(world):
            own = batches([folder])  # each rank has its own loader
            numbers = [n for step in range(first, 6) for n in share(step, 8, rank, world)]
            for number, items in zip(numbers, ahead(own.batch, numbers, workers=workers), strict=True):
                made[number] = [item.latent for item in items]
        return [made[number] for number in range(8 * first, 48)]

    alone = tokens(1, 1, 0)
    for world, workers, first in ((1, 3, 0), (2, 1, 3), (5, 2, 0), (8, 2, 5)):
        other = tokens(world, workers, first)
        for a, b in zip(alone[8 * first :], other, strict=True):
            assert len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_more_ranks_than_batches_are_refused():
    with pytest.raises(UserError, match="2 batches a step cannot be shared by rank 0 of 3: give each at least one"):
        share(0, 2, 0, 3)


def test_sets_are_mixed_by_weight(folder: Path, tmp_path: Path):
    other = builders.data_set(tmp_path, [(2, 4, 4)] * 4, seed=1)
    found = batches([folder, other], weights=(1, 3))
    given_out = [i for n in range(200) for i in found.indices(n)]
    rounds = len(given_out) // 15 * 15
    from_other = [i for i in given_out[:rounds] if i >= 11]
    assert abs(len(from_other) - 0.75 * rounds) <= 3, "exact by the round"
    counts = Counter(from_other)
    assert max(counts.values()) - min(counts.values()) <= 1, "its own clips come equally often"


def test_wrong_weights_are_refused(folder: Path):
    with pytest.raises(UserError, match="2 weights for 1 data folders: give one each, or none"):
        batches([folder], weights=(1, 2))
    with pytest.raises(UserError, match=r"weights \[0\] must be at least 0, and not 0 for all folders"):
        batches([folder], weights=(0,))


# --------------------------------------------------------------------------------------------------------------- report


def test_every_clip_that_is_not_used_has_a_reason(tmp_path: Path):
    (_, whole), (_, large), (_, odd) = builders.clips([(2, 4, 4), (4, 6, 6), (1, 3, 4)])
    tensors = shards.read_latent(whole["latent.safetensors"])
    writer = shards.Writer(tmp_path)
    record = whole["json"].decode()
    for name, members in {
        "whole": whole, "large": large, "odd": odd,
        "bare": {"json": whole["json"]},
        "mute": whole | {"json": json.dumps(json.loads(record) | {"captions": {}}).encode()},
        "broken": whole | {"latent.safetensors": b"?"},
        "own": whole | {"latent.safetensors": shards.write_latent(tensors, vae_id(builders.SPEC))},
        "foreign": whole | {"latent.safetensors": shards.write_latent(tensors, "another")},
        "kept": whole | {"json": record.replace('"rate"', '"split": "test", "rate"').encode()},
        "asked": whole | {"json": record.replace('"rate"', '"split": "train", "rate"').encode()},
    }.items():  # fmt: skip
        writer.write(name, members)
    writer.flush()
    data = LatentSet([tmp_path], spec=builders.SPEC, captioned=True, split="train")
    found = Batches(data, seed=0, budget=20, patch=PATCH)
    assert {i.key for n in range(3) for i in found.batch(n)} == {"whole", "own", "asked"}
    assert found.report.clips == 10 and found.report.used == 3
    reasons = {name: reason for reason, names in found.report.unused.items() for name in names}
    assert reasons == {
        "mute": "without a caption",
        "large": "over the budget of 20 tokens", "odd": "with a latent that is no multiple of the patch (1, 2, 2)",
        "bare": "without a latent", "broken": "damaged", "foreign": "encoded by another autoencoder",
        "kept": "kept for 'test'",
    }  # fmt: skip
    assert str(found.report).startswith("10 clips in, 3 used; 1 ")


def test_clips_without_captions_are_for_those_who_need_none(tmp_path: Path):
    builders.twins(tmp_path, 2)
    with pytest.raises(UserError, match="28 clips in, 0 used; 28 without a caption"):
        LatentSet([tmp_path], captioned=True)
    assert len(LatentSet([tmp_path])) == 28


def test_a_budget_below_every_clip_is_refused(folder: Path):
    with pytest.raises(UserError, match="no clip fits: 11 clips in, 0 used; .*: raise the budget"):
        batches([folder], budget=1)


# ---------------------------------------------------------------------------------------------------------------- items


def test_items_say_what_was_stored(folder: Path):
    data = LatentSet([folder, folder])
    assert len(data) == 22 and [tuple(i.latent.shape[1:]) for i in data][:11] == GRIDS
    first, second = data[0], data[1]
    assert first.latent.dtype == torch.float16 and first.rate == 8 and first.captions["terse"] == builders.CAPTIONS[0]
    assert [r.time for r in first.keyframes] == [0.0, 0.25] and first.keyframes[0].latent.shape == (4, 4, 4)
    assert first.camera is None and second.camera is not None and second.camera.pose.shape == (1, 4, 4)


def test_what_is_kept_in_memory_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch):
    cache = loader._Cache(600)
    monkeypatch.setattr(loader, "_cache", cache)
    data = LatentSet([folder])
    first = [item.latent for item in data]
    assert cache.size <= 600 and 0 < len(cache.items) < len(data)
    assert cache.size == sum(size for _, size in cache.items.values())
    assert all(torch.equal(a, item.latent) for a, item in zip(first, data, strict=True))


def test_a_shard_that_changed_under_a_run_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loader, "_cache", loader._Cache(0))
    data = LatentSet([builders.data_set(tmp_path, [(2, 4, 4)])])
    member = data.rows[0].member("latent.safetensors")
    assert member
    with (tmp_path / "shard-000000.tar").open("r+b") as file:
        file.seek(member.offset + member.size - 1)
        file.write(b"!")
    with pytest.raises(UserError, match="shard-000000.tar has changed since its manifest, at clip-0000"):
        data[0]


def test_captions_of_models_and_of_people_are_mixed():
    item = Item(
        key="k", latent=torch.zeros(1, 1, 1, 1), keyframes=(), rate=8.0, camera=None,
        captions={"original": "o", "dense": "d", "short": "s"}, captioners={"dense": "m", "short": "m"},
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    drawn = Counter(choose_caption(item, 0.8, generator) for _ in range(2000))
    assert abs(drawn["o"] / 2000 - 0.2) < 0.03 and abs(drawn["d"] - drawn["s"]) < 200
    assert {choose_caption(item, 1.0, generator) for _ in range(50)} == {"d", "s"}
    assert {choose_caption(item, 0.0, generator) for _ in range(50)} == {"o"}


@pytest.mark.parametrize("captioners", [{}, {"a": "m", "b": "m"}])
def test_of_one_sort_of_captions_all_are_used(captioners: dict[str, str]):
    item = Item(
        key="k", latent=torch.zeros(1, 1, 1, 1), keyframes=(), rate=8.0, camera=None,
        captions={"a": "A", "b": "B"}, captioners=captioners,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    for share_ in (0.0, 1.0):
        assert {choose_caption(item, share_, generator) for _ in range(50)} == {"A", "B"}


# ---------------------------------------------------------------------------------------------------------------- ahead


def test_ahead_keeps_order_and_stays_near():
    started, lock, used = [], threading.Lock(), 0

    def make(number: int) -> int:
        with lock:
            started.append(number)
        return number * number

    for number, made in enumerate(ahead(make, range(30), workers=3, depth=2)):
        assert made == number * number
        used += 1
        assert len(started) <= used + 3 * 2
    assert used == 30


def test_ahead_passes_errors_on():
    def make(number: int) -> int:
        if number == 3:
            raise UserError("three")
        return number

    taken = []
    with pytest.raises(UserError, match="three"):
        taken.extend(ahead(make, range(9), workers=2))
    assert taken == [0, 1, 2]


@pytest.mark.parametrize("weights", [(), (2, 1)])
@builders.PATIENT
@given(st.lists(st.integers(0, 60), min_size=1, max_size=8), st.integers(0, 3), st.integers(20, 90))
def test_a_run_may_begin_anywhere(folder: Path, weights: tuple, numbers: list[int], seed: int, budget: int):
    """Whichever batches were asked for before, and by whom."""
    whole = batches([folder, folder], seed, budget, weights)
    stream = [whole.indices(n) for n in range(61)]
    restarted = batches([folder, folder], seed, budget, weights)
    assert [restarted.indices(n) for n in numbers] == [stream[n] for n in numbers]
