"""The documents tell the truth: their commands exist, their code runs, their links lead somewhere.

A block after the line `<!-- no-test -->` is left alone. In ```bash blocks each line is checked, not run: `worldpatch`
against the command's own --help, `make` against the Makefile, scripts for being there. The ```python blocks of a page
run one after another in an empty folder.
"""

import os
import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [page for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if page.exists()]
EVERYDAY = {"git", "cd", "pip", "curl", "export", "source", ".", "uv", "ls", "open", "torchrun", "tensorboard", "ruff"}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


class Block(NamedTuple):
    language: str
    line: int
    text: str


def blocks(page: Path, language: str) -> list[Block]:
    """Fenced blocks of a language, without those marked as untested."""
    found: list[Block] = []
    open_fence, skipped, previous, body = None, False, "", []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = re.match(r"\s*```(\w*)\s*$", line)
        if fence and open_fence is None:
            open_fence, skipped, body = Block(fence[1], number, ""), previous == "<!-- no-test -->", []
        elif fence and open_fence is not None:
            if open_fence.language == language and not skipped:
                found.append(open_fence._replace(text="\n".join(body)))
            open_fence = None
        elif open_fence is not None:
            body.append(line)
        previous = line.strip() or previous
    return found


def commands(page: Path) -> list[tuple[int, list[str]]]:
    """Line and words of every command in the page's bash blocks; `a && b` counts as two, a leading VAR=x is dropped."""
    found = []
    for block in blocks(page, "bash"):
        for line in block.text.replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|;|\|", line.removeprefix("$ ")):
                words = shlex.split(part, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    words = words[1:]
                if words:
                    found.append((block.line, words))
    return found


@cache
def help_of(*words: str) -> str:
    environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    run = subprocess.run(
        [sys.executable, "-m", "worldpatch", *words, "--help"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, f"worldpatch {shlex.join(words)} is no command: {run.stderr or run.stdout}"
    return run.stdout


def check_worldpatch(words: list[str]) -> None:
    options = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    leading = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    known = set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", help_of(*words[:leading])))
    unknown = [option for option in options if option not in known | {"--help"}]
    assert not unknown, f"worldpatch {shlex.join(words)}: unknown {', '.join(unknown)}"


@pages
def test_commands_exist(page: Path):
    for line, words in commands(page):
        program, rest = words[0], words[1:]
        where = f"{page.name}, block at line {line}: {shlex.join(words)}"
        if program == "worldpatch":
            check_worldpatch(rest)
        elif program == "make":
            run = subprocess.run(["make", "-n", *rest], cwd=ROOT, capture_output=True, text=True, timeout=60)
            assert run.returncode == 0, f"{where}: {run.stderr}"
        elif program in {"bash", "python", "python3"}:
            script = next((word for word in rest if word.endswith((".py", ".sh"))), None)
            assert script is None or (ROOT / script).exists(), f"{where}: there is no {script}"
        elif "/" in program:
            assert (ROOT / program).exists(), f"{where}: there is no {program}"
        else:
            assert program in EVERYDAY, (
                f"{where}: cannot be checked; put <!-- no-test --> before the block if it is right"
            )


@pages
def test_python_runs(page: Path, tmp_path: Path):
    code = "\n\n".join(f"# {page.name}, line {block.line}\n{block.text}" for block in blocks(page, "python"))
    if not code:
        pytest.skip("no Python on this page")
    (tmp_path / "page.py").write_text(code)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "page.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280
    )
    assert run.returncode == 0, f"{code}\n\n{run.stderr}"


@pages
def test_links_lead_somewhere(page: Path):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", text)
    targets = [(a or b).partition("#")[0] for a, b in links if not re.match(r"https?:|mailto:|#", a or b)]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing, f"{page.name} links to what is not there: {missing}"
