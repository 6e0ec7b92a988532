"""`worldpatch data export | import | manifest | licences`, as typed."""

import json
from pathlib import Path

import pytest

from tests import builders
from worldpatch.cli import BAD_INPUT, main
from worldpatch.data import manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return builders.films(tmp_path / "set", 3, frames=6)


def run(*words: object) -> int:
    return main(["data", *map(str, words)])


def test_a_manifest_is_written(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert run("manifest", folder) == 0
    assert "manifest.parquet: 3 clips" in capsys.readouterr().out and len(manifest.read(folder)) == 3


@pytest.mark.parametrize("name", ["videofolder", "lerobot"])
def test_out_and_in_again(folder: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]):
    assert run("export", folder, "--format", name, "--out", tmp_path / "there") == 0
    assert run("import", tmp_path / "there", "--format", name, "--out", tmp_path / "back", "-q") == 0
    assert [row.clip_id for row in manifest.read(tmp_path / "back").rows] == ["film-0", "film-1", "film-2"]
    assert capsys.readouterr().out == f"{tmp_path / 'there'}: 3 clips in, 3 used\n"


def test_a_list(folder: Path, tmp_path: Path):
    assert run("export", folder, "--format", "list", "--template", "musubi", "--out", tmp_path / "out", "-q") == 0
    assert len((tmp_path / "out/metadata.jsonl").read_text().splitlines()) == 3


def test_what_does_not_fit_is_said(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for words, complaint in (
        (("export", folder, "--format", "list", "--out", tmp_path / "a"), "--template is for --format list and needed"),
        (("export", folder, "--format", "zip", "--out", tmp_path / "a"), "no data/formats is named 'zip'"),
        (("import", folder, "--format", "list", "--out", tmp_path / "a"), "format list is for export only"),
        (("import", folder, "--format", "lerobot", "--out", tmp_path / "a"), "is no LeRobot dataset"),
        (("licences", folder, "-o", tmp_path / "a.txt"), "a ledger is a .md or a .json"),
        (("manifest", tmp_path), "holds no shard-*.tar"),
    ):
        assert run(*words) == BAD_INPUT
        assert complaint in capsys.readouterr().err


def test_the_ledger(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run("licences", folder) == 0
    assert "| CC-BY-4.0 | 2 | 0.5 | 2 |" in capsys.readouterr().out
    assert run("licences", folder, "-o", tmp_path / "l.json") == 0
    assert {e["licence"] for e in json.loads((tmp_path / "l.json").read_text())} == {"CC-BY-4.0", "CC0-1.0"}
