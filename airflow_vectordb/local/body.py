"""Request bodies as frozen dataclasses, read the way Milvus's REST layer reads JSON.

Each endpoint names one dataclass; its fields say what the body may hold, and which of them it must hold
(:func:`required`, :func:`optional`). The rules, which are those of Go's ``encoding/json`` and gin's validator, are in
:func:`decode` and :func:`read` and nowhere else:

- anything may follow the first JSON value; ``null`` is the same as ``{}``;
- keys match without regard to case, and the last one counts; unknown keys are ignored; ``null`` is the same as absent;
- a value of the wrong JSON type is 1801: a number with a fraction is not an integer, a string is not a number, and 0
  and 1 are not booleans;
- a required field that is absent, ``""``, 0 or false is 1802; ``[]`` and ``{}`` are not. Objects in lists may lack it.

Messages name Go's structs and fields, as Milvus's do. If a dataclass and the struct have different names, the attribute
``go_name`` has the struct's.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import orjson

from airflow_vectordb.local.errors import ApiError, bad_format, missing, no_body, unexpected

T = TypeVar("T")


class Int32(int):
    """Marks a field of a request as Go's ``int32``; its values are plain integers."""


_RANGES = {int: range(-(2**63), 2**63), Int32: range(-(2**31), 2**31)}
_JSON_NAMES = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
# Types whose required values must not be Go's zero.
_EMPTY = frozenset({str, bool, int, Int32, float})
_GO_NAMES = {Any: "interface {}", str: "string", bool: "bool", int: "int64", Int32: "int32", float: "float64"}
_SCHEMA_NAMES = {str: "string", bool: "boolean", int: "integer", Int32: "integer", float: "number"}
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class _Key:
    """How a dataclass field appears in a body."""

    name: str
    doc: str
    required: bool
    most: int
    null: Any = None

    @property
    def go_name(self) -> str:
        return {"id": "ID", "jobId": "JobID"}.get(self.name, self.name[:1].upper() + self.name[1:])


def required(name: str, doc: str, *, most: int = 4096) -> Any:
    """Return a dataclass field that must be in the body, and not be ``""``, 0 or false.

    :param name: its key in the JSON object.
    :param doc: one line for ``/docs``.
    :param most: how many objects a list may have; more are refused unread.
    """
    return dataclasses.field(metadata={"key": _Key(name, doc, True, most)})


def optional(name: str, doc: str, default: Any = "", *, most: int = 4096, null: Any = None) -> Any:
    """Return a dataclass field that may be left out of the body.

    :param name: its key in the JSON object.
    :param doc: one line for ``/docs``.
    :param default: its value then, or ``list`` or ``dict`` for an empty one.
    :param most: how many objects a list may have; more are refused unread.
    :param null: what a ``null`` stands for, where that is not the same as leaving it out.
    """
    metadata = {"key": _Key(name, doc, False, most, null)}
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
    nested: bool


_SHAPES: dict[type, dict[str, _Shape]] = {}


def _shape_of(cls: type) -> dict[str, _Shape]:
    """Return the fields of a request dataclass, in order, by their folded keys."""
    if cls not in _SHAPES:
        hints = {name: _not_none(kind) for name, kind in get_type_hints(cls).items()}
        _SHAPES[cls] = {
            field.metadata["key"].name.casefold(): _Shape(
                field.name,
                hints[field.name],
                None if field.default is dataclasses.MISSING else field.default,
                field.metadata["key"],
                dataclasses.is_dataclass(hints[field.name]),
            )
            for field in dataclasses.fields(cls)
        }
    return _SHAPES[cls]


def _not_none(kind: Any) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        (kind,) = (arg for arg in get_args(kind) if arg is not type(None))
    return kind


def _go_name(kind: Any) -> str:
    """Return what Go calls a type."""
    origin = get_origin(kind)
    if origin is list:
        return f"[]{_go_name(get_args(kind)[0])}"
    if origin is dict:
        return f"map[string]{_go_name(get_args(kind)[1])}"
    if dataclasses.is_dataclass(kind):
        return f"httpserver.{_struct_name(cast('type', kind))}"
    return _GO_NAMES[kind]


def _struct_name(cls: type) -> str:
    return str(vars(cls).get("go_name", cls.__name__))


def decode(raw: bytes) -> Any:
    """Decode the first JSON value of a request body.

    :raises ApiError: 1801 when there is none.
    """
    if not raw.strip(b" \t\r\n"):
        raise no_body()
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return _decode_text(raw)


def _decode_text(raw: bytes) -> Any:
    """Decode text that begins with a JSON document, or contains invalid Unicode."""
    text = _ESCAPE.sub(
        lambda match: r"\ufffd" if match["lone"] else match[0],
        raw.decode("utf-8", "replace"),
    )
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        # Only the decoder's message, since the exception contains the document.
        why, end = error.msg, error.pos
    try:
        return orjson.loads(text[:end])
    except orjson.JSONDecodeError:
        raise bad_format(f"invalid character {text[end]!r}: {why}" if end < len(text) else "unexpected EOF") from None


