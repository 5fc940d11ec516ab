"""Files as sources; the ending of the name determines the format.

Paths are whatever has ``name``, ``open`` and ``stat``: :class:`pathlib.Path`, or Airflow's ``ObjectStoragePath``.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import IO, Any

from airflow_vectordb.ingest.arrays import Npy, Npz
from airflow_vectordb.ingest.arrow import blocks_of_batches
from airflow_vectordb.ingest.file import File
from airflow_vectordb.ingest.source import BLOCK_ROWS, Block, Path, Row, Source, Unreadable
from airflow_vectordb.ingest.storage import is_remote, open_to_read
from airflow_vectordb.rest.errors import InvalidParametersError

#: Bytes of text read at a time, at least one line.
BLOCK_BYTES = 4 * 1024 * 1024
#: Bytes read at a time of a Parquet column: small enough for a processor's cache.
COLUMN_BYTES = 64 * 1024
#: The same for Parquet and text on object storage, where each read is a request.
REQUEST_BYTES = 8 * 1024 * 1024


class JsonLines(File):
    """One JSON object per line. Empty lines are skipped, but counted."""

    is_sequential = True

    def blocks(self, first: int = 0) -> Iterator[Block]:
        """Read the rows; see :class:`Source`."""
        with self._open() as stream:
            number = 0
            try:
                while lines := stream.readlines(BLOCK_BYTES):
                    if number == 0 and lines[0].lstrip().startswith(b"["):
                        raise self._invalid("is one JSON array; write an object a line")
                    start = max(first - number, 0)
                    if start < len(lines):
                        yield from self._block(number + start, lines[start:])
                    number += len(lines)
            except (OSError, EOFError, zlib.error) as error:
                raise self._invalid(f"cannot be read on after line {number}: {error}") from error

    def _block(self, first: int, lines: Sequence[bytes]) -> Iterator[Block]:
        rows: list[Row | Unreadable] = []
        for line in lines:
            if line.isspace():
                if rows:
                    yield Block(first, rows)
                first, rows = first + len(rows) + 1, []
            else:
                rows.append(_parse_line(line))
        if rows:
            yield Block(first, rows)


def _parse_line(line: bytes) -> Row | Unreadable:
    import orjson

    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return Unreadable(f"is not JSON: {error}")
    return row if isinstance(row, dict) else Unreadable("is JSON, but not an object")


class Csv(File):
    """A header with the names of the fields, and one row per line. An empty value is null; vectors are JSON lists."""

    is_text = True
    is_sequential = True
    _separator = ","

    def columns(self) -> Sequence[str]:
        """Return the header."""
        with self._open() as stream, _as_text(stream) as text:
            return self._header(self._reader(text))

    def blocks(self, first: int = 0) -> Iterator[Block]:
        """Read the rows; see :class:`Source`."""
        with self._open() as stream, _as_text(stream) as text:
            reader = self._reader(text)
            names = self._header(reader)
            records = itertools.islice(reader, first, None)
            try:
                while block := list(itertools.islice(records, BLOCK_ROWS)):
                    yield Block(first, [_csv_row(names, values) for values in block])
                    first += len(block)
            except (csv.Error, OSError, EOFError, UnicodeError, zlib.error) as error:
                raise self._invalid(f"cannot be read on after row {first}: {error}") from error

    def _reader(self, text: IO[str]) -> Iterator[list[str]]:
        csv.field_size_limit(64 * 1024 * 1024)  # a vector as text may be longer than the default, 128 KiB
        return csv.reader(text, delimiter=self._separator, strict=True)

    def _header(self, reader: Iterator[list[str]]) -> list[str]:
        names = next(reader, [])
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise self._invalid(f"its header has {', '.join(map(repr, twice))} twice")
        return names


def _as_text(stream: IO[bytes]) -> IO[str]:
    return io.TextIOWrapper(stream, "utf-8-sig", newline="")


class Tsv(Csv):
    """The same, separated by tabs."""

    _separator = "\t"


def _csv_row(names: Sequence[str], values: Sequence[str]) -> Row | Unreadable:
    if len(values) != len(names):
        return Unreadable(f"{len(values)} columns, and the header has {len(names)}")
    return {name: value or None for name, value in zip(names, values, strict=True)}


class Parquet(File):
    """A Parquet file, read within row groups."""

    def fingerprint(self) -> str:
        """Return the size and a checksum of the footer, which has the position and statistics of each column."""
        with self._open() as stream:
            size = stream.seek(0, io.SEEK_END)
            stream.seek(max(size - 8, 0))
            length = int.from_bytes(stream.read(4), "little")
            stream.seek(max(size - 8 - length, 0))
            return f"{size} bytes, footer {zlib.crc32(stream.read()):08x}"

    def columns(self) -> Sequence[str]:
        """Return the names of the columns."""
        with ExitStack() as stack:
            return list(self._file(stack).schema_arrow.names)

    def row_count(self) -> int:
        """Return the number of rows, from the footer."""
        with ExitStack() as stack:
            return int(self._file(stack).metadata.num_rows)

    def blocks(self, first: int = 0) -> Iterator[Block]:
        """Read the rows; see :class:`Source`."""
        import pyarrow

        with ExitStack() as stack:
            file = self._file(stack)
            groups, begin = range(file.num_row_groups), 0
            while groups and first >= begin + file.metadata.row_group(groups[0]).num_rows:
                begin += file.metadata.row_group(groups[0]).num_rows
                groups = groups[1:]
            if not groups:
                return
            try:
                # Threads would not be faster here, since the caller waits, and would use more processor time.
                batches = file.iter_batches(BLOCK_ROWS, list(groups), use_threads=False)
                yield from blocks_of_batches(batches, first - begin, begin)
            except (pyarrow.ArrowException, OSError) as error:
                raise self._invalid(error) from error

    def _file(self, stack: ExitStack) -> Any:
        import pyarrow
        from pyarrow import parquet

        try:
            # In pieces, since a row group may be as large as the file.
            stream = stack.enter_context(self._open())
            size = REQUEST_BYTES if is_remote(self.path) else COLUMN_BYTES
            return stack.enter_context(parquet.ParquetFile(stream, pre_buffer=False, buffer_size=size))
        except (pyarrow.ArrowException, OSError) as error:
            raise self._invalid(error) from error


class ArrowIpc(File):
    """Arrow's own format, as a file or a stream."""

    def columns(self) -> Sequence[str]:
        """Return the names of the columns."""
        with ExitStack() as stack:
            return list(self._reader(stack).schema.names)

    def blocks(self, first: int = 0) -> Iterator[Block]:
        """Read the rows; see :class:`Source`."""
        import pyarrow

        with ExitStack() as stack:
            reader = self._reader(stack)
            if isinstance(reader, pyarrow.ipc.RecordBatchFileReader):
                batches: Iterable[Any] = map(reader.get_batch, range(reader.num_record_batches))
            else:
                batches = reader
            try:
                yield from blocks_of_batches(batches, first)
            except (pyarrow.ArrowException, OSError) as error:
                raise self._invalid(error) from error

    def _reader(self, stack: ExitStack) -> Any:
        import pyarrow

        stream = stack.enter_context(self._open())
        is_file = stream.read(6) == b"ARROW1"
        stream.seek(0)
        try:
            return stack.enter_context(pyarrow.ipc.open_file(stream) if is_file else pyarrow.ipc.open_stream(stream))
        except (pyarrow.ArrowException, OSError) as error:
            raise self._invalid(error) from error


