"""Vectors as arrays: read from rows as number by number, and in Milvus Lite what its own functions make of lists."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airflow_vectordb.local.engine.base import Engine
from airflow_vectordb.local.engine.lite import lite_engine
from airflow_vectordb.local.engine.messages import schema_pb2
from airflow_vectordb.local.engine.model import CollectionSpec, FieldSpec
from airflow_vectordb.local.engine.rows import encode
from airflow_vectordb.local.engine.vectors import float_array
from airflow_vectordb.local.errors import ApiError

DIMENSION = 3
SPEC = CollectionSpec(
    "c",
    [
        FieldSpec("id", "Int64", is_primary=True),
        FieldSpec("vector", "FloatVector", params={"dim": str(DIMENSION)}),
        FieldSpec("other", "FloatVector", params={"dim": "2"}),
    ],
    dynamic=True,
)
NUMBERS = "the value of field vector is not a list of numbers: json: cannot unmarshal"


def encoded(*vectors: Any) -> Any:
    rows = [{"id": number, "vector": vector, "other": [1, 2]} for number, vector in enumerate(vectors)]
    return encode(SPEC, rows, with_ids=False)[1].vectors.float_vector


@pytest.mark.parametrize(
    ("vector", "read"),
    [
        ([0.1, -2.5, 3e38], [0.1, -2.5, 3e38]),
        ([1, 0, 1.0], [1, 0, 1]),
        ([None, 2, None], [0, 2, 0]),
        ("[1, 2.5, 3]", [1, 2.5, 3]),
        ([2**63, -(2**70), 5e-324], [2**63, -(2**70), 0]),
    ],
)
def test_vectors_are_read(vector: Any, read: list[float]) -> None:
    plain = [7.0, 8.0, 9.0]
    wanted = schema_pb2.FloatArray(data=[*plain, *read, *plain])
    assert encoded(plain, vector, plain) == wanted


@pytest.mark.parametrize(
    ("vector", "why"),
    [
        ([True, 2, 3], f"{NUMBERS} a list of other things"),
        ([2, 3, False], f"{NUMBERS} a list of other things"),
        (["1", "2", "3"], f"{NUMBERS} a list of other things"),
        ([[1], [2], [3]], f"{NUMBERS} a list of other things"),
        ({"0": 1}, f"{NUMBERS} object"),
        ("123", f"{NUMBERS} number"),
        ([1, 2], "dimension: 3, but length of []float: 2, field vector"),
        ([1, 2, 3, 4], "dimension: 3, but length of []float: 4, field vector"),
        ([1, 2, 1e39], "a value of field vector is not a number or out of the range of float32"),
        ([1, 2, 10**400], "field vector: int too large to convert to float"),
        ("[1, 2, NaN]", "a value of field vector is not a number or out of the range of float32"),
    ],
)
def test_what_is_no_vector_is_refused(vector: Any, why: str) -> None:
    with pytest.raises(ApiError) as refused:
        encoded([1, 2, 3], vector)
    assert refused.value.code == 1804
    assert why in refused.value.message


@pytest.mark.parametrize("count", [0, 1, 31, 32, 4095, 4096, 600_000])
def test_an_array_is_a_message(count: int) -> None:
    numbers = np.arange(count, dtype=np.float32)
    assert list(schema_pb2.FloatArray.FromString(float_array(numbers)).data) == numbers.tolist()


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = lite_engine(tmp_path / "data")
    opened.collections.create("default", SPEC)
    opened.partitions.create("default", "c", "p")
    insert(opened, "", range(20))
    insert(opened, "p", range(15, 30))
    insert(opened, "", [4, 3])
    opened.entities.delete("default", "c", "", "id in [7, 20]")
    yield opened
    opened.close(5)


def insert(engine: Engine, partition: str, keys: Any) -> None:
    rows = [{"id": key, "vector": [key + 0.1, 1, len(keys)], "other": [0, -key], "note": f"n{key}"} for key in keys]
    engine.entities.insert("default", "c", partition, encode(SPEC, rows, with_ids=False), len(rows))


def collection(engine: Engine) -> Any:
    """Return Milvus Lite's open collection."""
    return engine.collections._store.driver._internals._db._collections["default", "c"]  # type: ignore[attr-defined]


def as_lists(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in row.items()}


@pytest.mark.parametrize("partitions", [None, ["p"], ["_default", "p"], ["gone"]])
@pytest.mark.parametrize("field", ["vector", "other", None])
def test_rows_in_memory_are_searched_as_by_milvus_lite(
    engine: Engine, field: str | None, partitions: list[str] | None
) -> None:
    memory = collection(engine)._memtable
    keys, sequence, vectors, rows, table = memory.to_search_snapshot(field, partitions, include_table=True)
    theirs = type(memory).to_search_snapshot.__wrapped__(memory, field, partitions, include_table=True)
    assert (keys, rows, table) == (theirs[0], theirs[3], theirs[4])
    np.testing.assert_array_equal(sequence, theirs[1])
    np.testing.assert_array_equal(vectors, theirs[2])
    assert vectors.dtype == theirs[2].dtype


def test_rows_are_written_as_by_milvus_lite(engine: Engine) -> None:
    memory = collection(engine)._memtable
    rows = [(batch, row) for batch, row, _ in memory._pk_index.values()]
    table = memory._build_data_table(rows)
    assert table.equals(type(memory)._build_data_table.__wrapped__(memory, rows))
    assert table.schema.equals(memory._data_schema)


def test_rows_are_read_as_by_milvus_lite(engine: Engine) -> None:
    opened = collection(engine)
    memory = opened._memtable
    for batch in memory._insert_batches:
        row = memory._row_to_dict(batch, 0)
        assert isinstance(row["vector"], np.ndarray)
        assert as_lists(row) == type(memory)._row_to_dict.__wrapped__(memory, batch, 0)
    engine.segments.flush("default", "c")
    segments = list(opened._segment_cache.values())
    assert len(segments) == 2
    for segment in segments:
        assert as_lists(segment.row_to_dict(1)) == type(segment).row_to_dict.__wrapped__(segment, 1)


def test_arrays_are_validated_but_for_their_numbers(engine: Engine) -> None:
    from milvus_lite.engine.collection import validate_record
    from milvus_lite.exceptions import SchemaValidationError

    schema = collection(engine).schema
    record = {"id": 1, "vector": np.zeros(DIMENSION, np.float32), "other": [1, 2]}
    validate_record(record, schema)
    assert isinstance(record["vector"], np.ndarray)
    for wrong in ({"vector": np.zeros(2, np.float32)}, {"vector": ["a"] * DIMENSION}, {"vector": None}, {"id": "x"}):
        with pytest.raises(SchemaValidationError):
            validate_record({**record, **wrong}, schema)


def test_columns_are_taken_apart_and_built_as_by_milvus_lite(engine: Engine) -> None:
    from milvus_lite.adapter.grpc.translators import records

    rows = [{"id": 1, "vector": [1, 2.5, 3], "other": [0, 1]}, {"id": 2, "vector": [4, 5, 6], "other": [2, 3]}]
    fields = {field.name: field for field in collection(engine).schema.fields}
    for column in encode(SPEC, rows, with_ids=False)[1:3]:
        arrays = records._extract_vector_column(column, 101, len(rows))
        lists = records._extract_vector_column.__wrapped__(column, 101, len(rows))
        assert [list(vector) for vector in arrays] == lists
        field = fields[column.field_name]
        theirs = records._build_field_data.__wrapped__(column.field_name, field, lists)
        assert records._build_field_data(column.field_name, field, arrays) == theirs
