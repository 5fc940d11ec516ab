"""Request bodies as frozen dataclasses, read the way Milvus's REST layer reads JSON.

Each endpoint names one dataclass; its fields say what the body may hold, and which of them it must hold
(:func:`required`, :func:`optional`). The rules, which are those of Go's ``encoding/json`` and gin's validator, are in
:func:`parse` and :func:`read` and nowhere else:

- keys match without regard to case, the exact spelling first; unknown keys are ignored; ``null`` is as good as absent;
- a value of the wrong JSON type is 1801, a required field that is missing or empty is 1802;
- a number with a fraction is no integer, a string is no number, and 0 and 1 are no booleans.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import orjson

from airflow_vectordb.local.errors import ApiError, bad_format, missing, unexpected

T = TypeVar("T")

_INT64 = range(-(2**63), 2**63)
_JSON_NAMES = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
_GO_NAMES = {str: "string", bool: "bool", int: "int64", float: "float64"}
_SCHEMA_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number"}


@dataclasses.dataclass(frozen=True)
class _Key:
    """What a dataclass field stands for in a body."""

    name: str
    doc: str
    required: bool
    most: int


def required(name: str, doc: str, *, most: int = 4096) -> Any:
    """Return a dataclass field that must be in the body, and not be empty.

    :param name: its key in the JSON object.
    :param doc: one line for ``/docs``.
    :param most: how many objects a list may have; more are refused unread.
    """
    return dataclasses.field(metadata={"key": _Key(name, doc, True, most)})


def optional(name: str, doc: str, default: Any = "", *, most: int = 4096) -> Any:
    """Return a dataclass field that may be left out of the body.

    :param name: its key in the JSON object.
    :param doc: one line for ``/docs``.
    :param default: its value then, or ``list`` or ``dict`` for an empty one.
    :param most: how many objects a list may have; more are refused unread.
    """
    metadata = {"key": _Key(name, doc, False, most)}
    if isinstance(default, type):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class _Shape:
    """One field of a request: the dataclass's, its type, its default for ``/docs``, and its key in the body."""

    attribute: str
    type: Any
    default: Any
    key: _Key


_SHAPES: dict[type, tuple[_Shape, ...]] = {}


def _shape_of(cls: type) -> tuple[_Shape, ...]:
    """Return the fields of a request dataclass, in order."""
    if cls not in _SHAPES:
        hints = get_type_hints(cls)
        _SHAPES[cls] = tuple(
            _Shape(
                field.name,
                _not_none(hints[field.name]),
                None if field.default is dataclasses.MISSING else field.default,
                field.metadata["key"],
            )
            for field in dataclasses.fields(cls)
        )
    return _SHAPES[cls]


def _not_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        (kind,) = (arg for arg in get_args(kind) if arg is not type(None))
    return kind


def parse(raw: bytes) -> dict[str, Any]:
    """Decode a request body.

    :raises ApiError: 1801 when it is no JSON object.
    """
    if not raw.strip():
        raise bad_format("the request body should be nil, however {} is valid")
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        # The message of the decoder, without the document that it carries.
        raise bad_format(error.msg) from None
    if not isinstance(body, dict):
        raise bad_format(f"json: cannot unmarshal {type(body).__name__} into an object")
    return body


def read(cls: type[T], body: Mapping[str, Any], where: str = "") -> T:
    """Read a JSON object into ``cls``.

    :param cls: a dataclass of :func:`required` and :func:`optional` fields.
    :param body: the decoded JSON object.
    :param where: the path to this object, for messages.
    :raises ApiError: 1801 for a wrong type, 1802 for a missing or empty required field.
    """
    folded: dict[str, str] = {}
    for name in body:
        folded.setdefault(name.casefold(), name)
    values: dict[str, Any] = {}
    absent: list[str] = []
    for shape in _shape_of(cls):
        key = shape.key
        name = key.name if key.name in body else folded.get(key.name.casefold(), "")
        value = body.get(name)
        path = f"{where}.{key.name}" if where else key.name
        if value is not None:
            value = _convert(shape.type, value, path, key.most)
        if key.required and _is_empty(shape.type, value):
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
    if origin is dict or dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise _wrong(value, path, "object")
        return value if origin is dict else read(cast("type[Any]", kind), value, path)
    return _scalar(kind, value, path)


def _scalar(kind: type, value: Any, path: str) -> Any:
    fits = type(value) is kind or (kind is float and type(value) is int)
    if not fits or (kind is int and value not in _INT64):
        raise _wrong(value, path, _GO_NAMES[kind])
    return value


def json_schema(cls: type) -> dict[str, Any]:
    """Return the JSON schema of a request, for ``/docs``."""
    properties = {}
    for shape in _shape_of(cls):
        entry = _schema(shape.type)
        entry["description"] = shape.key.doc
        if shape.default not in (None, [], {}, ""):
            entry["default"] = shape.default
        properties[shape.key.name] = entry
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    needed = [shape.key.name for shape in _shape_of(cls) if shape.key.required]
    if needed:
        schema["required"] = needed
    return schema


def _schema(kind: Any) -> dict[str, Any]:
    origin = get_origin(kind)
    if kind is Any:
        return {}
    if origin is list:
        return {"type": "array", "items": _schema(get_args(kind)[0])}
    if origin is dict:
        return {"type": "object"}
    if dataclasses.is_dataclass(kind):
        return json_schema(cast("type[Any]", kind))
    return {"type": _SCHEMA_NAMES[kind]}
