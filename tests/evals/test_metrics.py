"""Metrics on pairs whose answer is known."""

import numpy as np
import pytest

from worldpatch.config import UserError, available, resolve
from worldpatch.evals.metrics import flicker, motion, psnr


@pytest.fixture
def clip():
    rng = np.random.default_rng(0)
    return rng.integers(40, 200, (9, 16, 16, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", [n for n in available("evals/metrics") if n != "prompt"])
def test_contract(name, clip):
    metric = resolve("evals/metrics", name)
    result = metric.score([clip, clip], [clip, clip])
    assert isinstance(metric.HIGHER_IS_BETTER, bool)
    assert len(result.per_clip) == 2
    better = result.value >= result.floor if metric.HIGHER_IS_BETTER else result.value <= result.floor
    assert better, "equal clips must score at least as well as the noise floor"
    with pytest.raises(UserError, match="one reference per"):
        metric.score([clip], [clip, clip])


def test_psnr_of_a_constant_offset(clip):
    assert psnr.psnr(clip + np.uint8(10), clip) == pytest.approx(20 * np.log10(25.5))


def test_psnr_needs_equal_shapes(clip):
    with pytest.raises(UserError, match="equal size"):
        psnr.score([clip[:4]], [clip])


def test_motion_counts_both_ways(clip):
    half = np.repeat(clip[:5], 2, axis=0)[:9]  # every other step stands still
    slower, faster = motion.score([half], [clip]).value, motion.score([clip], [half]).value
    assert slower == pytest.approx(faster)
    assert 1.7 < slower < 2.3


def test_flicker_sees_blinking_not_motion():
    dark, light = np.full((1, 8, 8, 3), 100, np.uint8), np.full((1, 8, 8, 3), 110, np.uint8)
    blinking = np.concatenate([dark, light] * 4)
    assert flicker.amount(blinking) == pytest.approx(10)
    fading = (100 + 2 * np.arange(8)[:, None, None, None] * np.ones((8, 8, 8, 3))).astype(np.uint8)
    assert flicker.amount(fading) == 0
