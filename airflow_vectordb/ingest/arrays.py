"""NumPy's files as sources."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import IO, TYPE_CHECKING, Any

from airflow_vectordb.ingest.arrow import is_matrix
from airflow_vectordb.ingest.file import File
from airflow_vectordb.ingest.source import BLOCK_ROWS, Block, Path, Source, Unreadable
from airflow_vectordb.rest.errors import InvalidParametersError

if TYPE_CHECKING:
    import numpy


class Npz(File):
    """NumPy arrays in one ``.npz``: one array per field, named after it, with the rows along the first axis."""

    def columns(self) -> Sequence[str]:
        """Return the names of the arrays."""
        with ExitStack() as stack:
            return list(self._arrays(stack))

    def row_count(self) -> int:
        """Return the number of rows."""
        with ExitStack() as stack:
            return next((array.shape[0] for array in self._arrays(stack).values()), 0)

    def blocks(self, first: int = 0) -> Iterator[Block]:
        """Read the rows; see :class:`Source`."""
        with ExitStack() as stack:
            yield from _blocks_of_arrays(self._arrays(stack), first, self._invalid)

    def _arrays(self, stack: ExitStack) -> dict[str, NpyStream]:
        try:
            archive = stack.enter_context(zipfile.ZipFile(stack.enter_context(self._open())))
            arrays = {
                member.removesuffix(".npy"): NpyStream(stack.enter_context(archive.open(member)))
                for member in archive.namelist()
            }
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise self._invalid(error) from error
        lengths = {name: array.shape[0] for name, array in arrays.items()}
        if len(set(lengths.values())) > 1:
            raise self._invalid(f"its arrays differ in length: {lengths}")
        return arrays


class Npy(File):
    """
    A NumPy array with one vector per row, next to a table of the same name with the other fields.

    :param path: where it is
    :param open_: opens it
    :param table: the other fields; None: there are none
    :param field: the field that the vectors are for
    """

    def __init__(
        self,
        path: Path,
        open_: Callable[[], AbstractContextManager[IO[bytes]]],
        table: Source | None,
        field: str = "vector",
    ) -> None:
        super().__init__(path, open_)
        self._table = table
        self._field = field
        self.is_text = table is not None and table.is_text

    def fingerprint(self) -> str:
        """Return the fingerprints of both files."""
        return f"{super().fingerprint()}; {self._table.fingerprint() if self._table else None}"

    def columns(self) -> Sequence[str] | None:
        """Return the vector field's name, and the table's columns."""
        others = self._table.columns() if self._table else []
        return None if others is None else [*others, self._field]

    def row_count(self) -> int:
        """Return the number of vectors."""
        with self._open() as stream:
            return int(self._array(stream).shape[0])

    def blocks(self, first: int = 0) -> Iterator[Block]:
        """Read the rows; see :class:`Source`."""
        with self._open() as stream:
            array = self._array(stream)
            if self._table is None:
                yield from _blocks_of_arrays({self._field: array}, first, self._invalid)
                return
            array.skip(first)
            number = first
            for block in self._table.blocks(first):
                vectors = self._read(array, block.first - number + len(block.rows))[block.first - number :]
                number = block.first + len(block.rows)
                if len(vectors) < len(block.rows):
                    raise self._invalid(f"{array.shape[0]} vectors, and {self._table.name} has more rows")
                pairs = zip(block.rows, vectors, strict=True)
                rows = [row if isinstance(row, Unreadable) else {**row, self._field: vector} for row, vector in pairs]
                yield Block(block.first, rows, {**block.matrices, **_matrices({self._field: vectors})})
            if number < array.shape[0]:
                raise self._invalid(f"{array.shape[0]} vectors, and {self._table.name} has {number} rows")

    def _array(self, stream: IO[bytes]) -> NpyStream:
        try:
            return NpyStream(stream)
        except (ValueError, OSError, EOFError) as error:
            raise self._invalid(error) from error

    def _read(self, array: NpyStream, rows: int) -> Any:
        try:
            return array.read(rows)
        except (ValueError, OSError, EOFError) as error:
            raise self._invalid(error) from error


class NpyStream:
    """
    An array of a ``.npy`` file, read in pieces and never as a whole.

    :param stream: at the file's beginning
    :raises ValueError: when it is no such file, has Python objects, or is stored by columns
    """

    def __init__(self, stream: IO[bytes]) -> None:
        from numpy.lib import format

        npy: Any = format  # without annotations
        version = npy.read_magic(stream)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        self.shape, by_columns, self._dtype = read_header(stream)
        if self._dtype.hasobject:
            raise ValueError("has Python objects")
        if not self.shape:
            raise ValueError("is a single number")
        if by_columns and len(self.shape) > 1:
            raise ValueError("is stored by columns; save numpy.ascontiguousarray(…) of it")
        self._stream = stream
        self._row_bytes = self._dtype.itemsize
        for length in self.shape[1:]:
            self._row_bytes *= length
        self._left = self.shape[0]

    def skip(self, rows: int) -> None:
        """Skip rows."""
        while rows > 0:
            rows -= len(self.read(min(rows, BLOCK_ROWS))) or rows

    def read(self, rows: int) -> numpy.ndarray[Any, Any]:
        """
        Read rows; fewer at the end.

        :raises EOFError: when the file ends within them
        """
        import numpy

        rows = min(rows, self._left)
        wanted, pieces = rows * self._row_bytes, []
        while wanted:
            piece = self._stream.read(wanted)
            if not piece:
                raise EOFError(f"ends early: {self._left - rows} of {self.shape[0]} rows are not there")
            pieces.append(piece)
            wanted -= len(piece)
        self._left -= rows
        return numpy.frombuffer(b"".join(pieces), self._dtype).reshape(rows, *self.shape[1:])


def _blocks_of_arrays(
    arrays: Mapping[str, NpyStream], first: int, invalid: Callable[[object], InvalidParametersError]
) -> Iterator[Block]:
    try:
        for array in arrays.values():
            array.skip(first)
        while True:
            columns = {name: array.read(BLOCK_ROWS) for name, array in arrays.items()}
            values = [column if column.ndim > 1 else column.tolist() for column in columns.values()]
            rows = [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
            if not rows:
                return
            yield Block(first, rows, _matrices(columns))
            first += len(rows)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise invalid(error) from error


def _matrices(columns: Mapping[str, numpy.ndarray[Any, Any]]) -> dict[str, Any]:
    return {name: column for name, column in columns.items() if is_matrix(column)}


__all__ = ["Npy", "NpyStream", "Npz"]
