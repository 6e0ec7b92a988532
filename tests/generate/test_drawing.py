"""A drawing that is left after any step, kept on disk and gone on with elsewhere comes to the same bits."""

from pathlib import Path

import pytest
import torch

from tests import builders
from worldpatch import generate
from worldpatch.config import UserError
from worldpatch.generate import drawing
from worldpatch.generate.drawing import Mark
from worldpatch.types import Final, Plan, Shots


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> generate.Pipeline:
    return generate.load(builders.exported(tmp_path_factory.mktemp("model")))


def tellings(turns: int = 2) -> list[drawing.Telling]:
    """Two scripts of several plans each; every plan knows what came before."""

    def script(prompt: str) -> drawing.Telling:
        known = None
        for turn in range(turns):
            start = torch.ones(2, 4, 4)
            start[0] = 0.0 if turn else 1.0
            known = yield Plan(start=start, rate=8.0, prompt=prompt, known=known)
        return (Final(plan=Plan(start=torch.zeros(2, 4, 4), rate=8.0, known=known)),)

    return [script("a red ball falls"), script("a blue box")]


def marks(pipeline: generate.Pipeline, sampling: dict, begin: Mark | None = None) -> tuple[list[Mark], list[Shots]]:
    going, found = drawing.play(tellings(), [(1, 0), (2, 0)], pipeline, sampling, begin), []
    while True:
        try:
            found.append(next(going))
        except StopIteration as end:
            return found, end.value


@pytest.mark.parametrize(
    "sampling", [{"steps": 3}, {"steps": 3, "sampler": "dpmpp_2m"}, {"steps": 6, "step_cache": 0.5}], ids=str
)
def test_gone_on_with_from_disk_after_any_step(pipeline: generate.Pipeline, sampling: dict, tmp_path: Path):
    all_marks, shots = marks(pipeline, sampling)
    assert len(all_marks) == 2 * sampling["steps"] + 1
    for i, mark in enumerate(all_marks):
        mark.write(tmp_path / "mark")
        rest, again = marks(pipeline, sampling, Mark.read(tmp_path / "mark"))
        assert len(rest) <= len(all_marks) - i
        for one, other in zip(shots, again, strict=True):
            assert torch.equal(one[0].plan.known, other[0].plan.known), f"left at {i}"


def test_a_damaged_mark_is_told(tmp_path: Path):
    path = tmp_path / "mark"
    Mark((torch.ones(2, 3),)).write(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UserError, match="remove it to begin anew"):
        Mark.read(path)
    assert [p.name for p in tmp_path.iterdir()] == ["mark"], "nothing half written is left"
