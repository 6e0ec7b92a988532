"""Looking away: a world that pauses, forgets or never leaves the frame is caught."""

from dataclasses import replace

import numpy as np
import pytest

from worldpatch.evals.suites._task import Form
from worldpatch.evals.suites.physics import look_away
from worldpatch.evals.suites.physics._scene import Probe, probe
from worldpatch.evals.suites.physics._seen import observe
from worldpatch.worlds import tabletop

pytest.importorskip("mujoco")


@pytest.fixture(scope="module")
def asked() -> Probe:
    """A scene in which the ball rolls."""
    drawn = (probe("look_away", "in", i, Form()) for i in range(20))
    return next(p for p in drawn if p.parameters["moves"] > 0).mode(5)


def played(asked: Probe, pose: np.ndarray) -> dict[str, float]:
    return look_away.measure(observe(tabletop.enact(asked.scene, asked.cast.film, pose).frames, asked.clip), asked)


def hidden(asked: Probe) -> np.ndarray:
    """The frames in which the truth shows nothing."""
    assert asked.truth.visibility is not None
    return np.flatnonzero((asked.truth.visibility == 0).all(1))


def test_it_is_away_for_long_and_back_for_long(asked: Probe):
    assert len(hidden(asked)) >= 8
    assert look_away._is_back(asked).sum() >= 4 and asked.expected[look_away._is_back(asked)].all()


def test_the_true_return_is_read(asked: Probe):
    found = look_away.measure(asked.real, asked)
    assert found["stays"] == found["missing"] == 0
    assert found["place"] < 0.03 and found["progress"] < 0.03 and found["colour"] < 0.05


def test_a_world_that_pauses_unseen_is_caught(asked: Probe):
    pose, away = asked.truth.pose.copy(), hidden(asked)
    pose[away] = pose[away[0]]
    pose[away[-1] + 1 :] = asked.truth.pose[away[0] : away[0] + len(pose) - away[-1] - 1]
    found = played(asked, pose)
    assert found["progress"] > 0.3 and found["place"] > 0.1 and found["missing"] == 0


def test_what_is_forgotten_is_caught(asked: Probe):
    pose = asked.truth.pose.copy()
    pose[hidden(asked)[0] :, 1, 2] = -3.0
    found = played(asked, pose)
    assert found["missing"] == pytest.approx(0.5) and found["place"] == pytest.approx(0.5, abs=0.03)


def test_a_camera_that_stays_has_shown_nothing(asked: Probe):
    scene = replace(asked.scene, shot=tabletop.resting(asked.cast.film))
    found = look_away.measure(observe(tabletop.enact(scene, asked.cast.film).frames, asked.clip), asked)
    assert found["stays"] == 1
    assert all(np.isnan(found[name]) for name in ("missing", "place", "progress", "colour"))
