"""Checkpoints are whole or absent, and say which file is wrong."""

from pathlib import Path

import pytest
import torch

from worldpatch.config import UserError
from worldpatch.train import checkpoint

TENSORS = {name: {"w": torch.arange(4.0)} for name in ("model", "average", "optimiser")}


def test_save_and_load_round_trip(tmp_path: Path):
    path = checkpoint.save(tmp_path, 7, TENSORS, {"step": 7})
    tensors, state = checkpoint.load(path)
    assert state == {"step": 7} and torch.equal(tensors["average"]["w"], torch.arange(4.0))


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path):
    checkpoint.write(tmp_path / "w.safetensors", TENSORS["model"])
    (tmp_path / "plain").touch()
    assert (tmp_path / "w.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_last_ones_are_kept(tmp_path: Path):
    assert checkpoint.latest(tmp_path) is None
    for step in (1, 20, 300, 300):
        checkpoint.save(tmp_path, step, TENSORS, {})
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["step-00000020", "step-00000300"]
    assert checkpoint.latest(tmp_path) == tmp_path / "step-00000300"


def test_a_killed_save_leaves_the_former_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    checkpoint.save(tmp_path, 1, TENSORS, {"step": 1})

    def fails(*_) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", fails)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save(tmp_path, 2, TENSORS, {})
    path = checkpoint.latest(tmp_path)
    assert path is not None and checkpoint.load(path)[1] == {"step": 1}
    checkpoint.save(tmp_path, 3, TENSORS, {})
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")], "nothing half-written stays"


@pytest.mark.parametrize("name", ["model.safetensors", "optimiser.safetensors", "state.json"])
def test_missing_and_damaged_files_are_named(tmp_path: Path, name: str):
    path = checkpoint.save(tmp_path, 1, TENSORS, {"step": 1})
    (path / name).write_bytes((path / name).read_bytes()[:5])
    with pytest.raises(UserError, match=f"{name} is .*damaged"):
        checkpoint.load(path)
    (path / name).unlink()
    with pytest.raises(UserError, match=f"{name} is missing"):
        checkpoint.load(path)
