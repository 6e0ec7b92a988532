"""The commands a user types: fine-tune, generate with the adapter, make the file again."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests import builders
from worldpatch.cli import main
from worldpatch.data import shards
from worldpatch.types import Clip
from worldpatch.video import write


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, a set of three clips, and a fine-tuning of two steps."""
    home = tmp_path_factory.mktemp("finetune")
    builders.exported(home / "model")
    writer = shards.Writer(home / "mine")
    for i in range(3):
        clip = Clip(frames=np.zeros((5, 32, 32, 3), np.uint8), rate=8.0, captions={"own": "a zorvish ball"})
        writer.write(f"mine-{i}", shards.members(clip, {"latent": torch.randn(16, 2, 4, 4).half()}))
    writer.flush()
    options = ["options.budget=64", "options.rank=2", "validate_every=1", "optim.rate=0.05", "optim.warmup=1"]
    command = ["train", "--from", str(home / "model"), "--data", str(home / "mine"), "--out", str(home / "run")]
    sets = [word for option in [*options, "keep_best=false"] for word in ("--set", option)]
    assert main([*command, "--prior", "2", "--steps", "2", "--threads", "1", *sets]) == 0
    return home


def generate(home: Path, *words: str) -> int:
    return main(["generate", *words, "--threads", "1", "--steps", "2", "-q", "--no-sign"])


def test_a_run_leaves_what_a_user_looks_at(home: Path):
    assert {"export", "curve.png", "log.jsonl", "sheets", "prior.safetensors"} <= {
        p.name for p in home.joinpath("run").iterdir()
    }


def test_a_file_made_with_an_adapter_makes_itself_again(home: Path, capsys: pytest.CaptureFixture):
    lora, out = str(home / "run" / "export"), home / "a.mp4"
    prompt = ("a zorvish ball", "--model", str(home / "model"))
    assert generate(home, *prompt, "--lora", lora, "-o", str(out)) == 0
    assert "never read" not in capsys.readouterr().err
    metadata = write.read_metadata(out)
    assert metadata["request"]["loras"] == [lora] and len(metadata["loras"]) == 1
    assert generate(home, "--from", str(out), "-o", str(home / "b.mp4")) == 0
    assert out.read_bytes() == (home / "b.mp4").read_bytes()
    assert generate(home, *prompt, "-o", str(home / "c.mp4")) == 0
    assert out.read_bytes() != (home / "c.mp4").read_bytes()


def test_a_changed_adapter_is_refused(home: Path, capsys: pytest.CaptureFixture):
    copy, out = home / "copy", home / "d.mp4"
    copy.mkdir()
    for path in (home / "run" / "export").iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    prompt = ("a zorvish ball", "--model", str(home / "model"))
    assert generate(home, *prompt, "--lora", f"{copy}:0.5", "-o", str(out)) == 0
    config = copy / "adapter_config.json"
    config.write_text(config.read_text().replace('"lora_alpha": 16.0', '"lora_alpha": 8.0'))
    assert generate(home, "--from", str(out), "-o", str(home / "e.mp4")) == 2
    assert "is not the adapter that made this file" in capsys.readouterr().err
    assert generate(home, "--from", str(out), "--lora", f"{copy}:1", "-o", str(home / "e.mp4")) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x:y", "--from", "tabletop"], "needs --data"),
        (["--from", "tabletop"], "needs --data"),
        (["--data", "mine"], "give a recipe, or --from"),
        (["x:y", "--full"], "give a recipe, or --from"),
        (["--from", "tabletop", "--data", "nowhere"], "nowhere"),
        (["--from", "nothing", "--data", "nowhere"], "no model is named 'nothing'"),
        (["--from", "tabletop", "--data", "nowhere", "--prior", "-1"], "prior -1 is outside"),
    ],
)
def test_what_does_not_belong_together_is_said(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture
):
    assert main(["train", *words, "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
