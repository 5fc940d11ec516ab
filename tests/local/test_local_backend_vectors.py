"""Vectors that only a backend may have, on their way into Milvus's messages and out again."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from airflow_vectordb.local.engine import rows
from airflow_vectordb.local.engine.model import CollectionSpec, FieldSpec
from airflow_vectordb.local.engine.vectors import dense_bytes
from airflow_vectordb.local.errors import ApiError

NUMBERS = [0.1, -2.5, 65504, 1e-7]


def field(kind: str, dim: int, *, nullable: bool = False) -> FieldSpec:
    return FieldSpec("v", kind, nullable=nullable, params={"dim": str(dim)})


def spec(kind: str, dim: int, *, nullable: bool = False) -> CollectionSpec:
    return CollectionSpec("c", [FieldSpec("id", "Int64", is_primary=True), field(kind, dim, nullable=nullable)])


def text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


HALVES = np.array(NUMBERS, np.float16).tobytes()
# The upper half of each float32.
BRAINS = b"".join(np.float32(number).tobytes()[2:] for number in NUMBERS)


@pytest.mark.parametrize(
    ("kind", "dim", "given", "packed"),
    [
        ("BinaryVector", 16, "AQI=", b"\x01\x02"),
        ("BinaryVector", 16, [1, 255], b"\x01\xff"),
        ("Int8Vector", 3, [-128, 0, 127], b"\x80\x00\x7f"),
        ("Float16Vector", 4, NUMBERS, HALVES),
        ("Float16Vector", 4, text(HALVES), HALVES),
        ("BFloat16Vector", 4, NUMBERS, BRAINS),
        ("BFloat16Vector", 4, text(BRAINS), BRAINS),
    ],
)
def test_there_and_back(kind: str, dim: int, given: Any, packed: bytes) -> None:
    assert dense_bytes(field(kind, dim), given) == packed
    columns = rows.encode(spec(kind, dim), [{"id": 1, "v": given}, {"id": 2, "v": given}], with_ids=False)
    vectors = columns[1].vectors
    slot = {"BinaryVector": "binary", "Int8Vector": "int8", "Float16Vector": "float16"}.get(kind, "bfloat16")
    assert vectors.WhichOneof("data") == f"{slot}_vector"
    assert getattr(vectors, f"{slot}_vector") == packed * 2
    assert vectors.dim == dim
    back = rows.decode(spec(kind, dim), columns, 2, int64_as_numbers=True)
    assert back == [{"id": 1, "v": text(packed)}, {"id": 2, "v": text(packed)}]


def test_rows_without_a_vector() -> None:
    there = [{"id": 1, "v": "AQ=="}, {"id": 2, "v": None}, {"id": 3, "v": "Aw=="}]
    columns = rows.encode(spec("BinaryVector", 8, nullable=True), there, with_ids=False)
    assert columns[1].vectors.binary_vector == b"\x01\x03"
    assert rows.decode(spec("BinaryVector", 8, nullable=True), columns, 3, int64_as_numbers=True) == there


@pytest.mark.parametrize(
    ("kind", "dim", "given"),
    [
        ("BinaryVector", 16, "AQ=="),
        ("BinaryVector", 16, "not base64"),
        ("BinaryVector", 16, [1, 256]),
        ("BinaryVector", 16, [1, 2, 3]),
        ("BinaryVector", 16, {"1": 2}),
        ("Int8Vector", 2, [1, 128]),
        ("Int8Vector", 2, [1, 0.5]),
        ("Int8Vector", 2, "AQI="),
        ("Float16Vector", 2, [1, 70000]),
        ("Float16Vector", 2, [1, 1e300]),
        ("Float16Vector", 2, [1, 2, 3]),
        ("Float16Vector", 2, [1, "2"]),
        ("BFloat16Vector", 2, "AQI="),
        ("BFloat16Vector", 2, [True, False]),
        ("BFloat16Vector", 2, 7),
    ],
)
def test_what_is_no_vector_of_its_field_is_refused(kind: str, dim: int, given: Any) -> None:
    with pytest.raises(ApiError) as caught:
        rows.encode(spec(kind, dim), [{"id": 1, "v": given}], with_ids=False)
    assert caught.value.code == 1804
    assert "field v" in caught.value.message
