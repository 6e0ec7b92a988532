"""Projectile: real throws obey, edited ones are caught by the metric meant for them."""

import numpy as np
import pytest

from tests.builders import frozen, probe, seen_at
from worldpatch.evals.suites.physics.projectile import METRICS, Throw, measure

GIVEN = (0, 1, 5)


def path(p):
    return p.truth.pose[..., :3].astype(float)


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("split", ["in", "out"])
def test_the_engine_obeys(split, given):
    p = probe("projectile", split, given=given)
    found = measure(p.real, p)
    assert found["gravity"] < 0.05 and found["drift"] < 0.15
    if given == 5:
        assert found["landing"] < 0.04 and found["path"] < 0.04
        assert found.get("apex", 0.0) < 0.02


def test_a_known_parabola():
    times = np.arange(9) / 8
    throw = Throw.fit(times, 0.3 + 2.0 * times, 0.5 + 4.0 * times - 3.0 * times**2)
    assert throw.gravity == pytest.approx(6.0) and throw.drift == pytest.approx(0.0, abs=1e-6)
    assert throw.apex == pytest.approx(2 / 3) and throw.across == pytest.approx(2.0)
    assert throw.landing(0.5) == pytest.approx(0.3 + 2.0 * 4 / 3)


@pytest.mark.parametrize("given", GIVEN)
def test_half_the_gravity_is_caught(given):
    p = probe("projectile", given=given)
    places = path(p)
    air = places[:, 0, 2] > places[:, 0, 2].min() + 0.06
    t = p.real.times[air]
    rise = places[air, 0, 2]
    places[air, 0, 2] = rise + 0.25 * 9.81 * t**2  # the same launch, pulled half as hard
    found = measure(seen_at(p, places), p)
    assert found["gravity"] == pytest.approx(0.5, abs=0.05)
    assert found["drift"] < 0.05


def test_slowing_down_sideways_is_caught():
    p = probe("projectile", given=1)
    places, times = path(p), p.real.times
    start = places[0, 0, 0]
    places[:, 0, 0] = start + (places[:, 0, 0] - start) * (1 - 0.4 * np.minimum(times, 1.0))
    assert measure(seen_at(p, places), p)["drift"] > 0.3


def test_landing_elsewhere_is_caught():
    p = probe("projectile", given=5)
    places = path(p)
    places[5:, 0, 0] += 0.5 * np.minimum(p.real.times[5:] - 0.5, 0.5) * np.sign(p.truth.velocity[0, 0, 0])
    found = measure(seen_at(p, places), p)
    assert found["landing"] > 0.15 and found["path"] > 0.15


@pytest.mark.parametrize(("given", "black"), [(0, True), (1, False), (5, False), (5, True)])
def test_a_clip_without_a_throw_is_the_worst(given, black):
    p = probe("projectile", given=given)
    found = {k: METRICS[k].bounded(v) for k, v in measure(frozen(p, black), p).items()}
    assert found["gravity"] == METRICS["gravity"].worst and found["drift"] == METRICS["drift"].worst
    assert all(0 <= v <= METRICS[k].worst for k, v in found.items())


def test_the_apex_is_left_out_where_it_was_given():
    assert "apex" not in measure((p := probe("projectile", given=8)).real, p)


def test_every_throw_lands_in_the_frame():
    for split in ("in", "out"):
        assert probe("projectile", split).expected[:, 0].all()
