"""Paint: strokes that fade or spill are caught; a stroke has the colour asked for."""

import numpy as np
import pytest

from worldpatch.evals.suites._task import Form
from worldpatch.evals.suites.physics import paint
from worldpatch.evals.suites.physics._scene import Probe, probe
from worldpatch.evals.suites.physics._seen import observe

pytest.importorskip("mujoco")


@pytest.fixture(scope="module")
def asked() -> Probe:
    return probe("paint", "in", 0, Form()).mode(5)


def stroke(asked: Probe) -> np.ndarray:
    """Where the truth has paint, frame by frame."""
    assert asked.truth.masks is not None
    return asked.truth.masks == 2


def measured(asked: Probe, frames: np.ndarray) -> dict[str, float]:
    return paint.measure(observe(frames, asked.clip), asked)


def test_the_stroke_has_a_colour_of_its_own(asked: Probe):
    solid, left = asked.truth.objects
    assert left["shape"] == "paint" and left["colour"] != solid["colour"]
    assert f"stroke of {left['colour']} paint" in asked.scene.caption


def test_a_true_stroke_stays_and_does_not_spill(asked: Probe):
    found = measured(asked, asked.clip.frames)
    assert found["lost"] < 0.01 and found["strays"] < 0.02 and found["area"] == found["stroke"] == 0


def test_paint_that_fades_behind_the_painter_is_caught(asked: Probe):
    frames, painted = asked.clip.frames.copy(), stroke(asked)
    old = painted[8:] & np.roll(painted, 8, axis=0)[8:]  # for a second and more
    frames[8:][old] = 230
    found = measured(asked, frames)
    assert found["lost"] > 0.3 and found["stroke"] > 0.2 and found["area"] > 0.2


def test_paint_where_nothing_has_passed_is_caught(asked: Probe):
    frames = asked.clip.frames.copy()
    frames[12:, 56:62, 10:40] = np.median(frames[stroke(asked)], axis=0)
    found = measured(asked, frames)
    assert found["strays"] > 0.3 and found["lost"] < 0.01


def test_where_nothing_is_painted_nothing_is_shown(asked: Probe):
    frames = asked.clip.frames.copy()
    frames[5:] = frames[4]
    found = measured(asked, frames)
    assert np.isnan(found["lost"]) and np.isnan(found["strays"]) and found["stroke"] > 0.6
