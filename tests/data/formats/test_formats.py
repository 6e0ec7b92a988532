"""Sets go to other tools and come back as they were; what those tools write comes in."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests import builders
from worldpatch import config
from worldpatch.config import UserError
from worldpatch.data import manifest, shards
from worldpatch.data.formats import lerobot, videofolder
from worldpatch.data.formats import list as lists
from worldpatch.data.pixels import decode


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four films with actions, one of them with a latent too; a clip without frames."""
    plain = builders.films(tmp_path_factory.mktemp("plain"), 4)
    found = tmp_path_factory.mktemp("set")
    writer = shards.Writer(found, 3)
    for number, (key, members) in enumerate(shards.read(plain)):
        for suffix, name, width in (("actions.npz", "action", 3), ("states.npz", "state", 2)):
            file = io.BytesIO()
            np.savez(file, **{name: np.random.default_rng(number).normal(size=(40, width)).astype(np.float32)})  # type: ignore[arg-type]
            members[suffix] = file.getvalue()
        if number == 2:
            members["latent.safetensors"] = next(builders.clips([(1, 2, 2)]))[1]["latent.safetensors"]
        writer.write(key, members)
        writer.rest()
    writer.write("bare", next(builders.clips([(1, 2, 2)]))[1])
    writer.flush()
    manifest.write(found)
    return found


def contents(folder: Path) -> dict[str, dict[str, bytes]]:
    return dict(shards.read(folder))


def without_our_column(folder: Path) -> None:
    """A LeRobot dataset as anybody else would have written it."""
    from pyarrow import parquet

    path = folder / "meta/episodes/chunk-000/file-000.parquet"
    parquet.write_table(parquet.read_table(path).drop_columns(["worldpatch"]), path)


def packets(content: bytes) -> Any:
    with av.open(io.BytesIO(content), "r") as container:
        return [(p.pts, bytes(p)) for p in container.demux(video=0) if p.pts is not None]


# ---------------------------------------------------------------------------------------------------------- videofolder


def test_videofolder_there_and_back_is_lossless(folder: Path, tmp_path: Path):
    report = videofolder.write(folder, tmp_path / "there")
    assert report.used == 4 and report.unused == {"without a video": ("bare",)}
    assert videofolder.read(tmp_path / "there", tmp_path / "back").used == 4
    whole = contents(folder)
    whole.pop("bare")
    assert contents(tmp_path / "back") == whole
    assert len(manifest.read(tmp_path / "back")) == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["back", "there"], "no drafts are left"


def test_the_datasets_library_reads_our_videofolder(folder: Path, tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    videofolder.write(folder, tmp_path / "there")
    found = datasets.load_dataset(
        "videofolder", data_dir=str(tmp_path / "there"), cache_dir=str(tmp_path), split="train"
    )
    assert found.num_rows == 4 and found["caption"][1] == "film 1" and "video" in found.column_names
    video = found.cast_column("video", datasets.Video(decode=False))[1]["video"]
    assert Path(video["path"]).read_bytes() == contents(folder)["film-1"]["mp4"]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_foreign_videofolders_come_in(folder: Path, tmp_path: Path, form: str):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "a.mp4").write_bytes(contents(folder)["film-0"]["mp4"])
    lines = [{"file_name": "deep/a.mp4", "text": "a grey film", "license": "MIT"}, {"file_name": "b.webm", "text": "?"}]
    with (source / f"metadata.{form}").open("w", newline="") as file:
        if form == "csv":
            writer = csv.DictWriter(file, lines[0])
            writer.writeheader()
            writer.writerows(lines)
        else:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    report = videofolder.read(source, tmp_path / "set")
    assert str(report) == "2 clips in, 1 used; 1 that are no MP4 (b.webm)"
    (row,) = manifest.read(tmp_path / "set").rows
    assert (row.clip_id, row.license, row.num_frames, row.fps) == ("deep-a", "MIT", 40, 24.0)
    assert (row.captions[0].kind, row.captions[0].text, row.source_uri) == ("original", "a grey film", "deep/a.mp4")


