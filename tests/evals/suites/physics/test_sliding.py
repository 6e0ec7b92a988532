"""Sliding: braking with known friction is read back; a solid that starts again or brakes unevenly is caught."""

import numpy as np
import pytest

from tests.builders import frozen, probe, seen_at
from worldpatch.evals.suites.physics.sliding import METRICS, _braking, measure

GIVEN = (0, 1, 5)


def slid(p, way):
    """The probe's solid, `way` metres (per frame) from where it began, on the side it goes to."""
    places = p.truth.pose[..., :3].astype(float)
    places[:, 0, 0] = places[0, 0, 0] + np.sign(p.truth.velocity[0, 0, 0]) * way
    return seen_at(p, places)


def braked(p, braking):
    """The way under even braking (m/s2) from the speed of the truth."""
    left = np.minimum(p.real.times, p.parameters["speed"] / braking)
    return p.parameters["speed"] * left - braking * left**2 / 2


@pytest.mark.parametrize("braking", [0.3, 0.8, 2.0])
def test_known_braking(braking):
    times = np.arange(25) / 8
    left = np.minimum(times, 1.2 / braking)
    found, uneven = _braking(times, 1.2 * left - braking * left**2 / 2)
    assert found == pytest.approx(braking, rel=0.02) and uneven < 0.002


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("split", ["in", "out"])
def test_the_engine_obeys(split, given):
    p = probe("sliding", split, given=given)
    found = measure(p.real, p)
    assert found["onward"] < 0.05 and found["even"] < 0.02
    if given == 5:
        assert found["friction"] < 0.15 and found["stop"] < 0.03 and found["path"] < 0.03


def test_friction_is_not_asked_before_braking_was_shown():
    p = probe("sliding", rate=24.0, given=5)
    assert set(measure(p.real, p)) == {"onward", "even"}


def test_another_friction_is_caught():
    p = probe("sliding", given=5)
    friction = 2 * p.scene.script.solids[0].friction
    found = measure(slid(p, braked(p, friction * 9.81)), p)
    assert found["friction"] == pytest.approx(1.0, abs=0.1)
    assert found["stop"] > 0.2 and found["path"] > 0.1


@pytest.mark.parametrize("given", GIVEN)
def test_starting_again_and_turning_back_are_caught(given):
    p = probe("sliding", given=given)
    way, late = braked(p, p.scene.script.solids[0].friction * 9.81), np.maximum(p.real.times - 2.0, 0.0)
    assert measure(slid(p, way + 0.5 * late), p)["onward"] > 0.3
    assert measure(slid(p, way - 0.5 * late), p)["onward"] > 0.3
    assert measure(slid(p, way), p)["onward"] < 0.01


def test_a_sudden_stop_is_caught():
    p = probe("sliding", given=1)
    assert measure(slid(p, np.minimum(p.parameters["speed"] * p.real.times, 1.0)), p)["even"] > 0.02


@pytest.mark.parametrize(("given", "black"), [(0, True), (1, False), (5, False), (5, True)])
def test_nothing_is_earned_by_standing_still(given, black):
    p = probe("sliding", given=given)
    found = {k: METRICS[k].bounded(v) for k, v in measure(frozen(p, black), p).items()}
    assert found["even"] == METRICS["even"].worst
    assert found["onward"] == METRICS["onward"].worst
    assert all(0 <= v <= METRICS[k].worst for k, v in found.items())
