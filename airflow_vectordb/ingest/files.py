"""Files as sources; the ending of the name determines the format."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import IO, Any

from airflow_vectordb.ingest.arrays import Npy, Npz
from airflow_vectordb.ingest.file import COMPRESSIONS, REQUEST_BYTES, File
from airflow_vectordb.ingest.memory import blocks_of_batches
from airflow_vectordb.ingest.source import BLOCK_ROWS, Block, Row, Source, Unreadable
from airflow_vectordb.ingest.storage import is_remote, storage_errors
from airflow_vectordb.rest.errors import InvalidParametersError

#: What ends a stream of Arrow's. A writer that was killed may leave one that is whole but for it.
END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
#: Bytes read at a time of a Parquet column: small enough for a processor's cache.
COLUMN_BYTES = 64 * 1024


class JsonLines(File):
    """One JSON object per line. Empty lines are skipped."""

    is_sequential = True

    def _blocks(self, stream: Any, first: int) -> Iterator[Block]:
        if stream.peek(1).lstrip(codecs.BOM_UTF8 + b" \t\r\n").startswith(b"["):
            raise self._invalid("is one JSON array; write one object per line")
        return Block.of_items(first, itertools.filterfalse(bytes.isspace, stream), _parse_line)


def _parse_line(line: bytes) -> Row | Unreadable:
    import orjson

    try:
        row = orjson.loads(line.removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError as error:
        return Unreadable(f"is not JSON: {error}")
    return row if isinstance(row, dict) else Unreadable("is JSON, but not an object")


class Csv(File):
    """A header with the names of the fields, and one row per line. An empty value is null; vectors are JSON lists."""

    is_text = True
    is_sequential = True
    _separator = ","

    def columns(self) -> Sequence[str] | None:
        """Return the header; None: the file is empty."""
        with self._opened() as stream, self._lines(stream) as (names, _):
            return names or None

    def _blocks(self, stream: IO[bytes], first: int) -> Iterator[Block]:
        with self._lines(stream) as (names, lines):
            yield from Block.of_items(first, lines, partial(_csv_row, names))

    @contextmanager
    def _lines(self, stream: IO[bytes]) -> Iterator[tuple[list[str], Iterator[list[str]]]]:
        """Read the header; return it and the other lines."""
        csv.field_size_limit(64 * 1024 * 1024)  # a vector as text may be longer than the default, 128 KiB
        with io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
            lines = filter(None, csv.reader(text, delimiter=self._separator, strict=True))  # without empty lines
            names = next(lines, [])
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise self._invalid(f"its header has {', '.join(map(repr, twice))} twice")
            yield names, lines


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
        with self._opened() as stream:
            size = stream.seek(0, io.SEEK_END)
            stream.seek(max(size - 8, 0))
            length = int.from_bytes(stream.read(4), "little")
            stream.seek(max(size - 8 - length, 0))
            return f"{size} bytes, footer {zlib.crc32(stream.read()):08x}"

    def columns(self) -> Sequence[str]:
        """Return the names of the columns."""
        with self._opened() as stream:
            return list(self._file(stream).schema_arrow.names)

    def row_count(self) -> int:
        """Return the number of rows, from the footer."""
        with self._opened() as stream:
            return int(self._file(stream).metadata.num_rows)

    def _blocks(self, stream: IO[bytes], first: int) -> Iterator[Block]:
        file = self._file(stream)
        groups = range(file.num_row_groups)
        begins = [0, *itertools.accumulate(file.metadata.row_group(group).num_rows for group in groups)]
        group = bisect_right(begins, first) - 1
        # Threads would not be faster here, since the caller waits, and would use more processor time.
        batches = file.iter_batches(BLOCK_ROWS, list(groups[group:]), use_threads=False)
        yield from blocks_of_batches(batches, first, begins[group])

    def _file(self, stream: IO[bytes]) -> Any:
        from pyarrow import parquet

        # In pieces, since a row group may be as large as the file.
        size = REQUEST_BYTES if is_remote(self.path) else COLUMN_BYTES
        return parquet.ParquetFile(stream, pre_buffer=False, buffer_size=size)


class ArrowIpc(File):
    """Arrow's own format, as a file or a stream."""

    def columns(self) -> Sequence[str]:
        """Return the names of the columns."""
        with self._opened() as stream:
            return list(self._reader(stream).schema.names)

    def _blocks(self, stream: IO[bytes], first: int) -> Iterator[Block]:
        reader = self._reader(stream)
        is_file = hasattr(reader, "get_batch")
        if is_file:
            reader = map(reader.get_batch, range(reader.num_record_batches))
        yield from blocks_of_batches(map(_validated, reader), first)
        if not is_file:
            stream.seek(-len(END_OF_STREAM), io.SEEK_CUR)
            if stream.read(len(END_OF_STREAM) + 1) != END_OF_STREAM:
                raise EOFError("it is cut short, or goes on after its end: write it again")

    def _reader(self, stream: IO[bytes]) -> Any:
        from pyarrow import ipc

        is_file = stream.read(6) == b"ARROW1"
        stream.seek(0)
        return ipc.open_file(stream) if is_file else ipc.open_stream(stream)


def _validated(batch: Any) -> Any:
    batch.validate(full=True)  # reading the values of a broken one could crash the process
    return batch


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


def open_file(path: Any, vector_field: str = "vector") -> Source:
    """
    Open a file in the format given by its name.

    :param path: the file, compressed where its name ends in ``.gz`` or ``.zst``; see :class:`File`
    :param vector_field: the field that a ``.npy`` file's vectors are for
    :raises InvalidParametersError: when the name ends in nothing known
    """
    compression = next((ending for ending in COMPRESSIONS if path.name.lower().endswith(ending)), "")
    stem, dot, suffix = path.name[: len(path.name) - len(compression)].rpartition(".")
    suffix = f"{dot}{suffix}".lower()
    if suffix == ".npy":
        tables = (path.parent / f"{stem}{ending}{packed}" for ending in FORMATS for packed in ("", *COMPRESSIONS))
        with storage_errors(path):
            table = next((found for found in tables if found.exists()), None)
        return Npy(path, compression, open_file(table) if table else None, vector_field)
    if suffix not in FORMATS:
        known = ", ".join([*FORMATS, ".npy"])
        raise InvalidParametersError(
            [f"{path.name}: unknown file format: its name must end in {known}, which .gz or .zst may follow"], "file"
        )
    return FORMATS[suffix](path, compression)
