"""Rows that are in memory: iterables, frames and Arrow data."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_vectordb.ingest.source import BLOCK_ROWS, Block, Row, Source, Unreadable
from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.spelling import describe_value, is_nothing

if TYPE_CHECKING:
    import pyarrow

#: The key of the rows in the output of Airflow's embedding operator (``common.ai``).
CHUNKS = "chunks"


class Rows(Source):
    """
    Rows of an iterable.

    :param rows: mappings of field name to value. A generator is read once; resuming it passes over what was written.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows

    def row_count(self) -> int | None:
        """Return the number of rows; None for a generator."""
        return len(self._rows) if isinstance(self._rows, Sequence) else None

    def blocks(self, first: int = 0) -> Iterator[Block]:
        """Read the rows; see :class:`Source`."""
        if isinstance(self._rows, Sequence):
            return Block.of_items(first, self._rows, _as_row)
        # A generator may take long for a row, or yield the same mapping again, with other values.
        rows = enumerate(itertools.islice(self._rows, first, None), start=first)
        return (Block(number, [_as_row(row)]) for number, row in rows)


def _as_row(value: Any) -> Row | Unreadable:
    if isinstance(value, (dict, Mapping)):
        return value
    return Unreadable(f"a row must be a mapping, not {describe_value(value)}")


class ArrowData(Source):
    """
    Rows of Arrow data that is in memory, or comes as a stream: tables, record batches, Polars and pandas frames.

    :param data: what has ``__arrow_c_stream__`` or ``__arrow_c_array__``
    """

    def __init__(self, data: Any) -> None:
        self._data = data

    def columns(self) -> Sequence[str] | None:
        """Return the names of the columns."""
        names = getattr(getattr(self._data, "schema", None), "names", None)
        return list(names) if isinstance(names, list) else None

    def row_count(self) -> int | None:
        """Return the number of rows; None for a stream."""
        return len(self._data) if hasattr(self._data, "__len__") else None

    def blocks(self, first: int = 0) -> Iterator[Block]:
        """Read the rows; see :class:`Source`."""
        import pyarrow

        is_stream = hasattr(self._data, "__arrow_c_stream__")
        try:
            batches = (
                pyarrow.RecordBatchReader.from_stream(self._data) if is_stream else [pyarrow.record_batch(self._data)]
            )
        except (ValueError, TypeError, NotImplementedError) as error:  # of a frame: mixed types, two columns of a name
            raise InvalidParametersError([f"the frame cannot become Arrow data: {error}"], "rows") from error
        yield from blocks_of_batches(batches, first)


def blocks_of_batches(batches: Iterable[pyarrow.RecordBatch], first: int, number: int = 0) -> Iterator[Block]:
    """Turn record batches into blocks, from row ``first`` on; ``number`` is that of the first batch's first row."""
    for batch in batches:
        names = batch.schema.names
        if len(set(names)) < len(names):
            raise InvalidParametersError([f"several columns have the same name: {', '.join(names)}"], "rows")
        for start in range(max(first - number, 0), batch.num_rows, BLOCK_ROWS):
            part = batch.slice(start, BLOCK_ROWS)
            columns = {name: _values(part.column(name)) for name in names}
            yield Block.of_columns(number + start, columns)
        number += batch.num_rows


def _values(column: pyarrow.Array) -> Any:
    """Return a column's values. Vectors become NumPy arrays that share its memory."""
    import pyarrow.compute
    from pyarrow import types

    kind = column.type
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    if not is_list or not (types.is_floating(kind.value_type) or types.is_integer(kind.value_type)):
        return column.to_pylist(maps_as_pydicts="strict") if "map<" in str(kind) else column.to_pylist()  # faster
    numbers = column.flatten()  # without those of nulls
    if numbers.null_count:  # reported by the check of the row
        return column.to_pylist()
    flat = numbers.to_numpy(zero_copy_only=False)
    lengths = pyarrow.compute.list_value_length(column).fill_null(0).to_numpy()
    if not column.null_count and lengths.min() == lengths.max():
        return flat.reshape(len(column), lengths[0])
    ends = lengths.cumsum()
    vectors = (flat[start:end] for start, end in zip(ends - lengths, ends, strict=True))
    return [vector if there else None for vector, there in zip(vectors, column.is_valid().to_pylist(), strict=True)]


def source_of(rows: Any) -> Source:
    """
    Wrap rows in memory.

    :param rows: an iterable of mappings, a pandas or Polars frame, Arrow data, or what an embedding task returns: a
        mapping whose ``chunks`` are the rows, or a list of such
    :raises InvalidParametersError: for anything else
    """
    if hasattr(rows, "__arrow_c_stream__") or hasattr(rows, "__arrow_c_array__"):
        return ArrowData(rows)
    outputs = [rows] if isinstance(rows, Mapping) else rows
    if isinstance(outputs, Sequence) and outputs and all(_has_chunks(output) for output in outputs):
        rows = [row for output in outputs for row in output[CHUNKS]]
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        problem = f"rows must be a list of mappings, a frame or Arrow data, not {describe_value(rows)}{_hint(rows)}"
        raise InvalidParametersError([problem], "rows")
    return Rows(rows)


def _has_chunks(output: Any) -> bool:
    chunks = output.get(CHUNKS) if isinstance(output, Mapping) else None
    return isinstance(chunks, list | tuple) and all(isinstance(chunk, Mapping) for chunk in chunks)


def _hint(rows: Any) -> str:
    if rows is None:
        return "; [] means no rows"
    if isinstance(rows, str) and (is_nothing(rows) or not rows.strip()):
        return ": did its template render to nothing?"
    if isinstance(rows, str) and rows.lstrip()[:1] in ("[", "{"):
        return ", a list or mapping rendered to text: pass a task's output itself"
    return "; for files, pass source" if isinstance(rows, str | os.PathLike) else ""
