"""Abilities over what a user brings: what is known comes back as it was, what is asked for has the right length."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as for_all
from hypothesis import strategies as st
from PIL import Image

from tests import builders
from worldpatch import config, generate
from worldpatch.cli import main
from worldpatch.config import UserError
from worldpatch.generate import characters, media, stored
from worldpatch.generate.ops import _windows, blend, inpaint
from worldpatch.generate.pipeline import Pipeline
from worldpatch.types import Plan, Request
from worldpatch.video import read, write

RATE, SIDE = 8.0, 32


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Untrained, with clips of 5 frames, which are two latents."""
    torch.manual_seed(0)
    return generate.load(builders.exported(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos of the model's own size and rate, one of another, and a picture."""
    home = tmp_path_factory.mktemp("media")
    write.write(home / "one.mp4", film(1, 10), RATE)
    write.write(home / "other.mp4", film(2, 11), RATE)
    write.write(home / "wide.mp4", film(3, 24, 48, 96), 24.0)
    Image.fromarray(film(4, 1, 80, 40)[0]).save(home / "picture.png")
    return home


def film(seed: int, frames: int, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    """A square that wanders over a slope of grey."""
    rng = np.random.default_rng(seed)
    clip = np.broadcast_to(np.linspace(40, 200, width)[None, None, :, None], (frames, height, width, 3)).astype(
        np.uint8
    )
    clip = clip.copy()
    colour = rng.integers(0, 256, 3)
    for t, frame in enumerate(clip):
        x, y = (int(v) + t for v in rng.integers(0, 8, 2))
        frame[y : y + 8, x : x + 8] = colour
    return clip


def made(pipeline: Pipeline, ability: str, *, variants: int = 1, seed: int = 0, **params: Any) -> np.ndarray:
    params = {k: str(v) if isinstance(v, Path) else v for k, v in params.items()}
    request = Request(ability=ability, params=params, steps=2, variants=variants, seed=seed)
    frames = generate.run(request, pipeline).frames.numpy()
    return frames if variants > 1 else frames[0]


def given(path: Path) -> np.ndarray:
    return read.read(path)[0]


# ----------------------------------------------------------------------------------------------- what comes back


def test_a_picture_is_the_first_frame_and_others_stand_at_their_times(pipeline: Pipeline, home: Path):
    last = f"{home / 'one.mp4'}@last"
    frames = made(pipeline, "animate", image=home / "picture.png", prompt="it falls", frames=9, keyframes=(last,))
    height, width = frames.shape[1:3]
    assert len(frames) == 9 and height > width, "about the picture's aspect"
    assert (frames[0] == media.picture(home / "picture.png", height, width)[0]).all()
    assert (frames[-1] == media.picture(home / "one.mp4", height, width)[0]).all()


@pytest.mark.parametrize("seconds", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_video_goes_on(pipeline: Pipeline, home: Path, seconds: float, direction: str):
    """Over several windows, of whatever length it is."""
    old = given(home / "one.mp4")
    frames = made(pipeline, "extend", video=home / "one.mp4", seconds=seconds, direction=direction)
    assert len(frames) == len(old) + round(seconds * RATE)
    kept = frames[: len(old)] if direction == "forward" else frames[-len(old) :]
    assert (kept == old).all()
    new = frames[len(old) :] if direction == "forward" else frames[: -len(old)]
    assert len(np.unique(new.reshape(len(new), -1), axis=0)) == len(new)


def test_a_clip_of_ours_goes_on_from_its_latents(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = str(builders.exported(tmp_path / "tiny"))
    flags = ["--model", model, "--steps", "1", "-q"]
    clip = tmp_path / "clip.mp4"
    assert main(["generate", "a ball", "--frames", "9", "--latents", *flags, "-o", str(clip)]) == 0
    latents = stored.path_of(clip)
    assert latents.exists()
    pipeline = generate.load(Path(model))
    height, width = given(clip).shape[1:3]
    found = stored.find(clip, 9, height, width, pipeline)
    assert found is not None and found.shape[1] == 3
    plan = generate.plan(Request(ability="extend", params={"video": str(clip), "seconds": 0.5}), pipeline)
    assert plan.known is not None
    context = int((plan.start[:, 0, 0] == 0).sum())
    assert torch.equal(plan.known[:, :context], found[:, 3 - context : 3])
    assert stored.find(clip, 5, height, width, pipeline) is None
    clip.write_bytes(clip.read_bytes() + b"?")
    assert stored.find(clip, 9, height, width, pipeline) is None, "the clip is another one now"
    latents.write_bytes(b"?")
    assert stored.find(clip, 9, height, width, pipeline) is None
    assert main(["extend", str(home / "one.mp4"), "--latents", *flags, "-o", str(tmp_path / "longer.mp4")]) == 0
    assert stored.path_of(tmp_path / "longer.mp4").exists()


def test_a_picture_goes_on(pipeline: Pipeline, home: Path):
    assert len(made(pipeline, "extend", video=home / "picture.png", seconds=1.0)) == 9


def test_windows_pass_on_latents_as_they_are(pipeline: Pipeline, home: Path):
    """Extended twice as far, it begins with what it was: no window changes what came before it. (The last frames are
    averaged with what comes after them.)"""
    some, more = (made(pipeline, "extend", video=home / "one.mp4", seconds=s) for s in (1.0, 2.0))
    same = len(some) - pipeline.spec.stride_t
    assert np.abs(more[:same].astype(int) - some[:same]).max() <= 1


def test_all_is_drawn_at_once_as_far_as_one_asks(pipeline: Pipeline, home: Path, caplog: pytest.LogCaptureFixture):
    params = {"video": str(home / "one.mp4"), "seconds": 4.0}
    short, whole = (
        generate.plan(Request(ability="extend", params=params | more), pipeline) for more in ({}, {"window": 30.0})
    )
    drawn = [int((plan.start[:, 0, 0] > 0).sum()) for plan in (short, whole)]
    assert short.grid[0] == pipeline.spec.grid(pipeline.usual.frames, 32, 32)[0] > drawn[0]
    assert drawn[1] == 8 and whole.grid[0] == 8 + 4, "ten frames, filled up to 13, are four latents"
    assert "windows of 30 s are longer than the clips" in caplog.text


@pytest.mark.parametrize("seconds", [0.5, 1.0, 4.0])
def test_two_videos_are_joined(home: Path, longer: Pipeline, seconds: float):
    one, other = given(home / "one.mp4"), given(home / "other.mp4")
    frames = made(longer, "bridge", video=home / "one.mp4", other=home / "other.mp4", seconds=seconds)
    assert len(frames) == len(one) + round(seconds * RATE) + len(other)
    assert (frames[: len(one)] == one).all() and (frames[-len(other) :] == other).all()
    back = made(longer, "loop", video=home / "one.mp4", seconds=1.0)
    assert len(back) == len(one) + 8 and (back[: len(one)] == one).all()


@pytest.fixture(scope="module")
def longer(pipeline: Pipeline) -> Pipeline:
    """The same with clips of 17 frames."""
    from dataclasses import replace

    record = dict(pipeline.record or {})
    record["trained_on"] = {**record["trained_on"], "grids": [[5, 4, 4]]}
    return replace(pipeline, record=record)


@pytest.mark.parametrize(
    "where", [{"box": (0.5, 0.0, 0.5, 1.0)}, {"box": (0.0, 0.0, 0.5, 1.0), "invert": True}, {"mask": "half.png"}]
)
def test_only_what_is_in_the_mask_is_drawn(pipeline: Pipeline, home: Path, where: dict[str, Any]):
    if "mask" in where:
        half = np.zeros((SIDE, SIDE, 3), np.uint8)
        half[:, SIDE // 2 :] = 255
        Image.fromarray(half).save(home / "half.png")
        where = {"mask": home / "half.png"}
    old = given(home / "one.mp4")
    frames = made(pipeline, "inpaint", video=home / "one.mp4", **where)
    assert (frames[:, :, : SIDE // 2] == old[:, :, : SIDE // 2]).all()
    assert (frames[:, :, SIDE // 2 :] != old[:, :, SIDE // 2 :]).mean() > 0.5


def test_masks_by_colour_and_by_track(home: Path):
    frames = np.zeros((3, 20, 40, 3), np.uint8)
    frames[:, 5:10, 5:10] = (0, 255, 0)
    assert (inpaint._keyed(frames, "#00ff00", 0.1) == (frames[..., 1] > 0)).all()
    path = home / "track.json"
    path.write_text(json.dumps([[0, 0, 0, 0.5, 1], [1, 0.5, 0, 0.5, 1]]))
    boxes = inpaint._boxes(inpaint._track(path, np.array([0, 0.5, 1])), 20, 40)
    assert [np.flatnonzero(b[0]).tolist()[0] for b in boxes] == [0, 10, 20] and boxes.sum() == 3 * 20 * 20


def test_the_old_picture_stands_in_a_wider_one(pipeline: Pipeline, home: Path):
    old = given(home / "one.mp4")
    frames = made(pipeline, "reframe", video=home / "one.mp4", width=64, height=32, across=0.25)
    assert frames.shape == (10, 32, 64, 3) and (frames[:, :, 8:40] == old).all()
    assert len(np.unique(frames[:, :, 40:].reshape(-1, 3), axis=0)) > 50


def test_little_strength_changes_little(pipeline: Pipeline, home: Path):
    old = given(home / "one.mp4").astype(float)
    apart = [
        np.abs(made(pipeline, "remix", video=home / "one.mp4", prompt="a blue box", strength=s) - old).mean()
        for s in (0.02, 0.3, 1.0)
    ]
    assert apart == sorted(apart) and apart[0] < apart[-1]


def test_cuts(pipeline: Pipeline, home: Path):
    old = given(home / "one.mp4")
    assert (made(pipeline, "recut", video=home / "one.mp4", start=0.25, stop=1.0) == old[2:8]).all()
    assert (made(pipeline, "recut", video=home / "one.mp4", reverse=True) == old[::-1]).all()
    assert (made(pipeline, "recut", video=home / "one.mp4", speed=2) == old[::2]).all()
    both = made(pipeline, "recut", video=home / "one.mp4", then=(str(home / "other.mp4"),))
    assert (both == np.concatenate([old, given(home / "other.mp4")])).all()


def test_a_story_has_its_cards_in_order(longer: Pipeline, home: Path):
    one = given(home / "one.mp4")
    cards = [
        {"text": "{character} falls", "seconds": 1.0},
        {"text": "it rolls", "seconds": 0.5},
        {"video": str(home / "one.mp4"), "cut": True},
        {"text": "and goes on", "seconds": 1.0},
        {"image": str(home / "other.mp4"), "text": "another place", "seconds": 1.0, "cut": True},
    ]
    (home / "story.json").write_text(json.dumps(cards))
    frames = made(longer, "storyboard", story=home / "story.json", character="a red ball")
    first = 9 + 4  # 8 frames are nearest to 1 + 2 * 4, 4 to a group
    assert len(frames) == first + len(one) + 8 + 9
    assert (frames[first : first + len(one)] == one).all()
    assert (frames[-9] == given(home / "other.mp4")[0]).all()
    request = Request(ability="storyboard", params={"story": str(home / "story.json"), "character": "a red ball"})
    assert generate.plan(request, longer).prompt == "a red ball falls"


def test_a_gap_leads_from_card_to_card(longer: Pipeline, home: Path):
    one, other = given(home / "one.mp4"), given(home / "other.mp4")
    cards = [{"video": str(home / "one.mp4")}, {"video": str(home / "other.mp4"), "at": 2.25}]
    frames = made(longer, "storyboard", cards=cards)
    assert (frames[: len(one)] == one).all() and (frames[-len(other) :] == other).all()
    assert len(frames) == len(one) + 8 + len(other)


@pytest.mark.parametrize(
    ("cards", "more", "message"),
    [
        ([], {}, "needs its cards"),
        ([{"text": "a"}, {"text": "b", "at": 0.25}], {}, "card 2 begins at 0.25 s"),
        ([{"text": "a", "seconds": 3.0}], {"seconds": 2.0}, "card 1 ends at 3 s, after the timeline of 2 s"),
        ([{"text": "{character} falls"}], {}, "card 1 names {character}"),
        ([{"image": "a.png", "video": "b.mp4"}], {}, "a card with image and video"),
        ([{"seconds": 2.0}], {}, "a card with nothing"),
        ([{"video": "b.mp4", "seconds": 2.0}], {}, "shown whole"),
    ],
)
def test_bad_stories_are_told(pipeline: Pipeline, cards: list[Any], more: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message):
        made(pipeline, "storyboard", cards=cards, **more)


def test_a_blend_is_one_at_one_end_and_the_other_at_the_other(pipeline: Pipeline, home: Path):
    one, other = home / "one.mp4", home / "other.mp4"
    (home / "curve.json").write_text("[[0, 0], [0.5, 0.5], [1, 1]]")
    assert len(made(pipeline, "blend", video=one, other=other, curve="custom", points=home / "curve.json")) == 10
    plan = generate.plan(Request(ability="blend", params={"video": str(one), "other": str(other)}), pipeline)
    assert plan.start[0].max() == 0 and plan.start[-1].max() == 0 and plan.start.max() > 0
    times = np.linspace(0, 1, 9)
    assert all(curve(times).min() >= 0 and curve(times).max() <= 1 for curve in blend.CURVES.values())


@pytest.mark.parametrize(
    ("move", "asked"),
    [("orbit right", {"orbit": 60.0}), ("orbit left", {"orbit": -60.0}), ("pan left", {"pan": -15.0}), ("dolly", {})],
)
def test_cameras_move_as_those_of_the_worlds(pipeline: Pipeline, move: str, asked: dict[str, float]):
    """The same angles and metres, seen from the first frame."""
    pytest.importorskip("mujoco")
    from worldpatch.worlds._tabletop import camera as world

    still = np.random.default_rng(0)
    shot = world.shoot(still, move, 90.0, 9, 2.0, 64, 64)
    true = world.geometry(shot, 64, 64)
    relative = np.linalg.inv(true.pose[0]) @ true.pose
    if move == "dolly":
        asked = {"dolly": float(relative[-1, 2, 3])}
    else:
        turned = shot.azimuth[-1] - shot.azimuth[0]
        asked = {key: float(turned if key == "orbit" else -turned) for key in asked}
    fixed = {"distance": float(shot.distance[0]), "elevation": float(-shot.elevation[0]), "frames": 9, **asked}
    request = Request(ability="camera", params={"prompt": "a ball", "width": 64, "height": 64, **fixed})
    found = generate.plan(request, pipeline).camera
    assert found is not None and np.allclose(found.intrinsics, true.intrinsics, rtol=1e-4)
    assert np.allclose(found.pose[-1], relative[-1], atol=2e-3), (found.pose[-1], relative[-1])


def test_cameras_follow_paths_and_zoom(pipeline: Pipeline, home: Path):
    (home / "path.json").write_text("[[0, 0, 0, 0, 0, 0, 0, 1], [0.5, 0, 0.2, 1, 0, 10, 0, 2]]")
    request = Request(ability="camera", params={"prompt": "a ball", "path": str(home / "path.json")})
    found = generate.plan(request, pipeline).camera
    assert found is not None and np.allclose(found.pose[-1, :3, 3], [0, -0.2, 1], atol=1e-6)
    assert found.intrinsics[-1, 0] == pytest.approx(2 * found.intrinsics[0, 0])
    assert len(made(pipeline, "camera", prompt="a ball", orbit=30.0)) == 5


def test_a_picture_is_made_and_changed(pipeline: Pipeline, home: Path):
    assert made(pipeline, "image", prompt="a red ball", width=64, height=32).shape == (1, 32, 64, 3)
    assert made(pipeline, "image", prompt="a red ball", image=home / "picture.png").shape[0] == 1


def test_more_pixels_and_more_frames(pipeline: Pipeline, home: Path):
    old = given(home / "one.mp4")
    assert made(pipeline, "upscale", video=home / "one.mp4").shape == (10, 64, 64, 3)
    request = Request(ability="upscale", params={"video": str(home / "one.mp4"), "space": 1, "time": 2}, steps=2)
    result = generate.run(request, pipeline)
    assert result.rate == 16.0 and (result.frames[0, ::2].numpy() == old).all() and len(result.frames[0]) == 19


def test_size_and_rate_are_those_of_the_model(pipeline: Pipeline, home: Path, caplog: pytest.LogCaptureFixture):
    frames = media.film(home / "wide.mp4", RATE, 32, 64)
    assert frames.shape == (8, 32, 64, 3) and "96x48 at 24 per second becomes 64x32 at 8" in caplog.text
    assert made(pipeline, "recut", video=home / "wide.mp4").shape == (8, 16, 48, 3), "as many pixels as is usual"


def test_variants_differ_in_what_is_new_only(pipeline: Pipeline, home: Path):
    frames = made(pipeline, "extend", video=home / "one.mp4", seconds=1.0, variants=2)
    assert (frames[0, :10] == frames[1, :10]).all() and (frames[0, 10:] != frames[1, 10:]).any()
    again = made(pipeline, "extend", video=home / "one.mp4", seconds=1.0, variants=2)
    assert (frames == again).all()


# ------------------------------------------------------------------------------------------------------------- commands


def test_every_ability_is_a_command(pipeline: Pipeline, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in config.available("generate/ops"):
        assert name == "text_to_video" or f"  {name} " in shown
        if name != "text_to_video":
            assert main([name, "--help"]) == 0
            told = capsys.readouterr().out
            params = config.resolve("generate/ops", name).Params
            assert all(key.replace("_", "-") in told.lower() or key.upper() in told for key in params.model_fields)
            assert params.model_json_schema()["properties"]


def test_a_command_writes_a_file_that_makes_itself_again(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = builders.exported(tmp_path / "tiny")
    out, again = tmp_path / "longer.mp4", tmp_path / "again.mp4"
    flags = ["--seconds", "1", "--model", str(model), "--steps", "2", "-q"]
    assert main(["extend", str(home / "one.mp4"), "it falls", *flags, "-o", str(out)]) == 0
    assert len(given(out)) == 18
    assert main(["generate", "--from", str(out), "-o", str(again), "-q"]) == 0
    assert (given(again) == given(out)).all()


# ------------------------------------------------------------------------------------------- paths, likeness, physics


def test_a_path_is_told_in_pixels_at_its_times(pipeline: Pipeline, home: Path):
    params = {
        "prompt": "a ball",
        "frames": 9,
        "width": SIDE,
        "height": SIDE,
        "path": ("0,0.5 1,0.5", "0.5,0@0.25 0.5,1@0.5"),
    }
    plan = generate.plan(Request(ability="motion", params=params), pipeline)
    assert plan.tracks is not None and plan.tracks.shape == (9, 2, 2)
    np.testing.assert_allclose(plan.tracks[:, 0, 0], np.linspace(0, SIDE, 9), rtol=1e-6)
    np.testing.assert_allclose(plan.tracks[:, 1, 1], [np.nan] * 2 + [0, 16, 32] + [np.nan] * 4)
    still = generate.plan(Request(ability="motion", params={**params, "path": ("0.5,0.5",)}), pipeline)
    assert still.tracks is not None and (still.tracks == SIDE / 2).all()
    shown = made(pipeline, "motion", image=home / "picture.png", prompt="it falls", path=("0.5,0.2 0.5,0.8",))
    assert (shown[0] == media.picture(home / "picture.png", *shown.shape[1:3])[0]).all()


def test_what_two_prompts_differ_in_is_drawn_and_all_else_kept(
    pipeline: Pipeline, home: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[tuple[str, str]] = []

    def contrast(self: Pipeline, plan: Plan, one: str, other: str) -> torch.Tensor:
        asked.append((one, other))
        found = 0.1 * torch.rand(plan.grid)
        found[1:, :2, :2] = 1
        return found

    real = pipeline.contrast(
        Plan(start=torch.full((2, 4, 4), 0.5), rate=RATE, known=torch.randn(16, 2, 4, 4)), "a", "b"
    )
    assert real.shape == (2, 4, 4) and real.min() >= 0
    assert (real.unfold(1, 2, 2).unfold(2, 2, 2).flatten(3).std(-1) == 0).all(), "patch by patch"
    monkeypatch.setattr(Pipeline, "contrast", contrast)
    frames, old = made(pipeline, "swap", video=home / "one.mp4", old="a ball", new="a box"), given(home / "one.mp4")
    assert asked == [("a ball", "a box")]
    assert (
        (frames[0] == old[0]).all()
        and (frames[1:, 16:] == old[1:, 16:]).all()
        and (frames[1:, :, 16:] == old[1:, :, 16:]).all()
    )
    assert (frames[1:, :16, :16] != old[1:, :16, :16]).any()


def test_pictures_of_no_time_are_context(pipeline: Pipeline, home: Path):
    params = {"prompt": "it falls", "subject": (str(home / "one.mp4"),), "look": (str(home / "picture.png"),) * 2}
    plan = generate.plan(Request(ability="likeness", params=params), pipeline)
    assert [r.role for r in plan.references] == ["subject", "look", "look"]
    assert len(made(pipeline, "likeness", **params)) == pipeline.usual.frames


def test_characters_are_saved_and_used(
    pipeline: Pipeline, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert main(["character", "add", "anna", str(home / "one.mp4"), "--frame", "3", "--told", "a red ball"]) == 0
    assert main(["character", "add", "box", str(home / "picture.png")]) == 0
    assert main(["character", "list"]) == 0
    assert [line.split("\t")[:2] for line in capsys.readouterr().out.splitlines()[2:]] == [
        ["@anna", "a red ball"], ["@box", ""],
    ]  # fmt: skip
    assert (read.read(characters.find("@anna").picture)[0][0] == given(home / "one.mp4")[3]).all()
    cards = [{"text": "{character} falls"}, {"text": "a wall", "cut": True}, {"text": "{character} rolls", "cut": True}]
    plans = []
    for who in ("@anna", "@box"):
        request = Request(ability="storyboard", params={"cards": cards, "character": who}, steps=1)

        def sampling(self, some, *_, **__):
            plans.extend(some)
            yield from ()
            return [plan.known for plan in some]

        monkeypatch.setattr(Pipeline, "sampling", sampling)
        generate.run(request, pipeline)
    told = [(plan.prompt, [r.role for r in plan.references]) for plan in plans]
    assert told == [
        (text, roles) for who in ("a red ball", "this object")
        for text, roles in ((f"{who} falls", ["subject"]), ("a wall", []), (f"{who} rolls", ["subject"]))
    ]  # fmt: skip
    assert main(["character", "remove", "anna"]) == 0
    with pytest.raises(UserError, match=r"no character 'anna' is saved \(saved: box\)"):
        generate.check(Request(ability="likeness", params={"prompt": "a", "subject": ("@anna",)}), pipeline)
    with pytest.raises(UserError, match="cannot be a character's name"):
        characters.save("../x", home / "picture.png")


def test_a_sentence_is_staged_changed_and_painted(pipeline: Pipeline, tmp_path: Path):
    params = {"prompt": "a red ball falls", "frames": 9, "width": SIDE, "height": SIDE}
    scene = tmp_path / "scene.json"
    plan = generate.plan(Request(ability="simulate", params={**params, "save": str(scene)}), pipeline)
    assert plan.tracks is not None and plan.camera is not None and plan.known is not None
    assert np.nanmax(plan.tracks[..., 1]) - np.nanmin(plan.tracks[..., 1]) > 0.15 * SIDE, "it falls"
    assert (plan.start == plan.start[0, 0, 0]).all() and 0 < plan.start[0, 0, 0] < 1
    record = json.loads(scene.read_text())
    assert [s["colour"] for s in record["solids"]] == ["red"]
    record["solids"][0]["colour"], record["gravity"] = "blue", 0.0
    scene.write_text(json.dumps(record))
    again = generate.plan(
        Request(ability="simulate", params={**params, "scene": str(scene), "strength": 0.0}), pipeline
    )
    assert again.tracks is not None and np.ptp(again.tracks[..., 1]) < 2, "without gravity it hangs in the air"
    assert not again.start.any() and not torch.equal(again.known, plan.known)


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("ability", "params", "message"),
    [
        ("extend", {"video": "nowhere.mp4"}, "cannot read nowhere.mp4"),
        ("extend", {"video": "one.mp4", "seconds": -1.0}, "seconds"),
        ("animate", {"image": "picture.png", "frames": 1}, "more seconds"),
        ("animate", {"image": "picture.png", "keyframes": ("one.mp4",)}, "names no time"),
        ("animate", {"image": "picture.png", "keyframes": ("one.mp4@99",)}, "outside of the video"),
        ("inpaint", {"video": "one.mp4"}, "give one of mask, box, track, key"),
        ("inpaint", {"video": "one.mp4", "box": (2, 2, 1, 1)}, "mask is empty"),
        ("inpaint", {"video": "one.mp4", "key": "nocolour"}, "colour 'nocolour' is unknown"),
        ("inpaint", {"video": "one.mp4", "mask": "other.mp4"}, "has more than 10 frames"),
        ("inpaint", {"video": "one.mp4", "track": "none.json"}, "track .*none.json"),
        ("extend", {"video": "one.mp4", "window": 2.0, "context": 2.0}, "context of 2 s leaves nothing to draw in"),
        ("remix", {"video": "one.mp4", "prompt": "a ball", "strength": 1.5}, "strength 1.5"),
        ("reframe", {"video": "one.mp4", "width": 32, "height": 32}, "fills 32x32 already"),
        ("recut", {"video": "one.mp4", "start": 5.0}, "nothing of"),
        ("upscale", {"video": "one.mp4", "space": 1}, "leave the video as it is"),
        ("blend", {"video": "one.mp4", "other": "other.mp4", "curve": "custom"}, "needs points"),
        ("camera", {"prompt": "a ball", "path": "none.json"}, "path .*none.json"),
        ("camera", {"prompt": "a ball", "orbit": 400.0}, "orbit 400"),
        ("swap", {"video": "one.mp4", "old": "a ball", "new": "a  ball"}, "nothing to swap"),
        ("motion", {"prompt": "a ball", "path": ()}, "path"),
        ("motion", {"prompt": "a ball", "path": ("left",)}, "path 'left': write points as"),
        ("motion", {"prompt": "a ball", "path": ("0,0@1 1,1",)}, "all points a time"),
        ("motion", {"prompt": "a ball", "path": ("0,0@2 1,1@1",)}, "times must grow"),
        ("motion", {"prompt": "a ball", "path": ("0,0 7,1",)}, "too far outside"),
        ("likeness", {"prompt": "a ball"}, "at least one picture"),
        ("simulate", {"prompt": "a cat runs"}, r"no solid was understood in it \(cat, runs\)"),
        ("simulate", {"prompt": "a red ball spins"}, "'A red ball spins on the spot.' cannot be staged"),
        ("simulate", {"scene": "none.json"}, "scene none.json"),
    ],
)
def test_bad_requests_are_told(pipeline: Pipeline, home: Path, ability: str, params: dict[str, Any], message: str):
    files = ("video", "other", "image", "mask", "track")
    params = {k: str(home / v) if k in files and v != "nowhere.mp4" else v for k, v in params.items()}
    if "keyframes" in params:
        params["keyframes"] = tuple(str(home / v) for v in params["keyframes"])
    with pytest.raises(UserError, match=message):
        generate.check(Request(ability=ability, params=params), pipeline)


@for_all(
    st.lists(st.booleans(), min_size=1, max_size=40), st.integers(2, 9), st.integers(1, 8), st.lists(st.booleans())
)
def test_windows_draw_all_that_is_missing(done: list[bool], window: int, context: int, changes: list[bool]):
    """Each latent once, no window too long, and none alone where there is something to go on from."""
    reach = _windows.Reach(window=window, context=min(context, window - 1), stride=4, rate=8.0)
    prompts = [str(sum(changes[: i + 1])) for i in range(len(done))]
    stream = torch.arange(len(done)).float()[None, :, None, None]
    script = _windows.draw(stream, torch.tensor(done), prompts, reach)
    drawn, latents = 0, None
    while True:
        try:
            plan = script.send(latents) if latents is not None else next(script)
        except StopIteration as end:
            whole = end.value
            break
        missing = plan.start[:, 0, 0] > 0
        assert missing.sum() > 0 and len(missing) <= window and plan.known is not None
        assert not missing.all() or not drawn and not any(done)
        drawn += int(missing.sum())
        latents = torch.where(missing[None, :, None, None], torch.tensor(-1.0), plan.known)
    assert drawn == done.count(False)
    assert whole[0, :, 0, 0].tolist() == [i if known else -1 for i, known in enumerate(done)]


def test_a_known_plan_is_only_decoded(pipeline: Pipeline, home: Path):
    calls: list[str] = []
    request = Request(ability="recut", params={"video": str(home / "one.mp4")})
    generate.run(request, pipeline, lambda phase, *_: calls.append(phase))
    assert set(calls) == {"decode"}
    assert isinstance(generate.plan(request, pipeline), Plan)
