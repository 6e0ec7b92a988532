"""Every ability of `generate/ops` as a command of its own, built from its Params: arguments, flags and help.

The abilities are only imported when their command is asked for; the list of commands is the folder.
"""

import inspect
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from worldpatch import config

Parameter = inspect.Parameter
Make = Callable[[str, dict[str, Any], dict[str, Any]], None]


def command(name: str, make: Make, sampling: dict[str, Any]) -> Any:
    """The command of an ability.

    It calls `make` with the ability's name, its given parameters, and the given values of `sampling`: the flags that
    all abilities share, name -> annotation.
    """
    ability = config.resolve("generate/ops", name)
    params: type[BaseModel] = ability.Params
    own = {key: _annotation(key, field) for key, field in params.model_fields.items()}
    ordered = sorted(own, key=lambda key: _place(params.model_fields[key]))

    def verb(**values: Any) -> None:
        given = {key: value for key, value in values.items() if value is not None and value != []}
        make(
            name, {key: given[key] for key in own if key in given},
            {key: given[key] for key in sampling if key in given},
        )  # fmt: skip

    annotations = {**{key: own[key] for key in ordered}, **sampling}
    verb.__name__, verb.__doc__, verb.__annotations__ = name, ability.__doc__, annotations
    verb.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            Parameter(key, Parameter.KEYWORD_ONLY, annotation=annotation, default=_missing(params, key))
            for key, annotation in annotations.items()
        ]
    )
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name)(verb)
    return typer.main.get_command(app)


def _missing(params: type[BaseModel], key: str) -> Any:
    """What typer takes for left out: required arguments have no default."""
    field = params.model_fields.get(key)
    return Parameter.empty if field is not None and field.is_required() and _position(field) is not None else None


def _position(field: FieldInfo) -> int | None:
    extra = field.json_schema_extra
    return typing.cast(int | None, extra.get("position")) if isinstance(extra, dict) else None


def _place(field: FieldInfo) -> int:
    position = _position(field)
    return 100 if position is None else position


def _annotation(key: str, field: FieldInfo) -> Any:
    """A field as typer wants it: an argument where it has a position, else a flag that may be left out."""
    described = field.description or ""
    if _position(field) is not None:
        kind: Any = str if field.is_required() else str | None
        return Annotated[kind, typer.Argument(metavar=key.upper(), help=_sentence(described))]
    default = (
        "" if field.default is None or field.default == "" or field.default == () else f"  [default: {field.default}]"
    )
    kind = _flag(field.annotation)
    return Annotated[kind | None, typer.Option(help=_sentence(described) + default)]


def _flag(annotation: Any) -> Any:
    """The type of a flag for the type of a field."""
    if typing.get_origin(annotation) is Annotated:
        return typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        annotation = next(a for a in typing.get_args(annotation) if a is not type(None))
    if typing.get_origin(annotation) is tuple:
        inner = typing.get_args(annotation)
        return list[str] if inner[-1] is Ellipsis else tuple[inner]
    if typing.get_origin(annotation) is Literal:
        return Literal[typing.get_args(annotation)]
    return annotation


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
