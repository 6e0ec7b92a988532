"""Collisions: conservation is read from pixels, and what breaks it is caught."""

from dataclasses import replace

import numpy as np
import pytest

from worldpatch.evals.suites._task import Form
from worldpatch.evals.suites.physics import collision
from worldpatch.evals.suites.physics._scene import Probe, probe
from worldpatch.evals.suites.physics._seen import observe
from worldpatch.worlds import tabletop

pytest.importorskip("mujoco")


@pytest.fixture(scope="module")
def asked() -> Probe:
    return probe("collision", "in", 0, Form()).mode(5)


def measured(asked: Probe, frames: np.ndarray) -> dict[str, float]:
    return collision.measure(observe(frames, asked.clip), asked)


def test_momentum_is_kept_in_what_the_engine_does(asked: Probe):
    found = measured(asked, asked.clip.frames)
    assert found["momentum"] < 0.06 and found["passed on"] == 0 and found["energy gained"] < 0.05
    assert found["contact"] < 0.03 and found["entered"] < 0.03


def test_solids_that_pass_through_each_other_are_caught(asked: Probe):
    solids = tuple(replace(s, ghost=True) for s in asked.scene.script.solids)
    scene = replace(asked.scene, script=replace(asked.scene.script, solids=solids))
    found = measured(asked, tabletop.enact(scene, asked.cast.film).frames)
    assert found["entered"] > 0.1
    assert found["passed on"] == 1


def test_a_blow_that_gives_too_much_is_caught(asked: Probe):
    pose = asked.truth.pose.copy()
    speed = np.diff(pose[:, 1, 0])
    pose[1:, 1, 0] = pose[0, 1, 0] + np.cumsum(1.8 * speed)
    found = measured(asked, tabletop.enact(asked.scene, asked.cast.film, pose).frames)
    assert found["energy gained"] > 0.3 and found["momentum"] > 0.3
