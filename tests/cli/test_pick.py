"""The pick among variants goes to a log with its rivals, and from there into a preference set."""

import json
from pathlib import Path

import pytest

from tests import builders
from worldpatch.cli import main
from worldpatch.generate import preferences


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("picks")
    model = builders.exported(folder / "tiny")
    flags = ["--model", str(model), "--steps", "1", "--variants", "11", "-q"]
    assert main(["generate", "a red ball", *flags, "-o", str(folder / "ball.mp4")]) == 0
    return folder


def test_a_pick_is_kept_with_its_rivals(drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    log, out = tmp_path / "log.jsonl", tmp_path / "set.jsonl"
    picked = drawn / "ball-10.mp4"
    assert main(["pick", str(picked), "--log", str(log), "--judge", "anna", "--export", str(out)]) == 0
    (found,) = preferences.read(log)
    assert [Path(rival.path).name for rival in found.rivals] == [f"ball-{i}.mp4" for i in range(1, 12)]
    assert found.picked == 9 and found.prompt == "a red ball" and found.judge == "anna"
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 10 and {row["chosen"] for row in rows} == {str(picked)}
    assert "10 preferences" in capsys.readouterr().out


def test_rivals_may_be_named_and_must_be_there(drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    log = ["--log", str(tmp_path / "log.jsonl")]
    one, other = str(drawn / "ball-1.mp4"), str(drawn / "ball-3.mp4")
    assert main(["pick", other, "--over", one, *log]) == 0
    assert len(preferences.read(tmp_path / "log.jsonl")[0].rivals) == 2
    (tmp_path / "alone.mp4").write_bytes(Path(one).read_bytes())
    assert main(["pick", str(tmp_path / "alone.mp4"), *log]) == 2
    assert "nothing was compared with" in capsys.readouterr().err
