"""`worldpatch scale` end to end on a tiny grid: run, fit, plan; what is wrong is one line and exit code 2."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest

from tests import builders
from worldpatch.cli import main
from worldpatch.train.scaling import fits, grid, law, points

RECIPE = '''
import json
from worldpatch.train.loop import Run
from worldpatch.train.optim import Optim
from worldpatch.train.scaling.grid import Grid


def tiny() -> Grid:
    """Three budgets, three sizes."""
    options = json.loads({options!r})
    base = Run(stage="dit", steps=0, options=options, optim=Optim(warmup=1, decay=0.5), precision="fp32",
               save_minutes=1e9, sheet_minutes=1e9, validate_every=10**9)
    return Grid(base=base, sizes=((1, 64), (2, 64), (3, 64)), budgets=(1e8, 2e8, 3e8), least_steps=1)


def wrong() -> int:
    """No grid."""
    return 3
'''
PLANTED = fits.Parametric(floor=0.4, a=30.0, alpha=0.34, b=60.0, beta=0.30, per_pair=6.0)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    options = builders.dit_options(folder)
    (folder / "recipes").mkdir()
    options = options | {"model": {**options["model"], "head_width": 32}}
    (folder / "recipes" / "mine.py").write_text(RECIPE.replace("{options!r}", repr(json.dumps(options))))
    return folder


@pytest.fixture(autouse=True)
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)


@pytest.fixture(scope="module")
def swept(home: Path) -> Path:
    """A finished sweep with planted losses, fitted."""
    folder = home / "planted"
    folder.mkdir()
    made = builders.points(PLANTED, (1e12, 2e12, 4e12), [2e4 * 2**k for k in range(7)], noise=1e-3)
    for point in made:
        points.append(folder, point)
    grid.remember(grid.Grid(base=builders.run(), sizes=((2, 64),), budgets=(1e12,)), builders.setting(), folder)
    former = os.getcwd()
    os.chdir(home)
    try:
        assert main(["scale", "fit", "planted", "--out", "fitted", "-q"]) == 0
    finally:
        os.chdir(former)
    return home / "fitted"


def test_run_trains_the_grid_and_goes_on(home: Path, capsys: pytest.CaptureFixture[str]):
    command = ["scale", "run", "mine:tiny", "--out", "sweep", "--device", "cpu", "--threads", "1"]
    assert main(command) == 0
    assert "9 networks" in capsys.readouterr().out and len(points.read(home / "sweep")) == 9
    assert main([*command, "-q"]) == 0 and len(points.read(home / "sweep")) == 9
    assert capsys.readouterr().out == ""


def test_judge_asks_the_best_for_physics(swept: Path, home: Path, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("mujoco")
    folder = home / "judged"
    folder.mkdir()
    shutil.copy(home / "planted" / "grid.json", folder)
    builders.exported(folder / "model", steps=7)
    for point in builders.points(PLANTED, (1e12, 2e12, 4e12), [2e4 * 2**k for k in range(7)], noise=1e-3):
        points.append(folder, dataclasses.replace(point, export="model"))
    flags = ["--count", "1", "--seeds", "1", "--pairs", "2", "--only", "free_fall", "--workers", "1"]
    assert main(["scale", "judge", "judged", *flags]) == 0 and "3 networks judged" in capsys.readouterr().out
    assert main(["scale", "fit", "judged", "-q"]) == 0
    judged = [p.scores for p in points.read(folder) if p.scores]
    assert len(judged) == 3 and all(0 <= share <= 1 for scores in judged for share in scores.values())
    report = (folder / "report.md").read_text()
    assert "out of range" in report and "impossible twins preferred" in report


def test_fit_writes_a_law_a_report_and_pictures(swept: Path):
    assert {"law.json", "report.md", "loss_compute.png", "isoflop.png"} <= {p.name for p in swept.iterdir()}
    found = law.read(swept / "law.json")
    assert found.isoflop.parameters.exponent == pytest.approx(PLANTED.exponent, abs=0.05)
    assert found.held_out.valley.budget == 4e12


def test_plan_prints_what_a_budget_buys(swept: Path, capsys: pytest.CaptureFixture[str]):
    assert (
        main(["scale", "plan", "--flops", "1e18", "--gpu", "H200", "--gpus", "8", "--law", str(swept / "law.json")])
        == 0
    )
    out = capsys.readouterr().out
    for word in ("depth ", "parameters", "patches", "batch", "learning rate", "on 8 H200", "price", "memory", "fits"):
        assert word in out, word
    assert "an extrapolation" in out and "RunPod" in out and "Llama 3" in out
    assert (
        main(["scale", "plan", "--flops", "1e15", "--law", str(swept / "law.json"), "--price", "0", "--mfu", "0.5"])
        == 0
    )
    out = capsys.readouterr().out
    assert "$0.00" in out and "at 50% of the peak" in out and "RunPod" not in out and "Llama" not in out


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "run mine:wrong --out x",
            "returned int: a recipe for this command returns a worldpatch.train.scaling.grid.Grid",
        ),
        ("run mine:tiny --out x --jobs 0", "jobs 0 is outside 1 to 256"),
        ("run cpu:dit --out x", "returned Run"),
        ("fit nowhere", "grid.json is missing"),
        ("judge nowhere", "nowhere holds no network of a law"),
        ("judge planted --count 0", "count 0 must be at least 1"),
        ("plan --flops 1e18 --law nowhere.json", "nowhere.json is missing"),
        ("plan --flops 1e18 --gpu V100 --law fitted/law.json", "GPU 'V100' is unknown; known: A100"),
        ("plan --flops nan --law fitted/law.json", "flops nan is outside"),
        ("plan --flops 1e18 --mfu 0 --law fitted/law.json", "mfu 0 is outside"),
    ],
)
def test_what_is_wrong_is_one_line(swept: Path, capsys: pytest.CaptureFixture[str], command: str, message: str):
    assert main(["scale", *command.split()]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_an_unfinished_sweep_says_what_a_law_needs(home: Path, capsys: pytest.CaptureFixture[str]):
    main(["scale", "run", "mine:tiny", "--out", "sweep", "-q"])
    lines = points.path(home / "sweep").read_text().splitlines()
    points.path(home / "sweep").write_text("\n".join(lines[:2]) + "\n")
    assert main(["scale", "fit", "sweep"]) == 2
    assert "a law needs 3 budgets" in capsys.readouterr().err
