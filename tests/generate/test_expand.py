"""Prompts told more fully: nothing asked for is lost, what was told once is told again, and a file remembers it."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests import builders
from tests.chat import Reply, said, server
from worldpatch.cli import main
from worldpatch.config import UserError
from worldpatch.generate import expand, files
from worldpatch.generate.expand import Asked, Expander, Own
from worldpatch.text import _chat, _writer
from worldpatch.text._chat import Endpoint

PROMPT = "a red ball falls"
FULL = "A large red ball falls down and bounces on a white floor. The camera does not move."


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_chat, "FIRST_WAIT", 0.001)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Scripted:
    """An expander that a function is, and that counts."""

    def __init__(self, change: Callable[[str], str], name: str = "scripted:1"):
        self.change, self.name, self.calls = change, name, 0

    def expand(self, prompt: str) -> str:
        self.calls += 1
        return self.change(prompt)


def test_what_only_adds_is_taken_and_kept(tmp_path: Path):
    expander = Scripted(lambda prompt: FULL)
    assert isinstance(expander, Expander)
    first, again = (expand.expand(PROMPT, expander, cache=tmp_path) for _ in range(2))
    assert first == again and (first.text, first.note, expander.calls) == (FULL, "", 1)
    other = Scripted(lambda prompt: FULL.replace("white", "grey"), "scripted:2")
    assert "grey" in expand.expand(PROMPT, other, cache=tmp_path).text, "another expander, another entry"


def test_what_changes_the_prompt_is_not_taken():
    found = expand.expand(PROMPT, Scripted(lambda prompt: FULL.replace("red", "blue")))
    assert found.text == PROMPT and "would say no red ball" in found.note


def test_what_the_model_never_read_is_not_taken():
    words = FULL.lower().replace(".", "").split()
    found = expand.expand(PROMPT, Scripted(lambda prompt: f"{FULL} Marvellous."), words)
    assert (found.text, found.note) == (PROMPT, "the model never read 'marvellous'")


def test_a_damaged_cache_and_one_that_cannot_be_written_are_none(tmp_path: Path):
    expander = Scripted(lambda prompt: FULL)
    expand.expand(PROMPT, expander, cache=tmp_path)
    (file,) = tmp_path.glob("*.json")
    file.write_text('{"prompt"')
    assert expand.expand(PROMPT, expander, cache=tmp_path).text == FULL and expander.calls == 2
    (tmp_path / "file").write_text("")
    assert expand.expand(PROMPT, expander, cache=tmp_path / "file" / "below").text == FULL


# ------------------------------------------------------------------------------------------------------------- endpoint


def test_an_endpoint_expands():
    with server(lambda n, values: said(f'"{FULL}"')) as known:
        found = expand.expand(PROMPT, Asked(Endpoint(url=known.url, model="m")))
    assert (found.text, found.expander) == (FULL, "endpoint:m")
    assert known.requests[0]["messages"][1] == {"role": "user", "content": PROMPT}


@pytest.mark.parametrize(
    ("reply", "note"),
    [
        (Reply("busy", 503), "answered 503"),
        (Reply("<html>"), "no chat completion"),
        (said("A dog barks."), "would say no red ball"),
        (said("I cannot help with that."), "refused"),
        (said('{"prompt": "a red ball falls"}'), "no description"),
        (said(f"{FULL} " * 100), "no description"),
    ],
)
def test_where_an_endpoint_is_no_help_the_prompt_stays(reply: Reply, note: str):
    with server(lambda n, values: reply) as known:
        expander = Asked(Endpoint(url=known.url, model="m", retries=1))
        found = expand.expand(PROMPT, expander)
        assert found.text == PROMPT and note in found.note
        before = len(known.requests)
        expand.expand(PROMPT, expander)
    assert len(known.requests) > before, "failures are not kept"


# ------------------------------------------------------------------------------------------------------------------ own


@pytest.fixture
def taught(tmp_path: Path) -> Path:
    """A writer that has learned one prompt by heart."""
    torch.manual_seed(0)
    model = _writer.create(_writer.Config(width=32, depth=1, heads=2, vocabulary=300), [PROMPT, FULL])
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        loss = model.loss(model.read_prompts([PROMPT]), ["dense"], [FULL])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    folder = tmp_path / "checkpoints" / "expander"
    model.save(folder, {})
    return folder


def test_our_own_expands_what_it_understands(taught: Path):
    assert expand.expand(PROMPT, Own(taught)).text == FULL
    assert "does not know 'dog'" in expand.expand("a dog", Own(taught)).note
    assert "told in full already" in expand.expand(FULL, Own(taught)).note


def test_who_has_none_is_told(tmp_path: Path):
    with pytest.raises(UserError, match="holds no whole writer"):
        Own(tmp_path)


# --------------------------------------------------------------------------------------------------------- command line


@pytest.fixture
def home(taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tiny model that has read the expander's words, and the expander."""
    monkeypatch.setattr(builders, "CAPTIONS", [*builders.CAPTIONS, FULL.lower().replace(".", "")])
    torch.manual_seed(0)
    builders.exported(tmp_path / "checkpoints" / "tiny")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(*words: str) -> None:
    assert main(["generate", *words, "--model", "checkpoints/tiny", "--steps", "1", "--no-sign"]) == 0


def test_a_file_remembers_what_its_prompt_became(home: Path, capsys: pytest.CaptureFixture):
    make(PROMPT, "--expand", "-o", "a.mp4")
    assert f"prompt: {FULL}" in capsys.readouterr().out
    recipe = files.read_recipe(Path("a.mp4"))
    assert recipe.request.params["prompt"] == FULL and recipe.expansion is not None
    assert recipe.expansion["prompt"] == PROMPT

    (home / "checkpoints" / "expander").rename(home / "gone")
    make("--from", "a.mp4", "-o", "b.mp4")
    assert Path("a.mp4").read_bytes() == Path("b.mp4").read_bytes(), "again, though the expander is gone"
    make("--from", "a.mp4", "--no-expand", "-o", "c.mp4")
    former = files.read_recipe(Path("c.mp4"))
    assert former.request.params["prompt"] == PROMPT and former.expansion is None


def test_an_endpoint_is_asked_and_its_failure_is_a_note(home: Path, capsys: pytest.CaptureFixture):
    with server(lambda n, values: said(FULL) if n == 0 else Reply("<html>")) as known:
        make(PROMPT, "--expand-url", known.url, "--expand-model", "m", "-o", "a.mp4")
        make("a blue box falls", "--expand-url", known.url, "--expand-model", "m", "-o", "b.mp4")
    assert files.read_recipe(Path("a.mp4")).request.params["prompt"] == FULL
    assert files.read_recipe(Path("b.mp4")).expansion is None
    assert "the prompt stays as it is: the endpoint answered no chat completion" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [("--expand-url", "http://127.0.0.1:9/v1"), ("--no-expand", "--expand-url", "http://h", "--expand-model", "m")],
)
def test_flags_that_contradict_are_refused(home: Path, words: tuple[str, ...]):
    assert main(["generate", PROMPT, "--model", "checkpoints/tiny", *words]) == 2
