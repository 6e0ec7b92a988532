"""Dominoes: the engine's row falls in order, and rows that do not are caught."""

import numpy as np
import pytest

from worldpatch.evals.suites._task import Form
from worldpatch.evals.suites.physics import dominoes
from worldpatch.evals.suites.physics._scene import SPLITS, Probe, probe
from worldpatch.evals.suites.physics._seen import observe
from worldpatch.worlds import tabletop

pytest.importorskip("mujoco")


@pytest.fixture(scope="module")
def asked() -> Probe:
    return probe("dominoes", "in", 0, Form()).mode(5)


def played(asked: Probe, pose: np.ndarray) -> dict[str, float]:
    return dominoes.measure(observe(tabletop.enact(asked.scene, asked.cast.film, pose).frames, asked.clip), asked)


@pytest.mark.parametrize("split", SPLITS)
def test_all_fall_in_order_within_the_clip(split):
    for index in range(2):
        asked = probe("dominoes", split, index, Form(height=16, width=16))
        place = asked.truth.pose[:, :5][..., [0, 2]]
        over = [dominoes._over(np.arange(25) / 8, place[:, i]) for i in range(5)]
        assert over[0] > 0.4 and over[-1] < 2.5, "after what a model is given, and not too late"
        assert dominoes._disorder(np.array(over)) == 0
        upright = 1 - 2 * (asked.truth.pose[-1, :5, 4] ** 2 + asked.truth.pose[-1, :5, 5] ** 2)
        assert upright.max() < 0.5


def test_a_true_fall_is_read(asked: Probe):
    found = dominoes.measure(asked.real, asked)
    assert found["disorder"] == found["standing"] == 0 and found["front"] < 0.08 and found["times"] < 0.08


def test_one_that_does_not_fall_is_caught(asked: Probe):
    pose = asked.truth.pose.copy()
    pose[:, 2] = pose[0, 2]
    found = played(asked, pose)
    assert found["standing"] == pytest.approx(0.2) and found["disorder"] == pytest.approx(0.4)


def test_one_that_falls_out_of_turn_is_caught(asked: Probe):
    pose = asked.truth.pose.copy()
    pose[:18, 0], pose[18:, 0] = pose[0, 0], pose[-1, 0]
    found = played(asked, pose)
    assert found["disorder"] == pytest.approx(0.4) and found["standing"] == 0 and found["times"] > 0.2


def test_a_fall_in_slow_motion_is_caught(asked: Probe):
    slow = (np.arange(25) / 1.5).round().astype(int)
    assert played(asked, asked.truth.pose[slow])["front"] == pytest.approx(0.5, abs=0.15)


def test_disorder_is_kendalls():
    assert dominoes._disorder(np.array([1.0, 2.0, 3.0])) == 0
    assert dominoes._disorder(np.array([3.0, 2.0, 1.0])) == 1
    assert dominoes._disorder(np.array([np.nan, 2.0, 3.0])) == pytest.approx(2 / 3)
