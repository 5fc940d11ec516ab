"""Rows as Parquet files, as Milvus's importer reads them: in parts, in constant memory, resumable after each part."""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any

from airflow_vectordb.ingest.batches import BadRow
from airflow_vectordb.ingest.rows import RowChecker, problems_of_sources
from airflow_vectordb.ingest.source import Row, Source, Unreadable
from airflow_vectordb.ingest.writer import Progress
from airflow_vectordb.rest.collections import Collection
from airflow_vectordb.rest.errors import InvalidParametersError

if TYPE_CHECKING:
    import pyarrow

_log = logging.getLogger(__name__)
#: Bytes of a part.
PART_BYTES = 256 * 1024 * 1024
#: Bytes of values kept in memory until they are written as a row group.
ROW_GROUP_BYTES = 8 * 1024 * 1024
#: The column of the dynamic fields.
META = "$meta"


def stage(
    sources: Sequence[Source],
    collection: Collection,
    open_part: Callable[[int], IO[bytes]],
    on_bad_row: Callable[[BadRow], None],
    *,
    field_mapping: Mapping[str, str | None] | None = None,
    progress: Progress | None = None,
    save: Callable[[dict[str, Any]], None] = lambda progress: None,
    part_bytes: int = PART_BYTES,
    row_group_bytes: int = ROW_GROUP_BYTES,
) -> Progress:
    """
    Write the rows of sources into Parquet files for an import into a collection.

    :param sources: read one after the other
    :param collection: as described by the server
    :param open_part: opens the file of a part, by its number from 0, for writing
    :param on_bad_row: is called with each row that does not fit; raises to end it all
    :param field_mapping: name in the sources -> name of the field; None in place of one drops the column
    :param progress: what an earlier try has done; None: nothing
    :param save: keeps the progress where a retry finds it; called after each part, with JSON-ready data
    :param part_bytes: bytes of a part, about
    :param row_group_bytes: bytes of values in memory before they are written, about
    :return: the progress at the end; its ``batches`` are the parts
    :raises InvalidParametersError: when the sources do not fit the collection
    """
    checkers = [RowChecker(collection, field_mapping, is_text=source.is_text) for source in sources]
    problems = problems_of_sources(sources, checkers)
    if collection.raw.get("structArrayFields") or collection.raw.get("structFields"):
        problems.append("arrays of structs cannot be staged: stage_to is for collections without them")
    if problems:
        raise InvalidParametersError(problems, f"rows for collection {collection.name!r}")
    done = _where_to_begin(sources, progress)
    began, before = time.monotonic(), done.seconds
    columns_of_file = _columns(collection, checkers[0]) if checkers else []
    skipped = done.skipped
    part: _Part | None = None

    def close(part: _Part, source: int, row: int) -> None:
        nonlocal done
        part.close()
        done = replace(
            done,
            source=source,
            row=row,
            rows=done.rows + part.rows,
            batches=done.batches + 1,
            skipped=skipped,
            size=done.size + part.size,
            seconds=round(before + time.monotonic() - began, 3),
        )
        text = "%s: part %d with %s rows and %.1f MB is written; %s rows so far"
        _log.info(text, collection.name, done.batches, f"{part.rows:,}", part.size / 1e6, f"{done.rows:,}")
        save(done.as_json())

    first_source, first_row = done.source, done.row
    try:
        for number, source in enumerate(sources):
            if number < first_source:
                continue
            for block in source.blocks(first_row if number == first_source else 0):
                fitting = checkers[number].fitting(block.matrices)
                for position, row in enumerate(block.rows, start=block.first):
                    values, problems = _encode(row, checkers[number], fitting, columns_of_file)
                    if problems:
                        on_bad_row(BadRow(source.name, position + 1, tuple(problems), number))
                        skipped += 1
                        continue
                    if part is None:
                        part = _Part(open_part(done.batches), columns_of_file, row_group_bytes)
                    part.add(values)
                    if part.size >= part_bytes:
                        close(part, number, position + 1)
                        part = None
        if part is not None:
            close(part, len(sources), 0)
    except BaseException:
        if part is not None:
            part.abandon()
        raise
    done = replace(done, source=len(sources), row=0, skipped=skipped)
    save(done.as_json())
    return done