def read(cls: type[T], body: Any) -> T:
    """Read a JSON value into ``cls``.

    :param cls: a dataclass of :func:`required` and :func:`optional` fields.
    :param body: the decoded JSON value.
    :raises ApiError: 1801 for a wrong type, 1802 for a missing or empty required field.
    """
    if body is not None and not isinstance(body, dict):
        raise bad_format(f"json: cannot unmarshal {_JSON_NAMES[type(body)]} into Go value of type {_go_name(cls)}")
    absent: list[str] = []
    found = _read(cls, body or {}, "", _struct_name(cls), absent)
    if absent:
        raise missing("\n".join(absent))
    return found


def _read(cls: type[T], body: Mapping[str, Any], path: str, go_path: str, absent: list[str] | None) -> T:
    """Read an object.

    :param path: the keys that lead to it, each with a dot behind it.
    :param go_path: the same in Go's names.
    :param absent: is added what is required and not there; None where nothing is.
    """
    shapes = _shape_of(cls)
    given: dict[str, Any] = {}
    for name, value in body.items():
        folded = name.casefold()
        if folded not in shapes:
            continue
        value = shapes[folded].key.null if value is None else value
        if value is not None:
            given[folded] = value
    values: dict[str, Any] = {}
    for folded, shape in shapes.items():
        key, value = shape.key, given.get(folded)
        if value is None and not key.required:
            continue
        if value is None and not shape.nested and absent is not None:
            absent.append(_absence(go_path, key))
            continue
        field = _Field(cls, path, go_path, key)
        value = _zero(shape.type, field, absent) if value is None else _convert(shape.type, value, field, absent)
        if key.required and not value and absent is not None and shape.type in _EMPTY:
            absent.append(_absence(go_path, key))
        values[shape.attribute] = value
    if absent:
        # It is refused by the caller; what is required has no default.
        return cast("T", None)
    return cls(**values)


def _absence(go_path: str, key: _Key) -> str:
    name = key.go_name
    return f"Key: '{go_path}.{name}' Error:Field validation for '{name}' failed on the 'required' tag"


class _Field(NamedTuple):
    """The location of a value: its request, its keys, and Go's names for them."""

    owner: type
    above: str
    go_above: str
    key: _Key

    @property
    def path(self) -> str:
        return f"{self.above}{self.key.name}"

    @property
    def go_path(self) -> str:
        return f"{self.go_above}.{self.key.go_name}"

    def wrong(self, value: object, kind: Any) -> ApiError:
        what = _JSON_NAMES[type(value)]
        if what == "number" and kind in _RANGES:
            what = f"number {value}"
        where = f"{_struct_name(self.owner)}.{self.path}"
        return bad_format(f"json: cannot unmarshal {what} into Go struct field {where} of type {_go_name(kind)}")


def _zero(kind: Any, field: _Field, absent: list[str] | None) -> Any:
    """Return Go's zero value."""
    if dataclasses.is_dataclass(kind):
        return _read(cast("type[Any]", kind), {}, f"{field.path}.", field.go_path, absent)
    return None if kind is Any else (get_origin(kind) or kind)()


def _convert(kind: Any, value: Any, field: _Field, absent: list[str] | None) -> Any:
    if kind is Any or (type(value) is kind and kind is not int):
        return value
    origin = get_origin(kind)
    if origin is list:
        if not isinstance(value, list):
            raise field.wrong(value, kind)
        (item,) = get_args(kind)
        if item is Any or (item == dict[str, Any] and all(type(one) is dict for one in value)):
            return value
        if dataclasses.is_dataclass(item) and len(value) > field.key.most:
            what = field.key.name.removesuffix("s")
            raise unexpected(f"maximum {what}'s number should be limited to {field.key.most}, but got {len(value)}")
        return [_zero(item, field, None) if one is None else _convert(item, one, field, None) for one in value]
    if origin is dict:
        if not isinstance(value, dict):
            raise field.wrong(value, kind)
        item = get_args(kind)[1]
        return value if item is Any else {key: _convert(item, one, field, None) for key, one in value.items()}
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise field.wrong(value, kind)
        return _read(cast("type[Any]", kind), value, f"{field.path}.", field.go_path, absent)
    return _scalar(kind, value, field)


def _scalar(kind: type, value: Any, field: _Field) -> Any:
    fits = type(value) is kind or (kind in (float, Int32) and type(value) is int)
    if not fits or (kind in _RANGES and value not in _RANGES[kind]):
        raise field.wrong(value, kind)
    return value


def json_schema(cls: type) -> dict[str, Any]:
    """Return the JSON schema of a request, for ``/docs``."""
    properties = {}
    for shape in _shape_of(cls).values():
        entry = _schema(shape.type)
        entry["description"] = shape.key.doc
        if shape.default not in (None, [], {}, ""):
            entry["default"] = shape.default
        properties[shape.key.name] = entry
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    needed = [shape.key.name for shape in _shape_of(cls).values() if shape.key.required]
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
