"""Requests to frames: what is asked for comes out, alone or in company, and again from the file it was written to."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import builders
from worldpatch import generate
from worldpatch.config import UserError
from worldpatch.generate import files, models
from worldpatch.generate.ops import _form, text_to_video
from worldpatch.generate.pipeline import Pipeline
from worldpatch.text import _known
from worldpatch.types import Request
from worldpatch.video import read


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return builders.exported(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Pipeline:
    return generate.load(folder)


def request(prompt: str = "a red ball falls", **changes) -> Request:
    """A quick request; fields of Request by name, all else are parameters of the ability."""
    fields = {k: changes.pop(k) for k in list(changes) if k in Request.__dataclass_fields__}
    return Request(ability="text_to_video", params={"prompt": prompt, **changes}, **{"steps": 3, **fields})


# ------------------------------------------------------------------------------------------------------ what comes out


def test_what_is_left_out_is_as_trained(pipeline: Pipeline):
    result = generate.run(request(), pipeline)
    assert result.frames.shape == (1, 5, 32, 32, 3) and result.rate == 8.0
    assert result.latents.shape == (1, 16, 2, 4, 4)
    assert set(result.seconds) == {"plan", "denoise", "decode"}


def test_an_image_is_a_video_of_one_frame(pipeline: Pipeline):
    assert generate.run(request(frames=1, width=64, height=32), pipeline).frames.shape == (1, 1, 32, 64, 3)


@pytest.mark.parametrize(("asked", "size"), [({"width": 48}, (48, 48)), ({"height": 16, "width": 32}, (16, 32))])
def test_sides(pipeline: Pipeline, asked: dict[str, Any], size: tuple[int, int]):
    assert generate.run(request(**asked, frames=1), pipeline).frames.shape[2:4] == size


@pytest.mark.parametrize(
    ("asked", "frames"),
    [({"seconds": 1.0}, 9), ({"frames": 8}, 9), ({"seconds": 0.01}, 1), ({"seconds": 0.5, "fps": 24.0}, 13), ({}, 5)],
)
def test_lengths_are_rounded_to_whole_groups(pipeline: Pipeline, asked: dict[str, float], frames: int):
    plan = text_to_video.plan(text_to_video.Params(prompt="a ball", **asked), pipeline)  # type: ignore[arg-type]
    assert pipeline.spec.frames(plan.grid[0]) == frames


def test_rounding_is_said(pipeline: Pipeline, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        generate.run(request(frames=4), pipeline)
    assert "4 frames are no 1 + 4k: making 5" in caplog.text


def test_progress_reaches_the_end_of_every_phase(pipeline: Pipeline):
    calls = []
    generate.run(request(variants=2), pipeline, lambda *call: calls.append(call))
    assert calls == [("denoise", i, 3) for i in (1, 2, 3)] + [("decode", 1, 2), ("decode", 2, 2)]


# -------------------------------------------------------------------------------------------------------- determinism


def test_the_same_request_gives_the_same_bits(pipeline: Pipeline):
    once, again = (generate.run(request(variants=2), pipeline) for _ in range(2))
    assert torch.equal(once.latents, again.latents) and torch.equal(once.frames, again.frames)


def test_variants_seeds_prompts_and_guidance_differ(pipeline: Pipeline):
    first, second = generate.run(request(variants=2), pipeline).latents
    others = [request(seed=1), request("a blue box slides to the left"), request(guidance=1.0), request(sampler="heun")]
    for other in (second, *(generate.run(r, pipeline).latents[0] for r in others)):
        assert not torch.allclose(first, other, atol=1e-3)


def test_variants_equal_the_same_plans_alone(pipeline: Pipeline):
    together = generate.run(request(variants=3), pipeline).latents
    plan = text_to_video.plan(text_to_video.Params(prompt="a red ball falls"), pipeline)
    for variant, latents in enumerate(together):
        (alone,) = pipeline.latents([plan], [(0, variant)], steps=3)
        torch.testing.assert_close(latents, alone, atol=1e-4, rtol=0)


def test_requests_in_company_equal_requests_alone(pipeline: Pipeline):
    requests = [request(), request("a blue box", frames=1), request(steps=2), request(seed=3), request(seed=4)]
    for tokens in (1, 12, 1000):  # each alone; in twos; all that sample alike
        for asked, result in zip(requests, generate.run_many(requests, pipeline, tokens=tokens), strict=True):
            assert result.request == asked
            torch.testing.assert_close(result.latents, generate.run(asked, pipeline).latents, atol=1e-4, rtol=0)


# ----------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": "  "}, "prompt"),
        ({"prompt": "ball " * 300}, "at most 128"),
        ({"width": 100, "height": 64}, "96x64 and 112x64"),
        ({"width": 100, "height": 40}, r"100x40 is beyond .* 9?6x48"),
        ({"seconds": 0}, "greater than 0"),
        ({"seconds": -2.0}, "seconds -2.0: .*greater than 0"),
        ({"seconds": float("nan")}, "finite"),
        ({"seconds": 1, "frames": 9}, "two lengths"),
        ({"fps": 0.5}, "greater than or equal to 1"),
        ({"frams": 9}, "unknown parameter 'frams' .*known: width, height"),
        ({"steps": 0}, "steps 0 is outside 1"),
        ({"variants": 0}, "variants 0 is outside 1"),
        ({"seed": -1}, "seed -1 is outside 0"),
        ({"guidance": float("nan")}, "guidance nan"),
        ({"sampler": "ddim"}, "known: euler, heun, dpmpp_2m"),
        ({"ability": "levitate"}, "known: .*text_to_video"),
    ],
)
def test_refusals_say_value_and_rule(pipeline: Pipeline, changes: dict, message: str):
    asked = request(**{k: v for k, v in changes.items() if k != "ability"})
    asked = replace(asked, ability=changes.get("ability", asked.ability))
    for function in (generate.check, generate.run):
        with pytest.raises(UserError, match=message):
            function(asked, pipeline)


def test_nearest_sizes_are_allowed_and_near():
    assert _form.nearest(64, 100, 16) == [(64, 96), (64, 112)]
    for height, width in ((1, 1), (64, 300), (2048, 16)):
        for h, w in _form.nearest(height, width, 16):
            assert h % 16 == w % 16 == 0 and max(h, w) <= 2 * min(h, w)


@pytest.mark.parametrize("name", ["model.json", "model.safetensors", "tokenizer.json", "vae.json", "vae.safetensors"])
def test_missing_and_damaged_files_are_named(tmp_path: Path, folder: Path, name: str):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[: 200 if file.name == name else None])
    with pytest.raises(UserError, match=rf"{name} is damaged .* again"):
        generate.load(tmp_path)
    (tmp_path / name).unlink()
    # A model of a run in progress lies apart from its autoencoder: its record says where that is; here not.
    with pytest.raises(UserError, match=f"{name} is missing: |holds no autoencoder"):
        generate.load(tmp_path)


# ------------------------------------------------------------------------------------------------------ files, models


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".png", ".webp"])
def test_files_carry_their_recipe(tmp_path: Path, folder: Path, pipeline: Pipeline, suffix: str):
    asked = request(variants=2, model=str(folder))
    paths = files.save(generate.run(asked, pipeline), tmp_path / f"new/out{suffix}", files.recipe(asked, folder))
    assert [p.name for p in paths] == [f"out-1{suffix}", f"out-2{suffix}", "out-sheet.png"]
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(p.name for p in paths)
    recipe = files.read_recipe(paths[0])
    assert recipe.request == asked and recipe.fingerprint == models.fingerprint(folder)


def test_a_file_without_recipe_is_refused(tmp_path: Path, pipeline: Pipeline):
    from worldpatch.video import write

    write.write(tmp_path / "foreign.mp4", generate.run(request(), pipeline).frames[0].numpy(), 8.0)
    with pytest.raises(UserError, match="holds no recipe"):
        files.read_recipe(tmp_path / "foreign.mp4")
    assert len(read.read(tmp_path / "foreign.mp4")[0]) == 5


def test_models_are_found_by_name_and_path(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "small").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    assert models.find("small").samefile(folder) and models.find(str(folder)) == folder
    with pytest.raises(UserError, match=r"no model is named 'smal'; known: .*small"):
        models.find("smal")
    with pytest.raises(UserError, match=r"holds no model.json"):
        models.find(str(tmp_path))


# -------------------------------------------------------------------------------------------------------------- words


def test_unknown_words_are_found_once_and_in_order():
    known = ["a", "red", "ball", "falls"]
    assert _known.unknown("A crimson ball, a CRIMSON zeppelin!", known) == ["crimson", "zeppelin"]
    assert _known.unknown("a red ball falls.", known) == []


def test_the_nearest_prompt_reads_over_misspellings():
    known = {word for caption in builders.CAPTIONS for word in caption.split()}
    assert _known.nearest("a bleu box rols left", builders.CAPTIONS, known) == builders.CAPTIONS[1]
    assert _known.nearest("quantum chromodynamics", builders.CAPTIONS, known) is None
