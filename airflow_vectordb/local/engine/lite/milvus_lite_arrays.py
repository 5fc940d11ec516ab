"""Milvus Lite's own functions that look at each number of each vector, done on whole arrays.

They replace Milvus Lite's when it is imported, give the same results, and call the originals for anything but plain
float32 vectors. Without them a row of 768 floats takes a millisecond on its way into a data file, most of it for
checking in Python that floats are floats.
"""

from __future__ import annotations

import functools
import importlib
from types import SimpleNamespace
from typing import Any

import numpy as np

from airflow_vectordb.local.engine.messages import schema_pb2
from airflow_vectordb.local.engine.model import TYPE_NUMBERS
from airflow_vectordb.local.engine.vectors import float_array

NAMES = {
    "adapter.grpc.translators.records": ["_build_field_data", "_extract_vector_column"],
    "engine.collection": ["validate_record"],
    "storage.memtable": [
        *("MemTable", "MemTable._build_data_table", "MemTable._row_to_dict", "MemTable.to_search_snapshot"),
    ],
    "storage.segment": ["Segment", "Segment.row_to_dict"],
}
"""What is replaced, by module of ``milvus_lite``."""

COLLECTION_ATTRIBUTES = ["_memtable._data_schema", "_memtable._insert_batches", "_memtable._lock"]
"""What is used of an open collection."""


def replace_functions(lite: SimpleNamespace) -> None:
    """Put these functions in their places.

    :param lite: what :data:`NAMES` lists, by last name.
    """
    if hasattr(lite.validate_record, "__wrapped__"):
        return
    records = importlib.import_module("milvus_lite.adapter.grpc.translators.records")
    collection = importlib.import_module("milvus_lite.engine.collection")
    vars(records)["_build_field_data"] = _sending_arrays(lite._build_field_data)
    vars(records)["_extract_vector_column"] = _reading_arrays(lite._extract_vector_column)
    vars(collection)["validate_record"] = _validating_arrays(lite.validate_record)
    lite.MemTable._build_data_table = _taking_rows(lite.MemTable._build_data_table)
    lite.MemTable._row_to_dict = _reading_rows(lite.MemTable._row_to_dict)
    lite.MemTable.to_search_snapshot = _searching_arrays(lite.MemTable.to_search_snapshot)
    lite.Segment.row_to_dict = _reading_stored_rows(lite.Segment.row_to_dict)


def _reading_arrays(plain: Any) -> Any:
    """Have the vectors of a column as arrays and not as lists."""

    @functools.wraps(plain)
    def extract_vector_column(column: Any, kind: int, rows: int) -> list[Any]:
        if kind == TYPE_NUMBERS["FloatVector"] and column.vectors.dim > 0:
            numbers = column.vectors.float_vector.data
            if len(numbers) == rows * column.vectors.dim:
                return list(np.array(numbers, np.float32).reshape(rows, column.vectors.dim))
        found: list[Any] = plain(column, kind, rows)
        return found

    return extract_vector_column


class _Floats(list[float]):
    """Stands for an array where that is validated: as long, with nothing in it to look at."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self._length = length

    def __len__(self) -> int:
        return self._length


def _validating_arrays(plain: Any) -> Any:
    """Take an array's numbers for numbers."""

    @functools.wraps(plain)
    def validate_record(record: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        arrays = {name: value for name, value in record.items() if isinstance(value, np.ndarray)}
        record.update((name, _Floats(len(value))) for name, value in arrays.items())
        plain(record, *args, **kwargs)
        record.update(arrays)

    return validate_record


def _taking_rows(plain: Any) -> Any:
    """Write rows to a data file without a Python object for each of their values."""

    @functools.wraps(plain)
    def build_data_table(self: Any, rows: list[tuple[int, int]]) -> Any:
        return _taken(self, rows, self._data_schema.names)

    return build_data_table


def _searching_arrays(plain: Any) -> Any:
    """Search the vectors in memory without a list for each of them."""

    @functools.wraps(plain)
    def to_search_snapshot(
        self: Any, vector_field: str | None, partition_names: list[str] | None = None, include_table: bool = False
    ) -> Any:
        with self._lock:
            if vector_field is None or not self._insert_batches:
                return plain(self, vector_field, partition_names, include_table)
            keys, sequence, vectors, rows, table = plain(self, None, partition_names, include_table)
            if rows:
                column = _taken(self, rows, [vector_field]).column(0).combine_chunks()
                if column.null_count:
                    return plain(self, vector_field, partition_names, include_table)
                vectors = column.flatten().to_numpy(zero_copy_only=False).reshape(len(rows), -1)
            return keys, sequence, vectors, rows, table

    return to_search_snapshot


class _Columns:
    """Columns of rows, of which those of vectors give arrays."""

    def __init__(self, table: Any) -> None:
        self.schema = table.schema
        self._table = table

    def column(self, name: str) -> Any:
        column = self._table.column(name)
        return _Vectors(column) if hasattr(column.type, "list_size") else column


class _Vectors:
    def __init__(self, column: Any) -> None:
        self._column = column

    def __getitem__(self, row: int) -> _Vector:
        return _Vector(self._column[row])


class _Vector:
    def __init__(self, scalar: Any) -> None:
        self._scalar = scalar

    def as_py(self) -> Any:
        numbers = self._scalar.values
        return None if numbers is None else numbers.to_numpy(zero_copy_only=False)


def _reading_rows(plain: Any) -> Any:
    """Have vectors of rows in memory as arrays."""

    @functools.wraps(plain)
    def row_to_dict(self: Any, batch: Any, row: int) -> Any:
        return plain(self, _Columns(batch), row)

    return row_to_dict


def _reading_stored_rows(plain: Any) -> Any:
    """Have vectors of rows in files as arrays."""

    @functools.wraps(plain)
    def row_to_dict(self: Any, row: int) -> Any:
        return plain(SimpleNamespace(table=_Columns(self.table)), row)

    return row_to_dict


def _sending_arrays(plain: Any) -> Any:
    """Answer with arrays as they are."""

    @functools.wraps(plain)
    def build_field_data(name: str, field: Any, column: list[Any]) -> Any:
        dense = field.dtype.name == "FLOAT_VECTOR" and {type(vector) for vector in column} == {np.ndarray}
        if not dense or {len(vector) for vector in column} != {field.dim}:
            return plain(name, field, column)
        data = schema_pb2.FieldData(field_name=name, type=TYPE_NUMBERS["FloatVector"])
        data.vectors.dim = field.dim
        data.vectors.float_vector.MergeFromString(float_array(np.concatenate(column)))
        return data

    return build_field_data


def _taken(memory: Any, rows: list[tuple[int, int]], names: list[str]) -> Any:
    """Return columns of rows in memory, which are named by their batch and their place in it."""
    import pyarrow as pa

    batches = memory._insert_batches
    starts = np.cumsum([0, *(batch.num_rows for batch in batches)])
    places = np.array(rows, np.int64).reshape(-1, 2)
    return pa.Table.from_batches(batches).select(names).take(starts[places[:, 0]] + places[:, 1])