def test_bad_videofolders_are_named(tmp_path: Path):
    def metadata(text: str) -> Path:
        (tmp_path / "metadata.jsonl").write_text(text)
        return tmp_path

    for text, words in (
        ('{"file_name": "a.mp4"}\n', "names 'a.mp4', which cannot be read"),
        ('{"file_name": "../a.mp4"}\n', "which lies outside of the folder"),
        ('{"name": "a.mp4"}\n', "must have a file_name in every row"),
        ("no json", "metadata.jsonl is damaged"),
        ('{"file_name": "a.gif"}\n', "names no .mp4"),
    ):
        with pytest.raises(UserError, match=words):
            videofolder.read(metadata(text), tmp_path / "out")
        assert not (tmp_path / "out").exists()
    (tmp_path / "metadata.jsonl").unlink()
    with pytest.raises(UserError, match="is no VideoFolder"):
        videofolder.read(tmp_path, tmp_path / "out")


def test_nothing_is_overwritten(folder: Path, tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="is there already: give another folder"):
        videofolder.write(folder, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


# -------------------------------------------------------------------------------------------------------------- lerobot


def test_lerobot_there_and_back_is_lossless(folder: Path, tmp_path: Path):
    lerobot.write(folder, tmp_path / "there")
    assert lerobot.read(tmp_path / "there", tmp_path / "back").used == 4
    whole, back = contents(folder), contents(tmp_path / "back")
    whole.pop("bare")
    for key, members in whole.items():
        assert [*back[key]] == [*members]
        assert packets(back[key]["mp4"]) == packets(members["mp4"]), "frames are copied, not encoded again"
        assert {s: c for s, c in back[key].items() if s != "mp4"} == {s: c for s, c in members.items() if s != "mp4"}


def test_lerobot_files_are_laid_out_as_its_version_3_says(folder: Path, tmp_path: Path):
    """Paths, columns and types of huggingface/lerobot 0.4.4, datasets/utils.py and lerobot_dataset.py."""
    from pyarrow import parquet

    lerobot.write(folder, tmp_path / "there")
    files = sorted(str(p.relative_to(tmp_path / "there")) for p in (tmp_path / "there").rglob("*") if p.is_file())
    camera = "observation.images.main"
    assert files == [
        "data/chunk-000/file-000.parquet", "meta/episodes/chunk-000/file-000.parquet", "meta/info.json",
        "meta/stats.json", "meta/tasks.parquet", f"videos/{camera}/chunk-000/file-000.mp4",
    ]  # fmt: skip
    info = json.loads((tmp_path / "there/meta/info.json").read_text())
    assert (info["codebase_version"], info["fps"], info["total_episodes"], info["total_frames"]) == ("v3.0", 24, 4, 160)
    assert info["features"]["action"] == {"dtype": "float32", "shape": [3], "names": None}
    assert info["features"][camera]["shape"] == [48, 64, 3]
    frames = parquet.read_table(tmp_path / "there/data/chunk-000/file-000.parquet")
    assert str(frames.schema.field("action").type).startswith("fixed_size_list")
    assert frames["index"].to_pylist() == [*range(160)] and frames["frame_index"][41].as_py() == 1
    assert str(frames.schema.field("timestamp").type) == "float" and frames["timestamp"][41].as_py() == pytest.approx(
        1 / 24
    )
    second = parquet.read_table(tmp_path / "there/meta/episodes/chunk-000/file-000.parquet").to_pylist()[1]
    assert (second["length"], second["dataset_from_index"], second["dataset_to_index"]) == (40, 40, 80)
    assert second["tasks"] == ["film 1"]
    assert second[f"videos/{camera}/from_timestamp"] == pytest.approx(40 / 24)
    tasks = parquet.read_pandas(tmp_path / "there/meta/tasks.parquet").to_pandas()
    assert tasks.loc["film 2"].task_index == 2
    film = (tmp_path / "there" / files[-1]).read_bytes()
    second_film = decode(film, 40, 40)
    np.testing.assert_array_equal(second_film, decode(contents(folder)["film-1"]["mp4"], 0, 40))


def test_the_datasets_library_reads_our_lerobot_tables(folder: Path, tmp_path: Path):
    """As LeRobot does: `Dataset.from_parquet` over data/ (with a fixed length of actions) and meta/episodes/."""
    datasets = pytest.importorskip("datasets")
    lerobot.write(folder, tmp_path / "there")
    actions = {"action": datasets.Sequence(datasets.Value("float32"), length=3)}
    for part, features in (("data", actions), ("meta/episodes", None)):
        paths = [str(path) for path in sorted((tmp_path / "there" / part).glob("*/*.parquet"))]
        found = datasets.Dataset.from_parquet(
            paths, cache_dir=str(tmp_path / "cache"), columns=[*features] if features else None,
            features=datasets.Features(features) if features else None,
        )  # fmt: skip
        assert found.num_rows == (160 if features else 4)


def test_foreign_lerobot_sets_come_in(folder: Path, tmp_path: Path):
    """Without our column: the record is made from the episode, arrays from the frames."""
    lerobot.write(folder, tmp_path / "there")
    without_our_column(tmp_path / "there")
    lerobot.read(tmp_path / "there", tmp_path / "set", licence="Apache-2.0")
    found = manifest.read(tmp_path / "set")
    assert [row.clip_id for row in found.rows] == [f"episode-{i:06d}" for i in range(4)]
    row, origin = found.rows[3], contents(folder)["film-3"]
    assert (row.captions[0].text, row.num_frames, row.fps, row.license) == ("film 3", 40, 24.0, "Apache-2.0")
    assert (row.action_ref, row.state_ref) == ("actions.npz", "states.npz")
    for suffix, name in lerobot.ARRAYS.values():
        a, b = (np.load(io.BytesIO(c))[name] for c in (found.fetch(row, suffix), origin[suffix]))
        np.testing.assert_array_equal(a, b)
    assert packets(found.fetch(row, "mp4")) == packets(origin["mp4"])


def test_pictures_stay_in_their_codec(tmp_path: Path):
    """Foreign sets are seldom H.264."""
    origin = builders.films(tmp_path / "set", 2, frames=14, codec="libvpx-vp9")
    lerobot.write(origin, tmp_path / "there")
    without_our_column(tmp_path / "there")
    lerobot.read(tmp_path / "there", tmp_path / "back")
    found = manifest.read(tmp_path / "back")
    assert [(row.codec, row.num_frames) for row in found.rows] == [("vp9", 14)] * 2
    for row, members in zip(found.rows, contents(origin).values(), strict=True):
        assert [c for _, c in packets(found.fetch(row, "mp4"))] == [c for _, c in packets(members["mp4"])]


def test_lerobot_needs_clips_that_agree(folder: Path, tmp_path: Path):
    mixed = tmp_path / "mixed"
    builders.films(mixed, 1, frames=6)
    builders.films(tmp_path / "other", 1, frames=6, size=(32, 32))
    (tmp_path / "other/shard-000000.tar").rename(mixed / "shard-000001.tar")
    with pytest.raises(UserError, match=r"clips differ in width \(32, 64\), and LeRobot knows one"):
        lerobot.write(mixed, tmp_path / "out")
    some = tmp_path / "some"
    writer = shards.Writer(some)
    for key, members in contents(folder).items():
        if key != "bare":
            writer.write(key, {s: c for s, c in members.items() if s != "actions.npz" or key == "film-0"})
    writer.flush()
    with pytest.raises(UserError, match=r"only 1 of 4 clips have .actions.npz: all or none must"):
        lerobot.write(some, tmp_path / "out")


def test_other_versions_of_lerobot_are_refused(tmp_path: Path):
    with pytest.raises(UserError, match="is no LeRobot dataset"):
        lerobot.read(tmp_path, tmp_path / "out")
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_text('{"codebase_version": "v2.1"}')
    with pytest.raises(UserError, match="is of LeRobot's v2.1, this reads v3.0: convert it"):
        lerobot.read(tmp_path, tmp_path / "out")


# ----------------------------------------------------------------------------------------------------------------- list

EXPECTED = {  # trainer -> (file, columns of an entry); where each says so stands in the template
    "finetrainers": ("metadata.csv", ["file_name", "caption"]),
    "fastvideo": ("videos2caption.json", ["path", "resolution", "fps", "duration", "cap"]),
    "ltx": ("dataset.json", ["caption", "media_path"]),
    "musubi": ("metadata.jsonl", ["video_path", "caption"]),
    "diffsynth": ("metadata.csv", ["video", "prompt"]),
    "opensora": (
        "dataset.csv", ["path", "text", "num_frames", "fps", "width", "height", "aspect_ratio", "resolution"],
    ),
}  # fmt: skip


def entries(path: Path) -> Any:
    text = path.read_text()
    if path.suffix == ".csv":
        return [*csv.DictReader(io.StringIO(text))]
    return json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]


