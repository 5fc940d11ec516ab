"""Rows of JSON to Milvus's columns and back.

Like Milvus's REST layer, encoding refuses a row with a field that is missing, unknown or of the wrong type (1804);
decoding gives values the forms that they have in Milvus's JSON.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from airflow_vectordb.local.body_rows import plain
from airflow_vectordb.local.engine.literals import float64, go_integer
from airflow_vectordb.local.engine.messages import schema_pb2
from airflow_vectordb.local.engine.model import SCALAR_SLOTS, TYPE_NUMBERS, CollectionSpec, FieldSpec
from airflow_vectordb.local.engine.vectors import PACKED, dense_bytes, float_array, float_rows, numbers
from airflow_vectordb.local.errors import ApiError, invalid

_META = "$meta"
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_REAL = re.compile(r"[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?", re.ASCII)
_LONG = re.compile(rb"[0-9]{16}")
_INTEGERS = {f"Int{bits}": range(-(2 ** (bits - 1)), 2 ** (bits - 1)) for bits in (8, 16, 32, 64)}
# As elements of arrays they are read as Int32.
_SMALL = frozenset({"Int8", "Int16"})
_ELEMENTS: dict[str, tuple[tuple[type, ...], Any]] = {
    "Bool": ((bool,), False),
    "VarChar": ((str,), ""),
    **dict.fromkeys(_INTEGERS, ((int,), 0)),
    **dict.fromkeys(("Float", "Double"), ((int, float), 0.0)),
}
_SLOTS = SCALAR_SLOTS | {"JSON": "json_data", "Geometry": "geometry_wkt_data", "Timestamptz": "string_data"}


def bad_row(detail: str) -> ApiError:
    return ApiError(1804, f"fail to deal the insert data, error: {detail}")


# --- JSON to columns -------------------------------------------------------------------------------------------------


def encode(spec: CollectionSpec, rows: Sequence[dict[str, Any]], *, with_ids: bool, partial: bool = False) -> list[Any]:
    """Turn rows into one ``FieldData`` per field.

    :param with_ids: whether the rows must carry an automatic primary key (upsert) or must not (insert).
    :param partial: a partial update: fields that no row has are left out.
    :raises ApiError: 1804, naming the field, when a row does not fit.
    """
    columns = []
    wanted = {entry.name for entry in spec.fields}
    for entry in spec.fields:
        skipped = entry.is_primary and entry.auto_id and not with_ids
        if skipped or entry.is_function_output:
            if any(entry.name in row for row in rows):
                if skipped:
                    raise bad_row(f"no need to pass pk field({entry.name}) when autoid==true in insert")
                raise bad_row(f"field {entry.name} is not to be passed, it is the output of a function")
            continue
        if partial and not entry.is_primary and not any(entry.name in row for row in rows):
            continue
        columns.append(_column(entry, [_value(entry, row, partial) for row in rows]))
    extras = [{key: plain(value) for key, value in row.items() if key not in wanted} for row in rows]
    if spec.dynamic:
        columns.append(_meta_column(extras))
    elif any(extras):
        names = sorted({key for extra in extras for key in extra})
        raise bad_row(f"has pass more field without dynamic schema, please check it: {', '.join(names)}")
    return columns


def _value(entry: FieldSpec, row: dict[str, Any], partial: bool) -> Any:
    value = row.get(entry.name)
    if value is None:
        if entry.default is not None:
            return entry.default
        if not entry.nullable:
            if entry.type in ("VarChar", "JSON") and not (partial and entry.name not in row):
                return ""
            raise bad_row(f"the field {entry.name} has no value, it is neither nullable nor has it a default")
    return value if entry.type == "FloatVector" else plain(value)


def _meta_column(extras: Iterable[dict[str, Any]]) -> Any:
    column = schema_pb2.FieldData(field_name=_META, type=TYPE_NUMBERS["JSON"], is_dynamic=True)
    for extra in extras:
        if _META in extra:
            raise bad_row(f"use the invalid field name({_META}) when enable dynamicField")
        if None in extra.values():
            extra = {key: value for key, value in extra.items() if value is not None}
        column.scalars.json_data.data.append(json.dumps(extra).encode())
    return column


def _column(entry: FieldSpec, values: list[Any]) -> Any:
    column = schema_pb2.FieldData(field_name=entry.name, type=TYPE_NUMBERS[entry.type])
    if entry.nullable:
        column.valid_data.extend(value is not None for value in values)
        values = [value for value in values if value is not None]
    if entry.type == "FloatVector":
        column.vectors.dim = entry.dim
        column.vectors.float_vector.MergeFromString(float_array(_float_vectors(entry, values)))
    elif entry.type in PACKED:
        column.vectors.dim = entry.dim
        setattr(column.vectors, PACKED[entry.type], b"".join(_packed(entry, value) for value in values))
    elif entry.type == "SparseFloatVector":
        column.vectors.sparse_float_vector.contents.extend(_sparse(entry, value) for value in values)
    elif entry.type == "Array":
        _fill_arrays(column, entry, values)
    elif entry.type in _SLOTS:
        convert = _converter(entry.name, entry.type)
        slot = getattr(column.scalars, _SLOTS[entry.type])
        # An empty nullable column must still say which kind it is.
        slot.SetInParent()
        slot.data.extend([convert(value) for value in values])
    else:
        raise bad_row(f"the type {entry.type} of field {entry.name} is not supported")
    return column


def _packed(entry: FieldSpec, value: Any) -> bytes:
    try:
        return dense_bytes(entry, value)
    except ValueError as error:
        raise bad_row(f"field {entry.name}: {error}") from error


def _float_vectors(entry: FieldSpec, vectors: list[Any]) -> Any:
    """Return vectors as an array of float32, a row each."""
    flat = float_rows(entry.dim, vectors)
    if flat is not None:
        return flat
    flat = np.array(_number_lists(entry, list(map(plain, vectors))), dtype=np.float64)
    # Checked in double precision: a cast of 1e300 to float32 would warn and give infinity.
    most = np.finfo(np.float32).max
    if flat.size and not -most <= flat.min() <= flat.max() <= most:
        raise bad_row(f"a value of field {entry.name} is not a number or out of the range of float32")
    return flat.astype(np.float32)


def _number_lists(entry: FieldSpec, vectors: list[Any]) -> list[list[float]]:
    """Read vectors of which some are texts of lists or hold null, or say what is wrong with them."""
    try:
        vectors = [numbers(_from_text(vector)) for vector in vectors]
    except ValueError as error:
        raise bad_row(f"the value of field {entry.name} is not a list of numbers: {error}") from error
    for vector in vectors:
        if len(vector) != entry.dim:
            raise bad_row(f"dimension: {entry.dim}, but length of []float: {len(vector)}, field {entry.name}")
    try:
        return [list(map(float, vector)) for vector in vectors]
    except OverflowError as error:
        raise bad_row(f"field {entry.name}: {error}") from error


def _from_text(value: Any) -> Any:
    """Return what a text says, as Milvus reads lists: it takes the text of one for a list."""
    return json.loads(value) if isinstance(value, str) else value


def sparse_bytes(pairs: Iterable[tuple[int, float]]) -> bytes:
    """Return a sparse vector as Milvus packs it: ascending (uint32, float32) pairs."""
    return b"".join(struct.pack("<If", index, weight) for index, weight in sorted(pairs))


def _sparse(entry: FieldSpec, value: Any) -> bytes:
    try:
        return sparse_bytes(sparse_pairs(value))
    except (ValueError, TypeError, struct.error, OverflowError) as error:
        raise bad_row(f"field {entry.name}: not a sparse vector: {error}") from error


def sparse_pairs(value: Any) -> list[tuple[int, float]]:
    """Read a sparse vector: ``{"3": 0.5}`` or ``{"indices": [3], "values": [0.5]}``.

    :raises ValueError: when it is neither, or an index or a weight is out of range.
    """
    if not isinstance(value, dict):
        raise ValueError("it must be a JSON object")
    if set(value) == {"indices", "values"} and isinstance(value["indices"], list):
        if not isinstance(value["values"], list) or len(value["indices"]) != len(value["values"]):
            raise ValueError("indices and values differ in length")
        pairs = list(zip(value["indices"], value["values"], strict=True))
    else:
        pairs = [(int(index), weight) for index, weight in value.items()]
    for index, weight in pairs:
        if type(index) is not int or not 0 <= index < 2**32 - 1:
            raise ValueError(f"index {index} is not between 0 and 2^32-2")
        if type(weight) not in (int, float) or not 0 <= weight <= float(np.finfo(np.float32).max):
            raise ValueError(f"weight {weight} is not a non-negative float32")
    if len({index for index, _ in pairs}) != len(pairs):
        raise ValueError("an index is there twice")
    return pairs


def _fill_arrays(column: Any, entry: FieldSpec, values: list[Any]) -> None:
    column.scalars.array_data.element_type = TYPE_NUMBERS[entry.element_type]
    convert = _element_converter(entry.name, entry.element_type)
    for value in values:
        with contextlib.suppress(ValueError):
            value = _from_text(value)
        if not isinstance(value, list):
            raise bad_row(f"the value of field {entry.name} is not an array")
        slot = getattr(column.scalars.array_data.data.add(), _SLOTS[entry.element_type])
        slot.SetInParent()
        items = [convert(item) for item in value]
        if entry.element_type in _SMALL:
            _check_range(_INTEGERS[entry.element_type], items)
        slot.data.extend(items)


def _check_range(allowed: range, items: list[int]) -> None:
    """Refuse elements that are too large for their type, as Milvus does once it has read them."""
    for place, item in enumerate(items):
        if item not in allowed:
            raise invalid(f"the {place}th element ({item}) out of range: [{allowed[0]}, {allowed[-1]}]")


def _refusal(name: str, kind: str, value: Any) -> ApiError:
    text = value if isinstance(value, str) else json.dumps(value)
    why = f"the value {json.dumps(value)[:60]} of field {name} is not a valid {kind}"
    return bad_row(f"{why}: invalid parameter[expected={kind}][actual={text[:60]}]")


def _element_converter(name: str, kind: str) -> Callable[[Any], Any]:
    """How one element of an array is read: of its own JSON type, where null is Go's zero."""
    types, zero = _ELEMENTS[kind]
    convert = _converter(name, "Int32" if kind in _SMALL else kind)

    def element(value: Any) -> Any:
        if value is None:
            return zero
        if type(value) not in types:
            raise _refusal(name, kind, value)
        return convert(value)

    return element


