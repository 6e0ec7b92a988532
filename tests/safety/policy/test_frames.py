"""Flashes are counted as WCAG counts them, and a CLIP, where there is one, looks at frames."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests import builders
from worldpatch.config import UserError
from worldpatch.safety.policy import Policy, Settings
from worldpatch.safety.policy.flashing import flashes
from worldpatch.safety.policy.seen import SHOWN, Eyes

RATE = 24.0


def square_wave(hertz: float, dark: int = 0, light: int = 255, seconds: float = 2.0) -> np.ndarray:
    """Grey frames that change between two levels, `hertz` flashes a second."""
    time = np.arange(int(seconds * RATE)) / RATE
    level = np.where((time * hertz) % 1 < 0.5, dark, light).astype(np.uint8)
    return np.broadcast_to(level[:, None, None, None], (len(level), 36, 48, 3)).copy()


@pytest.mark.parametrize(
    ("hertz", "kind"), [(1.0, ""), (2.0, ""), (3.0, ""), (4.0, "general"), (6.0, "general"), (12.0, "general")]
)
def test_more_than_three_flashes_a_second_are_too_many(hertz: float, kind: str):
    assert flashes(square_wave(hertz), RATE) == kind


def test_changes_below_a_tenth_are_no_flashes():
    """(90/255)^2.2 is about 0.1 of the maximum."""
    assert flashes(square_wave(6.0, 0, 80), RATE) == ""
    assert flashes(square_wave(6.0, 0, 100), RATE) == "general"
    assert flashes(square_wave(6.0, 232, 255), RATE) == "", "the darker side is brighter than 0.8"


def test_what_flashes_must_be_large():
    still, wave = np.full_like(square_wave(6.0), 40), square_wave(6.0)
    small, large = still.copy(), still.copy()
    small[:, :4, :4] = wave[:, :4, :4]
    large[:, 12:24, 16:32] = wave[:, 12:24, 16:32]
    assert flashes(small, RATE) == "" and flashes(large, RATE) == "general"


def test_red_flashes_count_where_luminance_hardly_changes():
    frames = square_wave(6.0)
    frames[..., 1:] = 0
    frames[..., 0] = np.where(frames[..., 0] > 0, 130, 50)  # luminance 0.04 beside 0.007
    assert flashes(frames, RATE) == "red"
    blue = frames[..., ::-1].copy()
    assert flashes(blue, RATE) == ""


@pytest.mark.parametrize("shape", [(1, 8, 8, 3), (3, 1, 1, 3), (30, 5, 7, 3)])
def test_any_clip_can_be_judged(shape: tuple[int, ...]):
    assert flashes(np.zeros(shape, np.uint8), 8.0) == ""


def test_a_fade_and_a_pan_are_no_flashes():
    fade = np.broadcast_to(np.linspace(0, 255, 48).astype(np.uint8)[:, None, None, None], (48, 36, 48, 3)).copy()
    bars = np.where((np.arange(96)[None] + np.arange(48)[:, None]) // 48 % 2, 200, 30).astype(np.uint8)
    pan = np.broadcast_to(bars[:, None, :, None], (48, 36, 96, 3)).copy()
    assert flashes(fade, RATE) == flashes(pan, RATE) == ""


def test_flashing_clips_are_refused_unless_that_is_off():
    refused = Policy().judge_frames(square_wave(6.0), RATE)
    assert (refused.allowed, refused.stage, refused.category, refused.rule) == (
        False,
        "frames",
        "flashing",
        "flashing.general",
    )
    assert Policy().judge_frames(square_wave(1.0), RATE).stage == "all"
    assert Policy(Settings(flashing=False)).judge_frames(square_wave(6.0), RATE).allowed


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP with random weights, as the folder of a real one."""
    pytest.importorskip("transformers")
    return builders.clip_network(tmp_path_factory.mktemp("clip"))


def test_a_clip_gives_each_category_its_worst_frame(clip: Path):
    frames = np.random.default_rng(0).integers(0, 255, (3, 20, 24, 3), np.uint8)
    eyes = Eyes(str(clip))
    together, alone = eyes.shares(frames), [eyes.shares(frame[None]) for frame in frames]
    assert set(together) == set(SHOWN) - {""} and 0 < sum(alone[0].values()) < 1
    for name, share in together.items():
        assert share == pytest.approx(max(one[name] for one in alone), abs=1e-5)


def test_frames_are_refused_from_the_threshold_on(clip: Path):
    frames = np.random.default_rng(0).integers(0, 255, (3, 20, 24, 3), np.uint8)
    shares = Eyes(str(clip)).shares(frames)
    worst = max(shares, key=lambda name: shares[name])
    below = Settings(clip=str(clip), clip_threshold=shares[worst] * 0.99, flashing=False)
    refused = Policy(below).judge_frames(frames, RATE)
    assert (refused.stage, refused.category, refused.rule) == ("frames", worst, f"clip.{worst}")
    above = Settings(clip=str(clip), clip_threshold=min(1.0, shares[worst] * 1.01), flashing=False)
    assert Policy(above).judge_frames(frames, RATE).allowed


def test_wrong_weights_are_said_at_once(tmp_path: Path):
    torch.save({}, tmp_path / "junk.pt")
    with pytest.raises(UserError, match="no CLIP is in 'absent'"):
        Policy(Settings(clip="absent"))
    with pytest.raises(UserError, match="cannot be loaded as a CLIP"):
        Policy(Settings(clip=str(tmp_path)))
