"""Shadows: one that lies wrong, stays behind or is missing is caught."""

from dataclasses import replace

import numpy as np
import pytest

from worldpatch.evals.suites._task import Form
from worldpatch.evals.suites.physics import shadows
from worldpatch.evals.suites.physics._scene import Probe, probe
from worldpatch.evals.suites.physics._seen import observe
from worldpatch.worlds import tabletop

pytest.importorskip("mujoco")


@pytest.fixture(scope="module")
def scenes() -> dict[str, Probe]:
    """A scene with a jump and one with a slide."""
    drawn = [probe("shadows", split, i, Form()).mode(1) for split in ("in", "out") for i in range(3)]
    return {asked.scene.script.kind: asked for asked in drawn}


def measured(asked: Probe, frames: np.ndarray) -> dict[str, float]:
    return shadows.measure(observe(frames, asked.clip), asked)


@pytest.mark.parametrize("kind", ["jump", "slide"])
def test_true_shadows_are_read(scenes, kind):
    found = measured(scenes[kind], scenes[kind].clip.frames)
    assert found["direction"] < 10 and found["lags"] < 0.1 and found["gain"] < 0.1


@pytest.mark.parametrize("kind", ["jump", "slide"])
def test_a_shadow_on_the_wrong_side_is_caught(scenes, kind):
    scene = scenes[kind].scene
    other = replace(scene, decor=replace(scene.decor, light=scene.decor.light - 60.0))
    found = measured(scenes[kind], tabletop.enact(other, scenes[kind].cast.film).frames)
    assert found["direction"] == pytest.approx(60, abs=12)


def test_a_shadow_that_stays_behind_is_caught(scenes):
    asked = scenes["slide"]
    assert asked.truth.masks is not None
    solid = asked.truth.masks > 0
    first = asked.clip.frames[0].copy()
    first[solid[0]] = np.median(first[-20:], axis=(0, 1))
    frames = np.where(solid[..., None], asked.clip.frames, first)
    assert measured(asked, frames)["lags"] > 0.5


@pytest.mark.parametrize("kind", ["jump", "slide"])
def test_where_there_is_no_shadow_there_is_no_value(scenes, kind):
    asked = scenes[kind]
    assert asked.truth.masks is not None
    frames = asked.clip.frames.copy()
    frames[:, 20:][asked.truth.masks[:, 20:] == 0] = 234  # the floor without its shadows
    assert all(np.isnan(value) for value in measured(asked, frames).values())
