"""One row per clip that says what it is and where every byte of it lies; a manifest that no longer fits is refused."""

import io
import json
from pathlib import Path

import numpy as np
import pytest

from tests import builders
from worldpatch.config import UserError
from worldpatch.data import manifest, shards

RECORD = {
    "captions": {"original": "a dog", "dense": "a brown dog runs over grass"}, "captioners": {"dense": "own-1"},
    "rate": 24.0, "frames": 48, "height": 256, "width": 456, "seed": None, "source": "films/dog.mov",
    "licence": "CC0-1.0",
    "source_sha256": "ab" * 32, "parent": "dog", "split": "train", "start_pts": 9000, "end_pts": 189000,
    "time_base": "1/90000", "start_s": 0.1, "end_s": 2.1, "gop_max": 12, "rotation": 90, "crop_box": [0, 12, 456, 232],
    "codec": "h264", "pix_fmt": "yuv420p", "scores": {"motion": 0.5, "aesthetic": None},
    "hashes": {"phash": ["00ff", "0f0f"]}, "dup_cluster": 7, "version": "0.4", "config_sha": "c0ffee",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five encoded clips of a world, and a real one that has frames and actions."""
    builders.data_set(tmp_path, [(2, 4, 4), (3, 4, 6)] * 2 + [(1, 2, 2)], per_shard=2)
    file = io.BytesIO()
    np.savez(file, action=np.zeros((48, 2)))
    writer = shards.Writer(tmp_path)
    writer.write("real-0", {"json": json.dumps(RECORD).encode(), "mp4": b"film", "actions.npz": file.getvalue()})
    writer.flush()
    return tmp_path


def test_a_row_says_all_that_the_record_says(folder: Path):
    manifest.write(folder)
    real = manifest.read(folder).rows[-1]
    assert (real.clip_id, real.source_uri, real.license, real.parent_id, real.split) == (
        "real-0", "films/dog.mov", "CC0-1.0", "dog", "train",
    )  # fmt: skip
    for name in ("source_sha256", "start_pts", "end_pts", "time_base", "start_s", "end_s", "gop_max", "rotation"):
        assert getattr(real, name) == RECORD[name]
    assert (real.fps, real.num_frames, real.duration_s) == (24.0, 48, 2.0)
    assert (real.crop_box, real.codec, real.pix_fmt) == ((0, 12, 456, 232), "h264", "yuv420p")
    assert (real.aspect_bucket, real.resolution_bucket, real.frames_bucket) == ("16:9", 256, 33)
    assert real.scores == {"motion": 0.5, "aesthetic": None} and real.phash == ("00ff", "0f0f")
    assert (real.dup_cluster, real.pipeline_version, real.config_sha, real.seed) == ("7", "0.4", "c0ffee", None)
    assert [(c.kind, c.text, c.model) for c in real.captions] == [
        ("original", "a dog", ""), ("dense", "a brown dog runs over grass", "own-1"),
    ]  # fmt: skip
    assert real.captions[0].sha == manifest.caption_sha("a dog") != real.captions[1].sha
    assert (real.action_ref, real.state_ref, real.camera_ref) == ("actions.npz", None, None)
    assert real.latent is None and real.has_gt is False and real.problem is None


def test_a_row_of_a_world_knows_its_latent(folder: Path):
    manifest.write(folder)
    first, second = manifest.read(folder).rows[:2]
    assert first.latent == manifest.Latent(vae="", t=2, h=4, w=4, c=builders.CHANNELS)
    assert first.camera_ref is None and second.camera_ref == "camera.npz"
    assert first.shard == "shard-000000.tar" and first.seed == 0


def test_every_member_is_read_by_its_offset(folder: Path):
    manifest.write(folder)
    found = manifest.read(folder)
    stored = dict(shards.read(folder))
    assert {row.clip_id: {m.suffix: found.fetch(row, m.suffix) for m in row.members} for row in found.rows} == stored
    with pytest.raises(UserError, match=r"clip real-0 has no .latent.safetensors, only json, mp4, actions.npz"):
        found.fetch(found.rows[-1], "latent.safetensors")


def test_a_scan_gives_the_same_rows(folder: Path):
    manifest.write(folder)
    assert manifest.scan(folder).rows == manifest.read(folder).rows == manifest.find(folder).rows
    (folder / manifest.NAME).unlink()
    assert manifest.find(folder).rows == manifest.scan(folder).rows


def test_only_some_columns(folder: Path):
    manifest.write(folder)
    found = manifest.read(folder, ("clip_id", "fps"))
    assert [row.clip_id for row in found.rows] == [row.clip_id for row in manifest.scan(folder).rows]
    assert found.rows[-1].fps == 24.0 and found.rows[-1].captions == ()


def test_other_tools_can_read_it(folder: Path):
    from pyarrow import parquet

    table = parquet.read_table(manifest.write(folder))
    assert table.num_rows == 6 and table.column_names[0] == "clip_id"
    assert table["captions"][5][1]["model"].as_py() == "own-1"


def test_damage_is_written_down(tmp_path: Path):
    (key, members), *_ = builders.clips([(2, 4, 4)])
    latent = members["latent.safetensors"]
    writer = shards.Writer(tmp_path)
    writer.write("whole", members)
    writer.write("short", members | {"latent.safetensors": latent[:-10]})
    writer.write("noise", members | {"latent.safetensors": b"\xff" * 100})
    writer.write("mute", {k: v for k, v in members.items() if k != "json"})
    writer.write("list", {"json": b"[]"})
    writer.write("bare", {"json": b"{}"})
    writer.flush()
    manifest.write(tmp_path)
    problems = {row.clip_id: row.problem or "" for row in manifest.read(tmp_path).rows}
    assert problems.pop("whole") == "" and all(problems.values()), problems
    assert problems["short"] == "is damaged: its .latent.safetensors is too short"
    assert problems["mute"] == "has no json" and problems["bare"] == "has no frames"


@pytest.mark.parametrize(
    "harm, words",
    [
        (lambda f: (f / manifest.NAME).unlink(), "holds no manifest.parquet: write it again"),
        (lambda f: (f / manifest.NAME).write_bytes(b"PAR1"), "is damaged"),
        (lambda f: (f / "shard-000001.tar").unlink(), "its shards shard-000001.tar are missing"),
        (lambda f: builders.data_set(f, [(1, 2, 2)]), "its shards shard-000004.tar have come since"),
        (lambda f: (f / "shard-000000.tar").write_bytes(bytes(2048)), "shard-000000.tar have changed since"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(folder: Path, harm, words: str):
    manifest.write(folder)
    harm(folder)
    with pytest.raises(UserError, match=words):
        manifest.read(folder)


def test_one_of_another_version_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(manifest, "VERSION", 99)
    manifest.write(folder)
    monkeypatch.undo()
    with pytest.raises(UserError, match="is of version 99, this is version 1: write it again"):
        manifest.read(folder)


def test_one_of_another_program_is_refused(folder: Path):
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"clip_id": ["a"]}), folder / manifest.NAME)
    with pytest.raises(UserError, match="was not written by worldpatch"):
        manifest.read(folder)


def test_bytes_that_changed_in_place_are_noticed(folder: Path):
    manifest.write(folder)
    found = manifest.read(folder)
    place = found.rows[0].member("json")
    assert place
    with (folder / "shard-000000.tar").open("r+b") as file:
        file.seek(place.offset)
        file.write(b"X")
    with pytest.raises(UserError, match=r"has changed since its manifest, at clip-0000.json"):
        found.fetch(found.rows[0], "json")


def test_names_must_differ(tmp_path: Path):
    for _ in range(2):
        builders.data_set(tmp_path, [(1, 4, 4)])
    with pytest.raises(UserError, match="clip clip-0000 is both in shard-000000.tar and in shard-000001.tar"):
        manifest.write(tmp_path)
    assert not (tmp_path / manifest.NAME).exists()
