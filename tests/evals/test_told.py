"""Captions judged by the truth of their clips."""

import numpy as np
import pytest

from worldpatch.evals import _told
from worldpatch.types import Clip, Truth
from worldpatch.worlds import tabletop


def truth(objects: list[tuple[str, str]], beats: list[tuple], camera: str = "rest") -> Truth:
    still = np.zeros((1, len(objects), 7), np.float32)
    told = [{"kind": kind, "objects": list(who), "direction": way} for kind, who, way in beats]
    named = tuple({"colour": colour, "shape": shape} for colour, shape in objects)
    scene = {"beats": told, "camera": camera}
    return Truth(objects=named, events=(), pose=still, velocity=still[..., :6], scene=scene)


HIT = truth([("red", "ball"), ("blue", "box")], [("hit", (0, 1), "right")], "orbit left")


def clips(level: int) -> list[Clip]:
    config = tabletop.Config(level=level, height=16, width=16, supersample=1, masks=False)
    return [tabletop.clip(config, 5, i) for i in range(5)]


@pytest.mark.parametrize("level", [1, 2])
def test_the_worlds_own_dense_captions_are_true_in_all(level: int):
    for clip in clips(level):
        assert clip.truth is not None
        marks = _told.marks(clip.captions["dense"], clip.truth)
        assert all(all(found) for found in marks.values()), (clip.captions["dense"], marks)
        assert {n: len(m) for n, m in marks.items()} == {n: len(c) for n, c in _told.classes(clip.truth).items()}


@pytest.mark.parametrize(
    ("caption", "wrong"),
    [
        ("A red ball hits a blue box. The camera orbits to the left.", set()),
        ("A red ball rolls to the right and hits a blue box. The camera orbits to the left.", set()),
        ("A green ball hits a blue box. The camera orbits to the left.", {"colour", "shape", "event", "order"}),
        ("A red ball hits a blue ball. The camera orbits to the left.", {"shape"}),
        ("A blue box hits a red ball. The camera orbits to the left.", {"event", "order"}),
        ("A red ball and a blue box stand still. The camera orbits to the left.", {"event", "order"}),
        ("A red ball hits a blue box. The camera does not move.", {"camera"}),
        ("A red ball hits a blue box.", {"camera"}),
        ("A red ball hits a blue box. A green box stands still. The camera orbits to the left.",
         {"colour", "count", "order"}),
        ("nothing much", {"colour", "count", "shape", "event", "order", "camera"}),
    ],
)  # fmt: skip
def test_each_mistake_is_one_of_its_attribute(caption: str, wrong: set[str]):
    marks = _told.marks(caption, HIT)
    assert {name for name, found in marks.items() if not all(found)} == wrong


def test_order_is_the_order_told():
    both = truth([("red", "ball"), ("blue", "box")], [("fall", (0,), ""), ("stand", (1,), "")])
    assert all(_told.marks("A red ball falls. A blue box stands still.", both)["order"])
    assert not any(_told.marks("A blue box stands still. A red ball falls.", both)["order"])


def test_chance_is_the_most_frequent_answer():
    one = truth([("red", "ball")], [("fall", (0,), "")])
    found = _told.chance([one, one, HIT])
    assert found == {"colour": 2 / 3, "count": 2 / 3, "shape": 3 / 4, "event": 1 / 2, "order": 1.0, "camera": 2 / 3}
    assert _told.rates([_told.marks("a red ball falls", one)]) == dict.fromkeys(
        ("colour", "count", "shape", "event", "camera"), 1.0
    )
