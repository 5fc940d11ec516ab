"""NumPy's files as sources."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

from airflow_vectordb.ingest.file import File
from airflow_vectordb.ingest.source import BLOCK_ROWS, Block, Source, Unreadable


class Npz(File):
    """NumPy arrays in one ``.npz``: one array per field, named after it, with the rows along the first axis."""

    def columns(self) -> Sequence[str]:
        """Return the names of the arrays."""
        with self._opened() as stream:
            return list(self._arrays(stream))

    def row_count(self) -> int:
        """Return the number of rows."""
        with self._opened() as stream:
            return next((array.shape[0] for array in self._arrays(stream).values()), 0)

    def _blocks(self, stream: IO[bytes], first: int) -> Iterator[Block]:
        return _blocks_of_arrays(self._arrays(stream), first)

    def _arrays(self, stream: IO[bytes]) -> dict[str, NpyStream]:
        archive = zipfile.ZipFile(stream)
        arrays = {name.removesuffix(".npy"): NpyStream(archive.open(name)) for name in archive.namelist()}
        lengths = {name: array.shape[0] for name, array in arrays.items()}
        if len(set(lengths.values())) > 1:
            raise self._invalid(f"its arrays differ in length: {lengths}")
        return arrays


class Npy(File):
    """
    A NumPy array with one vector per row, next to a table of the same name with the other fields.

    :param table: the other fields; None: there are none
    :param field: the field that the vectors are for
    """

    is_sequential = True

    def __init__(self, path: Any, compression: str, table: Source | None, field: str) -> None:
        super().__init__(path, compression)
        self._table = table
        self._field = field
        self.is_text = table is not None and table.is_text

    def fingerprint(self) -> str:
        """Return the fingerprints of both files."""
        return f"{super().fingerprint()}; {self._table.fingerprint() if self._table else None}"

    def columns(self) -> Sequence[str] | None:
        """Return the vector field's name, and the table's columns."""
        others = self._table.columns() if self._table else []
        return None if others is None else list(dict.fromkeys([*others, self._field]))

    def row_count(self) -> int:
        """Return the number of vectors."""
        with self._opened() as stream:
            return int(NpyStream(stream).shape[0])

    def _blocks(self, stream: IO[bytes], first: int) -> Iterator[Block]:
        array = NpyStream(stream)
        if self._table is None:
            yield from _blocks_of_arrays({self._field: array}, first)
            return
        array.skip(first)
        number = first
        for block in self._table.blocks(first):
            if any(self._field in row for row in block.rows if not isinstance(row, Unreadable)):
                raise self._invalid(f"{self._table.name} has {self._field!r}, too: keep its vectors in one of the two")
            vectors = Block.of_columns(number, {self._field: array.read(len(block.rows))})
            number += len(block.rows)
            if len(vectors.rows) < len(block.rows):
                raise self._invalid(f"{array.shape[0]} vectors, and {self._table.name} has more rows")
            pairs: Any = zip(block.rows, vectors.rows, strict=True)
            rows = [row if isinstance(row, Unreadable) else {**row, **vector} for row, vector in pairs]
            yield Block(block.first, rows, {**block.matrices, **vectors.matrices})
        if number < array.shape[0]:
            raise self._invalid(f"{array.shape[0]} vectors, and {self._table.name} has {number} rows")


class NpyStream:
    """An array of a ``.npy`` file, read in pieces and never as a whole."""

    def __init__(self, stream: IO[bytes]) -> None:
        from numpy.lib import format

        npy: Any = format  # without annotations
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        self.shape, by_columns, self._dtype = read_header(stream)
        if self._dtype.hasobject:
            raise ValueError("it has Python objects")
        if not self.shape:
            raise ValueError("it is a single number")
        if by_columns and len(self.shape) > 1:
            raise ValueError("it is stored by columns; save numpy.ascontiguousarray(…) of it")
        self._stream = stream
        self._row_bytes = math.prod((self._dtype.itemsize, *self.shape[1:]))
        self._left = self.shape[0]

    def skip(self, rows: int) -> None:
        """Skip rows."""
        while rows > 0:
            rows -= len(self.read(min(rows, BLOCK_ROWS))) or rows

    def read(self, rows: int) -> Any:
        """Read rows, fewer at the end: an array, or a list if each row is a single value."""
        import numpy

        rows = min(rows, self._left)
        data = self._stream.read(rows * self._row_bytes)
        if len(data) < rows * self._row_bytes:
            raise EOFError(f"it ends early: {self._left - rows} of {self.shape[0]} rows are missing")
        self._left -= rows
        if not self._left and self._stream.read(1):
            raise ValueError("it has more than one array, or goes on after its end")
        array = numpy.frombuffer(data, self._dtype).reshape(rows, *self.shape[1:])
        return array if array.ndim > 1 else array.tolist()


def _blocks_of_arrays(arrays: Mapping[str, NpyStream], first: int) -> Iterator[Block]:
    for array in arrays.values():
        array.skip(first)
    while (block := Block.of_columns(first, {name: array.read(BLOCK_ROWS) for name, array in arrays.items()})).rows:
        yield block
        first += len(block.rows)
