"""Detectors on drawings with known answers, and on real renders."""

import numpy as np
import pytest

from worldpatch.config import UserError
from worldpatch.evals._background import affine_flow
from worldpatch.evals._segment import PALETTE
from worldpatch.evals._truth import expected
from worldpatch.evals.detect import detect
from worldpatch.evals.metrics.prompt import judge

SIDE, FRAMES = 64, 25


def draw(*discs, frames=FRAMES):
    """Shaded discs (colour, path: frame -> (row, column) or None, radius) on a pale floor; later ones in front."""
    clip = np.full((frames, SIDE, SIDE, 3), 205.0)
    clip[:, ::8] = clip[:, :, ::8] = (180, 178, 170)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for colour, path, radius in discs:
        for f in range(frames):
            if (place := path(f)) is not None:
                away = np.hypot(rows - place[0], columns - place[1])
                shade = 230 * (1 - 0.4 * (away / radius) ** 2)[..., None]
                paint = PALETTE[str(colour(f)) if callable(colour) else colour]
                clip[f] = np.where((away < radius)[..., None], shade * np.array(paint), clip[f])
    return clip.astype(np.uint8)


def still(row, column):
    return lambda f: (row, column)


def test_palette_is_the_tabletops():
    palette = pytest.importorskip("worldpatch.worlds._tabletop.palette")
    assert palette.COLOURS == PALETTE


@pytest.mark.parametrize("colour", PALETTE)
def test_every_colour_is_known(colour):
    (solid,) = detect(draw((colour, still(32, 32), 9))).solids
    assert solid.colour == colour
    assert solid.shape == "ball"
    assert solid.event == "stand"
    assert solid.flaws == ()


def test_pale_background_is_empty():
    seen = detect(draw())
    assert seen.solids == () and seen.camera == "rest" and seen.motion == 0


def test_image_has_solids_but_no_events():
    seen = detect(draw(("red", still(32, 32), 9), frames=1))
    assert [(s.colour, s.event) for s in seen.solids] == [("red", "")]
    assert seen.camera == ""


def test_vanishing_is_a_flaw():
    (solid,) = detect(draw(("red", lambda f: (32, 32) if f < 12 else None, 9))).solids
    assert "vanishes" in solid.flaws


def test_leaving_the_frame_is_none():
    (solid,) = detect(draw(("red", lambda f: (32, 32 + 3 * f), 7))).solids
    assert solid.flaws == ()


def test_recolouring_makes_two_that_vanish():
    solids = detect(draw((lambda f: "red" if f < 12 else "blue", still(32, 32), 9))).solids
    assert {s.colour for s in solids} == {"red", "blue"}
    assert all("vanishes" in s.flaws for s in solids)


def test_duplicate_of_one_colour_counts():
    assert len(detect(draw(("red", still(32, 18), 8), ("red", still(32, 46), 8))).solids) == 2


def test_occlusion_cuts_but_counts_once():
    seen = detect(draw(("red", still(32, 32), 11), ("blue", lambda f: (32, 2.5 * f), 5)))
    assert sorted(s.colour for s in seen.solids) == ["blue", "red"]
    assert all("vanishes" not in s.flaws for s in seen.solids)


def test_hiding_wholly_is_no_flaw():
    seen = detect(draw(("red", lambda f: (32, 5 + 2.3 * f), 6), ("blue", still(32, 32), 13)))
    assert [s.flaws for s in seen.solids] == [(), ()]


def test_direction_across():
    (solid,) = detect(draw(("green", lambda f: (40, 12 + 1.6 * f), 8))).solids
    assert solid.event == "right"


@pytest.mark.parametrize(
    "flow", [((0, 0, 0.04), (0, 0, 0)), ((0.02, 0, 0), (0, 0.02, 0)), ((0, 0.03, 0), (0, 0, -0.02))]
)
def test_affine_flow_is_recovered(flow):
    rows, columns = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    flow = np.array(flow)

    def texture(x, y):
        return 190 + 20 * np.sin(7 * x + 2) * np.cos(5 * y) + 15 * np.sin(11 * y - 4 * x)

    places = np.stack([columns, rows], -1)
    forward = np.eye(2) + flow[:, :2]
    source = (places - flow[:, 2]) @ np.linalg.inv(forward).T  # where the second frame's pixels were in the first
    pair = np.stack([texture(columns, rows), texture(source[..., 0], source[..., 1])])
    frames = np.repeat(pair[..., None], 3, -1).astype(np.uint8)
    np.testing.assert_allclose(affine_flow(frames, np.zeros(pair.shape, bool))[0], flow, atol=0.004)


@pytest.mark.parametrize(
    "frames", [np.zeros((4, 8, 8, 3)), np.zeros((8, 8, 3), np.uint8), np.zeros((0, 8, 8, 3), np.uint8)]
)
def test_what_is_no_clip_is_refused(frames):
    with pytest.raises(UserError, match="uint8"):
        detect(frames)


@pytest.mark.parametrize("level", [1, 2])
def test_real_renders_are_read_right(level):
    tabletop = pytest.importorskip("worldpatch.worlds.tabletop")
    config = tabletop.Config(level=level, masks=False)
    clips = [tabletop.clip(config, 5_000 + level, i) for i in range(8)]
    verdicts = [list(judge(detect(c.frames), expected(c)).values()) for c in clips]
    assert np.mean(verdicts) > 0.93
