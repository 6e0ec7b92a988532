"""Friction and rolling: what is measured is the law, and what breaks it is caught."""

import numpy as np
import pytest

from worldpatch.evals.suites._task import Form
from worldpatch.evals.suites.physics import rolling, sliding
from worldpatch.evals.suites.physics._scene import Probe, probe
from worldpatch.evals.suites.physics._seen import observe
from worldpatch.worlds import tabletop

pytest.importorskip("mujoco")


def played(asked: Probe, pose: np.ndarray) -> np.ndarray:
    return tabletop.enact(asked.scene, asked.cast.film, pose).frames


def test_friction_is_read_and_a_restart_is_caught():
    asked = probe("sliding", "in", 1, Form()).mode(5)
    real = sliding.measure(asked.real, asked)
    assert real["friction"] < 0.05 and real["stop"] < 0.03 and real["speeding up"] == 0
    pose = asked.truth.pose.copy()
    pose[16:, 0, 0] = pose[16, 0, 0] - np.sign(pose[16, 0, 0]) * 0.08 * np.arange(9)  # it turns back and goes off
    again = sliding.measure(observe(played(asked, pose), asked.clip), asked)
    assert again["speeding up"] > 0.3 and again["stop"] > 0.5


@pytest.mark.parametrize("split", ["in", "out"])
def test_the_engine_rolls_by_the_law(split):
    """The simulator's own deviation from 5/7 and 2/3 of g sin(angle), seen in its states: part of the floor."""
    for index in range(3):
        asked = probe("rolling", split, index, Form(height=16, width=16)).mode(1)
        along, off = rolling._on_the_ramp(asked.truth.pose[:, 0][:, [0, 2]].astype(float), asked)
        down = along < rolling.LENGTH - 0.2
        times = np.arange(len(along))[down] / 8
        fitted = np.polyfit(times, along[down], 2)[0] * 2
        share = rolling.SHARE[asked.cast.shapes[0]]
        assert fitted == pytest.approx(share * 9.81 * np.sin(asked.parameters["angle"]), rel=0.02)
        assert np.abs(off[down]).max() < 0.01


def test_a_slide_without_turning_is_told_from_rolling():
    asked = probe("rolling", "in", 0, Form()).mode(1)
    assert rolling.measure(asked.real, asked)["acceleration"] < 0.05
    times = np.arange(25) / 8
    angle = asked.parameters["angle"]
    down = 0.5 * 9.81 * np.sin(angle) * times**2  # all of the pull goes into moving
    pose = asked.truth.pose.copy()
    pose[:, 0, 0] = pose[0, 0, 0] + np.sign(pose[-1, 0, 0] - pose[0, 0, 0]) * np.minimum(down, 1.5) * np.cos(angle)
    pose[:, 0, 2] = pose[0, 0, 2] - np.minimum(down, 1.5) * np.sin(angle)
    found = rolling.measure(observe(played(asked, pose), asked.clip), asked)
    assert found["acceleration"] == pytest.approx(1 / rolling.SHARE[asked.cast.shapes[0]] - 1, abs=0.08)
