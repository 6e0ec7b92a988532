"""Bounce: arches of known heights and times are found again; balls that gain energy or hang in the air are caught."""

import dataclasses

import numpy as np
import pytest

from tests.builders import frozen, probe, seen_at
from worldpatch.evals.suites.physics.bounce import METRICS, Bounces, measure

G = 9.81
GIVEN = (0, 1, 5)


def arches(times, heights, gravity=G, level=0.2):
    """A fall from the first height, then arches of the others, then rest."""
    lasting = np.sqrt(8 * np.array(heights) / gravity)
    ends = np.cumsum(lasting) - lasting[0] / 2
    i = np.minimum(np.searchsorted(ends, times), len(heights) - 1)
    late = times - ends[i]  # negative: before the arch's end
    return np.maximum(level - gravity / 2 * late * (late + lasting[i]), level)


def played(p, up):
    """A probe's ball, at other heights."""
    places = p.truth.pose[..., :3].astype(float)
    places[:, 0, 2] = up
    return seen_at(p, places)


@pytest.mark.parametrize("rate", [8.0, 24.0])
def test_known_arches_are_found(rate):
    times, heights = np.arange(1 + round(3 * rate)) / rate, [0.8, 0.6, 0.45, 0.34, 0.25]
    found = Bounces.fit(times, arches(times, heights), G)
    n = len(found.heights)
    assert n >= 3
    assert found.heights == pytest.approx(heights[:n], rel=0.02)
    assert found.lasting[1:] == pytest.approx(np.sqrt(8 * np.array(heights[1:n]) / G), rel=0.02)


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("split", ["in", "out"])
def test_the_engine_obeys(split, given):
    p = probe("bounce", split, given=given)
    found = measure(p.real, p)
    assert found["energy"] < 0.02 and found["timing"] < 0.05 and found.get("steady", 0.0) < 0.1
    if given == 5:
        assert found["restitution"] < 0.03 and found["path"] < 0.03


def test_restitution_is_not_asked_before_a_bounce_was_shown():
    for given in (0, 1):
        assert {"restitution", "path"}.isdisjoint(measure((p := probe("bounce", given=given)).real, p))
    late = probe("bounce", rate=24.0, given=5)
    assert {"restitution", "path"}.isdisjoint(measure(late.real, late))


def test_gained_energy_is_caught():
    p = probe("bounce", given=1)
    found = measure(played(p, arches(p.real.times, [0.5, 0.4, 0.8, 0.6])), p)
    assert found["energy"] == pytest.approx(1.0, abs=0.1)
    assert found["timing"] < 0.05


def test_slow_motion_is_caught():
    p = probe("bounce", given=1)
    found = measure(played(p, arches(p.real.times, [0.7, 0.5, 0.4, 0.3], gravity=G / 2)), p)
    assert found["timing"] == pytest.approx(np.sqrt(2) - 1, abs=0.05)
    assert found["energy"] < 0.02


def test_another_restitution_is_caught():
    p = probe("bounce", given=5)
    drop = p.truth.pose[0, 0, 2] - 0.2
    found = measure(played(p, arches(p.real.times, drop * np.array([1.0, 0.75, 0.45, 0.27, 0.16]))), p)
    assert found["restitution"] > 0.05


def test_a_bounce_unlike_the_others_is_caught():
    p = probe("bounce", given=1)
    assert measure(played(p, arches(p.real.times, [0.75, 0.7, 0.3, 0.28])), p)["steady"] > 0.2


@pytest.mark.parametrize(("given", "black"), [(0, True), (1, False), (5, False), (5, True)])
def test_a_clip_without_bounces_is_the_worst(given, black):
    p = probe("bounce", given=given)
    found = {k: METRICS[k].bounded(v) for k, v in measure(frozen(p, black), p).items()}
    for law in ("energy", "timing"):
        assert found[law] == METRICS[law].worst
    assert all(0 <= v <= METRICS[k].worst for k, v in found.items())


def test_a_frame_that_shows_nothing_is_no_error():
    p = probe("bounce", rate=24.0)
    count = p.real.count.copy()
    count[7::8] = 0
    found = measure(dataclasses.replace(p.real, count=count), p)
    assert found["energy"] < 0.05 and found["timing"] < 0.1
