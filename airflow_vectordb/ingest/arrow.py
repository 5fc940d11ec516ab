"""Arrow data as rows, without a Python list between a vector and its encoding."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow_vectordb.ingest.source import BLOCK_ROWS, Block, Row

if TYPE_CHECKING:
    import pyarrow


def blocks_of_batches(batches: Iterable[pyarrow.RecordBatch], skip: int, number: int = 0) -> Iterator[Block]:
    """Turn record batches into blocks; ``number`` is that of the first batch's first row."""
    for batch in batches:
        if skip >= batch.num_rows:
            skip -= batch.num_rows
            number += batch.num_rows
            continue
        for start in range(skip, batch.num_rows, BLOCK_ROWS):
            rows = arrow_rows(batch.slice(start, BLOCK_ROWS))
            yield Block(number + start, rows)
        number += batch.num_rows
        skip = 0


def arrow_rows(batch: pyarrow.RecordBatch) -> list[Row]:
    """
    Turn a record batch into rows. Vectors become NumPy arrays that share its memory.

    :param batch: the rows, by columns
    """
    columns = [_arrow_values(column) for column in batch.columns]
    names = batch.schema.names
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _arrow_values(column: pyarrow.Array) -> Any:
    from pyarrow import types

    kind = column.type
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    if not is_list or not (types.is_floating(kind.value_type) or types.is_integer(kind.value_type)):
        return column.to_pylist()
    if types.is_fixed_size_list(kind):
        # `flatten` leaves the values of nulls out, and `values` knows no slice.
        numbers = column.values.slice(column.offset * kind.list_size, len(column) * kind.list_size)
        bounds: Sequence[int] = range(0, (len(column) + 1) * kind.list_size, kind.list_size)
    else:
        numbers, bounds = column.values, column.offsets.to_pylist()
    if numbers.null_count:  # reported by the check of the row
        return column.to_pylist()
    flat = numbers.to_numpy(zero_copy_only=False)
    vectors: list[Any] = [flat[start:end] for start, end in itertools.pairwise(bounds)]
    if column.null_count:
        vectors = [
            vector if there else None for vector, there in zip(vectors, column.is_valid().to_pylist(), strict=True)
        ]
    return vectors


__all__ = ["arrow_rows", "blocks_of_batches"]
