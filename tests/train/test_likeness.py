"""Clips that share a subject or a look find each other; what only a picture tells is not told."""

import json

import pytest
import torch
from torch import Generator

from worldpatch.data.loader import Item
from worldpatch.data.manifest import Latent, Row
from worldpatch.train.stages._likeness import Likeness, refer, untold
from worldpatch.types import Reference


def row(name: str, *solids: tuple[str, str], floor: str = "white", size: int = 8) -> Row:
    objects = [{"colour": colour, "shape": shape} for colour, shape in solids]
    scene = {"look": "plain", "floor": floor, "pattern": "tiled", "gloss": False, "wall": "grey", "objects": objects}
    latent = Latent(c=16, t=2, h=size, w=size, vae="")
    return Row(clip_id=name, shard="a", members=(), latent=latent, sim_params=json.dumps(scene))


RED, BOX = ("red", "ball"), ("blue", "box")
ROWS = [
    row("a", RED), row("b", RED, floor="beige"), row("c", RED, BOX, floor="cream"), row("d", BOX),
    row("e", RED, size=16), Row(clip_id="real", shard="a", members=()),
]  # fmt: skip


def test_partners_share_subject_or_look_and_size():
    found = Likeness(ROWS)
    assert found.partners("a", "subject") == [1] and found.partners("a", "look") == [3]
    assert found.partners("b", "subject") == [0] and found.partners("b", "look") == []
    assert found.partners("c", "subject") == [], "two solids are no subject"
    assert found.partners("real", "look") == found.partners("nowhere", "look") == []
    assert found.colour(0) == "red"


def test_draws_are_fixed_by_the_generator_and_reach_all_partners():
    found = Likeness(ROWS)
    drawn = [found.draw("a", Generator().manual_seed(seed)) for seed in range(40)]
    assert set(drawn) == {("subject", 1), ("look", 3)}
    assert found.draw("c", Generator()) is None
    assert [found.draw("a", Generator().manual_seed(seed)) for seed in range(40)] == drawn


def test_a_reference_is_a_keyframe_of_no_time():
    pictures = tuple(Reference(latent=torch.full((16, 8, 8), float(i)).half(), time=i / 8) for i in range(3))
    item = Item(key="a", latent=torch.zeros(16, 2, 8, 8).half(), keyframes=pictures, rate=8.0, captions={}, camera=None)
    (found,) = refer(item, "look", Generator().manual_seed(0))
    assert found.time is None and found.role == "look" and found.latent.dtype == torch.float32
    assert refer(Item(**{**vars(item), "keyframes": ()}), "look", Generator()) == ()


@pytest.mark.parametrize(
    ("caption", "told"),
    [
        ("a red ball falls", "this object falls"),
        (
            "A large red ball falls on a white floor. The red ball stops.",
            "This object falls on a white floor. This object stops.",
        ),
        ("show me small red ball rolling", "show me this object rolling"),
        ("clip of a red can", "clip of this object"),
        ("a blue ball falls", "a blue ball falls"),
    ],
)
def test_the_subject_is_not_told(caption: str, told: str):
    assert untold(caption, "red") == told