def _converter(name: str, kind: str) -> Callable[[Any], Any]:
    """How one scalar of ``kind`` is read from JSON; as leniently as by Milvus, which reads numbers from strings too."""

    def refuse(value: Any) -> ApiError:
        return _refusal(name, kind, value)

    def integer(value: Any) -> int:
        number = value
        if type(value) is float and value.is_integer():
            number = int(value)
        elif type(value) is str and kind != "Int64":
            number = go_integer(value)
        elif type(value) is str and _INTEGER.fullmatch(value):
            with contextlib.suppress(ValueError):  # Python reads no more than some thousand digits
                number = int(value)
        if type(number) is not int or number not in _INTEGERS[kind]:
            raise refuse(value)
        return number

    def real(value: Any) -> float:
        number = value
        if type(value) is str and _REAL.fullmatch(value):
            with contextlib.suppress(ValueError):
                number = float(value)
        limit = float(np.finfo(np.float32 if kind == "Float" else np.float64).max)
        if type(number) not in (int, float) or not -limit <= number <= limit:
            raise refuse(value)
        return float(number)

    def boolean(value: Any) -> bool:
        if type(value) is bool:
            return value
        if value in ("true", "True", "TRUE", "t", "T", "1", 1):
            return True
        if value in ("false", "False", "FALSE", "f", "F", "0", 0):
            return False
        raise refuse(value)

    def text(value: Any) -> str:
        # Milvus takes the raw JSON of what is not a string.
        return value if isinstance(value, str) else json.dumps(float64(value) if type(value) is float else value)

    def document(value: Any) -> bytes:
        # As on Milvus, a string is taken for the text of a document, and kept even where it is none.
        return text(value).encode()

    if kind in _INTEGERS:
        return integer
    if kind in ("Float", "Double"):
        return real
    return {"Bool": boolean, "JSON": document}.get(kind, text)


