"""Which parameters of an ability are files, and what each is to what is made."""

from collections.abc import Callable
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


@dataclass(frozen=True)
class FileMark:
    """Marks a string as the path of a file, in the type and in the JSON schema: whoever takes parameters from
    elsewhere puts a path of his own there. "local" is one that is written, or names other files: for whoever sits at
    this machine alone. "who" is words, or @NAME of a saved character. `role` is what content credentials call a picture
    or video that went in: the parent is what is changed or goes on, a component is seen in what is made, an input is
    only gone by."""

    kind: Literal["media", "json", "local", "who"]
    role: Literal["parent", "component", "input"] = "component"

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(schema) | {"format": f"file-{self.kind}"}


Media = Annotated[str, FileMark("media")]
"""A picture or a video; @NAME is a saved character, and FILE@PLACE says where it belongs."""
Parent = Annotated[str, FileMark("media", "parent")]
"""The one that is changed, or goes on; an ability has one at most."""
Guide = Annotated[str, FileMark("media", "input")]
"""One that shows how it is to be, and is not seen itself."""
Document = Annotated[str, FileMark("json")]
Local = Annotated[str, FileMark("local")]
Who = Annotated[str, FileMark("who", role="input")]

Given = Callable[[FileMark, Any, str], Any]


def with_files(params: type[BaseModel], values: dict[str, Any], given: Given) -> dict[str, Any]:
    """Parameters with what `given` makes of each file among them: of its mark, its value and where it stands.

    Values are as from JSON, not yet validated; what does not have the form that the parameters ask for stays as it is.
    """
    return {
        name: _files(params.model_fields[name].annotation, params.model_fields[name].metadata, value, name, given)
        if name in params.model_fields
        else value
        for name, value in values.items()
    }


def _files(kind: Any, metadata: Any, value: Any, where: str, given: Given) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _files(inner[0], inner[1:], value, where, given)
    for mark in metadata:
        if isinstance(mark, FileMark):
            return value if value is None else given(mark, value, where)
    if origin in (Union, UnionType):
        for kind in inner:
            value = _files(kind, (), value, where, given) if value is not None else None
        return value
    if origin is tuple and isinstance(value, list | tuple):
        return [_files(inner[0], (), item, f"{where}.{i}", given) for i, item in enumerate(value)]
    if isinstance(kind, type) and issubclass(kind, BaseModel) and isinstance(value, dict):
        return with_files(kind, value, lambda mark, value, name: given(mark, value, f"{where}.{name}"))
    return value
