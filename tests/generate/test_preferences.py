"""The log of preferences survives what happens to files, and becomes pairs that a trainer reads."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import builders
from worldpatch.config import UserError
from worldpatch.generate import preferences
from worldpatch.generate.preferences import Picked, Preference, Retraction, Rival


def preference(picked: Picked = 0, files: str = "ab", **more) -> Preference:
    """A judgement of files named by letters."""
    rivals = tuple(Rival(path=f"/clips/{f}.mp4", sha256=f, model=f"model {f}") for f in files)
    return Preference(prompt="a red ball falls", rivals=rivals, picked=picked, judge="Zoë", source="arena", **more)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "new" / "log.jsonl"


# ------------------------------------------------------------------------------------------------------------- the log


def test_what_is_appended_is_read(log: Path):
    assert preferences.read(log) == []
    request = {"ability": "text_to_video", "params": {"prompt": "x"}, "guidance": 2.5}
    rivals = tuple(Rival(path=f"{i}.mp4", sha256=str(i), model="m", seed=i, request=request) for i in range(3))
    written = [
        preference(1),
        preference("both bad"),
        Preference(prompt="ein Ball fällt\n", rivals=rivals, picked=2, judge="me", source="generate"),
    ]
    for record in written:
        preferences.append(log, record)
    assert preferences.read(log) == written
    assert log.read_text().count("\n") == 3


def test_a_retraction_takes_back_and_the_log_keeps_both(log: Path):
    first, second = preference(), preference("tie")
    for record in (first, second, Retraction(retracts=first.id), Retraction(retracts="nothing we know")):
        preferences.append(log, record)
    assert preferences.read(log) == [second]
    assert len(log.read_text().splitlines()) == 4


def test_a_kill_costs_the_last_line_at_most(log: Path, caplog: pytest.LogCaptureFixture):
    kept, torn, next_one = preference(), preference("tie"), preference("skipped")
    preferences.append(log, kept)
    whole = log.stat().st_size
    preferences.append(log, torn)
    complete = log.read_bytes()
    for cut in {whole + 1, whole + 40, len(complete) - 2}:
        log.write_bytes(complete[:cut])
        with caplog.at_level(logging.WARNING):
            assert preferences.read(log) == [kept]
        assert "line 2, the last one, is damaged" in caplog.text
        preferences.append(log, next_one)
        assert preferences.read(log) == [kept, next_one]


def test_a_long_half_line_is_cut_off_whole(log: Path):
    preferences.append(log, preference())
    with log.open("ab") as file:
        file.write(b'{"id": "' + b"x" * 200_000)
    preferences.append(log, preference())
    assert len(preferences.read(log)) == 2


@pytest.mark.parametrize("line", ["{", "[]", '{"judge": "me"}', '{"retracts": 3}'])
def test_damage_elsewhere_is_named(log: Path, line: str):
    preferences.append(log, preference())
    log.write_text(f"{log.read_text()}{line}\n{log.read_text()}")
    with pytest.raises(UserError, match=r"log.jsonl, line 2 is no preference"):
        preferences.read(log)


def test_preferences_that_say_nothing_are_refused():
    with pytest.raises(UserError, match="picked 2 is none of the 2"):
        preference(2)
    with pytest.raises(UserError, match="among 1 videos"):
        preference(0, files="a")


def test_many_may_append_at_once(log: Path):
    written = [preference(i % 2) for i in range(60)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda record: preferences.append(log, record), written))
    assert {p.id for p in preferences.read(log)} == {p.id for p in written}


def test_a_place_that_cannot_be_written_or_read(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        preferences.append(tmp_path / "file" / "log.jsonl", preference())
    with pytest.raises(UserError, match="cannot read"):
        preferences.read(tmp_path)


# -------------------------------------------------------------------------------------------------------------- rivals


def test_a_file_says_what_made_it(tmp_path: Path):
    made = preferences.rival(builders.film(tmp_path / "ball.mp4", prompt="a ball", model="small", seed=4))
    assert (made.model, made.seed, Path(made.path)) == ("small", 4, tmp_path / "ball.mp4")
    assert made.request and made.request["params"] == {"prompt": "a ball"}
    assert preferences.rival(tmp_path / "ball.mp4", "mine").model == "mine"
    assert preferences.rival(tmp_path / "ball.mp4").sha256 == made.sha256
    assert preferences.rival(builders.film(tmp_path / "other.mp4", 90)).sha256 != made.sha256


def test_a_file_that_says_nothing_needs_a_name(tmp_path: Path):
    bare = builders.film(tmp_path / "bare.mp4", prompt=None)
    assert preferences.rival(bare, "theirs").request is None
    with pytest.raises(UserError, match="name the model"):
        preferences.rival(bare)
    (tmp_path / "damaged.mp4").write_text("no video")
    with pytest.raises(UserError, match="damaged.mp4"):
        preferences.rival(tmp_path / "damaged.mp4", "theirs")


# ------------------------------------------------------------------------------------------------------------ its pairs


@pytest.mark.parametrize(
    ("picked", "expected"),
    [
        (1, [("a", "b", "second"), ("b", "c", "first")]),
        ("tie", [("a", "b", "neither"), ("a", "c", "neither"), ("b", "c", "neither")]),
        ("skipped", []),
    ],
)
def test_outcomes_of_three(picked: Picked, expected: list[tuple[str, str, str]]):
    found = [(a.sha256, b.sha256, winner) for a, b, winner in preferences.outcomes(preference(picked, "abc"))]
    assert found == expected


def exported(judged: list[Preference], path: Path) -> list[dict]:
    count = preferences.export(judged, path)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(rows) == count
    return rows


def test_export_has_the_columns_of_trl(tmp_path: Path):
    row = {"prompt": "a red ball falls", "chosen": "/clips/b.mp4", "rejected": "/clips/a.mp4", "margin": 1.0}
    assert exported([preference(1)], tmp_path / "set.jsonl") == [row]


def test_export_counts_judgements_of_one_pair_together(tmp_path: Path):
    twice_for_b = [preference(1), preference(0, "ba"), preference(0), preference("both bad")]
    (row,) = exported(twice_for_b, tmp_path / "set.jsonl")
    assert Path(row["chosen"]).stem == "b" and row["margin"] == 0.25


def test_export_leaves_out_what_prefers_nothing(tmp_path: Path):
    undecided = [
        preference(0),
        preference(1),
        preference("tie", "cd"),
        preference("skipped", "ef"),
        preference(0, "gg"),
    ]
    assert exported(undecided, tmp_path / "set.jsonl") == []
