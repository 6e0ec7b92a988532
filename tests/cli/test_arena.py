"""`worldpatch eval arena`: a page until Ctrl-C, a table without it, and one line for what goes wrong."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests import builders
from worldpatch.cli.arena import arena
from worldpatch.config import UserError
from worldpatch.evals.arena.gallery import Gallery
from worldpatch.evals.arena.session import Session

ROOT = Path(__file__).parents[2]
PROGRAM = "import typer\nfrom worldpatch.cli.arena import arena\ntyper.run(arena)"

app = typer.Typer()
app.command()(arena)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two folders of three clips, and a log in which anna likes the first folder's."""
    monkeypatch.chdir(tmp_path)
    for i, name in enumerate(("light", "dark")):
        for clip in range(3):
            builders.film(tmp_path / name / f"{clip}.mp4", 200 - 100 * i + clip, prompt=f"prompt {clip}")
    session = Session(Gallery([Path("light"), Path("dark")]), Path("out/arena/judgements.jsonl"), "anna")
    while turn := session.turn:
        session.record("left" if turn.left.model == "light" else "right")
    return ["light", "dark"]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception:
        raise result.exception
    return result.stdout


def test_the_table_without_the_page(folders: list[str]):
    table = run(*folders, "--no-serve")
    assert table.startswith("3 judgements of 3 prompts.") and "| light | 3 | 0 | 0 |" not in table
    assert "| light | " in table and "| 3 | 0 | 0 |" in table and "anna: 3 judgements" in table
    assert run("--no-serve") == table, "the log says it without the clips"
    assert json.loads(Path("out/arena/ratings.json").read_text())["judgements"] == 3


def test_export_and_import(folders: list[str]):
    assert "pairs.jsonl: 3 preferences" in run(*folders, "--no-serve", "--export", "pairs.jsonl")
    rows = [json.loads(line) for line in Path("pairs.jsonl").read_text().splitlines()]
    assert {Path(row["chosen"]).parent.name for row in rows} == {"light"} and set(rows[0]) >= {"prompt", "rejected"}
    log = "out/arena/judgements.jsonl"
    assert run("--no-serve", "--log", "new/log.jsonl", "--import", log).startswith("3 judgements")
    assert run("--no-serve", "--import", log).startswith("3 judgements"), "what is there twice counts once"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "nothing to judge"),
        ("light", "1 folders cannot be compared"),
        ("light dark --port 99999", "port 99999 cannot be had"),
        ("light dark --port 1", "port 1 cannot be had") if os.getuid() else ("light other", "is no folder"),
        ("--no-serve --log missing.jsonl", "missing.jsonl does not exist"),
        ("--no-serve --import missing.jsonl", "missing.jsonl does not exist"),
        ("light dark --prompts missing.json", "cannot read missing.json"),
    ],
)
def test_what_goes_wrong(folders: list[str], command: str, message: str):
    with pytest.raises(UserError, match=message):
        run(*command.split())


def test_ctrl_c_ends_the_page_with_a_summary(folders: list[str]):
    command = [sys.executable, "-c", PROGRAM, *folders, "--judge", "ben", "--export", "pairs.jsonl"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    serving = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert serving.stdout
        address = serving.stdout.readline().split()[0]
        with urllib.request.urlopen(f"{address}state", timeout=120) as answer:
            state = json.load(answer)
        assert address.startswith("http://127.0.0.1:") and state["judge"] == "ben" and state["others"] == 3
        serving.send_signal(signal.SIGINT)
        out, err = serving.communicate(timeout=120)
    finally:
        serving.kill()
    assert serving.returncode == 0 and not err
    assert out.split("\n") == [
        "", "out/arena/judgements.jsonl: 0 judgements by ben, 3 to go", "pairs.jsonl: 3 preferences", "",
    ]  # fmt: skip
