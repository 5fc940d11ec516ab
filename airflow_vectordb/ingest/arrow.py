"""Arrow data as rows, without a Python list between a vector and its encoding."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from airflow_vectordb.ingest.source import BLOCK_ROWS, Block

if TYPE_CHECKING:
    import pyarrow


def blocks_of_batches(batches: Iterable[pyarrow.RecordBatch], first: int, number: int = 0) -> Iterator[Block]:
    """Turn record batches into blocks, from row ``first`` on; ``number`` is that of the first batch's first row."""
    for batch in batches:
        for start in range(max(first - number, 0), batch.num_rows, BLOCK_ROWS):
            part = batch.slice(start, BLOCK_ROWS)
            columns = zip(part.schema.names, map(_values, part.columns), strict=True)
            yield Block.of_columns(number + start, dict(columns))
        number += batch.num_rows


def _values(column: pyarrow.Array) -> Any:
    """Return a column's values. Vectors become NumPy arrays that share its memory."""
    import numpy
    from pyarrow import types

    kind = column.type
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    if not is_list or not (types.is_floating(kind.value_type) or types.is_integer(kind.value_type)):
        return column.to_pylist()
    if types.is_fixed_size_list(kind):
        # `flatten` omits the values of nulls, and `values` ignores slices.
        numbers = column.values.slice(column.offset * kind.list_size, len(column) * kind.list_size)
        bounds = numpy.arange(len(column) + 1) * kind.list_size
    else:
        numbers, bounds = column.values, column.offsets.to_numpy()
    if numbers.null_count:  # reported by the check of the row
        return column.to_pylist()
    flat = numbers.to_numpy(zero_copy_only=False)
    lengths = numpy.diff(bounds)
    if not column.null_count and lengths.size and lengths.min() == lengths.max():
        return flat[bounds[0] : bounds[-1]].reshape(len(column), lengths[0])
    vectors: list[Any] = [flat[start:end] for start, end in itertools.pairwise(bounds.tolist())]
    if column.null_count:
        vectors = [
            vector if there else None for vector, there in zip(vectors, column.is_valid().to_pylist(), strict=True)
        ]
    return vectors


__all__ = ["blocks_of_batches"]
