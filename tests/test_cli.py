"""The command line end to end on a tiny model: files come out, and what goes wrong is one line and an exit code."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests import builders
from worldpatch import generate as room
from worldpatch.cli import _recipes, main
from worldpatch.cli._listing import describe
from worldpatch.cli._parse import assign, size
from worldpatch.cli._progress import amount, clock
from worldpatch.config import UserError
from worldpatch.video import read

ROOT = Path(__file__).parents[1]
PROMPT = "a red ball falls"

RECIPE = '''
from worldpatch.train.loop import Run


def small() -> Run:
    """A transformer on six clips."""
    options = {"data": ("latents",), "validation": "latents", "vae": "checkpoints/tiny", "sheet_level": 0, "budget": 48}
    model = {"model": {"depth": 2}, "text": {"depth": 1, "width": 32, "heads": 2}}
    return Run(stage="dit", steps=3, options=options | model)


def wrong() -> int:
    """Not a recipe."""
    return 3
'''


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a recipe and a data set, as a user has them."""
    folder = tmp_path_factory.mktemp("home")
    torch.manual_seed(0)
    builders.exported(folder / "checkpoints" / "tiny")
    (folder / "recipes").mkdir()
    (folder / "recipes" / "mine.py").write_text(RECIPE)
    return folder


@pytest.fixture(autouse=True)
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


@pytest.fixture(scope="module")
def latents(home: Path) -> Path:
    former = os.getcwd()
    os.chdir(home)
    try:
        sizes = ["--clips", "6", "--size", "32x32", *FILM]
        assert main(["data", "build", "tabletop", "--vae", "tiny", "--out", "latents", "-q", *sizes]) == 0
    finally:
        os.chdir(former)
    return home / "latents"


