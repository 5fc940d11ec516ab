"""Rows of a Parquet file, which may be a million times as large as the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

Rows = list[dict[str, Any]]

MOST_BYTES = 512 * 1024 * 1024
"""The most bytes that the files of an import job may have, and its rows in memory too."""

MOST_ROWS = 10_000_000
"""The most rows that an import job may have."""

MOST_ROW = 16 * 1024 * 1024
"""The most bytes that a row may have."""

PIECE = 1024 * 1024
"""So many bytes of a file become rows at a time."""

_MOST_IN_PIECE = 2000
_WIDTHS = {"INT32": 4, "FLOAT": 4, "INT64": 8, "DOUBLE": 8}


def read_parquet(file: IO[bytes]) -> Iterator[Rows]:
    """Read rows, some at a time.

    :raises ValueError: when there are more of them, or of their bytes, than a job may have, or no field takes a column.
    """
    # Installed, as Milvus Lite needs it.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        footer = pq.ParquetFile(file, pre_buffer=False)
        _check_claims(footer)
        # Texts stay where a file has each of them once, until it is known how long they are as rows.
        texts = [
            footer.schema.column(i).path
            for i in range(len(footer.schema))
            if footer.schema.column(i).physical_type == "BYTE_ARRAY"
        ]
        found = pq.ParquetFile(file, pre_buffer=False, read_dictionary=texts)
        rows = footer.metadata.num_rows
        step = max(1, min(_MOST_IN_PIECE, rows * PIECE // max(1, _claimed_bytes(footer))))
        size = 0
        for batch in found.iter_batches(step, use_threads=False):
            size += _size_of(batch.to_struct_array())
            if size > MOST_BYTES:
                raise ValueError(f"its rows have more than {MOST_BYTES} bytes")
            for piece in _pieces(batch):
                yield piece.to_pylist()
    except pa.ArrowException as error:
        # Not all of them are ValueErrors.
        raise ValueError(str(error)) from error


def _check_claims(file: Any) -> None:
    import pyarrow as pa

    for field in file.schema_arrow:
        kinds = (pa.types.is_temporal, pa.types.is_decimal, pa.types.is_binary, pa.types.is_large_binary)
        if any(is_kind(field.type) for is_kind in kinds):
            raise ValueError(f"no field takes the values of its column {field.name}, of type {field.type}")
    rows, size = file.metadata.num_rows, _claimed_bytes(file)
    if rows > MOST_ROWS:
        raise ValueError(f"it has {rows} rows, and a job may have {MOST_ROWS}")
    if size > MOST_BYTES:
        raise ValueError(f"its values have at least {size} bytes, and a job may have {MOST_BYTES}")
    if size > rows * MOST_ROW:
        raise ValueError(f"a row has more than {MOST_ROW} bytes")


def _claimed_bytes(file: Any) -> int:
    """How many bytes its values have at least, by what it claims of their number and its pages' size."""
    metadata = file.metadata
    size = 0
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            # What the file has once may be many values.
            each = _WIDTHS.get(column.physical_type, 1)
            size += max(column.total_uncompressed_size, column.num_values * each)
    return size


def _pieces(batch: Any) -> Iterator[Any]:
    """Return a batch in parts that become rows together; some rows may be far larger than others."""
    size = _size_of(batch.to_struct_array())
    if size > 8 * PIECE and batch.num_rows > 1:
        half = batch.num_rows // 2
        yield from _pieces(batch.slice(0, half))
        yield from _pieces(batch.slice(half))
    elif size > MOST_ROW and batch.num_rows == 1:
        raise ValueError(f"a row has more than {MOST_ROW} bytes")
    else:
        yield batch


def _size_of(values: Any) -> int:
    """Return the bytes of values in memory, each text counted wherever it is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    if pa.types.is_dictionary(kind):
        lengths = pc.binary_length(values.dictionary)
        return 8 * len(values) + (pc.sum(lengths.take(values.indices)).as_py() or 0)
    if pa.types.is_struct(kind):
        return sum(_size_of(part) for part in values.flatten())
    nested = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_map)
    if any(is_kind(kind) for is_kind in nested):
        return 8 * len(values) + _size_of(values.flatten())
    return int(values.nbytes)