def float32(value: float) -> Any:
    """Return a number that is written as the float32 it is: 0.1, and not 0.10000000149011612."""
    return np.float32(value)


# --- columns to JSON -------------------------------------------------------------------------------------------------


def decode(spec: CollectionSpec, columns: Iterable[Any], count: int, *, int64_as_numbers: bool) -> list[dict[str, Any]]:
    """Turn ``FieldData`` columns into rows as Milvus answers them.

    :param int64_as_numbers: False if the caller sent ``Accept-Type-Allow-Int64: false``: Int64 values become strings.
    """
    rows: list[dict[str, Any]] = [{} for _ in range(count)]
    for column in columns:
        if column.is_dynamic or column.field_name == _META:
            for row, raw in zip(rows, column.scalars.json_data.data, strict=True):
                row.update(_dynamic(raw))
            continue
        entry = spec.field_named(column.field_name)
        nullable = entry is not None and entry.nullable
        values = _values(column, count, int64_as_numbers=int64_as_numbers)
        for row, value in zip(rows, _spread(values, list(column.valid_data), nullable, count), strict=True):
            row[column.field_name] = value
    return rows


def _dynamic(raw: bytes) -> dict[str, Any]:
    """Return the dynamic fields of a row; Milvus reads their numbers as float64."""
    found: dict[str, Any] = (
        json.loads(raw, parse_int=lambda digits: float64(int(digits))) if _LONG.search(raw) else json.loads(raw)
    )
    return found