@pytest.fixture
def pipeline_draws(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ctrl-C comes in the second pass of the model; the sizes of the passes."""
    passes, draw = [], room.draw

    def impatient(plans, *more):
        passes.append(len(plans))
        if len(passes) == 2:
            raise KeyboardInterrupt
        return draw(plans, *more)

    monkeypatch.setattr(room, "draw", impatient)
    return passes


FILM = ["--level", "1", "--set", "frames=5", "--workers", "0"]


def make(*arguments: str) -> int:
    """`worldpatch generate` with the tiny model, quickly."""
    return main(["generate", *arguments, "--model", "tiny", "--steps", "2"])


def frames(path: str | Path) -> np.ndarray:
    return read.read(path)[0]


# -------------------------------------------------------------------------------------------------------------- making


def test_a_sentence_becomes_a_file(capsys: pytest.CaptureFixture[str]):
    assert make(PROMPT, "-o", "new/ball.mp4") == 0
    assert frames("new/ball.mp4").shape == (5, 32, 32, 3)
    out, err = capsys.readouterr()
    assert out.startswith("new/ball.mp4: 32x32, 5 frames at 8 per second, 0.625 s") and "made in" in out
    assert err.splitlines() == ["denoise 2/2", "decode 1/1"]


def test_the_file_is_named_after_the_prompt_and_quiet_is_quiet(capsys: pytest.CaptureFixture[str]):
    assert make("A red ball: falls!", "--quiet") == 0
    assert Path("out/a-red-ball-falls.mp4").exists()
    assert capsys.readouterr() == ("", "")


def test_a_png_is_a_picture():
    assert make(PROMPT, "-o", "ball.png", "--size", "64x32") == 0
    with Image.open("ball.png") as image:
        assert image.size == (64, 32)


def test_several_variants_and_their_sheet():
    assert make(PROMPT, "-o", "two.gif", "--variants", "2", "-q") == 0
    assert not np.array_equal(frames("two-1.gif"), frames("two-2.gif"))
    assert Path("two-sheet.png").exists() and not Path("two.gif").exists()


def test_a_file_makes_itself_again():
    plain = ("-q", "--no-sign")  # a signature is never the same
    assert make(PROMPT, "-o", "first.mp4", "--seed", "7", "--seconds", "1", "--sampler", "heun", *plain) == 0
    assert main(["generate", "--from", "first.mp4", "-o", "again.mp4", *plain]) == 0
    assert Path("again.mp4").read_bytes() == Path("first.mp4").read_bytes()
    assert main(["generate", "--from", "first.mp4", "-o", "other.mp4", "--seed", "8", "--frames", "5", "-q"]) == 0
    assert len(frames("other.mp4")) == 5 and len(frames("first.mp4")) == 9
    assert not np.array_equal(frames("other.mp4"), frames("first.mp4")[:5])


def test_the_best_of_several_says_how_to_make_it_again(capsys: pytest.CaptureFixture[str]):
    assert make(PROMPT, "-o", "best.mp4", "--best-of", "3", "--seed", "4", "--no-sign") == 0
    out = capsys.readouterr().out
    assert out.startswith("best.mp4, best-critic.json, best-critic.png: 32x32") and "kept clip" in out
    assert len(json.loads(Path("best-critic.json").read_text())["rounds"][0]["clips"]) == 3
    assert main(["generate", "--from", "best.mp4", "-o", "same.mp4", "-q", "--no-sign"]) == 0
    assert Path("same.mp4").read_bytes() == Path("best.mp4").read_bytes()
    assert make(PROMPT, "-o", "three.mp4", "--variants", "3", "--seed", "4", "-q") == 0
    assert any(np.array_equal(frames("best.mp4"), frames(f"three-{i}.mp4")) for i in (1, 2, 3))
    assert main(["generate", "--from", "best.mp4", "-o", "one.mp4", "--best-of", "1", "-q"]) == 0
    assert main(["generate", "--from", "best.mp4", "-o", "new.mp4", "--seed", "5", "-q"]) == 0
    assert Path("new-critic.json").exists() and not Path("one-critic.json").exists()


def test_rounds_of_improvement(capsys: pytest.CaptureFixture[str]):
    assert make(PROMPT, "-o", "better.mp4", "--improve", "2", "--frames", "9", "--no-sign") == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in told[2:-1]] == ["round 1", "round 2", "round 3"]
    assert told[-1].endswith(" s") and "after 6 clips" in told[-1]
    assert main(["generate", "--from", "better.mp4", "-o", "again.mp4", "-q", "--no-sign"]) == 0
    assert Path("again.mp4").read_bytes() == Path("better.mp4").read_bytes()


def test_ctrl_c_keeps_the_best_of_the_rounds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, pipeline_draws: list[int]
):
    assert make(PROMPT, "-o", "stopped.mp4", "--improve", "9", "-q") == 130
    assert capsys.readouterr().err == "worldpatch: stopped: stopped.mp4 is the best so far\n"
    assert frames("stopped.mp4").shape == (5, 32, 32, 3) and len(pipeline_draws) == 2


def test_unknown_words_are_named_with_a_prompt_it_knows(capsys: pytest.CaptureFixture[str]):
    assert make("a crimson ball falls", "-o", "crimson.mp4") == 0
    assert capsys.readouterr().err.splitlines()[0] == (
        "note: this model never read 'crimson'; a prompt it knows: 'a red ball falls'"
    )


def test_data_train_and_generate(latents: Path, capsys: pytest.CaptureFixture[str]):
    warmup = ["--set", "optim.warmup=2"]
    assert main(["train", "mine:small", "--out", "run", *warmup]) == 0
    assert "train 3/3, loss" in capsys.readouterr().err
    trained = json.loads(Path("run/export/model.json").read_text())["training"]["run"]
    assert trained["optim"]["warmup"] == 2
    assert main(["generate", PROMPT, "--model", "run/export", "-o", "trained.webp", "--steps", "2", "-q"]) == 0
    assert (
        main(["train", "recipes/mine.py:small", "--out", "run", "--steps", "5", "--set", "optim.warmup=2", "-q"]) == 0
    )
    assert len(Path("run/log.jsonl").read_text().splitlines()) >= 5


def test_preview():
    assert main(["data", "preview", "tabletop", "--clips", "2", "-o", "sheet.png", "--size", "48x32", *FILM]) == 0
    with Image.open("sheet.png") as image:
        assert min(image.size) > 100


def test_eval_writes_its_card_and_does_so_again(capsys: pytest.CaptureFixture[str]):
    few = ["--prompts", "2", "--seeds", "2", "--steps", "1"]
    assert main(["eval", "tiny", *few, "-o", "scores", "-q", "--clips", "--sheets"]) == 0
    assert "| colour, share |" in capsys.readouterr().out
    card = json.loads(Path("scores/card.json").read_text())
    assert len(card["samples"]) == 4 and card["subject"]["name"] == "tiny"
    written = {"card.html", "card.png", "card.md", "worst.png", "sheet-1.png"}
    assert written <= {p.name for p in Path("scores").iterdir()}
    assert len(list(Path("scores/clips").glob("prompts_level1-0?-[01].mp4"))) == 4
    assert main(["eval", "scores/clips", "-o", "again", "-q"]) == 0
    assert "clips on prompts_level1" in capsys.readouterr().out
    assert main(["eval", "reproduce", "scores", "-q"]) == 0
    assert capsys.readouterr().out.startswith("4 of 4 clips have the same scores")
    assert main(["eval", "compare", "scores", "scores/card.json", "-o", "curves.png"]) == 0
    assert capsys.readouterr().out.startswith("| skill | tiny") and Path("curves.png").exists()


def test_doctor_knows_the_model(capsys: pytest.CaptureFixture[str]):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "matrix product, fp32" in out and "32x32, 5 frames: about" in out


# ----------------------------------------------------------------------------------------------------------- bad input


def wrong(capsys: pytest.CaptureFixture[str], code: int, arguments: list[str]) -> str:
    """Runs a command that fails; returns its one line."""
    assert main(arguments) == code
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert not out and len(lines) == 1 and lines[0].startswith("worldpatch: "), err
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([""], "prompt ''"),
        ([], "the prompt is missing"),
        (["ball " * 300], "reads at most 128: shorten it"),
        ([PROMPT, "--size", "100x64"], "96x64 and 112x64"),
        ([PROMPT, "--size", "big"], "WIDTHxHEIGHT"),
        ([PROMPT, "--size", "64x16"], "beyond the aspects 1:2 to 2:1; the nearest sizes are"),
        ([PROMPT, "--size", "64x64", "--width", "64"], "twice"),
        ([PROMPT, "--seconds", "0"], "seconds 0.0"),
        ([PROMPT, "--seconds", "-3"], "seconds -3.0"),
        ([PROMPT, "--seconds", "soon"], "--seconds"),
        ([PROMPT, "--frames", "0"], "frames 0"),
        ([PROMPT, "--set", "mood=good"], "unknown parameter 'mood' of text_to_video; known: width"),
        ([PROMPT, "--set", "mood"], "write key=value"),
        ([PROMPT, "--sampler", "ddim"], "known: euler, heun, dpmpp_2m"),
        ([PROMPT, "--threads", "0"], "threads 0"),
        ([PROMPT, "--best-of", "0"], "the best of 0"),
        ([PROMPT, "--best-of", "2", "--variants", "2"], "ask for one"),
        ([PROMPT, "--improve", "-1"], "-1 rounds"),
        ([PROMPT, "--colour", "red"], "No such option: --colour"),
        ([PROMPT, "-o", "film.avi"], "use one of .mp4"),
        ([PROMPT, "-o", "recipes/mine.py/film.mp4"], "cannot write recipes/mine.py/film.mp4"),
        (["--from", "nowhere.mp4"], "nowhere.mp4"),
        (["--from", "recipes/mine.py"], "recipes/mine.py"),
    ],
)
def test_generate_refuses_in_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str):
    assert message in wrong(capsys, 2, ["generate", *arguments, "--model", "tiny"])


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("generate ball --model large", "no model is named 'large'; known: "),
        ("generate ball --model recipes", "recipes holds no model.json"),
        ("train nothing --out run", "known recipes: "),
        ("train mine --out run", "mine.py has: mine:small, mine:wrong"),
        ("train mine:large --out run", "mine.py has: mine:small, mine:wrong"),
        ("train mine:wrong --out run", "returned int"),
        ("train mine:small --out run --set optim.wormup=2", "unknown key 'optim.wormup' for Optim; known: name"),
        ("train mine:small --out run --set options.budgit=2", "unknown key 'options.budgit'"),
        ("train mine:small --out run --steps -1", "steps -1"),
        ("train mine:small --out run --device gpu", "known: auto, cpu"),
        ("train mine:small", "--out"),
        ("data build atlantis --clips 1 --vae tiny --out l", "no worlds is named 'atlantis'; known: "),
        ("data build tabletop --clips 0 --vae tiny --out l", "clips 0"),
        ("data build tabletop --clips 1 --vae recipes --out l", "vae.json is missing"),
        ("data preview tabletop -o s.png --set colour=red", "unknown key 'tabletop.colour'"),
        ("data preview tabletop -o s.jpg", "a contact sheet is a .png"),
        ("eval tiny -o e --suite other", "known: physics"),
        ("eval tiny -o e --seeds 0", "seeds 0"),
        ("eval tiny -o recipes/mine.py/e", "cannot write"),
        ("dance", "No such command 'dance'"),
    ],
)
def test_commands_refuse_in_one_line(capsys: pytest.CaptureFixture[str], command: str, message: str):
    assert message in wrong(capsys, 2, command.split())


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        code = make(PROMPT, "-o", str(tmp_path / "film.mp4"), "--size", "64x64", "-q")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2 and "cannot write" in line and "free some space" in line
    assert not list(tmp_path.iterdir())


def test_ctrl_c_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "run", interrupted)
    line = wrong(capsys, 130, ["generate", PROMPT, "--model", "tiny", "-o", str(tmp_path / "film.mp4")])
    assert line == "worldpatch: stopped" and not list(tmp_path.iterdir())


def test_ctrl_c_saves_a_training(latents: Path):
    command = [sys.executable, "-m", "worldpatch", "train", "mine:small", "--out", "long", "--steps", "100000", "-q"]
    training = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True)
    log = Path("long/log.jsonl")
    try:
        for _ in range(600):
            if log.exists() and log.stat().st_size:
                break
            time.sleep(0.1)
        training.send_signal(signal.SIGINT)
        _, err = training.communicate(timeout=60)
    finally:
        training.kill()
    assert training.returncode == 130
    assert err.splitlines() == ["worldpatch: stopped and saved in long: the same command goes on from there"]
    assert list(Path("long").glob("step-*"))


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WORLDPATCH_DEBUG", "1")
    with pytest.raises(UserError):
        main(["generate", PROMPT, "--model", "large"])


# -------------------------------------------------------------------------------------------------------------- pieces


def test_help_lists_abilities_and_commands(capsys: pytest.CaptureFixture[str]):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("generate", "train", "eval", "doctor", "data", "extend"))
    assert describe("generate/ops")["text_to_video"].startswith("Text to video")


def test_assignments_are_json_where_they_can_be():
    values = assign({"a": {"b": 1}}, ["a.b=2", "a.c=[1, 2]", "d.e=text", "f=1e-3"])
    assert values == {"a": {"b": 2, "c": [1, 2]}, "d": {"e": "text"}, "f": 1e-3}
    with pytest.raises(UserError, match="has no keys"):
        assign({"a": 1}, ["a.b=2"])


def test_sizes():
    assert size("96x64") == (96, 64) and size("64") == (64, 64)
    for text in ("x", "64x", "1x2x3", "a"):
        with pytest.raises(UserError, match="WIDTHxHEIGHT"):
            size(text)


def test_figures_for_people():
    assert (clock(8.13), clock(200.0), clock(7500.0)) == ("8.1 s", "3 min 20 s", "2 h 5 min")
    assert (amount(12), amount(12_300), amount(3_400_000), amount(2 * 10**9)) == ("12 B", "12.3 kB", "3.4 MB", "2 GB")


def test_recipes_near_and_far_are_known():
    assert {"mine:small", "tabletop:dit"} <= set(_recipes.known())
