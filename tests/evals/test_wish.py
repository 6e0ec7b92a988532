"""Prompts read back by the grammar of the captions."""

import pytest

from worldpatch.evals._truth import Expected, Solid
from worldpatch.evals._wish import expected, read
from worldpatch.evals.suites import prompts

FROZEN = [p for level in (1, 2) for p in prompts.load(level)]


def test_every_frozen_prompt_is_read_as_its_truth():
    """Solids, their number and the camera all, events where the caption says them, which is for more than 90%."""
    equal = asked = 0
    for prompt in FROZEN:
        wish, truth = read(prompt.caption), prompt.truth
        found = expected(wish)
        assert not wish.unread, prompt.caption
        assert {(s.colour, s.shape) for s in found.solids} == {(s.colour, s.shape) for s in truth.solids}
        assert (found.camera, found.alone, found.motion) == (truth.camera, True, None)
        true = {s.colour: set(s.events) for s in truth.solids}
        for solid in found.solids:
            assert not solid.events or set(solid.events) == true[solid.colour], prompt.caption
            equal += set(solid.events) == true[solid.colour]
            asked += 1
    assert equal / asked > 0.9


def test_what_is_read_can_be_said_and_read_again():
    for prompt in FROZEN:
        wish = read(prompt.caption)
        again = read(wish.caption)
        assert not again.unread and expected(again).camera == expected(wish).camera
        said = {s.colour: s for s in expected(again).solids}
        for solid in expected(wish).solids:
            assert said[solid.colour].shape == solid.shape
            assert not solid.events or said[solid.colour].events == solid.events


@pytest.mark.parametrize(
    ("prompt", "solids", "camera", "alone"),
    [
        ("a red ball falls", [("red", "ball", "fall")], "rest", True),
        ("A red cube rolls.", [("red", "box", "")], "rest", True),  # where to is not said
        ("a ball falls", [("", "ball", "fall")], "rest", True),
        ("a red ball slowly falls", [("red", "ball", "fall")], "", False),
        ("a red ball quivers", [("red", "ball", "")], "", False),
        ("a red ball and a dog fall", [("red", "ball", "")], "", False),  # the dog may be the one that falls
        ("a red ball falls, the camera swoops", [("red", "ball", "fall")], "", False),
        ("cinematic, 4k: a red ball falls. The camera zooms in!", [("red", "ball", "fall")], "zoom in", False),
        ("a red ball is behind a blue box", [("red", "ball", ""), ("blue", "box", "")], "rest", True),
        ("a red ball on a cream floor", [("red", "ball", "")], "rest", True),
        ("two red balls fall", [], "", False),
        ("a puppet with a red balloon for a head walks to the left", [], "", False),
        ("a red ball falls and breaks into pieces", [("red", "ball", "")], "rest", True),  # no detector knows breaking
        ("a red ball falls, then cut to a close-up", [("red", "ball", "fall")], "", True),
        ("!!!", [], "", False),
        ("", [], "", False),
    ],
)
def test_what_is_not_understood_is_not_demanded(prompt, solids, camera, alone):
    wanted = tuple(Solid(colour=c, shape=s, events=(e,) if e else ()) for c, s, e in solids)
    assert expected(read(prompt)) == Expected(solids=wanted, camera=camera, motion=None, alone=alone)


def test_a_hit_may_come_from_either_side():
    striker, struck = expected(read("a red ball rolls to the left and hits a blue box")).solids
    assert striker.events == ("left", "right") and struck.events == ("struck",)


def test_reading_needs_no_simulator():
    """It is done wherever a clip is made."""
    import subprocess
    import sys

    code = "import sys; import worldpatch.evals._wish; assert not any('mujoco' in name for name in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
