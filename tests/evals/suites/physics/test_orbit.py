"""Orbits: rooms that bend, solids that wander and cameras that do not come back are caught."""

import cv2
import numpy as np
import pytest

from worldpatch.evals.suites._task import Form
from worldpatch.evals.suites.physics import orbit
from worldpatch.evals.suites.physics._scene import Probe, probe
from worldpatch.evals.suites.physics._seen import observe
from worldpatch.worlds import tabletop

pytest.importorskip("mujoco")


@pytest.fixture(scope="module")
def asked() -> Probe:
    return probe("orbit", "in", 0, Form()).mode(1)


def measured(asked: Probe, frames: np.ndarray) -> dict[str, float]:
    return orbit.measure(observe(frames, asked.clip), asked)


def wobble(frames: np.ndarray, amount: float) -> np.ndarray:
    """Every frame bent by smooth waves of its own, `amount` of the frame's side high."""
    side, rng = frames.shape[1], np.random.default_rng(0)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    bent = []
    for frame in frames:
        a, b = amount * side * np.sin(2 * np.pi * np.stack([y, x]) / side + rng.uniform(0, 6, (2, 1, 1)))
        moved = (x + a.astype(np.float32), y + b.astype(np.float32))
        bent.append(cv2.remap(frame, *moved, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
    return np.stack(bent)


def test_a_true_orbit_is_read(asked: Probe):
    for given in (0, 1, 5):
        found = orbit.measure(asked.real, asked.mode(given))
        assert found["bent"] < 0.15 and found["unlike"] < 0.01 and found["place"] < 0.03, given


def test_a_room_that_bends_is_caught(asked: Probe):
    assert measured(asked, wobble(asked.clip.frames, 0.02))["bent"] > 2 * measured(asked, asked.clip.frames)["bent"]


def test_solids_that_wander_are_caught(asked: Probe):
    pose = asked.truth.pose.copy()
    pose[:, 0, 0] += np.linspace(0, 0.3, 25)
    found = measured(asked, tabletop.enact(asked.scene, asked.cast.film, pose).frames)
    assert found["place"] == pytest.approx(0.05, abs=0.02), "0.15 m on average, of one of three"


def test_a_camera_that_does_not_come_back_is_caught(asked: Probe):
    frames = np.concatenate([asked.clip.frames[:13], asked.clip.frames[12:13].repeat(12, axis=0)])
    assert measured(asked, frames)["unlike"] > 0.06


def test_a_camera_that_rests_shows_nothing(asked: Probe):
    found = measured(asked, np.repeat(asked.clip.frames[:1], 25, axis=0))
    assert np.isnan(found["bent"]) and np.isnan(found["unlike"])
