"""Shards are tars that any tool can read; a damaged one is named."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests import builders
from worldpatch.config import UserError
from worldpatch.data import shards
from worldpatch.types import Clip, Event, Truth


def test_round_trip(tmp_path: Path):
    records = list(builders.clips([(2, 4, 4)] * 7))
    builders.data_set(tmp_path, [(2, 4, 4)] * 7, per_shard=3)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"shard-{i:06d}.tar" for i in range(3)]
    assert list(shards.read(tmp_path)) == records
    camera = shards.read_camera(records[1][1]["camera.npz"])
    np.testing.assert_array_equal(camera.pose, builders.camera(5, 32.0).pose)


def test_other_tools_can_read_them(tmp_path: Path):
    builders.data_set(tmp_path, [(1, 4, 4)] * 2)
    with tarfile.open(tmp_path / "shard-000000.tar") as tar:
        assert tar.getnames() == [
            "clip-0000.json", "clip-0000.latent.safetensors",
            "clip-0001.json", "clip-0001.camera.npz", "clip-0001.latent.safetensors",
        ]  # fmt: skip


def test_nothing_half_written_is_read(tmp_path: Path):
    writer = shards.Writer(tmp_path, per_shard=3)
    for key, members in builders.clips([(1, 4, 4)] * 4):
        writer.write(key, members)
        writer.rest()
    assert len(list(shards.read(tmp_path))) == 3, "the fourth lies in a draft"
    builders.data_set(tmp_path, [(1, 4, 4)] * 2)  # a later writer goes on after the whole shards
    assert len(list(shards.read(tmp_path))) == 5


@pytest.mark.parametrize("share", [0.0, 0.1, 0.35, 0.5, 0.8])
def test_a_truncated_tar_is_named(tmp_path: Path, share: float):
    builders.data_set(tmp_path, [(2, 4, 4)] * 5)
    shard = tmp_path / "shard-000000.tar"
    content = shard.read_bytes().rstrip(b"\0")
    shard.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=r"shard-000000\.tar is damaged .*build the data set again"):
        list(shards.read(tmp_path))


def test_a_tar_cut_between_two_clips_is_named(tmp_path: Path):
    """Python's tarfile takes it for a shorter, whole one."""
    builders.data_set(tmp_path, [(1, 4, 4)] * 3)
    shard = tmp_path / "shard-000000.tar"
    with tarfile.open(shard) as tar:
        cut = tar.getmember("clip-0001.json").offset
    shard.write_bytes(shard.read_bytes()[:cut])
    with pytest.raises(UserError, match="cut short"):
        list(shards.read(tmp_path))


def test_an_empty_folder_says_what_to_do(tmp_path: Path):
    with pytest.raises(UserError, match="holds no shard.*worldpatch data build"):
        list(shards.read(tmp_path))


def test_truth_is_written_as_plain_numbers():
    truth = Truth(
        objects=({"shape": "ball", "size": np.float32(0.5), "colour": "red"},),
        events=(Event(kind="fall", time=0.5, objects=(0,)),),
        pose=np.zeros((1, 1, 7)), velocity=np.zeros((1, 1, 6)), scene={"cuts": np.arange(2)},
    )  # fmt: skip
    clip = Clip(frames=np.zeros((1, 8, 8, 3), np.uint8), rate=8.0, truth=truth, captions={"terse": "a red ball falls"})
    record = json.loads(shards.members(clip)["json"])
    assert record["objects"][0]["size"] == 0.5 and record["scene"] == {"cuts": [0, 1]}
    assert record["events"] == [{"kind": "fall", "time": 0.5, "objects": [0]}] and record["height"] == 8


def test_the_webdataset_library_reads_them(tmp_path: Path):
    from webdataset.compat import WebDataset

    builders.films(tmp_path, 3, frames=6)
    names = [str(path) for path in shards.names(tmp_path)]
    stored = dict(shards.read(tmp_path))
    samples = list(WebDataset(names, shardshuffle=False))
    assert {s["__key__"]: {"json": s["json"], "mp4": s["mp4"]} for s in samples} == stored
    decoded, *_ = WebDataset(names, shardshuffle=False).decode()  # type: ignore[misc]
    assert decoded["json"]["captions"] == {"original": "film 0"}


def test_the_datasets_library_reads_them(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    folder = builders.films(tmp_path / "set", 3, frames=6)
    stored = dict(shards.read(folder))
    names = [str(path) for path in shards.names(folder)]
    found = datasets.load_dataset("webdataset", data_files={"train": names}, split="train", cache_dir=str(tmp_path))
    found = found.cast_column("mp4", datasets.Video(decode=False))
    assert found["__key__"][:] == list(stored) and found["json"][1]["captions"]["original"] == "film 1"
    assert found["mp4"][2]["bytes"] == stored["film-2"]["mp4"]


def test_one_member_is_read_without_the_rest(tmp_path: Path):
    builders.data_set(tmp_path, [(2, 4, 4)] * 5, per_shard=2)
    stored = dict(shards.read(tmp_path))
    for shard in shards.names(tmp_path):
        for key, places in shards.scan(shard):
            for suffix, place in places.items():
                assert shards.fetch(place) == stored[key][suffix]
    builders.data_set(tmp_path, [(2, 4, 4)], seed=1)  # a shard that is written anew is opened anew
    (tmp_path / "shard-000003.tar").rename(tmp_path / "shard-000000.tar")
    ((key, places),) = shards.scan(tmp_path / "shard-000000.tar")
    assert shards.fetch(places["latent.safetensors"]) != stored[key]["latent.safetensors"]
    (tmp_path / "shard-000000.tar").unlink()
    with pytest.raises(UserError, match="cannot read .*shard-000000.tar"):
        shards.fetch(places["json"])
