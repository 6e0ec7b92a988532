"""What cannot be is found in clips made impossible on purpose, and not in real ones."""

import numpy as np
import pytest

from tests.evals.test_detect import FRAMES, draw, still
from worldpatch.evals.paradox import LIMITS, paradoxes

SEED = 501  # other clips than those the limits were set on


def kinds(frames):
    return {p.kind for p in paradoxes(frames)}


def leaping(top):
    """Up and down between row 46 and others: `top` is the highest row of each hop of six frames."""
    return lambda f: (46 - (46 - top(f // 6)) * (1 - ((f % 6 - 3) / 3) ** 2), 32)


@pytest.mark.parametrize(
    ("discs", "found"),
    [
        ([("red", still(32, 32), 9)], set()),
        ([("red", lambda f: (32, 32) if f < 12 else None, 9)], {"vanishes"}),
        ([("red", lambda f: (32, 32) if f > 12 else None, 9)], {"appears"}),
        ([("red", lambda f: (32, 32) if f != 12 else None, 9)], set()),  # one missed frame is forgiven
        ([("red", still(32, 16), 8), ("red", lambda f: (32, 46) if f > 12 else None, 8)], {"doubles"}),
        ([("red", still(32, 16), 8), ("red", still(32, 46), 8)], set()),  # two from the beginning are two
        ([(lambda f: "red" if f < 12 else "blue", still(32, 32), 9)], {"recoloured"}),
        ([("red", lambda f: (32, 32 + 3 * f), 7)], set()),  # it leaves the frame
        ([("red", lambda f: (32, 8 + 2 * f), 7), ("blue", still(32, 32), 8)], {"passes through"}),
        ([("red", lambda f: (24, 8 + 2 * f), 6), ("blue", still(36, 32), 11)], set()),  # it passes behind
        ([("red", leaping(lambda hop: 34), 6)], set()),
        ([("red", leaping(lambda hop: 34 if hop < 2 else 14), 6)], {"gains energy"}),
        ([("red", leaping(lambda hop: 14 if hop < 2 else 34), 6)], set()),
        ([("red", lambda f: (40, 10 + 0.2 * f + max(0, f - 12) * 2.5), 7)], {"gains energy"}),
        ([("red", lambda f: (40, 10 + 2.5 * min(f, 12) + 0.2 * max(0, f - 12)), 7)], set()),
    ],
)
def test_drawings(discs, found):
    assert kinds(draw(*discs)) == found


def test_place_and_time():
    (found,) = paradoxes(draw(("red", lambda f: (40, 20) if f < 12 else None, 9)))
    assert (found.first, found.last, found.colours) == (11, FRAMES - 1, ("red",))
    top, left, bottom, right = found.box
    assert top < 32 and left < 12 and 48 < bottom < 56 and 28 < right < 36
    assert found.strength > 5 and str(found) == "red vanishes (11 to 24)"


def test_images_and_empty_rooms_have_none():
    assert kinds(draw(("red", still(32, 32), 9), frames=1)) == set()
    assert kinds(draw()) == set()
    assert kinds(np.full((3, 16, 16, 3), 200, np.uint8)) == set()


def test_impossible_renders_are_found_out():
    pytest.importorskip("mujoco")
    from worldpatch.evals import _impossible

    found = {kind: [kind in kinds(_impossible.clip(kind, i, SEED).frames) for i in range(3)] for kind in LIMITS}
    assert all(map(any, found.values())), found
    assert np.mean(list(found.values())) > 0.8, found


def test_real_renders_are_possible():
    tabletop = pytest.importorskip("worldpatch.worlds.tabletop")
    clips = [tabletop.clip(tabletop.Config(level=level, masks=False), SEED, i) for level in (1, 2) for i in range(6)]
    assert sum(bool(paradoxes(clip.frames)) for clip in clips) <= 1
