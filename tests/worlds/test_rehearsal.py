"""Rehearsal: what tracks and cameras say is where the pixels are, and the words tell none of it."""

import functools
from typing import Any

import numpy as np
import pytest

from worldpatch.config import UserError
from worldpatch.worlds import rehearsal, tabletop

CONFIG = rehearsal.Config(frames=9)


@functools.cache
def film(index: int) -> Any:
    return rehearsal.clip(CONFIG, 4, index)


def some(filmed: bool | None = None) -> list[Any]:
    found = [film(i) for i in range(16)]
    return [c for c in found if filmed in (None, "camera" in c.captions["terse"])]


def test_same_seed_same_bytes_and_another_seed_others():
    again = next(rehearsal.clips(CONFIG, 4))
    assert again.frames.tobytes() == film(0).frames.tobytes() and again.captions == film(0).captions
    assert rehearsal.clip(CONFIG, 5, 0).frames.tobytes() != film(0).frames.tobytes()


def test_the_camera_that_is_told_is_the_camera_that_filmed():
    """Solids that stand still are seen where the pose and the intrinsics of every frame project them to."""
    off = []
    for clip in some(filmed=True):
        projected, _ = tabletop.project(clip.camera, clip.truth.pose[..., :3])
        whole = clip.truth.visibility > 0.97
        inside = ((projected > 8) & (projected < 56)).all(-1)
        off += list(np.linalg.norm(clip.truth.places() - projected, axis=-1)[whole & inside])
    assert len(off) > 40 and np.median(off) < 1.5 and max(off) < 5, "a silhouette's middle is near its solid's"


def test_cameras_move_from_the_usual_view_and_paths_go_far():
    script, decor = tabletop.Script(kind="", solids=(), beats=()), tabletop.choose_decor(np.random.default_rng(0), 1)
    usual = tabletop.look(tabletop.Scene(script=script, decor=decor, caption=""), CONFIG)
    for clip in some(filmed=True):
        assert np.allclose(clip.camera.pose[0], usual.pose[0], atol=1e-4), "all moves begin at the same view"
        assert not np.allclose(clip.camera.pose[-1], clip.camera.pose[0], atol=0.02) or not np.isclose(
            clip.camera.intrinsics[-1, 0], clip.camera.intrinsics[0, 0], rtol=0.05
        )
    for clip in some(filmed=False):
        gone = np.linalg.norm(np.diff(clip.truth.pose[:, 0, :3], axis=0), axis=1).sum()
        assert gone > 0.35 and np.allclose(clip.camera.pose, usual.pose, atol=1e-4)
        assert np.ptp(clip.truth.pose[:, 1:, :3], axis=0).max(initial=0) == 0, "who is second stands"


def test_words_tell_neither_where_to_nor_how_far():
    texts = [text for clip in some() for style, text in clip.captions.items() if style != "dense"]
    words = {word for text in texts for word in text.replace(",", "").split()}
    told = {"a", "an", "and", "the", "moves", "moving", "stands", "standing", "still", "camera"}
    assert words <= told | set(rehearsal.palette(CONFIG)) | {"ball", "box", "cylinder"}
    assert len({c.captions["terse"] for c in some()}) > 8


def test_it_is_mirrored_and_recoloured_as_its_colours_and_places_say():
    clip = film(0)
    mirrored = rehearsal.mirror(clip)
    assert np.allclose(mirrored.truth.places()[..., 0], 64 - clip.truth.places()[..., 0], atol=1e-3, equal_nan=True)
    other = next(c for c in rehearsal.palette(CONFIG) if c not in clip.captions["terse"])
    assert other in rehearsal.recolour(clip, {0: other}).captions["terse"]


def test_a_level_that_does_not_exist_is_refused():
    with pytest.raises(UserError, match="rehearsal level 3 does not exist; choose 1 or 2"):
        rehearsal.Config(level=3)