FORMATS: Mapping[str, type[File]] = {
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".json": JsonLines,
    ".csv": Csv,
    ".tsv": Tsv,
    ".parquet": Parquet,
    ".pq": Parquet,
    ".arrow": ArrowIpc,
    ".arrows": ArrowIpc,
    ".feather": ArrowIpc,
    ".ipc": ArrowIpc,
    ".npz": Npz,
}
_COMPRESSIONS = (".gz", ".zst")


def open_file(path: Path, siblings: Callable[[str], Path | None], vector_field: str = "vector") -> Source:
    """
    Open a file in the format given by its name.

    :param path: the file, compressed where its name ends in ``.gz`` or ``.zst``
    :param siblings: finds the file of a name beside it; None: there is none
    :param vector_field: the field that a ``.npy`` file's vectors are for
    :raises InvalidParametersError: when the name ends in nothing known
    """
    stem, suffix, compression = _parse_name(path.name)
    if suffix == ".npy":
        tables = (siblings(f"{stem}{ending}{packed}") for ending in FORMATS for packed in ("", *_COMPRESSIONS))
        table = next((found for found in tables if found is not None), None)
        opener = _opener(path, compression, is_sequential=True)
        return Npy(path, opener, open_file(table, siblings) if table else None, vector_field)
    if suffix not in FORMATS:
        known = ", ".join([*FORMATS, ".npy"])
        raise InvalidParametersError(
            [f"{path.name}: its name ends in no known format ({known}; each also with .gz or .zst)"], "file"
        )
    kind = FORMATS[suffix]
    return kind(path, _opener(path, compression, is_sequential=kind.is_sequential))


def _parse_name(name: str) -> tuple[str, str, str]:
    compression = next((ending for ending in _COMPRESSIONS if name.lower().endswith(ending)), "")
    stem, dot, suffix = name[: len(name) - len(compression)].rpartition(".")
    return (stem if dot else suffix), f"{dot}{suffix}".lower() if dot else "", compression


def _opener(path: Path, compression: str, *, is_sequential: bool) -> Callable[[], AbstractContextManager[IO[bytes]]]:
    @contextmanager
    def open_() -> Iterator[IO[bytes]]:
        with open_to_read(path) as file:
            is_buffered = is_remote(path) and (is_sequential or compression)
            stream = io.BufferedReader(file, REQUEST_BYTES) if is_buffered else file
            if compression == ".gz":
                with gzip.GzipFile(fileobj=stream) as unpacked:
                    yield io.BufferedReader(unpacked)
            elif compression == ".zst":
                import pyarrow

                with pyarrow.CompressedInputStream(stream, "zstd") as unpacked:
                    yield io.BufferedReader(unpacked)
            else:
                yield stream

    return open_


__all__ = ["FORMATS", "ArrowIpc", "Csv", "JsonLines", "Parquet", "Tsv", "open_file"]
