"""What takes more memory than is free is refused beforehand, with a size and a length that fit."""

from pathlib import Path

import pytest
import torch

from tests import builders
from worldpatch import generate
from worldpatch.config import UserError
from worldpatch.generate import memory
from worldpatch.types import Plan, Request
from worldpatch.video import write


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> generate.Pipeline:
    return generate.load(builders.exported(tmp_path_factory.mktemp("model")))


def ask(pipeline: generate.Pipeline, **params) -> None:
    generate.check(Request(ability="text_to_video", params={"prompt": "a red ball falls", **params}), pipeline)


def test_what_fits_is_asked_for_and_what_does_not_is_refused_with_what_would(pipeline, monkeypatch):
    ask(pipeline, width=2048, height=2048, frames=25)
    monkeypatch.setattr(memory, "free", lambda device: (3 * 10**9, 4 * 10**9))
    with pytest.raises(UserError, match=r"2048x2048 with 25 frames takes about \S+ GB, and 3.0 GB are free") as refused:
        ask(pipeline, width=2048, height=2048, frames=25)
    side, frames = (
        int(str(refused.value).split(mark)[0].split()[-1].split("x")[0]) for mark in (" would", " frames (")
    )
    ask(pipeline, width=side, height=side, frames=25)
    ask(pipeline, width=2048, height=2048, frames=frames)


def test_a_long_film_of_small_windows_is_refused_as_a_whole(pipeline, monkeypatch, tmp_path: Path):
    film = tmp_path / "film.mp4"
    write.write(film, torch.zeros(5, 32, 32, 3, dtype=torch.uint8).numpy(), 8.0)
    monkeypatch.setattr(memory, "free", lambda device: (10**7, 10**8))
    request = {"video": str(film), "width": 32, "height": 32}
    generate.check(Request(ability="extend", params={**request, "seconds": 2}), pipeline)
    with pytest.raises(UserError, match=r"32x32 with 4\d\d\d frames takes"):
        generate.check(Request(ability="extend", params={**request, "seconds": 600}), pipeline)
    with pytest.raises(UserError, match="frames takes"):
        generate.check(
            Request(ability="storyboard", params={"cards": [{"text": "a ball", "seconds": 60}] * 8, "width": 32}),
            pipeline,
        )


def test_guidance_and_known_patches_cost(pipeline):
    drawn, known = Plan(start=torch.ones(3, 8, 8), rate=8.0), Plan(start=torch.zeros(3, 8, 8), rate=8.0)
    assert memory.of_pass([drawn], pipeline) == 2 * memory.of_pass([drawn], pipeline, guided=False)
    assert memory.of_pass([known], pipeline) > memory.of_pass([drawn], pipeline)
    assert memory.of_pass([drawn] * 3, pipeline) == 3 * memory.of_pass([drawn], pipeline)


def test_where_the_system_does_not_say_nothing_is_refused(pipeline, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda device: None)
    ask(pipeline, width=2048, height=2048, frames=1001)


def test_this_machine_says_what_it_has():
    found = memory.free()
    assert found is None or 0 < found[0] <= found[1]