def _spread(values: Sequence[Any], valid: list[bool], nullable: bool, count: int) -> Sequence[Any]:
    if not valid or (not nullable and all(valid)):
        return values
    if len(values) == count:
        return [value if there else None for value, there in zip(values, valid, strict=True)]
    remaining = iter(values)
    return [next(remaining) if there else None for there in valid]


def _values(column: Any, count: int, *, int64_as_numbers: bool) -> Sequence[Any]:
    if column.HasField("vectors"):
        return _vector_values(column, count)
    kind = column.scalars.WhichOneof("data")
    if kind is None:
        return []
    if kind == "array_data":
        return [{"Data": _array_value(item)} for item in column.scalars.array_data.data]
    data = getattr(column.scalars, kind).data
    if kind == "json_data":
        return [raw.decode() for raw in data]
    if kind == "long_data" and not int64_as_numbers:
        return [str(value) for value in data]
    if kind == "float_data":
        return [float32(value) for value in data]
    if kind == "bytes_data":
        return [base64.b64encode(raw).decode() for raw in data]
    return list(data)


def _array_value(item: Any) -> dict[str, Any]:
    kind = item.WhichOneof("data")
    if kind is None:
        return {}
    name = "".join(part.capitalize() for part in kind.split("_"))
    data = list(getattr(item, kind).data)
    return {name: {"data": [float32(value) for value in data] if kind == "float_data" else data}}


def _vector_values(column: Any, count: int) -> Sequence[Any]:
    vectors = column.vectors
    kind = vectors.WhichOneof("data")
    if kind == "float_vector":
        flat = np.array(vectors.float_vector.data, dtype=np.float32)
        return list(flat.reshape(-1, vectors.dim)) if flat.size else []
    if kind == "sparse_float_vector":
        return [
            {str(index): float32(weight) for index, weight in struct.iter_unpack("<If", raw)}
            for raw in vectors.sparse_float_vector.contents
        ]
    if kind is None:
        return []
    raw = getattr(vectors, kind)
    # Of a nullable field, not every row has one.
    there = sum(column.valid_data) if column.valid_data else count
    width = len(raw) // max(there, 1)
    return [base64.b64encode(raw[i * width : (i + 1) * width]).decode() for i in range(there)]
