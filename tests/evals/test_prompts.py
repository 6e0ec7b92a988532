"""The frozen suites, their verdicts and their report."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from worldpatch.config import UserError
from worldpatch.evals import detect
from worldpatch.evals._tracks import Track
from worldpatch.evals._truth import Expected, Solid
from worldpatch.evals.metrics.prompt import CRITERIA, judge
from worldpatch.evals.suites import prompts
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


def test_report_of_real_clips_against_grey():
    pytest.importorskip("mujoco")
    suite = prompts.fixed32(2)[:4]
    real = prompts.real_baseline(suite)
    assert real.diversity is None
    assert real.overall() > 0.9
    grey = np.full((25, 64, 64, 3), 200, np.uint8)
    report = prompts.score([[grey, grey]] * 4, suite)
    assert report.count() == 8
    assert report.diversity == 0
    assert report.rates()["colour"] == 0
    assert report.rates()["no_extra"] == 1
    table = report.table(real)
    assert all(name.replace("_", " ") in table for name in CRITERIA)
    dumped = json.loads(report.dump())
    assert dumped["overall"] == pytest.approx(report.overall())
    assert len(dumped["verdicts"]) == 8


def test_wrong_number_of_clips_is_refused():
    with pytest.raises(UserError, match="clips for each prompt"):
        prompts.score([], prompts.fixed32(1))
