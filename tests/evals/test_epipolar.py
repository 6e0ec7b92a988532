"""Rigid scenes, and scenes that breathe."""

import cv2
import numpy as np
import pytest

from worldpatch.evals.metrics import epipolar
from worldpatch.evals.metrics._result import Frames
from worldpatch.worlds import tabletop

SIDE = 128


def travelling(frames: int = 13) -> Frames:
    """A camera that moves to the left past three textured boards, each nearer and lower than the last: all rigid."""
    rng = np.random.default_rng(2)
    boards = []
    for k in range(3):
        rough = rng.integers(0, 256, (SIDE, 2 * SIDE, 3)).astype(np.uint8)
        boards.append(cv2.normalize(cv2.GaussianBlur(rough, (0, 0), 1.7), None, 0, 255, cv2.NORM_MINMAX))
        boards[k][: 45 * k] = 0
    clip = []
    for t in range(frames):
        frame = np.zeros((SIDE, SIDE, 3), np.uint8)
        for k, board in enumerate(boards):
            shift = np.array([[1, 0, -(0.7 + 0.9 * k) * t], [0, 1, 0]])
            moved = cv2.warpAffine(board, shift, (SIDE, SIDE), flags=cv2.INTER_CUBIC)
            frame[45 * k :] = moved[45 * k :]
        clip.append(frame)
    return np.stack(clip)


def breathing(clip: Frames, amplitude: float = 0.02) -> Frames:
    """Every frame bent by a smooth field of its own, of at most `amplitude` of the side."""
    rng, side = np.random.default_rng(0), clip.shape[1]
    y, x = np.mgrid[:side, :side].astype(np.float32)
    fields = rng.uniform(-1, 1, (len(clip), 4, 4, 2)).astype(np.float32) * amplitude * side
    bent = []
    for frame, coarse in zip(clip, fields, strict=True):
        field = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
        bent.append(
            cv2.remap(frame, x + field[..., 0], y + field[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        )
    return np.stack(bent)


def test_sampson_error_is_the_distance_from_the_line():
    sideways = np.array([[0.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # the camera moves along x: matches keep their row
    x = np.array([[10.0, 20.0], [30.0, 5.0]])
    y = np.array([[17.0, 20.0], [36.0, 6.0]])
    assert epipolar.sampson(sideways, x, y) == pytest.approx([0, 1 / np.sqrt(2)])  # half a row in either picture
    assert epipolar.sampson(7 * sideways, x, y) == pytest.approx([0, 1 / np.sqrt(2)])


def test_a_rigid_scene_and_one_that_breathes():
    clip = travelling()
    rigid, bent = epipolar.rigidity(clip), epipolar.rigidity(breathing(clip))
    assert rigid.error < 0.05 and rigid.inliers > 0.97 and rigid.pairs == 4
    assert bent.error > 0.4 and bent.inliers < 0.8
    assert epipolar.score([breathing(clip)], [clip]).value == pytest.approx(bent.error - rigid.error)
    assert epipolar.rigidity(clip) == rigid


def test_a_rendered_orbit():
    """Figures on many clips are in docs/metrics.md."""
    clip = tabletop.clip(tabletop.Config(height=SIDE, width=SIDE, frames=25, rate=12.0, masks=False), 5, 9)
    assert clip.captions["terse"] == "a cyan box stands still, the camera orbits right"
    rigid, bent = epipolar.rigidity(clip.frames), epipolar.rigidity(breathing(clip.frames))
    assert rigid.error < 0.15 and rigid.inliers > 0.95
    assert bent.error > 2 * rigid.error and bent.inliers < 0.9


def test_a_resting_camera_sees_nothing_bend():
    resting = np.repeat(travelling(1), 8, axis=0)
    assert epipolar.rigidity(resting) == epipolar.Rigidity(error=0.0, inliers=1.0, pairs=2)
    walker = resting.copy()
    for t in range(8):
        walker[t, 50:74, 8 * t : 8 * t + 24] = travelling(1)[0, :24, :24]
    assert epipolar.rigidity(walker).error < 0.05
    assert epipolar.rigidity(breathing(resting)).error > 0.3


@pytest.mark.parametrize("clip", [np.zeros((8, 64, 64, 3), np.uint8), travelling(1)], ids=["black", "an image"])
def test_where_nothing_can_be_tracked_the_clip_is_lost(clip: Frames):
    assert epipolar.rigidity(clip) == epipolar.Rigidity(error=epipolar.LOST, inliers=0.0, pairs=0)
    assert epipolar.score([clip], [clip]).value == 0


def test_a_clip_gone_blank_is_worse_than_one_that_breathes():
    clip = travelling()
    blank, bent = np.zeros_like(clip), breathing(clip)
    assert epipolar.score([blank], [clip]).value > epipolar.score([bent], [clip]).value