def _where_to_begin(sources: Sequence[Source], progress: Progress | None) -> Progress:
    fingerprints = tuple(source.fingerprint() for source in sources)
    if progress is not None and progress.fingerprints == fingerprints:
        return progress
    if progress is not None:
        _log.warning("the sources have changed since an earlier try: starting over from the first row")
    return Progress(fingerprints=fingerprints)


def _encode(
    row: Row | Unreadable, checker: RowChecker, fitting: Container[str], columns: Sequence[_Column]
) -> tuple[list[Any], list[str]]:
    """Return a row's values by column, and its problems."""
    if isinstance(row, Unreadable):
        return [], [row.reason]
    left, problems = checker.check(row, fitting)
    values: list[Any] = []
    for column in columns if not problems else ():
        # The column of the dynamic fields is the last one.
        value = left if column.name == META else left.pop(column.name, None)
        try:
            values.append(None if value is None else column.encode(value))
        except (ValueError, TypeError) as error:
            problems.append(f"{column.name}: {error}")
    return values, problems


class _Part:
    """A Parquet file, written a row group at a time."""

    def __init__(self, sink: IO[bytes], columns: Sequence[_Column], row_group_bytes: int) -> None:
        import pyarrow
        from pyarrow import parquet

        self.rows = 0
        self._sink = sink
        self._columns = columns
        self._row_group_bytes = row_group_bytes
        self._schema = pyarrow.schema([(column.name, column.type) for column in columns])
        texts = [column.name for column in columns if column.is_text]
        self._writer = parquet.ParquetWriter(sink, self._schema, use_dictionary=texts)
        self._values: list[list[Any]] = [[] for _ in columns]
        self._pending = 0
        self.size = 0

    def add(self, row: list[Any]) -> None:
        """Add the values of a row."""
        for column, values, value in zip(self._columns, self._values, row, strict=True):
            values.append(value)
            self._pending += column.width * len(value) if column.is_sized and value is not None else column.width
        self.rows += 1
        if self._pending >= self._row_group_bytes:
            self._write()

    def _write(self) -> None:
        import pyarrow

        if not self._values or not self._values[0]:
            return
        arrays = [column.to_arrow(values) for column, values in zip(self._columns, self._values, strict=True)]
        self._writer.write_table(pyarrow.Table.from_arrays(arrays, schema=self._schema))
        self._values = [[] for _ in self._columns]
        self._pending = 0
        self.size = self._sink.tell()

    def close(self) -> None:
        """Write the remaining rows and the footer."""
        self._write()
        self._writer.close()
        self.size = self._sink.tell() if not self._sink.closed else self.size
        self._sink.close()
        if not getattr(self._sink, "autocommit", True):
            self._sink.commit()  # type: ignore[attr-defined]

    def abandon(self) -> None:
        """Close the file after an error; a retry writes it again under the same name."""
        with suppress(Exception):
            self._writer.close()
        with suppress(Exception):
            self._sink.close()
            if not getattr(self._sink, "autocommit", True):
                self._sink.discard()  # type: ignore[attr-defined]


@dataclass(frozen=True)
class _Column:
    """
    A column of the file.

    :param name: of the field
    :param type: of Arrow, the one that Milvus's importer wants for the field's
    :param encode: turns a checked value into what is collected
    :param to_arrow: makes an array of what was collected
    :param width: bytes of a value, or of each thing in it
    :param is_sized: whether a value is one or many
    :param is_text: whether values may repeat, so that a dictionary is worth while
    """

    name: str
    type: pyarrow.DataType
    encode: Callable[[Any], Any]
    to_arrow: Callable[[list[Any]], pyarrow.Array]
    width: int = 8
    is_sized: bool = True
    is_text: bool = False


def _columns(collection: Collection, checker: RowChecker) -> list[_Column]:
    raw = {str(item.get("name")): item for item in collection.raw.get("fields") or ()}
    types = {field.name: field.type for field in collection.fields}
    columns = [_column(name, types[name], raw.get(name, {})) for name in checker.rules]
    if collection.enable_dynamic_field:
        columns.append(_text_column(META, _to_json))
    return columns


