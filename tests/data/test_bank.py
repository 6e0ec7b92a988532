"""A bank gives back the clips that were rendered, whole or in part, and renders them once."""

from pathlib import Path

import numpy as np
import pytest

from worldpatch.data import bank, render
from worldpatch.worlds import tabletop

OPTIONS = {"level": 4, "height": 32, "width": 32, "frames": 5, "supersample": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bank")
    bank.load(folder, "tabletop", OPTIONS, 3, range(7, 10), workers=0)
    return folder


def test_clips_come_back_with_their_truth(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(render, "clips", None)  # nothing is rendered again
    found = bank.load(folder, "tabletop", OPTIONS, 3, range(7, 10), workers=0)
    assert len(found) == 3
    for i in range(3):
        clip, real = found.clip(i), tabletop.clip(tabletop.Config(**OPTIONS), 3, 7 + i)
        assert clip.truth is not None and real.truth is not None
        assert np.array_equal(clip.frames, real.frames) and np.array_equal(clip.truth.masks, real.truth.masks)
        assert np.array_equal(clip.truth.pose, real.truth.pose)
        assert np.array_equal(clip.truth.velocity, real.truth.velocity)
        assert clip.truth.objects == real.truth.objects and clip.truth.scene == real.truth.scene
        assert clip.truth.events == real.truth.events and clip.captions == real.captions
        assert (clip.rate, clip.seed, clip.licence) == (real.rate, real.seed, real.licence)


def test_a_part_of_a_clip_is_a_clip(folder: Path):
    found = bank.load(folder, "tabletop", OPTIONS, 3, range(7, 10), workers=0)
    whole, part = found.clip(1), found.clip(1, np.array([0, 2, 4]))
    assert part.truth is not None and whole.truth is not None and part.truth.masks is not None
    assert np.array_equal(part.frames, whole.frames[::2]) and np.array_equal(part.truth.pose, whole.truth.pose[::2])
    assert tabletop.mirror(part).frames.shape == part.frames.shape == (*part.truth.masks.shape, 3)


def test_another_bank_is_rendered_anew(folder: Path):
    other = bank.load(folder, "tabletop", {**OPTIONS, "level": 1}, 3, range(7, 9), workers=0)
    assert len(other) == 2 and other.records[0]["scene"]["level"] == 1
