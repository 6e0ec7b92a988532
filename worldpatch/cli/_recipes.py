"""Recipes: functions in files that return a whole run or a grid of runs, found by path or by name."""

import ast
import importlib.util
from pathlib import Path
from typing import TypeVar

from worldpatch.config import UserError, homes

T = TypeVar("T")


def functions(file: Path) -> list[str]:
    """The recipes in a file, read without running it."""
    try:
        body = ast.parse(file.read_text()).body
    except (SyntaxError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is no Python file ({error}): give RECIPE.py:function") from error
    return [node.name for node in body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]


def known() -> list[str]:
    """Every recipe as `file:function`."""
    files = {file.stem: file for home in reversed(homes("recipes")) for file in sorted(home.glob("[!_]*.py"))}
    return [f"{name}:{function}" for name, file in files.items() for function in functions(file)]


def load(recipe: str, kind: type[T]) -> T:
    """What `path.py:function` or `name:function` returns, a Run or a Grid as `kind` says.

    Raises UserError that lists the known recipes.
    """
    name, _, function = recipe.rpartition(":") if ":" in recipe else (recipe, "", "")
    file = _file(name)
    if function not in functions(file):
        listed = ", ".join(f"{name}:{f}" for f in functions(file)) or "none"
        raise UserError(f"recipe {recipe!r} is unknown; {file.name} has: {listed}")
    spec = importlib.util.spec_from_file_location(f"recipe_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = getattr(module, function)()
    if not isinstance(made, kind):
        article = f"a {kind.__module__}.{kind.__name__}"
        raise UserError(f"{recipe} returned {type(made).__name__}: a recipe for this command returns {article}")
    return made


def _file(name: str) -> Path:
    for file in (Path(name), *(home / f"{name}.py" for home in homes("recipes"))):
        if file.is_file():
            return file
    raise UserError(f"no recipe file is named {name!r}; known recipes: {', '.join(known()) or 'none'}")
