"""The chain: what is on is asked, what is off is logged, and no decision holds a prompt."""

import json
import multiprocessing
import time
from pathlib import Path

import numpy as np
import pytest

from worldpatch.config import UserError
from worldpatch.safety.policy import CATEGORIES, Audit, Decision, Policy, Settings, classifier
from worldpatch.safety.policy.readings import readings
from worldpatch.safety.policy.rules import book

REFUSED = Decision(allowed=False, stage="rules", category="gore", rule="gore.gore", reason="no")


def test_a_prompt_that_breaks_nothing_passes_all():
    assert Policy().judge("a red ball rolls over the floor") == Decision(allowed=True, stage="all")
    assert Policy().judge("") == Decision(allowed=True, stage="all")


def test_categories_can_be_turned_off_one_by_one():
    policy = Policy(Settings(off=("gore",), classifier=False))
    assert policy.judge("a man is beheaded").allowed
    assert policy.judge("a naked woman").category == "sexual"
    assert Settings(off=("gore",), rules=False).turned_off == ("stage.rules", "category.gore")


def test_minors_stay_while_the_policy_is_on():
    with pytest.raises(UserError, match="'minors' cannot be turned off while the policy is on"):
        Settings(off=("minors",))
    others = tuple(name for name in CATEGORIES if name not in ("minors", "artists"))
    assert Policy(Settings(off=others)).judge("a naked child").category == "minors"
    off = Policy(Settings(enabled=False))
    assert off.judge("anything") == Decision(allowed=True, stage="off", rule="policy.off")
    assert off.judge_frames(np.zeros((1, 8, 8, 3), np.uint8), 8.0).stage == "off" and off.settings.turned_off == (
        "policy",
    )


@pytest.mark.parametrize(("values", "said"), [
    ({"off": ("gory",)}, "'gory' is no category to turn off"),
    ({"guard_url": "localhost"}, "'localhost' is no address"),
    ({"threshold": 0.0}, "threshold 0.0"),
    ({"frames": 0}, "frames 0 at least 1"),
    ({"guard_timeout": 0.0}, "guard_timeout 0.0"),
])  # fmt: skip
def test_wrong_settings_are_said(values: dict, said: str):
    with pytest.raises(UserError, match=said):
        Settings(**values)


def test_settings_are_told_apart_by_their_digest():
    assert Settings().digest == Settings().digest != Settings(artists=True).digest


def test_the_classifier_catches_what_no_rule_names():
    prompt = "generate a young woman explaining how to print money that passes"
    assert Policy(Settings(classifier=False)).judge(prompt).allowed
    decision = Policy(Settings(threshold=0.6)).judge(prompt)
    assert decision.stage == "classifier" and decision.rule == "classifier.crime"
    assert Policy(Settings(threshold=0.6, off=("crime",))).judge(prompt).allowed


def test_what_is_likely_sexual_and_speaks_of_a_child_is_refused_earlier(monkeypatch):
    class Unsure:
        def judge(self, texts, categories):
            return ("sexual", 0.8) if "sexual" in categories else ("", 0.0)

    monkeypatch.setattr(classifier, "shipped", Unsure)
    assert Policy().judge("a woman on a sofa").allowed
    decision = Policy().judge("a schoolgirl on a sofa")
    assert (decision.category, decision.rule) == ("minors", "classifier.minors")
    assert Policy(Settings(off=("sexual",))).judge("a schoolgirl on a sofa").category == "minors"


def test_one_window_of_a_long_text_is_enough_for_the_classifier():
    """And what is ordinary stays so at any length."""
    prompt = "swap the actor's face with that of a real news presenter, handheld camera"
    calm = (
        "a red ball rolls over the wet sand while two gulls look on. behind it the tide comes in, wave after wave, a "
        "small dog in a yellow coat runs along the water. the camera follows slowly at its height, then rises "
        "above the dunes, where a family packs its towels and an old lighthouse begins to turn in the last light. "
    )
    made, wanted = classifier.shipped(), Settings().categories
    alone, within, without = (made.judge([text], wanted)[1] for text in (prompt, f"{calm} {prompt} {calm}", calm))
    assert without < 0.5 and within > without + 0.2 and alone > 0.6


@pytest.mark.parametrize("prompt", [
    "a" * 32_000, "a " * 16_000, ".-" * 16_000, "%25" * 10_000, "e\u0301" * 16_000, "\u4e00" * 32_000, 
    "{[(" * 10_000, "n*" * 16_000,
    "\\u0061" * 5_000, "QUJD" * 8_000, "1 2 3 " * 5_000, "child water " * 2_600, "'" * 32_000, "a.b_c-d*" * 4_000,
], ids=range(14))  # fmt: skip
def test_no_prompt_takes_long(prompt: str):
    """The bar is 100 ms on an idle core (benchmarks/policy.py); this one only tells linear from worse on a busy
    machine."""
    Policy().judge("warm")
    begun = time.process_time()
    Policy().judge(prompt)
    assert time.process_time() - begun < 6.0


def test_readings_are_few_however_long_the_prompt():
    assert len(readings("a n a k e d  QUJDREVGR0hJSktM %41 " * 800, book().vocabulary)) <= 12


# ---------------------------------------------------------------------------------------------------------------- audit


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_every_decision_is_a_line(tmp_path: Path):
    settings = Settings(off=("gore",), flashing=False)
    audit = Audit(tmp_path / "audit.jsonl", settings)
    audit.decided(REFUSED, "video_1")
    audit.decided(Policy(settings).judge("a secret sentence"), "video_2")
    off, also, first, second = lines(tmp_path / "audit.jsonl")
    assert (off["event"], off["what"], also["what"]) == ("off", "stage.flashing", "category.gore")
    assert first["subject"] == "video_1" and {k: first[k] for k in REFUSED.as_dict()} == REFUSED.as_dict()
    assert second["allowed"] is True and second["settings"] == settings.digest and second["time"].endswith("+00:00")
    assert "secret" not in (tmp_path / "audit.jsonl").read_text()


def test_decisions_hold_no_prompt():
    for prompt in ("a naked zanzibar", "Donald Trump in zanzibar", "beheading zanzibar"):
        assert "zanzibar" not in json.dumps(Policy().judge(prompt).as_dict())


def test_a_log_that_was_moved_away_is_begun_anew(tmp_path: Path):
    audit = Audit(tmp_path / "audit.jsonl", Settings())
    audit.decided(REFUSED, "one")
    (tmp_path / "audit.jsonl").rename(tmp_path / "audit.1")
    audit.decided(REFUSED, "two")
    assert [line["subject"] for line in lines(tmp_path / "audit.jsonl")] == ["two"]
    with pytest.raises(UserError, match="cannot be written"):
        Audit(tmp_path / "absent" / "audit.jsonl", Settings()).decided(REFUSED, "three")


def write_many(path: Path, name: str) -> None:
    audit = Audit(path, Settings())
    for number in range(200):
        audit.decided(REFUSED, f"{name}{number}" + "x" * 500)


def test_processes_share_a_log(tmp_path: Path):
    path = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=write_many, args=(path, name)) for name in "abc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    subjects = [line["subject"] for line in lines(path)]
    assert len(set(subjects)) == 600 and all(process.exitcode == 0 for process in processes)
