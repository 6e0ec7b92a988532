"""Stacks: the margin decides in the engine, and clips that decide otherwise are caught."""

import numpy as np
import pytest

from worldpatch.evals.suites._task import Form
from worldpatch.evals.suites.physics import stacking
from worldpatch.evals.suites.physics._scene import SPLITS, Probe, probe
from worldpatch.evals.suites.physics._seen import observe
from worldpatch.worlds import tabletop

pytest.importorskip("mujoco")


@pytest.fixture(scope="module")
def scenes() -> dict[bool, Probe]:
    """A scene that falls and one that stays."""
    drawn = [probe("stacking", "in", i, Form()).mode(1) for i in range(4)]
    return {asked.parameters["falls"] > 0: asked for asked in drawn}


def played(asked: Probe, pose: np.ndarray) -> dict[str, float]:
    return stacking.measure(observe(tabletop.enact(asked.scene, asked.cast.film, pose).frames, asked.clip), asked)


@pytest.mark.parametrize("split", SPLITS)
def test_the_margin_decides(split):
    for index in range(4):
        asked = probe("stacking", split, index, Form(height=16, width=16))
        moved = np.linalg.norm(asked.truth.pose[-1, 0, :3] - asked.truth.pose[0, 0, :3])
        assert moved > 0.3 if asked.parameters["falls"] > 0 else moved < 0.002


def test_true_outcomes_are_read(scenes):
    falls, stays = (stacking.measure(scenes[key].real, scenes[key]) for key in (True, False))
    assert falls["outcome"] == stays["outcome"] == 0
    assert falls["hangs"] == 0 and falls["path"] < 0.04 and stays["drift"] < 0.01


def test_what_hangs_in_the_air_is_caught(scenes):
    asked = scenes[True]
    held = played(asked, np.repeat(asked.truth.pose[:1], 25, axis=0))
    assert held["outcome"] == 1 and held["hangs"] > 0.1 and held["path"] > 0.3


def test_what_falls_or_creeps_for_no_reason_is_caught(scenes):
    asked = scenes[False]
    pose = asked.truth.pose.copy()
    pose[8:, 0, 0] += 0.55 * np.sign(asked.parameters["side"])
    pose[8:, 0, 2] = asked.scene.script.solids[0].half_height
    assert played(asked, pose)["outcome"] == 1
    creeping = asked.truth.pose.copy()
    creeping[:, 0, 0] += np.linspace(0, 0.1, 25)
    found = played(asked, creeping)
    assert found["drift"] == pytest.approx(0.09, abs=0.02) and found["outcome"] == 0
