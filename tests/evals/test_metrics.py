"""Metrics on pairs whose answer is known, and what is asked of all of them."""

import sys
import types
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests import builders
from worldpatch.config import UserError, available, resolve
from worldpatch.evals.metrics import colour_drift, edges, flicker, motion, psnr, sharpness, ssim
from worldpatch.evals.metrics._result import Frames, Result, check_clips, reference_of

FEW = 2  # clips; a metric that wants a crowd (its LEAST) is asked in a test of its own


def asked(name: str) -> bool:
    metric = resolve("evals/metrics", name)
    return reference_of(metric) != "truth" and getattr(metric, "LEAST", FEW) <= FEW


every_metric = pytest.mark.parametrize("name", [name for name in available("evals/metrics") if asked(name)])


def noise(frames: int = 10, side: int = 24, seed: int = 0) -> Frames:
    return np.random.default_rng(seed).integers(40, 200, (frames, side, side, 3)).astype(np.uint8)


def plain(grey: int, frames: int = 10, side: int = 24) -> Frames:
    return np.full((frames, side, side, 3), grey, np.uint8)


def texture(side: int, seed: int = 0) -> np.ndarray:
    """A picture with detail of a few pixels."""
    rough = np.random.default_rng(seed).integers(0, 256, (side, side, 3)).astype(np.uint8)
    return cv2.normalize(cv2.GaussianBlur(rough, (0, 0), 1.5), None, 0, 255, cv2.NORM_MINMAX)


@pytest.fixture
def clip() -> Frames:
    return noise()


# ------------------------------------------------------------------------------------------------ asked of all of them


@pytest.fixture(scope="module")
def brought(tmp_path_factory: pytest.TempPathFactory):
    """Stand-ins for what users bring, where the metrics look for it."""
    pytest.importorskip("transformers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLDPATCH_I3D", str(builders.i3d(tmp_path_factory.mktemp("i3d"))))
        patch.setenv("WORLDPATCH_VJEPA", str(builders.vjepa(tmp_path_factory.mktemp("vjepa"))))
        patch.setenv("WORLDPATCH_CLIP", str(builders.clip_network(tmp_path_factory.mktemp("clip"))))
        patch.setitem(sys.modules, "vbench", types.SimpleNamespace(VBench=builders.Bench))
        yield


def ask(name: str, generated: list[Frames], real: list[Frames]) -> Result:
    """A metric's result, with the reference that it wants made from real clips."""
    metric = resolve("evals/metrics", name)
    kinds: dict[str, Any] = {
        "clip": real,
        "set": real,
        "takes": [(r, r) for r in real],
        "caption": [builders.CAPTIONS[i % 3] for i in range(len(real))],
    }
    return metric.score(generated, kinds[reference_of(metric)])


@every_metric
def test_equal_clips_score_at_least_as_well_as_the_floor(name: str, clip: Frames, brought: None):
    metric = resolve("evals/metrics", name)
    clips = [clip, noise(side=16, seed=1)]
    result = ask(name, clips, clips)
    assert isinstance(metric.HIGHER_IS_BETTER, bool)
    assert len(result.per_clip) == (0 if reference_of(metric) == "set" else 2)
    if reference_of(metric) == "caption":
        assert result.value == pytest.approx(result.floor, rel=0.05)
    else:
        assert result.value >= result.floor if metric.HIGHER_IS_BETTER else result.value <= result.floor


def test_every_metric_is_documented():
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    assert not [name for name in available("evals/metrics") if f"| `{name}` |" not in page]


@every_metric
def test_what_cannot_be_compared_is_refused(name: str, clip: Frames, brought: None):
    kind = reference_of(resolve("evals/metrics", name))
    with pytest.raises(UserError, match="clip 0 is"):
        ask(name, [clip[:0], clip], [clip, clip])
    if kind in ("clip", "takes"):
        for wrong in (clip[:4], clip[:, :, 1:]):
            with pytest.raises(UserError, match="equal size"):
                ask(name, [clip, wrong], [clip, clip])
    with pytest.raises(UserError, match="at least 2" if kind == "set" else "one (reference|sentence) per"):
        ask(name, [clip], [clip, clip])
    with pytest.raises(UserError):
        ask(name, [], [])


@pytest.mark.parametrize("wrong", [noise()[0], noise().astype(np.float32), noise()[..., :1], noise()[:, :0]])
def test_what_is_no_clip_is_refused(wrong: np.ndarray, clip: Frames):
    with pytest.raises(UserError, match="clip 1 is .*give uint8"):
        check_clips([clip, wrong])


@every_metric
@pytest.mark.parametrize("frames", [1, 2, 12])
@pytest.mark.parametrize("look", ["black", "blank", "lines", "noise"])
def test_no_clip_makes_a_metric_say_nan(name: str, frames: int, look: str, brought: None):
    looks = {"black": plain(0, frames), "blank": plain(128, frames), "noise": noise(frames)}
    looks["lines"] = np.repeat(looks["noise"][:, :, :1], 24, axis=2)
    one, other = looks[look], looks["noise" if look != "noise" else "black"]
    try:
        result = ask(name, [one, one, other], [one, other, one])
    except UserError as refusal:
        assert name == "fvd" and frames < 10, refusal
    else:
        assert np.isfinite([result.value, result.floor, *result.per_clip]).all()


# ------------------------------------------------------------------------------------------------------- one at a time


