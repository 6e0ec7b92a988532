"""Collision: momentum, energy, contact and overlap of hits with known answers."""

import dataclasses

import numpy as np
import pytest

from tests.builders import frozen, probe, seen_at
from worldpatch.evals.suites.physics.collision import METRICS, Hit, measure
from worldpatch.worlds import tabletop

GIVEN = (0, 1, 5)


def path(p):
    return p.truth.pose[..., :3].astype(float)


def after(p, change):
    """The probe's balls, their way since the contact (`change` gets "t k 3" and says it anew)."""
    places, times = path(p), p.real.times
    contact = int(np.searchsorted(times, p.parameters["when"]))
    places[contact:] = places[contact] + change(places[contact:] - places[contact])
    return seen_at(p, places)


@pytest.mark.parametrize("energy", [0.5, 1.0, 1.8])
def test_a_known_hit(energy):
    """Equal balls, the second at rest: the speeds after it follow from momentum and energy, if momentum stays."""
    times = np.arange(25) / 8
    inner = np.sqrt(max(2 * energy - 1, 0.0))
    speeds = (1 - inner) / 2, (1 + inner) / 2
    since = np.maximum(times - 1.0, 0.0)
    a = np.stack([np.minimum(times, 1.0) + speeds[0] * since, 0 * times], -1)
    b = np.stack([1.4 + speeds[1] * since, 0 * times], -1)
    hit = Hit.fit(times, np.stack([a, b]), np.array([0.2, 0.2]))
    assert hit.time == pytest.approx(1.0, abs=1e-6) and hit.momentum == pytest.approx(0.0, abs=1e-6)
    assert hit.energy == pytest.approx(energy - 1, abs=1e-6)
    assert hit.rebound == pytest.approx(inner, abs=1e-6)


def test_mass_is_volume():
    times = np.arange(25) / 8
    since = np.maximum(times - 1.0, 0.0)
    a = np.stack([np.minimum(times, 1.0), 0 * times], -1)  # stops
    b = np.stack([1.5 + since / 8, 0 * times], -1)  # twice the radius: an eighth of the speed
    assert Hit.fit(times, np.stack([a, b]), np.array([0.15, 0.3])).momentum == pytest.approx(0.0, abs=1e-6)
    assert Hit.fit(times, np.stack([a, b]), np.array([0.2, 0.2])).momentum == pytest.approx(7 / 8, abs=1e-6)


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("split", ["in", "out"])
def test_the_engine_obeys(split, given):
    p = probe("collision", split, given=given)
    found = measure(p.real, p)
    assert found["momentum"] < (0.1 if given else 0.2)
    assert found["energy"] < 0.02 and found["overlap"] < 0.02 and found["through"] == 0
    if given == 5:
        assert found["contact"] < 0.06 and found["path"] < 0.03


def test_a_push_out_of_nothing_is_caught():
    p = probe("collision", given=1)
    found = measure(after(p, lambda way: way * np.array([[[1.0]], [[2.5]]]).reshape(1, 2, 1)), p)
    assert found["momentum"] > 0.4 and found["energy"] > 0.3


def test_stopping_dead_is_caught():
    p = probe("collision", given=1)
    assert measure(after(p, lambda way: 0 * way), p)["momentum"] == pytest.approx(1.0, abs=0.05)


def test_passing_through_each_other_is_caught():
    p = probe("collision", given=5)
    script = p.scene.script
    ghosts = tuple(dataclasses.replace(s, ghost=True) for s in script.solids)
    scene = dataclasses.replace(p.scene, script=dataclasses.replace(script, solids=ghosts))
    through = tabletop.simulate(scene, p.cast.film)
    found = measure(seen_at(p, through[..., :3].astype(float)), p)
    assert found["overlap"] > 0.1 and found["through"] == 1
    assert found["path"] > 0.1


def test_a_hit_at_another_time_is_caught():
    p = probe("collision", given=5)
    places = path(p)
    later = np.concatenate([places[:5], np.repeat(places[4:5], 4, 0), places[5:-4]])
    assert measure(seen_at(p, later), p)["contact"] > 0.2


@pytest.mark.parametrize(("given", "black"), [(0, True), (1, False), (5, False), (5, True)])
def test_a_clip_without_a_hit_is_the_worst(given, black):
    p = probe("collision", given=given)
    found = {k: METRICS[k].bounded(v) for k, v in measure(frozen(p, black), p).items()}
    for name in ("momentum", "energy", "through", "overlap", "contact"):
        assert found[name] == METRICS[name].worst
    assert all(0 <= v <= METRICS[k].worst for k, v in found.items())


def test_balls_that_never_meet_do_not_collide():
    p = probe("collision", given=1)
    places = path(p)
    places[:, 1] = places[:1, 1] + [0.0, 0.8, 0.0]
    assert np.isnan(measure(seen_at(p, places), p)["momentum"])
