"""Reading flags: sizes, assignments, devices, threads."""

import getpass
import json
from collections.abc import Sequence
from typing import Any

from worldpatch.config import UserError


def size(text: str) -> tuple[int, int]:
    """ "WIDTHxHEIGHT" or one number for a square -> (width, height)."""
    parts = text.lower().replace("×", "x").split("x")
    try:
        width, height = (int(part) for part in (parts * 2 if len(parts) == 1 else parts))
    except ValueError as error:
        raise UserError(f"size {text!r} is not WIDTHxHEIGHT in whole pixels, such as 96x64") from error
    return width, height


def words(text: str) -> tuple[str, ...]:
    """ "a, b" -> ("a", "b")."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def assign(values: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """The values with each "a.b=value" put in its place; a value is JSON where it can be read as such, else text.

    Raises UserError where an assignment has no "=", or goes into something that is no group of values.
    """
    values = json.loads(json.dumps(values))
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise UserError(f"--set {assignment!r} lacks a value: write key=value")
        *groups, last = path.strip().split(".")
        inner = values
        for group in groups:
            inner = inner.setdefault(group, {})
            if not isinstance(inner, dict):
                raise UserError(f"--set {assignment!r}: {group!r} is a value and has no keys")
        inner[last] = _value(text)
    return values


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def device(name: str) -> str:
    """ "auto" -> "cuda" where there is one, else "cpu". Raises UserError on a device that is not here."""
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError as error:
        raise UserError(f"device {name!r} is unknown; known: auto, cpu, cuda, cuda:1") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device {name!r}: torch sees no CUDA device here; use cpu")
    return name


def threads(count: int | None) -> None:
    """Let torch use this many threads. Raises UserError below one."""
    import torch

    if count is not None:
        if not 1 <= count <= 1024:
            raise UserError(f"threads {count} is outside 1 to 1024; leave it out to use every core")
        torch.set_num_threads(count)


def login() -> str:
    """The user's name. Raises UserError where the machine has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError) as error:
        raise UserError("this machine does not say who you are: name the judge with --judge") from error