def test_psnr_of_a_constant_offset(clip):
    assert psnr.psnr(clip + np.uint8(10), clip) == pytest.approx(20 * np.log10(25.5))


def test_motion_counts_both_ways(clip):
    half = np.repeat(clip[:5], 2, axis=0)  # every other step stands still
    slower, faster = motion.score([half], [clip]).value, motion.score([clip], [half]).value
    assert slower == pytest.approx(faster)
    assert 1.7 < slower < 2.4


def test_flicker_sees_blinking_not_motion():
    blinking = np.concatenate([plain(100, 1), plain(110, 1)] * 4)
    assert flicker.amount(blinking) == pytest.approx(10)
    fading = np.concatenate([plain(100 + 2 * i, 1) for i in range(8)])
    assert flicker.amount(fading) == 0


def test_ssim_of_plain_frames_is_the_luminance_term():
    a, b = 100.0, 150.0
    expected = (2 * a * b + ssim.C1) / (a * a + b * b + ssim.C1)
    assert ssim.ssim(plain(100), plain(150)) == pytest.approx(expected, abs=1e-4)


def test_ssim_is_equation_13_under_every_window():
    x, y = noise(1, 14)[..., :1].repeat(3, -1), noise(1, 14, seed=1)[..., :1].repeat(3, -1)
    axis = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weight = np.outer(axis, axis) / axis.sum() ** 2
    values = []
    for i in range(4):
        for j in range(4):
            p, q = (z[0, i : i + 11, j : j + 11, 0].astype(float) for z in (x, y))
            mean_p, mean_q = (weight * p).sum(), (weight * q).sum()
            var_p, var_q = (weight * (p - mean_p) ** 2).sum(), (weight * (q - mean_q) ** 2).sum()
            covariance = (weight * (p - mean_p) * (q - mean_q)).sum()
            luminance = (2 * mean_p * mean_q + ssim.C1) / (mean_p**2 + mean_q**2 + ssim.C1)
            values.append(luminance * (2 * covariance + ssim.C2) / (var_p + var_q + ssim.C2))
    assert ssim.ssim(x, y) == pytest.approx(np.mean(values), abs=1e-4)
    assert ssim.ssim(x, x) == 1


def test_ssim_needs_room_for_its_window():
    with pytest.raises(UserError, match="at least 11 pixels"):
        ssim.ssim(plain(9, side=10), plain(9, side=10))


def squares(*corners: tuple[int, int]) -> Frames:
    """A frame of 128x128 with bright squares of 24 pixels at these corners."""
    frame = plain(20, 1, 128)
    for top, left in corners:
        frame[0, top : top + 24, left : left + 24] = 230
    return frame


def test_edges_within_reach_agree():
    here = squares((20, 20))
    assert edges.reach(128, 128) == 1 and edges.reach(256, 256) == 3
    assert edges.agreement(squares((20, 21)), here) == 1
    assert edges.agreement(squares((23, 23)), here) < 0.2
    assert edges.agreement(plain(20, 1, 128), here) == 0 and edges.agreement(here[:, ::-1] * 0, here * 0) == 1


def test_edges_that_are_missing_or_too_many_cost_the_same():
    one, two = squares((20, 20)), squares((20, 20), (80, 80))
    assert edges.agreement(one, two) == pytest.approx(2 / 3, abs=0.01)  # precision 1, recall 1/2
    assert edges.agreement(two, one) == pytest.approx(edges.agreement(one, two))


def test_sharpness_sees_a_clip_that_blurs_but_not_one_that_is_blurred():
    sharp = np.stack([texture(64)] * 8)
    blurring = np.stack([cv2.GaussianBlur(f, (0, 0), 0.2 + 0.4 * i) for i, f in enumerate(sharp)])
    blurred = np.stack([cv2.GaussianBlur(f, (0, 0), 2) for f in sharp])
    assert sharpness.drift(blurred) == 1
    assert sharpness.drift(blurring) < 0.3
    assert sharpness.score([blurring], [sharp]).value == pytest.approx(1 / sharpness.drift(blurring))
    assert sharpness.score([blurring[::-1]], [sharp]).value == pytest.approx(1 / sharpness.drift(blurring))
    assert sharpness.score([blurring], [blurring]).value == 1


def test_colours_in_cielab():
    frames = np.zeros((4, 8, 8, 3), np.uint8)
    frames[1], frames[2, ..., 0], frames[3] = 255, 255, 119
    lab = colour_drift.mean_colour(frames)
    assert lab[0] == pytest.approx([0, 0, 0], abs=0.01) and lab[1] == pytest.approx([100, 0, 0], abs=0.02)
    assert lab[2] == pytest.approx([53.24, 80.09, 67.20], abs=0.05)  # sRGB's red under D65
    assert lab[3] == pytest.approx([50.03, 0, 0], abs=0.05)
    checks = np.zeros((1, 8, 8, 3), np.uint8)
    checks[:, ::2] = 255
    assert colour_drift.mean_colour(checks)[0, 0] == pytest.approx(76.07, abs=0.05)  # half the light of white


def test_colour_drift_is_beside_the_reference():
    grey, fading = plain(119, 8), np.concatenate([plain(119, 4), plain(0, 4)])
    assert colour_drift.score([fading], [grey]).value == pytest.approx(50.03 / 2, abs=0.05)
    assert colour_drift.score([fading], [fading]).value == 0
    tinted = grey + np.array([0, 20, 0], np.uint8)
    assert colour_drift.score([tinted], [grey]).value == 0  # another colour, but it stays