def _column(name: str, kind: str, described: Mapping[str, Any]) -> _Column:
    import pyarrow

    scalars = _scalar_types()
    if kind in scalars:
        type_ = scalars[kind]
        return _Column(name, type_, _as_is, lambda values: pyarrow.array(values, type_), is_sized=False)
    if kind == "FloatVector":
        return _vector_column(name, "float32", _as_is)
    if kind == "Int8Vector":
        return _vector_column(name, "int8", _as_is)
    if kind == "BinaryVector":
        return _vector_column(name, "uint8", _as_is)
    if kind in ("Float16Vector", "BFloat16Vector"):
        return _vector_column(name, "uint8", _half if kind == "Float16Vector" else _bfloat)
    if kind == "Array":
        element = str(described.get("elementType") or described.get("elementDataType") or "VarChar")
        type_ = pyarrow.list_(scalars.get(element, pyarrow.string()))
        return _Column(name, type_, list, lambda values: pyarrow.array(values, type_))
    if kind == "JSON":
        return _text_column(name, _document)
    return _text_column(name, _to_json if kind == "SparseFloatVector" else str)


def _scalar_types() -> dict[str, pyarrow.DataType]:
    import pyarrow

    return {
        "Bool": pyarrow.bool_(),
        "Int8": pyarrow.int8(),
        "Int16": pyarrow.int16(),
        "Int32": pyarrow.int32(),
        "Int64": pyarrow.int64(),
        "Float": pyarrow.float32(),
        "Double": pyarrow.float64(),
    }


def _text_column(name: str, encode: Callable[[Any], str]) -> _Column:
    import pyarrow

    type_ = pyarrow.string()
    return _Column(name, type_, encode, lambda values: pyarrow.array(values, type_), width=1, is_text=True)


def _vector_column(name: str, dtype: str, encode: Callable[[Any], Any]) -> _Column:
    import numpy
    import pyarrow

    type_ = pyarrow.list_(pyarrow.from_numpy_dtype(numpy.dtype(dtype)))

    def to_array(value: Any) -> Any:
        return numpy.asarray(encode(value), dtype)

    def to_arrow(vectors: list[Any]) -> pyarrow.Array:
        if any(vector is None for vector in vectors):
            return pyarrow.array(vectors, type_)
        offsets = numpy.zeros(len(vectors) + 1, "int32")
        numpy.cumsum([len(vector) for vector in vectors], out=offsets[1:])
        return pyarrow.ListArray.from_arrays(offsets, pyarrow.array(numpy.concatenate(vectors)), type=type_)

    return _Column(name, type_, to_array, to_arrow, width=numpy.dtype(dtype).itemsize)


def _as_is(value: Any) -> Any:
    return value


def _to_json(value: Any) -> str:
    import orjson

    try:
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    except orjson.JSONEncodeError as error:
        raise ValueError(f"cannot be written as JSON: {error}") from error


def _document(value: Any) -> str:
    """Return a JSON document; a string that is valid JSON is used as it is, as in Milvus's inserts."""
    import orjson

    if isinstance(value, str):
        with suppress(orjson.JSONDecodeError):
            orjson.loads(value)
            return value
    return _to_json(value)


def _half(value: Any) -> Any:
    """Return the bytes of a 16-bit vector; the row's check has turned bytes into text."""
    import numpy

    if isinstance(value, str):
        return numpy.frombuffer(base64.b64decode(value), "uint8")
    with numpy.errstate(over="ignore"):
        halves = numpy.asarray(value, "float32").astype("<f2")
    if not numpy.isfinite(halves).all():
        raise ValueError("has a number out of the range of a 16-bit float")
    return halves.view("uint8")


def _bfloat(value: Any) -> Any:
    """Return the bytes of a bfloat16 vector: 32-bit floats, truncated, as Milvus does."""
    import numpy

    if isinstance(value, str):
        return numpy.frombuffer(base64.b64decode(value), "uint8")
    return (numpy.asarray(value, "<f4").view("<u4") >> 16).astype("<u2").view("uint8")


__all__ = ["PART_BYTES", "stage"]
