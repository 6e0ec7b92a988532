"""The frozen prompts and their verdicts."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from worldpatch.config import UserError
from worldpatch.evals import detect
from worldpatch.evals._tracks import Track
from worldpatch.evals._truth import Expected, Solid
from worldpatch.evals.metrics.prompt import judge, wrongs
from worldpatch.evals.suites import prompts
from worldpatch.evals.suites._task import Choice
from worldpatch.worlds._holdout import is_caption_held_out

EXPECTED = Expected(
    solids=(
        Solid(colour="red", shape="ball", events=("left", "right")),
        Solid(colour="blue", shape="box", events=("struck",)),
    ),
    camera="rest",
    motion=3.0,
)


def solid(colour, shape, event, *flaws):
    return detect.Solid(colour=colour, shape=shape, event=event, flaws=flaws, track=Track(colour=colour))


def seen(*solids, camera="rest", motion=3.0):
    return detect.Seen(solids=solids, camera=camera, motion=motion)


RED, BLUE = solid("red", "ball", "left"), solid("blue", "box", "struck")


@pytest.mark.parametrize(
    ("what", "failed"),
    [
        (seen(RED, BLUE), set()),
        (seen(RED, BLUE, camera="zoom in", motion=8.0), {"camera", "motion"}),
        (seen(RED), {"colour", "count", "shape", "event"}),
        (seen(RED, BLUE, solid("pink", "ball", "stand")), {"no_extra", "count"}),
        (seen(RED, BLUE, RED), {"no_extra", "count"}),
        (seen(RED, solid("blue", "cylinder", "stand")), {"shape", "event"}),
        (seen(RED, replace(BLUE, flaws=("vanishes", "reshaped"))), {"count", "shape"}),
    ],
)
def test_verdicts(what, failed):
    assert {name for name, right in judge(what, EXPECTED).items() if not right} == failed


@pytest.mark.parametrize(
    ("wanted", "failed"),
    [
        (Expected(solids=(), camera="", motion=None, alone=False), set()),
        (Expected(solids=(), camera="", motion=None), {"no_extra", "count"}),
        (Expected(solids=(Solid(colour="", shape="box", events=()),), camera="", motion=None, alone=False), set()),
        (Expected(solids=(Solid(colour="", shape="ball", events=()), Solid(colour="red", shape="", events=())),
                  camera="rest", motion=None), {"shape"}),  # red is taken, and the blue one is a box
        (Expected(solids=(Solid(colour="pink", shape="", events=()),), camera="zoom in", motion=None, alone=False),
         {"colour", "shape", "camera"}),
    ],
)  # fmt: skip
def test_what_is_left_open_is_right(wanted, failed):
    assert {name for name, right in judge(seen(RED, BLUE), wanted).items() if not right} == failed


def test_every_fault_is_said():
    said = [w.text for w in wrongs(seen(RED, solid("orange", "box", "fall", "vanishes"), camera="zoom in"), EXPECTED)]
    assert said == [
        "no blue box", "an orange box too many", "the orange box vanishes", "camera: zoom in instead of rest",
    ]  # fmt: skip


@pytest.mark.parametrize("level", [1, 2])
def test_frozen_suites(level):
    suite = prompts.load(level)
    assert len(suite) == prompts.COUNT == 96
    assert len({p.index for p in suite}) == 96
    assert Counter(p.style for p in suite) == dict.fromkeys(prompts.STYLES, 32)
    for p in suite:
        assert all(s.colour in p.caption for s in p.truth.solids)
        assert is_caption_held_out(p.caption)
    cameras = Counter(p.truth.camera for p in suite)
    assert min(cameras.values()) > 0.6 * max(cameras.values())
    unseen = sum("unseen pair" in p.strata for p in suite)
    assert 16 <= unseen <= 36
    assert prompts.fixed32(level) == suite[:32]


def test_frozen_captions_are_still_the_worlds():
    pytest.importorskip("mujoco")
    for level in (1, 2):
        prompt = prompts.load(level)[0]
        assert prompts.real_clip(prompt).captions[prompt.style] == prompt.caption


def test_real_clips_are_right_and_grey_ones_wrong():
    pytest.importorskip("mujoco")
    suite = prompts.Prompts(name="prompts_level2")
    tasks = suite.tasks(Choice(count=4))
    assert np.mean([list(t.baselines["real"].values()) for t in tasks]) > 0.9
    grey = suite.score(tasks[0], np.full((25, 64, 64, 3), 200, np.uint8))
    assert grey["colour"] == 0 and grey["no_extra"] == 1
    assert prompts.rates([suite.real(t) for t in tasks], prompts.load(2)[:4])["colour"] == 1


def test_prompts_have_no_scenarios():
    with pytest.raises(UserError, match="no scenarios"):
        prompts.Prompts().tasks(Choice(only=("bounce",)))
