"""Names to modules, and run configurations to and from JSON.

The name in a config is a file name: `resolve("vae", "causal")` is the module `worldpatch/vae/causal.py`, and `ls` is
the registry. Files that begin with an underscore are shared pieces, not plug-ins.
"""

import dataclasses
import functools
import importlib
import types
import typing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent


class UserError(ValueError):
    """Bad input. The message says the value, the rule and the remedy; the CLI prints it alone and exits with 2."""


def available(kind: str) -> list[str]:
    """Names of the plug-ins of a kind ("vae", "dit", "worlds", "generate/ops", ...), without importing them."""
    return sorted(p.stem for p in (ROOT / kind).glob("*.py") if not p.stem.startswith("_"))


def homes(kind: str) -> list[Path]:
    """Folders of this name, "checkpoints" or "recipes": here and beside the package, the nearest first."""
    return list(dict.fromkeys(p.resolve() for p in (Path(kind), ROOT.parent / kind)))


@functools.cache  # what was found stays; what was not is looked for again
def resolve(kind: str, name: str) -> types.ModuleType:
    """The module `worldpatch/<kind>/<name>.py`. Raises UserError that lists the known names."""
    if name not in available(kind):
        raise UserError(f"no {kind} is named {name!r}; known: {', '.join(available(kind))}")
    return importlib.import_module(f"worldpatch.{kind.replace('/', '.')}.{name}")


T = typing.TypeVar("T")


def build(cls: type[T], values: dict[str, Any], where: str = "") -> T:
    """A (nested) dataclass from plain values. Raises UserError on a key it does not have, listing those it has."""
    hints = typing.get_type_hints(cls)
    known = [f.name for f in dataclasses.fields(typing.cast(Any, cls)) if f.init]
    for key in values:
        if key not in known:
            raise UserError(f"unknown key {where + key!r} for {cls.__qualname__}; known: {', '.join(known)}")
    needed = [f.name for f in dataclasses.fields(typing.cast(Any, cls)) if _required(f) and f.name not in values]
    if needed:
        raise UserError(f"{cls.__qualname__} needs {', '.join(where + name for name in needed)}: give a value")
    return cls(**{k: _coerce(hints[k], v, f"{where}{k}.") for k, v in values.items()})


def _required(field: dataclasses.Field) -> bool:
    return field.init and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _coerce(hint: Any, value: Any, where: str) -> Any:
    """JSON knows neither tuples nor dataclasses; the annotation says which was meant."""
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return build(typing.cast(type, hint), value, where)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise UserError(f"{where[:-1]} {value!r} must be a list")
        args = typing.get_args(hint)
        item = args[0] if args and (len(args) == 1 or args[-1] is Ellipsis) else Any
        return tuple(_coerce(item, v, where) for v in value)
    return value


def dump(config: Any) -> dict[str, Any]:
    """A (nested) dataclass as plain values, fit for JSON and for `build`."""
    return dataclasses.asdict(config)
