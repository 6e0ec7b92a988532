"""What every physics scenario must do, asked of all there are."""

from functools import cache

import numpy as np
import pytest

from worldpatch.evals._segment import PALETTE
from worldpatch.evals.suites._task import MODES, Form, Mode
from worldpatch.evals.suites.physics import GIVEN, _baselines, metrics, score, shown_by
from worldpatch.evals.suites.physics._scene import SPLITS, Probe, Split, module, names, probe
from worldpatch.worlds._holdout import UNSEEN_PAIRS
from worldpatch.worlds._tabletop.stories import LEVELS

pytest.importorskip("mujoco")

FORM = Form()
ASKED: tuple[Mode, ...] = MODES[:3]
scenarios = pytest.mark.parametrize("name", names())


@cache
def drawn(name: str, split: Split = "in", mode: Mode = "video") -> Probe:
    return probe(name, split, 0, FORM).mode(GIVEN.get(mode, FORM.given))


def clips_of_nothing() -> dict[str, np.ndarray]:
    shape = (FORM.frames, FORM.height, FORM.width, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    return {"black": np.zeros(shape, np.uint8), "grey": np.full(shape, 200, np.uint8), "noise": noise}


@scenarios
def test_real_clips_are_nearer_to_right_than_frozen_ones(name: str):
    for mode in ASKED:
        of, asked = metrics(name, mode), drawn(name).mode(GIVEN.get(mode, FORM.given))
        real, still = (score(asked, clip, of) for clip in (asked.clip.frames, _baselines.copy(asked)))
        assert real and set(real) == set(still), f"{mode}: what is measured depends on the truth alone"
        gain = [(still[k] if of[k].naive is None else of[k].naive) - real[k] for k in real]
        assert max(gain) > 0, mode
        assert all(value < of[k].worst for k, value in real.items()), f"{mode}: {real}"


@scenarios
def test_clips_of_nothing_are_scored_and_bad(name: str):
    asked, of = drawn(name), metrics(name, "video")
    real = score(asked, asked.clip.frames, of)
    for what, clip in clips_of_nothing().items():
        found = score(asked, clip, of)
        assert set(found) == set(real)
        assert all(0 <= value <= of[k].worst for k, value in found.items()), what
        assert found["absent"] == 1 or found["strangers"] == 1, what
        assert np.mean([v / of[k].worst for k, v in found.items()]) > 0.3, f"{what}: {found}"


@scenarios
def test_a_solid_of_another_colour_is_an_error(name: str):
    asked, of = drawn(name), metrics(name, "video")
    frames = asked.clip.frames.copy()
    assert asked.truth.masks is not None
    other = next(rgb for name, rgb in PALETTE.items() if name not in asked.cast.colours)
    own = (asked.truth.masks == asked.k(0) + 1) & (np.arange(FORM.frames) >= FORM.given)[:, None, None]
    frames[own] = (np.array(other) * 200).astype(np.uint8)
    found, real = score(asked, frames, of), score(asked, asked.clip.frames, of)
    assert found["absent"] > real["absent"] + 0.1


@scenarios
@pytest.mark.parametrize("split", SPLITS)
def test_splits_are_what_they_say(name: str, split: Split):
    asked, scenario = drawn(name, split), module(name)
    first = asked.truth.objects[asked.k(0)]
    assert ((first["colour"], first["shape"]) in UNSEEN_PAIRS) == (split == "swapped")
    assert len(asked.cast.shapes) == len(scenario.ACTORS) + (split == "combined")
    inside = [r.inside[0] <= asked.parameters[k] <= r.inside[1] for k, r in scenario.PARAMETERS.items()]
    assert all(inside) == (split != "out")
    assert all(colour in asked.scene.caption for colour in asked.cast.colours)


@scenarios
def test_actors_are_seen_whole_for_a_third_of_the_time(name: str):
    for split in SPLITS:
        asked = drawn(name, split)
        whole = asked.expected[:, [asked.k(i) for i in range(len(module(name).ACTORS))]]
        assert whole[0].all() or name == "look_away", f"{split}: {asked.parameters}"
        assert whole.mean() > 1 / 3, f"{split}: {whole.mean(0)}, {asked.parameters}"


@scenarios
def test_scenes_are_the_same_every_time(name: str):
    again = probe(name, "in", 0, FORM)
    assert np.array_equal(again.clip.frames, drawn(name).clip.frames) and again.parameters == drawn(name).parameters


@scenarios
def test_it_says_which_scenes_show_its_like(name: str):
    from worldpatch.worlds._tabletop.scenario import Casting

    cast = Casting(
        rng=np.random.default_rng(0), colours=("red", "blue", "green", "pink", "cyan", "orange"), seconds=3.0
    )
    kinds = {write(cast).kind for write, _ in LEVELS[4] for _ in range(4)}
    assert set(shown_by(name)) <= kinds


def test_a_refitted_simulator_beats_a_frozen_clip():
    asked = drawn("occlusion")
    of = metrics("occlusion", "video")
    found = {b: score(asked, clip, of) for b, clip in _baselines.clips(asked).items()}
    assert found["refit"]["path"] < 0.3 * found["copy"]["path"]
    assert found["constant velocity"]["path"] < 0.3 * found["copy"]["path"], "a rolling ball keeps its speed"
    fitted = _baselines.fit(asked, module("occlusion"))
    assert fitted["speed"] == pytest.approx(asked.parameters["speed"], rel=0.1)
