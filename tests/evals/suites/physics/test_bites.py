"""Bites: what grows back, what is bitten too seldom, and neighbours that move are caught."""

import numpy as np
import pytest

from worldpatch.evals.suites._task import Form
from worldpatch.evals.suites.physics import bites
from worldpatch.evals.suites.physics._scene import Probe, probe
from worldpatch.evals.suites.physics._seen import observe
from worldpatch.worlds import tabletop

pytest.importorskip("mujoco")


@pytest.fixture(scope="module")
def asked() -> Probe:
    return probe("bites", "in", 0, Form()).mode(1)


def measured(asked: Probe, frames: np.ndarray) -> dict[str, float]:
    return bites.measure(observe(frames, asked.clip), asked)


def bitten(asked: Probe) -> list[int]:
    """The first frame after each bite."""
    p = asked.parameters
    return [int(np.ceil(24 * (p["first"] + i * p["pause"]))) for i in range(int(p["bites"]))]


@pytest.mark.parametrize("split", ["in", "out"])
def test_every_bite_is_seen(split):
    for index in range(2):
        asked = probe("bites", split, index, Form()).mode(0)
        left = bites._left(asked.real, asked.k(0), 0)
        assert bites._steps(left) == int(asked.parameters["bites"])
        assert np.all(np.diff(left) < bites.TREMBLE)


def test_true_bites_are_read(asked: Probe):
    found = measured(asked, asked.clip.frames)
    assert found["regrown"] < 0.01 and found["count"] == 0 and found["eaten"] == 0 and found["beside"] < 0.01


def test_what_grows_back_is_caught(asked: Probe):
    frames = asked.clip.frames.copy()
    frames[20:] = frames[0]
    assert measured(asked, frames)["regrown"] > 0.15


def test_a_missing_bite_is_counted(asked: Probe):
    frames = asked.clip.frames.copy()
    last = bitten(asked)[-1]
    frames[last:] = frames[last - 1]
    found = measured(asked, frames)
    assert found["count"] == 1 and 0.01 < found["eaten"] < 0.1


def test_a_slow_shrinking_is_one_bite():
    assert bites._steps(np.linspace(1.0, 0.6, 20)) == 1
    assert bites._steps(np.array([1, 1, 0.9, 0.9, 0.905, 0.8, 0.75, 0.75])) == 2


def test_a_neighbour_that_moves_is_caught(asked: Probe):
    pose = asked.truth.pose[:, :1].copy()
    pose[:, 0, 1] += np.linspace(0, 0.3, 25)
    found = measured(asked, tabletop.enact(asked.scene, asked.cast.film, pose).frames)
    assert found["beside"] > 0.2 and found["count"] == 0


def test_where_nothing_is_bitten_nothing_is_shown(asked: Probe):
    found = measured(asked, np.repeat(asked.clip.frames[:1], 25, axis=0))
    assert np.isnan(found["regrown"]) and np.isnan(found["count"]) and np.isnan(found["beside"])
