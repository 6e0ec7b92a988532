"""Physics-IQ on masks and scenes whose figures can be counted."""

import numpy as np
import pytest

from worldpatch.config import UserError
from worldpatch.evals.metrics import physics_iq
from worldpatch.evals.metrics.physics_iq import Agreement, combined


def moving(start: int, frames: int = 3) -> np.ndarray:
    """Masks of 8x8 in which a square of 2x2 moves two pixels to the right per frame."""
    masks = np.zeros((frames, 8, 8), bool)
    for t in range(frames):
        masks[t, 3:5, start + 2 * t : start + 2 * t + 2] = True
    return masks


def test_overlaps_of_two_moving_squares():
    a, b = moving(0), moving(2)  # b is where a will be one frame later
    assert physics_iq.spatial_iou(a, b) == pytest.approx(4 / 8)  # columns 0-5 and 2-7 of the same two rows
    assert physics_iq.spatiotemporal_iou(a, b) == 0
    assert physics_iq.weighted_spatial_iou(a, b) == pytest.approx(4 / 8)  # each place moves for one frame of three
    half = moving(1)
    assert physics_iq.spatiotemporal_iou(a, half) == pytest.approx(1 / 3)  # 2 of 6 pixels in every frame


def test_weighted_overlap_knows_how_long():
    once, always = moving(0, 4), np.repeat(moving(0, 1), 4, axis=0)
    once[1:] = False
    assert physics_iq.spatial_iou(once, always) == 1
    assert physics_iq.weighted_spatial_iou(once, always) == pytest.approx(1 / 4)
    assert physics_iq.spatiotemporal_iou(once, always) == pytest.approx(1 / 4)


def test_rest_agrees_with_rest():
    still = np.zeros((3, 8, 8), bool)
    for figure in (physics_iq.spatial_iou, physics_iq.spatiotemporal_iou, physics_iq.weighted_spatial_iou):
        assert figure(still, still) == 1 and figure(still, moving(0)) == 0


def test_the_score_by_hand():
    clips = Agreement(spatial=0.5, spatiotemporal=0.25, weighted=0.4, error=0.03)
    variance = Agreement(spatial=0.8, spatiotemporal=0.5, weighted=0.5, error=0.01)
    assert combined(clips, variance) == pytest.approx(100 * ((0.625 + 0.5 + 0.8) / 3 - 0.02))
    assert combined(variance, variance) == pytest.approx(100)
    better = Agreement(spatial=1.0, spatiotemporal=1.0, weighted=1.0, error=0.0)
    assert combined(better, variance) == 100
    assert combined(Agreement(spatial=0.0, spatiotemporal=0.0, weighted=0.0, error=0.2), variance) == 0
    unrepeatable = Agreement(spatial=0.0, spatiotemporal=0.0, weighted=0.0, error=0.01)
    assert combined(unrepeatable, unrepeatable) == pytest.approx(100)


def scene(speed: int, frames: int = 8) -> np.ndarray:
    """A bright square of 20 pixels that moves `speed` pixels per frame to the right over a grey ground of 64x128."""
    clip = np.full((frames, 64, 128, 3), 60, np.uint8)
    for t in range(frames):
        clip[t, 20:40, 10 + speed * t : 30 + speed * t] = 200
    return clip


def test_masks_show_what_moved():
    clip = scene(0)
    clip[0] = 60
    masks = physics_iq.motion_masks(clip)
    assert not masks[0].any()
    # 140 grey levels, of which the background takes 0.3 at once; the blur spreads them by less than its side
    assert masks[1, 20:40, 10:30].all() and not masks[1, :15].any() and not masks[1, :, 36:].any()
    # the rest fades as 0.7^n: 140 * 0.7^7 = 11.5 is seen, 140 * 0.7^8 = 8.1 is not
    longer = np.concatenate([clip, clip[-2:]])
    seen = physics_iq.motion_masks(longer)
    assert seen[7, 30, 20] and not seen[8, 30, 20]
    assert not physics_iq.motion_masks(scene(0)).any()


def test_a_second_take_scores_100_and_stillness_nothing():
    first, second = scene(6), scene(7)
    still = np.repeat(first[:1], len(first), axis=0)
    result = physics_iq.score([second, first, still], [(first, second)] * 3)
    assert result.per_clip[:2] == pytest.approx((100, 100)) and result.per_clip[2] < 10
    assert result.floor == pytest.approx(100)
    falling_behind = physics_iq.score([scene(speed) for speed in (5, 4, 3, 2)], [(first, second)] * 4).per_clip
    assert sorted(falling_behind, reverse=True) == list(falling_behind) and falling_behind[-1] > result.per_clip[2]


def test_shrinking_changes_little():
    takes, clip = (scene(6), scene(7)), scene(4)
    full, quarter = (physics_iq.score([clip], [takes], shrink=s).value for s in (1, 4))
    assert full == pytest.approx(quarter, abs=10)
    with pytest.raises(UserError, match="shrunk by 65"):
        physics_iq.score([clip], [takes], shrink=65)


def test_one_take_is_not_enough():
    with pytest.raises(UserError, match="first take, second take"):
        physics_iq.score([scene(1)], [(scene(1),)])
    with pytest.raises(UserError, match="equal size"):
        physics_iq.score([scene(1)], [(scene(1), scene(1)[:4])])
