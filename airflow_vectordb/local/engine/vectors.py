"""Dense vectors as Milvus packs them into bytes, from what its REST API takes them in."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Any

import numpy as np

from airflow_vectordb.local.body_rows import Numbers, plain
from airflow_vectordb.local.engine.model import FieldSpec

PACKED = {
    "BinaryVector": "binary_vector",
    "Float16Vector": "float16_vector",
    "BFloat16Vector": "bfloat16_vector",
    "Int8Vector": "int8_vector",
}
"""Where in a ``VectorField`` message the vectors of a type stand one behind the other, as bytes."""

_JSON_NAMES = {dict: "object", str: "string", bool: "bool", int: "number", float: "number", type(None): "null"}
_WHOLE = {"BinaryVector": ("uint8", range(256)), "Int8Vector": ("int8", range(-128, 128))}


def dense_bytes(entry: FieldSpec, value: Any) -> bytes:
    """Return one dense vector as Milvus packs it.

    :param value: from JSON: a list of numbers, of a binary vector one per byte; or base64 of the packed vector, where
        the type is binary or half-precision.
    :raises ValueError: when it is no vector of this field.
    """
    if isinstance(value, str) and entry.type in ("BinaryVector", "Float16Vector", "BFloat16Vector"):
        return _decoded(entry, value)
    value = numbers(value)
    if entry.type in _WHOLE:
        return _whole(entry, value)
    if len(value) != entry.dim:
        raise ValueError(f"dimension: {entry.dim}, but length of []float: {len(value)}")
    try:
        packed = struct.pack(f"<{entry.dim}f", *value)
    except OverflowError as error:
        raise ValueError(f"a value of the vector is out of the range of float32: {error}") from error
    return packed if entry.type == "FloatVector" else _halved(entry, np.frombuffer(packed, np.float32))


def numbers(value: Any) -> list[int | float]:
    """Return a list of numbers as Milvus reads it: null is 0.

    :raises ValueError: when it is none.
    """
    if not isinstance(value, list):
        raise ValueError(f"json: cannot unmarshal {_JSON_NAMES[type(value)]} into a vector of numbers")
    kinds = set(map(type, value))
    if kinds <= {int, float}:
        return value
    if not kinds <= {int, float, type(None)}:
        raise ValueError("json: cannot unmarshal a list of other things into a vector of numbers")
    return [0 if number is None else number for number in value]


def float_rows(dim: int, vectors: list[Any]) -> Any:
    """Return lists of numbers as an array of float32, a row each; None where not all are lists of ``dim`` such."""
    if not set(map(type, vectors)) <= {list, Numbers}:
        return None
    pack = struct.Struct(f"{dim}f").pack
    try:
        packed = [vector.floats if type(vector) is Numbers else pack(*vector) for vector in vectors]
    except (struct.error, OverflowError):
        return None
    if any(len(floats) != 4 * dim for floats in packed):
        return None
    flat = np.frombuffer(b"".join(packed), np.float32).reshape(len(vectors), dim)
    most = np.finfo(np.float32).max
    # What is out of range is infinite here, or was rounded to the last number within.
    if flat.size and not -most < flat.min() <= flat.max() < most:
        return None
    # This takes booleans for the numbers that they could be.
    doubtful = np.flatnonzero(((flat == 0) | (flat == 1)).any(axis=1))
    return None if any(bool in map(type, plain(vectors[row])) for row in doubtful) else flat


def float_array(flat: Any) -> bytes:
    """Return an array of float32 as a ``FloatArray`` message, which has them in a row behind their length in bytes."""
    raw: bytes = flat.astype("<f4", copy=False).tobytes()
    size, head = len(raw), bytearray(b"\x0a")
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + raw


def _decoded(entry: FieldSpec, text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"illegal base64 data: {error}") from error
    _check_width(entry, len(raw))
    return raw


def _whole(entry: FieldSpec, numbers: list[int | float]) -> bytes:
    name, allowed = _WHOLE[entry.type]
    for number in numbers:
        if type(number) is not int or number not in allowed:
            raise ValueError(f"json: cannot unmarshal number {number} into a value of type {name}")
    _check_width(entry, len(numbers))
    return np.array(numbers, dtype=name).tobytes()


def _check_width(entry: FieldSpec, width: int) -> None:
    wanted = {"BinaryVector": (entry.dim + 7) // 8, "Int8Vector": entry.dim}.get(entry.type, entry.dim * 2)
    if width != wanted:
        raise ValueError(f"dimension: {entry.dim}, bytesLen: {wanted}, but length of []byte: {width}")


def _halved(entry: FieldSpec, numbers: Any) -> bytes:
    if entry.type == "BFloat16Vector":
        # Cut off, not rounded, as Milvus does it.
        cut: bytes = (numbers.view(np.uint32) >> 16).astype(np.uint16).tobytes()
        return cut
    with np.errstate(over="ignore"):
        halves = numbers.astype(np.float16)
    if not np.isfinite(halves).all():
        raise ValueError("a value of the vector is out of the range of float16")
    packed: bytes = halves.tobytes()
    return packed
