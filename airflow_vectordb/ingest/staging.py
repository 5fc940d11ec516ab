"""Rows as Parquet files, as Milvus's importer reads them: in parts, in constant memory, resumable after each part."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any

from airflow_vectordb.ingest.batches import BadRow
from airflow_vectordb.ingest.rows import FieldRule, RowChecker, problems_of_sources
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
#: Rows that become Arrow data together.
BATCH_ROWS = 64
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

        self.rows = self.size = 0
        self._sink = sink
        self._columns = columns
        self._row_group_bytes = row_group_bytes
        self._schema = pyarrow.schema([(column.name, column.type) for column in columns])
        # Texts may repeat, so that a dictionary is worth while.
        texts = [column.name for column in columns if pyarrow.types.is_string(column.type)]
        self._writer = parquet.ParquetWriter(sink, self._schema, use_dictionary=texts)
        self._values: list[list[Any]] = []
        self._batches: list[pyarrow.RecordBatch] = []
        self._pending = 0  # bytes in them

    def add(self, values: list[Any]) -> None:
        """Add the values of a row."""
        self._values.append(values)
        self.rows += 1
        if len(self._values) == BATCH_ROWS:
            self._batch()
            if self._pending >= self._row_group_bytes:
                self._write()

    def _batch(self) -> None:
        import pyarrow

        columns = zip(self._columns, zip(*self._values, strict=True), strict=True)
        arrays = [column.to_arrow(values) for column, values in columns]
        self._batches.append(pyarrow.RecordBatch.from_arrays(arrays, schema=self._schema))
        self._pending += self._batches[-1].nbytes
        self._values = []

    def _write(self) -> None:
        import pyarrow

        self._writer.write_table(pyarrow.Table.from_batches(self._batches, self._schema))
        self._batches = []
        self._pending = 0
        self.size = self._sink.tell()

    def close(self) -> None:
        """Write the remaining rows and the footer."""
        if self._values:
            self._batch()
        if self._batches:
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
    :param encode: turns a checked value into one of this type
    :param is_vector: whether values are NumPy arrays
    """

    name: str
    type: pyarrow.DataType
    encode: Callable[[Any], Any]
    is_vector: bool = False

    def to_arrow(self, values: Sequence[Any]) -> pyarrow.Array:
        """Make an array of encoded values."""
        import numpy
        import pyarrow

        if not self.is_vector or any(value is None for value in values):
            return pyarrow.array(values, self.type)
        offsets = numpy.cumsum([0, *map(len, values)], dtype="int32")
        return pyarrow.ListArray.from_arrays(offsets, pyarrow.array(numpy.concatenate(values)), type=self.type)


def _columns(collection: Collection, checker: RowChecker) -> list[_Column]:
    columns = [_column(name, rule) for name, rule in checker.rules.items()]
    if collection.enable_dynamic_field:
        columns.append(_text_column(META, _to_json))
    return columns


def _column(name: str, rule: FieldRule) -> _Column:
    import numpy
    import pyarrow

    kind = rule.type
    if kind in _SCALARS:
        return _Column(name, pyarrow.type_for_alias(_SCALARS[kind]), _as_is)
    if kind == "Array":
        return _Column(name, pyarrow.list_(pyarrow.type_for_alias(_SCALARS.get(rule.element, "string"))), _as_is)
    if kind in _VECTORS:
        dtype, encode = _VECTORS[kind]
        type_ = pyarrow.list_(pyarrow.type_for_alias(dtype))
        return _Column(name, type_, lambda value: numpy.asarray(encode(value), dtype), is_vector=True)
    return _text_column(name, {"JSON": _document, "SparseFloatVector": _to_json}.get(kind, str))


def _text_column(name: str, encode: Callable[[Any], str]) -> _Column:
    import pyarrow

    return _Column(name, pyarrow.string(), encode)


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


#: By type of field: Arrow's name of the type of its values.
_SCALARS = {
    "Bool": "bool",
    "Int8": "int8",
    "Int16": "int16",
    "Int32": "int32",
    "Int64": "int64",
    "Float": "float32",
    "Double": "float64",
}
#: By type of field: Arrow's and NumPy's name of the type of its vectors' elements, and how to encode a vector.
_VECTORS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "FloatVector": ("float32", _as_is),
    "Int8Vector": ("int8", _as_is),
    "BinaryVector": ("uint8", _as_is),
    "Float16Vector": ("uint8", _half),
    "BFloat16Vector": ("uint8", _bfloat),
}

__all__ = ["PART_BYTES", "stage"]
