"""A sentence staged: what it says happens, and nothing else."""

import pytest

from worldpatch import config
from worldpatch.config import UserError
from worldpatch.evals import _wish
from worldpatch.evals.detect import detect
from worldpatch.worlds import tabletop
from worldpatch.worlds.tabletop import Format, Staged, enact, perform, read

FORM = Format(supersample=1)


@pytest.mark.parametrize(
    "prompt",
    [
        "a red ball falls", "a blue box slides to the left", "a green ball rolls away from the camera",
        "a red ball hits a blue box", "a yellow cylinder falls off a green box",
        "a cyan box and a pink ball stand still", "an orange ball jumps, the camera orbits right",
    ],
)  # fmt: skip
def test_what_is_asked_for_is_seen(prompt: str):
    wish = read(prompt)
    staged = perform(wish, FORM, seed=3)
    wanted = {c: s for c, s in wish.solids}
    assert {solid.colour: solid.shape for solid in staged.solids} == wanted
    frames = enact(staged.scene(FORM), FORM).frames
    assert detect(frames).colours == set(wanted)
    assert _wish.expected(wish).camera == detect(frames).camera


def test_a_staging_is_plain_values_and_plays_the_same_again():
    staged = perform(read("a red ball hits a blue box"), FORM, seed=1)
    again = config.build(Staged, config.dump(staged), "scene.")
    assert again == staged and perform(read("a red ball hits a blue box"), FORM, seed=1) == staged
    assert (enact(staged.scene(FORM), FORM).frames == enact(again.scene(FORM), FORM).frames).all()
    assert perform(read("a red ball hits a blue box"), FORM, seed=2) != staged


def test_what_is_left_open_is_chosen():
    staged = perform(read("a ball jumps"), FORM, seed=0)
    assert staged.solids[0].shape == "ball" and staged.solids[0].colour in tabletop.ALL


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("the sea at night", r"no solid was understood in it \(sea"),
        ("a red ball spins", "no scenario of the tabletop holds it"),
        ("a red ball, a blue ball, a green ball, a cyan ball, a pink ball and a yellow ball fall", "cannot be staged"),
    ],
)
def test_what_cannot_be_staged_is_told(prompt: str, message: str):
    with pytest.raises(UserError, match=message):
        perform(read(prompt), FORM, seed=0)