def test_every_template_is_known_here():
    assert lists.templates() == sorted(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_each_list_has_the_columns_that_its_trainer_expects(folder: Path, tmp_path: Path, name: str):
    report = lists.write(folder, tmp_path / "out", template=name)
    file, columns = EXPECTED[name]
    found = entries(tmp_path / "out" / file)
    assert report.used == len(found) == 4 and all([*entry] == columns for entry in found)
    second = found[1]
    caption = next(second[key] for key in ("caption", "cap", "text", "prompt") if key in second)
    assert caption in ("film 1", ["film 1"])
    path = next(second[key] for key in ("file_name", "path", "media_path", "video_path", "video") if key in second)
    base = tmp_path / "out" / ("videos" if name == "fastvideo" else "")
    assert (base / path).read_bytes() == contents(folder)["film-1"]["mp4"]
    assert Path(path).is_absolute() == (name in ("musubi", "opensora"))


def test_fastvideo_is_typed(folder: Path, tmp_path: Path):
    lists.write(folder, tmp_path / "out", template="fastvideo")
    assert entries(tmp_path / "out/videos2caption.json")[0] == {
        "path": "film-0.mp4", "resolution": {"width": 64, "height": 48}, "fps": 24.0, "duration": 40 / 24,
        "cap": ["film 0"],
    }  # fmt: skip


def test_a_template_of_ones_own(folder: Path, tmp_path: Path):
    shape = {"file": "all.jsonl", "columns": {"id": "$clip_id", "motion": "$scores.motion", "kind": "film"}}
    (tmp_path / "own.json").write_text(json.dumps(shape))
    lists.write(folder, tmp_path / "out", template=str(tmp_path / "own.json"))
    assert entries(tmp_path / "out/all.jsonl")[3] == {"id": "film-3", "motion": 0.3, "kind": "film"}


def test_bad_templates_are_named(folder: Path, tmp_path: Path):
    with pytest.raises(UserError, match="no template is named 'x'; known: diffsynth, fastvideo"):
        lists.write(folder, tmp_path / "out", template="x")
    for text, words in (
        ("[]", "must have `file`"), ("?", "is no JSON object"),
        ('{"file": "a.xml", "columns": {}}', "must have `file`"),
        ('{"file": "a.csv", "columns": {"a": "$colour"}}', r"asks for '\$colour'; known fields: absolute"),
    ):  # fmt: skip
        (tmp_path / "own.json").write_text(text)
        with pytest.raises(UserError, match=words):
            lists.write(folder, tmp_path / "out", template=str(tmp_path / "own.json"))


def test_sets_without_frames_cannot_be_exported(tmp_path: Path):
    builders.data_set(tmp_path / "set", [(1, 2, 2)] * 3)
    for name in config.available("data/formats"):
        options = {"template": "ltx"} if name == "list" else {}
        with pytest.raises(
            UserError, match="3 clips in, 0 used; 3 without a video .*: only sets that keep their frames"
        ):
            config.resolve("data/formats", name).write(tmp_path / "set", tmp_path / "out", **options)
