"""Measures of abilities: none for what goes on as it was, much for what breaks."""

import numpy as np
import pytest

from worldpatch.evals import directing
from worldpatch.evals.detect import detect

RED, BLUE, FLOOR = (220, 30, 30), (30, 60, 220), (225, 215, 200)


def film(places: np.ndarray, colour: tuple[int, int, int] = RED, light: np.ndarray | None = None) -> np.ndarray:
    """A ball of radius 7 at these (x, y) on a pale floor, 64 x 64."""
    y, x = np.mgrid[:64, :64] + 0.5
    frames = np.empty((len(places), 64, 64, 3), np.float32)
    for frame, (px, py) in zip(frames, places, strict=True):
        frame[:] = FLOOR
        frame[(x - px) ** 2 + (y - py) ** 2 < 49] = colour
    if light is not None:
        frames += light[:, None, None, None]
    return frames.clip(0, 255).astype(np.uint8)


def line(count: int, step: float = 1.5) -> np.ndarray:
    return np.stack([12 + step * np.arange(count), np.full(count, 32.0)], 1)


def test_a_join_that_none_sees_has_no_jump():
    frames = film(line(24))
    assert directing.jump(frames, 12, directing.changes) == pytest.approx(1, abs=0.15)
    assert directing.jump(frames, 12, directing.lights) == pytest.approx(1, abs=0.05)
    flash = film(line(24), light=np.where(np.arange(24) < 12, 0, -6.0))
    assert directing.jump(flash, 12, directing.lights) > 5
    assert directing.jump(flash, 8, directing.lights) < 1.2, "it lies elsewhere"


def test_a_velocity_that_turns_round_is_a_break():
    there = line(24)
    back = np.concatenate([there[:12], there[10::-1]])[:24]
    assert directing.velocity_break(film(there), 12) == pytest.approx(0, abs=0.3)
    turned = directing.velocity_break(film(back), 12)
    assert turned is not None and turned > 2
    assert directing.velocity_break(film(np.full((24, 2), -50.0)), 12) is None


def test_ping_pong_is_told_from_going_on_and_from_rest():
    there = line(24)
    assert directing.ping_pong(film(there[:12]), film(there[10::-1]))
    assert not directing.ping_pong(film(there[:12]), film(there[12:]))
    assert not directing.ping_pong(film(there[:12]), film(np.repeat(there[11:12], 12, 0)))


def test_a_border_is_seen_where_there_is_one():
    noise = np.random.default_rng(0).integers(90, 110, (3, 32, 48, 3)).astype(np.uint8)
    inside = np.zeros((32, 48), bool)
    inside[:, :16] = True
    assert directing.borders(noise, inside) == pytest.approx(1, abs=0.15)
    noise[:, inside] += 40
    assert directing.borders(noise, inside) > 3


def test_identity_counts_what_was_there_before():
    red, blue = detect(film(line(12))), detect(film(line(12), BLUE))
    assert directing.identity(red, red) == 1 and directing.identity(red, blue) == 0
    assert directing.identity(detect(film(np.full((12, 2), -50.0))), red) is None


def test_a_path_is_followed_or_not():
    found = directing.places(film(line(20)))
    assert directing.strayed(found["red"], line(20)) < 0.5
    assert directing.strayed(found["red"], line(20) + [0, 8]) == pytest.approx(8, abs=0.3)
    part = line(20)
    part[10:] = np.nan
    assert directing.strayed(found["red"], part) < 0.5, "where nothing was ordered nothing is wrong"
    gone = found["red"].copy()
    gone[8:] = np.nan
    assert directing.strayed(gone, line(20)) == float("inf")


def test_swapped_colours_keep_their_track():
    there, away = directing.recoloured(film(line(20)), film(line(20), BLUE), "red", "blue")
    assert there and away < 0.02
    assert directing.recoloured(film(line(20)), film(line(20)), "red", "blue") == (False, float("inf"))
    assert directing.recoloured(film(line(20)), film(line(20)[::-1], BLUE), "red", "blue")[1] > 0.1


def test_collapse_shows_what_fades():
    rng = np.random.default_rng(0)
    frames = np.clip(film(np.tile([[32, 32]], (160, 1))) + rng.normal(0, 8, (160, 64, 64, 3)), 0, 255).astype(np.uint8)
    assert all(v == pytest.approx(1, abs=0.02) for v in directing.collapse(frames, 8.0).values())
    grey = frames.copy()
    grey[80:] = grey[80:].mean(-1, keepdims=True).astype(np.uint8)
    assert directing.collapse(grey, 8.0)["saturation"] < 0.1


def test_drift_counts_what_steps_at_joins_and_nothing_else():
    frames = np.full((25, 16, 16, 3), 100, np.uint8)
    frames[9:] += 10
    frames[17:] += 10
    frames[21:] += 50  # no join
    found = directing.drift(frames, (9, 17), span=4)
    assert found["brightness"] == pytest.approx(10 / 255) and found["saturation"] == 0
