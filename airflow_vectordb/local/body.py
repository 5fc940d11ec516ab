"""Request bodies as frozen dataclasses, read the way Milvus's REST layer reads JSON.

Each endpoint names one dataclass; its fields say what the body may hold, and those without a default must be there.
The rules, which are those of Go's ``encoding/json`` and gin's validator, live in :func:`read` and nowhere else:

- keys match without regard to case, the exact spelling first; unknown keys are ignored; ``null`` is as good as absent;
- a value of the wrong JSON type is 1801, a required field that is missing or empty is 1802;
- a number with a fraction is no integer, a string is no number, and 0 and 1 are no booleans.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from airflow_vectordb.local.errors import ApiError, bad_format, missing, unexpected

__all__ = ["Key", "Shape", "json_schema", "read", "shape_of"]

T = TypeVar("T")

_INT64 = range(-(2**63), 2**63)
_JSON_NAMES = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}


@dataclasses.dataclass(frozen=True)
class Key:
    """Annotates a field of a request: ``Annotated[str, Key("dbName", "The database.")]``.

    A field without a default must be in the body, and not be empty.

    :param name: its key in the JSON object.
    :param doc: one line for ``/docs``.
    :param most: how many objects a list may have; more are refused unread.
    """

    name: str
    doc: str
    most: int = 4096


@dataclasses.dataclass(frozen=True)
class Shape:
    """One field of a request: its JSON key, Python type, and whether it must be there."""

    attribute: str
    name: str
    type: Any
    required: bool
    doc: str
    default: Any
    most: int


_SHAPES: dict[type, tuple[Shape, ...]] = {}


def shape_of(cls: type) -> tuple[Shape, ...]:
    """The fields of a request dataclass, in order."""
    if cls not in _SHAPES:
        _SHAPES[cls] = _shape_of(cls)
    return _SHAPES[cls]


def _shape_of(cls: type) -> tuple[Shape, ...]:
    hints = get_type_hints(cls, include_extras=True)
    shapes = []
    for field in dataclasses.fields(cls):
        kind, key = get_args(hints[field.name])
        default, make = field.default, field.default_factory
        needed = default is dataclasses.MISSING and make is dataclasses.MISSING
        shown = None if default is dataclasses.MISSING else default
        shapes.append(Shape(field.name, key.name, kind, needed, key.doc, shown, key.most))
    return tuple(shapes)


def read(cls: type[T], body: Mapping[str, Any], where: str = "") -> T:
    """Read a JSON object into ``cls``.

    :param cls: a dataclass whose fields are annotated with :class:`Key`.
    :param body: the decoded JSON object.
    :param where: the path to this object, for messages.
    :raises ApiError: 1801 for a wrong type, 1802 for a missing or empty required field.
    """
    folded: dict[str, str] = {}
    for name in body:
        folded.setdefault(name.casefold(), name)
    values: dict[str, Any] = {}
    absent: list[str] = []
    for shape in shape_of(cls):
        key: str | None = shape.name if shape.name in body else folded.get(shape.name.casefold())
        value = None if key is None else body[key]
        path = f"{where}.{shape.name}" if where else shape.name
        if value is not None:
            value = _convert(shape.type, value, path, shape.most)
        if shape.required and _is_empty(shape.type, value):
            absent.append(path)
        elif value is not None:
            values[shape.attribute] = value
    if absent:
        raise _missing(cls.__name__, absent)
    return cls(**values)


def _is_empty(kind: Any, value: Any) -> bool:
    # Milvus's validator looks at decoded values, where an integer or boolean that was left out is 0 or false;
    # only where any type is taken does 0 count as given.
    return value is None or value in ("", [], {}) or (kind is not Any and value == 0)


def _missing(request: str, paths: list[str]) -> ApiError:
    lines = [
        f"Key: '{request}.{path}' Error:Field validation for '{path.rsplit('.', 1)[-1]}' failed on the 'required' tag"
        for path in paths
    ]
    return missing("\n".join(lines))


def _wrong(value: object, path: str, wanted: str) -> ApiError:
    kind = _JSON_NAMES.get(type(value), type(value).__name__)
    return bad_format(f"json: cannot unmarshal {kind} into field {path} of type {wanted}")


def _convert(kind: Any, value: Any, path: str, most: int) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        (kind,) = (arg for arg in get_args(kind) if arg is not type(None))
        origin = get_origin(kind)
    if kind is Any:
        return value
    if origin is list:
        if not isinstance(value, list):
            raise _wrong(value, path, "array")
        (item,) = get_args(kind)
        if item is Any:
            return value
        if dataclasses.is_dataclass(item) and len(value) > most:
            what = path.rsplit(".", 1)[-1].removesuffix("s")
            raise unexpected(f"maximum {what}'s number should be limited to {most}, but got {len(value)}")
        return [_convert(item, entry, f"{path}[{i}]", most) for i, entry in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise _wrong(value, path, "object")
        return value
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise _wrong(value, path, "object")
        return read(cast("type[Any]", kind), value, path)
    return _scalar(kind, value, path)


def _scalar(kind: Any, value: Any, path: str) -> Any:
    if kind is int:
        if type(value) is not int or value not in _INT64:
            raise _wrong(value, path, "int64")
        return value
    if kind is float:
        if type(value) not in (int, float):
            raise _wrong(value, path, "float64")
        return value
    if type(value) is not kind:
        raise _wrong(value, path, {str: "string", bool: "bool"}[kind])
    return value


def json_schema(cls: type) -> dict[str, Any]:
    """The JSON schema of a request, for ``/docs``."""
    properties = {}
    for shape in shape_of(cls):
        entry = _schema(shape.type)
        if shape.doc:
            entry["description"] = shape.doc
        if shape.default not in (None, [], {}, ""):
            entry["default"] = shape.default
        properties[shape.name] = entry
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    needed = [shape.name for shape in shape_of(cls) if shape.required]
    if needed:
        schema["required"] = needed
    return schema


def _schema(kind: Any) -> dict[str, Any]:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        (kind,) = (arg for arg in get_args(kind) if arg is not type(None))
        origin = get_origin(kind)
    if kind is Any:
        return {}
    if origin is list:
        return {"type": "array", "items": _schema(get_args(kind)[0])}
    if origin is dict:
        return {"type": "object"}
    if dataclasses.is_dataclass(kind):
        return json_schema(cast("type[Any]", kind))
    return {"type": {str: "string", bool: "boolean", int: "integer", float: "number"}[kind]}
