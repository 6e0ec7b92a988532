"""Rolling: the engine rolls as it must; sliding down too fast and floating off the ramp are caught."""

import dataclasses

import numpy as np
import pytest

from tests.builders import frozen, probe, seen_at
from worldpatch.evals.suites._task import Form
from worldpatch.evals.suites.physics import rolling
from worldpatch.evals.suites.physics._scene import build
from worldpatch.evals.suites.physics.rolling import FOOT, METRICS, PLANK, SHARE, START, measure
from worldpatch.worlds import tabletop

GIVEN = (0, 1, 5)


def rolled(p, share):
    """The probe's solid on its ramp with `share` of g sin(slope), the rest as in the truth."""
    slope, side = p.parameters["slope"], np.sign(p.parameters["side"])
    off = p.scene.script.solids[0].size[0] + PLANK
    way = np.minimum(share * 9.81 * np.sin(slope) * p.real.times**2 / 2, START - 0.05)
    along = START - way
    places = p.truth.pose[..., :3].astype(float)
    places[:, 0, 0] = side * (FOOT - along * np.cos(slope) + off * np.sin(slope))
    places[:, 0, 2] = along * np.sin(slope) + off * np.cos(slope)
    return seen_at(p, places)


@pytest.mark.parametrize("shape", ["ball", "cylinder"])
@pytest.mark.parametrize("slope", [0.08, 0.3])
def test_the_engine_rolls(shape, slope):
    """The simulator's own departure from 5/7 and 2/3 of g sin(slope)."""
    cast = dataclasses.replace(probe("rolling").cast, shapes=(shape,), form=Form(rate=24.0, frames=73))
    scene = build(rolling, {"slope": slope, "side": 1.0}, cast)
    right, _, up = tabletop.simulate(scene, cast.film)[:, 0, :3].T.astype(float)
    on = right < FOOT - 0.25
    along = right[on] * np.cos(slope) - up[on] * np.sin(slope)
    gain = 2 * np.polyfit(np.arange(on.sum()) / 24, along, 2)[0]
    assert gain / (9.81 * np.sin(slope)) == pytest.approx(SHARE[shape], rel=1e-3)


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("split", ["in", "out"])
def test_the_eyes_see_it_roll(split, given):
    p = probe("rolling", split, given=given)
    found = measure(p.real, p)
    assert found["gain"] < 0.06 and found["surface"] < 0.03
    assert given == 0 or found["path"] < 0.03


@pytest.mark.parametrize("given", GIVEN)
def test_frictionless_sliding_is_caught(given):
    p = probe("rolling", given=given)
    share = SHARE[p.cast.shapes[0]]
    found = measure(rolled(p, 1.0), p)
    assert found["gain"] == pytest.approx(1 / share - 1, abs=0.05)
    assert measure(rolled(p, share), p)["gain"] < 0.02
    assert found["surface"] < 0.01


def test_a_ball_above_the_ramp_is_caught():
    p = probe("rolling", given=1)
    places = p.truth.pose[..., :3].astype(float)
    places[1:, 0, 2] += 0.15
    assert measure(seen_at(p, places), p)["surface"] > 0.1


@pytest.mark.parametrize(("given", "black"), [(0, True), (1, False), (5, False), (5, True)])
def test_a_clip_without_rolling_is_the_worst(given, black):
    p = probe("rolling", given=given)
    found = {k: METRICS[k].bounded(v) for k, v in measure(frozen(p, black), p).items()}
    assert found["gain"] == METRICS["gain"].worst
    assert all(0 <= v <= METRICS[k].worst for k, v in found.items())
