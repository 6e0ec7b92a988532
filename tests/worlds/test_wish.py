"""What of a prompt a fuller wording loses."""

import pytest

from worldpatch.worlds._tabletop.wish import lost

SAME = [
    ("a red ball falls", "A large red ball falls down and bounces on a cream tiled floor. The camera does not move."),
    ("red ball", "A red ball stands still on a grey floor."),
    ("a ball falls", "A green ball drops on a white floor."),
    ("pls make green cube sliding, zooming in", "A green box slides to the left on a grey floor. The camera zooms in."),
    ("a red ball hits a blue box", "A red ball rolls from left to right and knocks a blue box away on a beige floor."),
    ("a red ball falls to the left of a blue box",
     "A red ball falls on a grey floor. A blue box stands still. The red ball is to the left of the blue box."),
    ("a small red ball falls onto a volcano", "A small red ball falls down on a grey floor, onto a smoking volcano."),
]  # fmt: skip
OTHER = [
    ("a red ball falls", "A blue ball falls on a grey floor.", "no red ball"),
    ("a red ball falls", "A red box falls on a grey floor.", "no red ball"),
    ("a red ball falls", "A red ball and a blue box fall on a grey floor.", "also blue box"),
    ("a red ball falls", "A red ball jumps on a grey floor.", "not fall"),
    ("a red ball falls", "A red ball falls on a grey floor. Then it spins.", "also 'spins'"),
    ("a red ball falls", "A red ball falls on a grey floor. The camera zooms in.", "camera: zoom in"),
    ("a red ball falls, the camera zooms in", "A red ball falls on a grey floor.", "camera: rest"),
    ("a red ball rolls to the left", "A red ball rolls to the right on a grey floor.", "not roll left"),
    ("a red ball hits a blue box", "A blue box hits a red ball on a grey floor.", "not hit"),
    ("a small red ball falls", "A large red ball falls on a grey floor.", "not 'small'"),
    ("a red ball falls, at night", "A red ball falls on a grey floor.", "not 'night'"),
    ("a red ball falls on a white floor", "A red ball falls on a grey floor.", "not 'white'"),
    ("a red ball falls into a volcano", "A red ball falls on a grey floor.", "not 'volcano'"),
    ("a red ball stands to the left of a blue box",
     "A red ball and a blue box stand still. The red ball is in front of the blue box.", "not to the left of"),
]  # fmt: skip


@pytest.mark.parametrize(("prompt", "told"), SAME)
def test_what_only_adds_loses_nothing(prompt: str, told: str):
    assert lost(prompt, told) == ()


@pytest.mark.parametrize(("prompt", "told", "wrong"), OTHER)
def test_what_says_something_else_is_found(prompt: str, told: str, wrong: str):
    assert any(wrong in found for found in lost(prompt, told)), lost(prompt, told)
