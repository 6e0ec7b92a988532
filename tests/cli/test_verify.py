"""`worldpatch verify`, and what the command line signs."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import builders
from worldpatch.cli import main
from worldpatch.generate import files, provenance
from worldpatch.video import read

pytest.importorskip("c2pa")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and a signed clip of it."""
    folder = tmp_path_factory.mktemp("home")
    torch.manual_seed(0)
    builders.exported(folder / "tiny")
    assert make(folder, "ball.mp4", "-q") == 0
    return folder


def make(home: Path, name: str, *more: str) -> int:
    flags = ("--model", str(home / "tiny"), "--steps", "1", "--threads", "1", "-o", str(home / name))
    return main(["generate", "a red ball falls", *flags, *more])


def test_what_is_generated_is_signed(home: Path, capsys: pytest.CaptureFixture[str]):
    assert make(home, "told.mp4") == 0
    out, _ = capsys.readouterr()
    signature = files.read_recipe(home / "told.mp4").provenance["signature"]
    assert signature.startswith("by worldpatch development ") and out.splitlines()[0].endswith(f", signed {signature}")
    assert main(["verify", str(home / "told.mp4")]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{home / 'told.mp4'}: known\n  signed {signature}, unchanged since") and not err
    assert "model tiny " in out and "with text_to_video" in out


def test_the_verdict_as_json(home: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["verify", str(home / "ball.mp4"), "--json"]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert (verdict["outcome"], verdict["file"]) == ("found", "ball.mp4")
    assert verdict["credentials"]["making"]["ability"] == "text_to_video"


def test_abilities_tell_what_they_went_on_from(home: Path, capsys: pytest.CaptureFixture[str]):
    flags = ("--model", str(home / "tiny"), "--steps", "1", "--threads", "1", "-q")
    assert main(["extend", str(home / "ball.mp4"), "--seconds", "0.5", "-o", str(home / "on.mp4"), *flags]) == 0
    assert main(["verify", str(home / "on.mp4")]) == 0
    assert "  continues or changes ball.mp4, signed by worldpatch development" in capsys.readouterr().out


def test_signing_can_be_turned_off_and_that_is_said(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert make(home, "plain.mp4", "--no-sign") == 0
    out, err = capsys.readouterr()
    assert "note: not signed: that is turned off" in err.splitlines()[0] and out.endswith(", not signed: turned off\n")
    assert files.read_recipe(home / "plain.mp4").provenance["signature"] == "turned off"
    monkeypatch.setenv("WORLDPATCH_SIGN", "0")
    assert make(home, "other.mp4", "-q") == 0
    assert (home / "plain.mp4").read_bytes() == (home / "other.mp4").read_bytes()
    assert np.array_equal(read.read(home / "plain.mp4")[0], read.read(home / "ball.mp4")[0]), "but the signature"
    capsys.readouterr()
    assert main(["verify", str(home / "plain.mp4")]) == 1
    assert "nothing known" in capsys.readouterr().out


def test_a_changed_file_fails(home: Path, capsys: pytest.CaptureFixture[str]):
    content = (home / "ball.mp4").read_bytes()
    (home / "changed.mp4").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert main(["verify", str(home / "changed.mp4")]) == 2
    assert "changed.mp4: not as it was signed\n" in capsys.readouterr().out


def test_a_stranger_is_no_friend(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys):
    root = provenance.Settings().home / "root.pem"
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert main(["verify", str(home / "ball.mp4")]) == 1
    assert "signed by a stranger" in capsys.readouterr().out
    assert main(["verify", str(home / "ball.mp4"), "--anchors", str(root)]) == 0
    assert not list(tmp_path.iterdir()), "verifying makes no certificate"


def test_what_is_no_video_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["verify", str(tmp_path / "none.mp4")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_without_the_extra_the_summary_says_so(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(provenance, "find_spec", lambda name: None if name == "c2pa" else find_spec(name))
    assert make(home, "bare.mp4") == 0
    assert "not signed: c2pa-python is not installed" in capsys.readouterr().out


def test_wrong_settings_are_refused_before_the_work(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("WORLDPATCH_CERTIFICATE", "none.pem")
    assert make(home, "never.mp4") == 2
    out, err = capsys.readouterr()
    assert "WORLDPATCH_CERTIFICATE_KEY both, or neither" in err and "denoise" not in err
    assert not (home / "never.mp4").exists()
