"""The plan of the house holds: layers, sizes of files, and what each kind of plug-in must define."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "worldpatch"
LONGEST = 600  # lines

CONTRACTS = {  # folder of plug-ins -> names that each of its files defines (design: Contracts)
    "vae": {"Config", "Model"},
    "dit": {"Config", "Model"},
    "embed": {"Config", "Model"},
    "worlds": {"Config", "clips"},
    "data/sources": {"clips"},
    "generate/ops": {"Params", "plan"},
    "evals/metrics": {"score", "HIGHER_IS_BETTER"},
}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def names(module: ast.Module) -> set[str]:
    """What a module defines or imports at its top level."""
    found = set()
    for node in module.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.ImportFrom):
            found.update(alias.asname or alias.name for alias in node.names)
    return found


def test_rooms_import_downwards():
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr


def test_no_file_is_too_long():
    folders = (PACKAGE, ROOT / "tests", ROOT / "recipes", ROOT / "benchmarks")
    lines = {path: len(path.read_text().splitlines()) for folder in folders for path in folder.rglob("*.py")}
    assert not {str(path): n for path, n in lines.items() if n > LONGEST}, "would two rooms be clearer?"


def test_every_module_says_what_it_is():
    assert not [str(p) for p in sources() if p.read_text().strip() and not ast.get_docstring(parse(p))]


def test_modules_with_shapes_keep_their_annotations():
    """`from __future__ import annotations` turns shapes into strings that the test hook cannot check."""
    shaped = [path for path in sources() if "jaxtyping" in path.read_text()]
    stringified = [str(path) for path in shaped if "annotations" in names(parse(path))]
    assert not stringified


@pytest.mark.parametrize("kind", CONTRACTS)
def test_plug_ins_keep_their_contract(kind: str):
    for path in (PACKAGE / kind).glob("[!_]*.py"):
        missing = CONTRACTS[kind] - names(parse(path))
        assert not missing, f"{path} lacks {', '.join(sorted(missing))}"
