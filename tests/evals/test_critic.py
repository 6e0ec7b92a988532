"""The critic: who is picked, what is drawn again, and that its clips can be made again."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests import builders
from worldpatch import config, generate
from worldpatch.config import UserError
from worldpatch.evals import _likelihood, _story, critic
from worldpatch.evals._redraw import redrawn, region, share
from worldpatch.evals._segment import make_blob
from worldpatch.evals._tracks import Track
from worldpatch.evals.critic import Verdict
from worldpatch.evals.metrics.prompt import Wrong
from worldpatch.evals.paradox import Paradox
from worldpatch.types import Plan, Request

CAMERA = Wrong(text="camera: rest instead of zoom in", criteria=("camera",))
ABSENT = Wrong(text="no red ball", criteria=("colour", "shape", "event", "count"))
GHOST = Paradox(kind="appears", colours=("red",), first=0, last=2, box=(0, 0, 16, 16), strength=2.0)


def verdict(*faults: Wrong | Paradox, surprise: float = float("inf")) -> Verdict:
    return Verdict(
        wrongs=tuple(f for f in faults if isinstance(f, Wrong)),
        paradoxes=tuple(f for f in faults if isinstance(f, Paradox)),
        surprise=surprise,
    )


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> generate.Pipeline:
    torch.manual_seed(0)
    return generate.load(builders.exported(tmp_path_factory.mktemp("models") / "tiny"))


def request(prompt: str = "a red ball falls", **changes) -> Request:
    fields = {"ability": "text_to_video", "params": {"prompt": prompt, "frames": 9}, "steps": 2}
    return Request(**{**fields, **changes})


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch):
    """Lets the critic say these verdicts, one after another, whatever it sees; the last one for ever."""

    def says(*verdicts: Verdict) -> None:
        left = list(verdicts)
        monkeypatch.setattr(critic, "criticise", lambda *_: left.pop(0) if len(left) > 1 else left[0])

    return says


# --------------------------------------------------------------------------------------------------------------- rivals


def test_fewest_faults_win_then_least_surprise():
    assert critic.pick([verdict(CAMERA), verdict(), verdict(GHOST)]) == 1
    assert critic.pick([verdict(CAMERA, surprise=0.3), verdict(GHOST, surprise=0.2), verdict(ABSENT)]) == 1
    assert verdict(ABSENT, CAMERA, GHOST, GHOST).weight == 6  # five criteria, one kind of paradox


def test_only_equals_are_asked_how_likely_they_are(pipeline):
    plan = generate.plan(request(), pipeline)
    latents = [torch.randn(16, *plan.grid) for _ in range(3)]
    weighed = critic.weigh([verdict(), verdict(CAMERA), verdict()], latents, plan, pipeline)
    assert [np.isfinite(v.surprise) for v in weighed] == [True, False, True]
    alone = critic.weigh([verdict(), verdict(CAMERA)], latents[:2], plan, pipeline)
    assert not any(np.isfinite(v.surprise) for v in alone)


def test_best_of_picks_among_the_variants_of_the_request(pipeline, said):
    said(verdict(CAMERA), verdict(), verdict(GHOST))
    chosen = critic.best_of(request(), pipeline, 3)
    variants = generate.run(replace(request(), variants=3), pipeline)
    torch.testing.assert_close(chosen.result.frames[0], variants.frames[1], rtol=0, atol=0)
    assert (chosen.clips, chosen.stopped, chosen.result.rate) == (3, False, variants.rate)
    assert [v.faults for v in chosen.rounds[0].verdicts] == [(CAMERA.text,), (), (str(GHOST),)]


def test_a_real_clip_gets_a_real_verdict():
    frames = np.full((9, 32, 32, 3), 200, np.uint8)
    wish = critic.expected(critic.read("a red ball falls"))
    assert critic.criticise(frames, wish).faults == ("no red ball",)
    assert critic.criticise(frames[:1], wish).weight == 3


# ----------------------------------------------------------------------------------------------------------------- loop


def test_it_stops_when_nothing_is_wrong(pipeline, said):
    said(verdict(CAMERA), verdict(CAMERA), verdict(CAMERA), verdict())
    chosen = critic.improve(request(), pipeline, rounds=5, n=2)
    assert (len(chosen.rounds), chosen.best, chosen.clips) == (2, 1, 4)
    assert chosen.rounds[1].helped and chosen.verdict.weight == 0
    assert [(r.step.first, r.step.count) for r in chosen.rounds] == [(0, 2), (2, 2)]  # noise of their own


def test_the_best_is_kept_when_nothing_helps(pipeline, said):
    said(verdict(CAMERA), verdict(ABSENT))
    chosen = critic.improve(request(), pipeline, rounds=2, n=1)
    assert (len(chosen.rounds), chosen.best) == (3, 0)
    assert not any(r.helped for r in chosen.rounds)


def test_only_the_offending_stretch_is_drawn_again(pipeline, said):
    said(verdict(GHOST), verdict())
    chosen = critic.improve(request(), pipeline, rounds=3, n=1)
    first, second = chosen.rounds
    t, u, v, w, x, y = second.step.part
    assert second.step.source == 0 and second.aim == str(GHOST) and 0 < share(second.step.part, (3, 4, 4)) < 1
    outside = torch.ones(3, 4, 4, dtype=torch.bool)
    outside[t:u, v:w, x:y] = False
    before, after = first.latents[0], second.latents[0]
    torch.testing.assert_close(before[:, outside], after[:, outside], rtol=0, atol=0)
    assert not torch.allclose(before[:, ~outside], after[:, ~outside], atol=0.1)


def test_a_stretch_that_did_not_help_is_not_tried_twice(pipeline, said):
    said(verdict(GHOST))
    rounds = critic.improve(request(), pipeline, rounds=2, n=1).rounds
    assert [r.step.source for r in rounds] == [-1, 0, -1]


def test_what_is_mostly_wrong_is_drawn_anew(pipeline, said):
    said(verdict(ABSENT, GHOST))
    assert critic.improve(request(), pipeline, rounds=1, n=1).rounds[1].step.part == ()


def test_unknown_words_are_said_again_in_known_ones(pipeline, said):
    said(verdict(CAMERA))
    prompt = "cinematic: a red ball falls, moody light"
    rounds = critic.improve(request(prompt), pipeline, rounds=1, n=1).rounds
    assert [r.step.prompt for r in rounds] == [prompt, "A red ball falls."]
    rounds = critic.improve(request("a crimson thing"), pipeline, rounds=1, n=1).rounds
    assert [r.step.prompt for r in rounds] == ["a crimson thing"] * 2


def test_time_runs_out(pipeline, said):
    said(verdict(CAMERA))
    assert len(critic.improve(request(), pipeline, rounds=5, n=1, seconds=0.0).rounds) == 1


def test_ctrl_c_keeps_the_best_so_far(pipeline, said):
    said(verdict(CAMERA))
    passes = []

    def impatient(phase: str, done: int, total: int) -> None:
        passes.append(phase)
        if passes.count("decode") == 1 and phase == "denoise":
            raise KeyboardInterrupt

    chosen = critic.improve(request(), pipeline, rounds=5, n=1, progress=impatient)
    assert chosen.stopped and len(chosen.rounds) == 1 and chosen.result.frames.shape == (1, 9, 32, 32, 3)

    def at_once(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        critic.improve(request(), pipeline, rounds=5, n=1, progress=at_once)


@pytest.mark.parametrize(
    ("asked", "rounds", "n", "message"),
    [
        (request(variants=2), 0, 2, "ask for one"),
        (request(), 0, 0, "best of 0"),
        (request(), -1, 2, "-1 rounds"),
        (request(sampler="guess"), 0, 2, "sampler 'guess'"),
        (request(ability="levitate"), 0, 2, "levitate"),
    ],
    ids=["variants", "none", "rounds", "sampler", "ability"],
)
def test_bad_input(pipeline, asked, rounds, n, message):
    with pytest.raises(UserError, match=message):
        critic.improve(asked, pipeline, rounds, n)


def test_the_steps_make_the_clip_again(pipeline, said):
    """Through JSON and without a critic, bit for bit; rounds that led nowhere are not among them."""
    said(verdict(GHOST, CAMERA), verdict(ABSENT), verdict(GHOST, CAMERA), verdict(GHOST), verdict(ABSENT), verdict())
    chosen = critic.improve(request(), pipeline, rounds=4, n=1)
    steps = critic.steps_of(json.loads(json.dumps([asdict(step) for step in chosen.steps])))
    assert steps == chosen.steps and len(steps) < len(chosen.rounds)
    again = critic.remake(request(), steps, pipeline)
    torch.testing.assert_close(again.frames, chosen.result.frames, rtol=0, atol=0)
    torch.testing.assert_close(again.latents, chosen.result.latents, rtol=0, atol=0)


def test_the_story(pipeline, said, tmp_path: Path):
    said(verdict(GHOST), verdict(CAMERA), verdict(ABSENT), verdict())
    chosen = critic.improve(request(), pipeline, rounds=1, n=2)
    told = _story.story(chosen).splitlines()
    assert told[0] == "'a red ball falls'" and told[1].startswith(f"round 1: 2 clips: the best has {GHOST} (")
    assert told[2].startswith(f"round 2: 2 clips of round 1 with a part drawn again, for: {GHOST}: nothing is wrong")
    assert "this helped" in told[2] and told[3].startswith("kept clip 2 of round 2, after 4 clips and ")
    text, sheet = _story.save(chosen, tmp_path / "ball.mp4")
    record = json.loads(text.read_text())
    assert record["best"] == 1 and record["rounds"][1]["helped"] and sheet.stat().st_size > 1000
    assert record["rounds"][0]["clips"][1]["faults"] == [CAMERA.text]
    assert config.build(Request, record["request"]) == request()


# --------------------------------------------------------------------------------------------------------------- pieces


@given(
    st.integers(0, 24), st.integers(0, 24), st.tuples(*[st.integers(0, 63)] * 4),
    st.sampled_from([(7, 8, 8), (1, 8, 8), (3, 4, 12), (7, 6, 8)]),
)  # fmt: skip
@builders.PATIENT
def test_a_region_holds_the_box_in_whole_patches_and_half_of_each_side(a, b, corners, grid):
    first, last = sorted((min(a, 4 * grid[0] - 4), min(b, 4 * grid[0] - 4)))
    rows, columns = (
        sorted(min(c, 8 * side - 1) for c in pair)
        for pair, side in zip((corners[:2], corners[2:]), grid[1:], strict=True)
    )
    box = (rows[0], columns[0], rows[1] + 1, columns[1] + 1)
    part = region(first, last, box, grid, builders.SPEC, builders.PATCH)
    for (low, high), side, patch in zip(zip(part[::2], part[1::2], strict=True), grid, builders.PATCH, strict=True):
        assert 0 <= low < high <= side and low % patch == high % patch == 0 and 2 * (high - low) >= side - patch
    assert part[0] * 4 - 3 <= first and last <= (part[1] - 1) * 4
    assert part[2] * 8 <= box[0] and box[2] <= part[3] * 8 and part[4] * 8 <= box[1] and box[3] <= part[5] * 8


def test_what_a_plan_knew_stays_known():
    plan = Plan(start=torch.ones(3, 4, 4), rate=8.0)
    plan.start[0] = 0
    again = redrawn(plan, torch.zeros(4, 3, 4, 4), (0, 2, 0, 4, 0, 2))
    assert again.start.sum() == 8 and again.start[0].sum() == 0 and again.start[1, :, :2].all()


def test_surprise_is_the_same_alone_and_in_company(pipeline):
    plan = Plan(start=torch.ones(2, 4, 4), rate=8.0, prompt="a red ball falls")
    latents = list(torch.randn(3, 16, 2, 4, 4, generator=torch.Generator().manual_seed(1)))
    together = _likelihood.surprise(pipeline, [latents[0], latents[1], latents[0]], plan)
    assert together[0] == pytest.approx(float(together[2]), abs=1e-5) and together[0] != together[1]
    alone = _likelihood.surprise(pipeline, latents[1:2], plan)
    torch.testing.assert_close(alone, together[1:2], atol=1e-4, rtol=1e-4)


def test_spots_are_where_the_solid_is_seen():
    mask = np.zeros((32, 32), bool)
    mask[8:16, 4:12] = True
    track = Track(colour="pink", blobs={f: make_blob("pink", mask, (8, 4, 16, 12)) for f in (3, 4, 5)})
    extra = Wrong(text="a pink ball too many", criteria=("no_extra", "count"), track=track)
    shape = Wrong(text="the pink ball is a box", criteria=("shape",), track=track)
    event = Wrong(text="the pink ball: stand instead of fall", criteria=("event",), track=track)
    spots = critic._spots(verdict(ABSENT, CAMERA, event, shape, extra, GHOST), 9)
    box = (6, 2, 17, 13)
    assert spots == [
        (shape.text, 0, 8, box), (extra.text, 3, 5, box), (str(GHOST), 0, 2, GHOST.box),
    ]  # fmt: skip
