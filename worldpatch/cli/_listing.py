"""Plug-ins by name and first line of their docstring, read without importing them: help must be instant."""

import ast

from worldpatch.config import ROOT, available


def describe(kind: str) -> dict[str, str]:
    """Name -> what the module says of itself, up to its first full stop or colon."""
    return {name: text.partition(".")[0].partition(":")[0] for name, text in first_lines(kind).items()}


def first_lines(kind: str) -> dict[str, str]:
    """Name -> the first line of what the module says of itself."""
    return {
        name: (ast.get_docstring(ast.parse((ROOT / kind / f"{name}.py").read_text())) or "").partition("\n")[0]
        for name in available(kind)
    }


def listing(kind: str) -> str:
    """All plug-ins of a kind in one line."""
    return "; ".join(f"{name} ({text})" for name, text in describe(kind).items())
