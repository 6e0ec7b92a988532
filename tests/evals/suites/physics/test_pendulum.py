"""Pendulums: the engine swings by the law, and swings that no string allows are caught."""

import numpy as np
import pytest

from worldpatch.evals.suites._task import Form
from worldpatch.evals.suites.physics import pendulum
from worldpatch.evals.suites.physics._scene import Probe, probe
from worldpatch.evals.suites.physics._seen import observe
from worldpatch.worlds import tabletop

pytest.importorskip("mujoco")
SMALL = Form(height=16, width=16, rate=16.0, frames=49)


@pytest.fixture(scope="module")
def asked() -> Probe:
    return probe("pendulum", "in", 0, Form()).mode(1)


def swing(asked: Probe, angle: np.ndarray, length: np.ndarray | float) -> dict[str, float]:
    """What is measured of a clip in which the bob hangs at these angles (radians) on a string of this length."""
    pose = asked.truth.pose.copy()
    pose[:, 0, 0], pose[:, 0, 2] = length * np.sin(angle), pendulum.PEG - length * np.cos(angle)
    clip = tabletop.enact(asked.scene, asked.cast.film, pose)
    return pendulum.measure(observe(clip.frames, asked.clip), asked)


def motion(asked: Probe) -> tuple[np.ndarray, float]:
    """The true angles, and the length."""
    place = asked.truth.pose[:, 0].astype(float)
    return np.arctan2(place[:, 0], pendulum.PEG - place[:, 2]), asked.parameters["length"]


@pytest.mark.parametrize("split", ["in", "out"])
def test_the_engine_swings_by_the_law(split):
    """The simulator's own deviation, seen in its states: part of the floor."""
    for index in range(2):
        asked = probe("pendulum", split, index, SMALL)
        angle, length = motion(asked)
        half = np.diff(pendulum._crossings(np.arange(49) / 16, angle))
        law = pendulum.period(length, np.radians(asked.parameters["angle"]), pendulum.GRAVITY)
        assert 2 * np.median(half) == pytest.approx(law, rel=0.002)
        place = asked.truth.pose[:, 0].astype(float)
        assert np.hypot(place[:, 0], place[:, 2] - pendulum.PEG) == pytest.approx(length, rel=0.001)


def test_small_swings_have_the_period_of_the_textbook():
    assert pendulum.period(1.0, 1e-4, 9.81) == pytest.approx(2 * np.pi / np.sqrt(9.81))


def test_a_true_swing_is_read_in_every_mode(asked: Probe):
    for given in (0, 1, 5):
        found = pendulum.measure(asked.real, asked.mode(given))
        assert found["period"] < 0.02 and found["string"] < 0.08 and found["energy"] < 0.08, given


def test_a_slow_swing_is_caught(asked: Probe):
    angle, length = motion(asked)
    slow = np.interp(np.arange(25) / 1.4, np.arange(25), angle)
    assert swing(asked, slow, length)["period"] == pytest.approx(0.4, abs=0.03)


def test_a_swing_that_grows_is_caught(asked: Probe):
    angle, length = motion(asked)
    assert swing(asked, angle * np.linspace(1, 1.5, 25), length)["energy"] > 0.5


def test_a_string_that_stretches_is_caught(asked: Probe):
    angle, length = motion(asked)
    stretched = length * (1 - 0.25 * np.linspace(0, 1, 25))
    for given in (0, 1):
        found = pendulum.measure(asked.real, asked.mode(given))
        longer = swing(asked.mode(given), angle, stretched)
        assert longer["string"] > 2.5 * found["string"], given
        assert longer["string"] > 0.1


def test_what_does_not_swing_shows_no_law(asked: Probe):
    still = swing(asked, np.full(25, 0.5), asked.parameters["length"])
    assert all(np.isnan(still[name]) for name in ("period", "string", "energy"))
