"""Rows that are in memory: iterables, frames and Arrow data."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from airflow_vectordb.ingest.arrow import blocks_of_batches
from airflow_vectordb.ingest.source import BLOCK_ROWS, Block, Row, Source, Unreadable
from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.spelling import describe_value, is_nothing

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
        rows = itertools.islice(iter(self._rows), first, None)
        while block := list(itertools.islice(rows, BLOCK_ROWS)):
            yield Block(first, [_as_row(row) for row in block])
            first += len(block)


def _as_row(value: Any) -> Row | Unreadable:
    return value if isinstance(value, Mapping) else Unreadable(f"a row must be a mapping, not {describe_value(value)}")


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
        batches = pyarrow.RecordBatchReader.from_stream(self._data) if is_stream else [pyarrow.record_batch(self._data)]
        yield from blocks_of_batches(batches, first)


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
    return isinstance(output, Mapping) and isinstance(output.get(CHUNKS), list | tuple)


def _hint(rows: Any) -> str:
    if rows is None:
        return "; [] means no rows"
    if isinstance(rows, str) and (is_nothing(rows) or not rows.strip()):
        return ": did its template render to nothing?"
    return "; for files, pass source" if isinstance(rows, str | os.PathLike) else ""


__all__ = ["ArrowData", "Rows", "source_of"]
