"""A sweep trains what its grid asks for, shares what it can, and goes on after whatever stopped it."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests import builders
from worldpatch.config import UserError
from worldpatch.train.loop import Run, train
from worldpatch.train.optim import Optim
from worldpatch.train.scaling import points
from worldpatch.train.scaling.grid import End, Grid, recall, settle, survey
from worldpatch.train.scaling.sweep import sweep

NEVER = 1e9


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    options = builders.dit_options(tmp_path_factory.mktemp("sweep"))
    base = Run(
        stage="dit", steps=0, options={**options, "model": {**options["model"], "head_width": 32}},
        optim=Optim(warmup=2, rate=3e-3, decay=0.25), precision="fp32", save_minutes=NEVER, sheet_minutes=NEVER,
        validate_every=10**9,
    )  # fmt: skip
    return Grid(
        base=base, sizes=((1, 64), (2, 64)), budgets=(1e8, 2e8), least_steps=3, rate_sizes=((1, 64),), rates=(1e-3,),
        rate_steps=2, base_widths=(0, 64),
    )  # fmt: skip


def losses(found: list[points.Point]) -> dict[tuple[str, float], float]:
    return {(p.name, p.budget): p.loss for p in found}


@pytest.fixture(scope="module")
def whole(grid: Grid, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[points.Point], Path]:
    """A sweep that nothing disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    return sweep(grid, folder), folder


def test_a_survey_says_what_it_costs(grid):
    trunks, setting = survey(grid)
    assert {t.name for t in trunks[:2]} == {"d2-w64-r0.003-b0-s0", "d1-w64-r0.003-b0-s0"}, "the costliest first"
    assert len(trunks) == 4 and trunks[-1].ends == (End(budget=0.0, steps=2),)
    for trunk in trunks[:2]:
        assert [end.budget for end in trunk.ends] == [1e8, 2e8]
        assert all(end.steps == round(end.budget / trunk.flops) for end in trunk.ends)
        assert trunk.flops > 6 * trunk.parameters * trunk.tokens, "more than 6ND: attention, and the rest"
    assert setting.batch == trunks[0].tokens and setting.data == 12 and setting.model["head_width"] == 32
    steps = {end.steps for trunk in trunks[:2] for end in trunk.ends}
    fewer = survey(dataclasses.replace(grid, least_steps=min(steps) + 1, most_steps=max(steps) - 1))[0]
    assert {end.steps for trunk in fewer for end in trunk.ends if end.budget} == steps - {min(steps), max(steps)}


def test_every_end_is_measured(grid, whole):
    found, folder = whole
    assert len(found) == 6 and points.read(folder) == found
    for p in found:
        assert (folder / p.export / "model.json").exists() and len(p.bins) == 10 and p.precision == "fp32"
        assert p.loss == pytest.approx(sum(p.bins) / 10) and p.flops > 0 and p.tokens == p.batch * p.steps
    assert not list(folder.glob("runs/*/0*/step-*")), "of a measured network its export is kept"
    values, setting = recall(folder)
    assert values["budgets"] == list(grid.budgets) and setting == survey(grid)[1]


def test_an_end_has_the_bits_of_a_run_of_its_length(grid, whole, tmp_path: Path):
    found, folder = whole
    trunk = survey(grid)[0][1]
    end = trunk.ends[0]
    alone = train(trunk.run(grid.base, end), tmp_path)
    point = next(p for p in found if (p.name, p.budget) == (trunk.name, end.budget))
    assert (alone / "model.safetensors").read_bytes() == (folder / point.export / "model.safetensors").read_bytes()


def test_a_sweep_goes_on_where_it_was_stopped(grid, whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Stopped after the second network was trained, before its point is written."""
    written: list[str] = []

    def append(folder: Path, point: points.Point) -> None:
        written.append(point.export)
        if len(written) == 2:
            raise KeyboardInterrupt
        write(folder, point)

    write = points.append
    monkeypatch.setattr(points, "append", append)
    with pytest.raises(KeyboardInterrupt):
        sweep(grid, tmp_path)
    assert len(points.read(tmp_path)) == 1
    again = sweep(grid, tmp_path)
    assert losses(again) == losses(whole[0])
    assert len(written) == 7 and len(set(written)) == 6, "one was measured twice, none was lost"
    assert sweep(grid, tmp_path) == again and len(written) == 7


def test_a_sweep_can_grow(grid, whole, tmp_path: Path):
    """A smaller budget, which the trunk has passed, and another seed; the progress counts what is there already."""
    folder = tmp_path / "grown"
    shutil.copytree(whole[1], folder)
    more = dataclasses.replace(grid, budgets=(9e7, *grid.budgets), seeds=(0, 1))
    told: list[tuple[float, float]] = []
    found = sweep(more, folder, report=lambda done, total, note: told.append((done, total)))
    assert len(found) == 14 and found[:6] == whole[0]
    assert told[0][0] > 0 and told[-1][0] == pytest.approx(told[-1][1]) and told == sorted(told)


def test_all_runs_have_the_precision_of_the_first(grid, whole):
    auto = dataclasses.replace(grid, base=dataclasses.replace(grid.base, precision="auto"))
    assert settle(auto, whole[1], "cuda").base.precision == "fp32", "as the folder says"
    assert settle(auto, whole[1] / "elsewhere", "cuda").base.precision == "bf16"


def test_another_base_is_refused(grid, whole):
    for other in ({"seed": 1}, {"optim": Optim(rate=1.0, decay=0.25)}, {"precision": "bf16"}):
        with pytest.raises(UserError, match="holds a sweep of another base run"):
            sweep(dataclasses.replace(grid, base=dataclasses.replace(grid.base, **other)), whole[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budgets": (2e8, 1e8)}, "must be positive and rise"),
        ({"sizes": (), "rate_sizes": ()}, "asks for no run"),
        ({"seeds": ()}, "asks for no run"),
        (
            {"least_steps": 10**6, "rate_sizes": ()},
            "no size gets 1000000 to 1000000000 steps at 1e\\+08 to 2e\\+08 FLOPs",
        ),
        ({"sizes": ((1, 50),)}, "width 50, no multiple of 32"),
    ],
)
def test_senseless_grids_are_refused(grid, change: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        survey(dataclasses.replace(grid, **change))


def test_a_rate_that_never_falls_is_refused(grid):
    base = dataclasses.replace(grid.base, optim=Optim(decay=0.0))
    with pytest.raises(UserError, match="optim.decay 0.0 of a sweep must lie between 0 and 1"):
        survey(dataclasses.replace(grid, base=base))


def test_a_missing_sweep_is_named(tmp_path: Path):
    with pytest.raises(UserError, match="grid.json is missing: give the folder of a `worldpatch scale run`"):
        recall(tmp_path)


@pytest.mark.slow
def test_processes_find_the_same(grid, whole, tmp_path: Path):
    assert losses(sweep(grid, tmp_path, jobs=2)) == losses(whole[0])
