"""Rows as Parquet files, as Milvus's importer reads them: in parts, in constant memory, resumable after each part."""

from __future__ import annotations

import base64
import itertools
import logging
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

from airflow_vectordb.ingest.bad_rows import BadRows
from airflow_vectordb.ingest.batches import BadRow
from airflow_vectordb.ingest.options import PART_BYTES
from airflow_vectordb.ingest.rows import RowChecker, problems_of_sources
from airflow_vectordb.ingest.source import Row, Source, Unreadable
from airflow_vectordb.ingest.writer import Progress
from airflow_vectordb.rest.collections import Collection
from airflow_vectordb.rest.errors import InvalidParametersError

if TYPE_CHECKING:
    import pyarrow

_log = logging.getLogger(__name__)
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
    bad_rows: BadRows,
    *,
    field_mapping: Mapping[str, str | None] | None = None,
    progress: Progress | None = None,
    save: Callable[[dict[str, Any]], None] = lambda progress: None,
    part_bytes: int = PART_BYTES,
    row_group_bytes: int = ROW_GROUP_BYTES,
) -> Progress:
    """
    Write the rows of sources into Parquet files for an import into a collection.

    :param open_part: opens the file of a part, by its number from 0, for writing
    :param bad_rows: takes the rows that do not fit
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
    fingerprints = tuple(source.fingerprint() for source in sources)
    fresh = Progress(fingerprints=fingerprints, collection=collection.identity)
    done = progress or fresh
    if (done.fingerprints, done.collection) != (fingerprints, fresh.collection):
        _log.warning(
            "the sources or the collection have changed since an earlier try: starting over from the first row"
        )
        done = fresh
    bad_rows.resume(done)
    columns = [
        _Column(name, rule.type, rule.element) for checker in checkers[:1] for name, rule in checker.rules.items()
    ]
    if collection.enable_dynamic_field:
        columns.append(_Column(META, META))
    begin = end = (done.source, done.row)
    skipped = done.skipped

    def encoded_rows() -> Iterator[list[Any]]:
        nonlocal end, skipped
        for number, source in enumerate(sources):
            if number < begin[0]:
                continue
            for block in source.blocks(begin[1] if number == begin[0] else 0):
                fitting = checkers[number].fitting(block.matrices)
                for position, row in enumerate(block.rows, start=block.first):
                    values, problems = _encode(row, checkers[number], fitting, columns)
                    if problems:
                        bad_rows(BadRow(source.name, position + 1, tuple(problems), number))
                        skipped += 1
                    else:
                        end = number, position + 1
                        yield values
        end = len(sources), 0

    def keep() -> None:
        bad_rows.write()  # first, since the position marks them as handled
        save(done.as_json())

    rows = encoded_rows()
    batches = iter(lambda: list(itertools.islice(rows, BATCH_ROWS)), [])
    for first in batches:
        with _Part(open_part(done.batches), columns, row_group_bytes) as part:
            for batch in itertools.chain([first], batches):
                part.add(batch)
                if part.size >= part_bytes:
                    break
            part.close()
        done = replace(
            done,
            source=end[0],
            row=end[1],
            rows=done.rows + part.rows,
            batches=done.batches + 1,
            skipped=skipped,
            size=done.size + part.size,
        )
        text = "%s: part %d written: %s rows, %.1f MB; %s rows so far"
        _log.info(text, collection.name, done.batches, f"{part.rows:,}", part.size / 1e6, f"{done.rows:,}")
        keep()
    done = replace(done, source=len(sources), row=0, skipped=skipped)
    keep()
    bad_rows.warn(collection.name, done.skipped)
    return done


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
            values.append(column.encode(value))
        except (ValueError, TypeError, RecursionError) as error:
            problems.append(f"{column.name}: {error}")
    return values, problems


class _Part:
    """A Parquet file, written a row group at a time; a context manager."""

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
        self._batches: list[pyarrow.RecordBatch] = []
        self._pending = 0  # bytes in them

    def __enter__(self) -> _Part:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close the file after an error; a retry writes it again under the same name."""
        if kind is None:
            return
        with suppress(Exception):
            self._writer.close()
        with suppress(Exception):
            self._sink.close()
            if not getattr(self._sink, "autocommit", True):
                self._sink.discard()  # type: ignore[attr-defined]

    def add(self, rows: Sequence[list[Any]]) -> None:
        """Add rows: the values of each, by column."""
        import pyarrow

        values = zip(*rows, strict=True)
        arrays = [column.to_arrow(of_column) for column, of_column in zip(self._columns, values, strict=True)]
        self._batches.append(pyarrow.RecordBatch.from_arrays(arrays, schema=self._schema))
        self.rows += len(rows)
        self._pending += self._batches[-1].nbytes
        if self._pending >= self._row_group_bytes:
            self._write()

    def _write(self) -> None:
        import pyarrow

        self._writer.write_table(pyarrow.Table.from_batches(self._batches, self._schema))
        self._batches = []
        self._pending = 0
        self.size = self._sink.tell()

    def close(self) -> None:
        """Write the remaining rows and the footer."""
        if self._batches:
            self._write()
        self._writer.close()
        self.size = self._sink.tell() if not self._sink.closed else self.size
        self._sink.close()
        if not getattr(self._sink, "autocommit", True):
            self._sink.commit()  # type: ignore[attr-defined]


def _utf8(value: Any) -> bytes:
    return str(value).encode()


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
    """Return the bytes of a 16-bit vector."""
    import numpy

    with numpy.errstate(over="ignore"):
        halves = numpy.asarray(value, "float32").astype("<f2")
    if not numpy.isfinite(halves).all():
        raise ValueError("has a number out of the range of a 16-bit float")
    return halves.view("uint8")


def _bfloat(value: Any) -> Any:
    """Return the bytes of a bfloat16 vector: 32-bit floats, truncated, as Milvus does."""
    import numpy

    return (numpy.asarray(value, "<f4").view("<u4") >> 16).astype("<u2").view("uint8")


#: By type of field, Arrow's name of the type of its values, as Milvus's importer wants it; others are strings.
_SCALARS = {
    **{kind: kind.lower() for kind in ("Bool", "Int8", "Int16", "Int32", "Int64")},
    "Float": "float32",
    "Double": "float64",
}
#: The same of the elements of vectors.
_VECTORS = {
    "FloatVector": "float32",
    "Float16Vector": "uint8",
    "BFloat16Vector": "uint8",
    "Int8Vector": "int8",
    "BinaryVector": "uint8",
}
_ENCODERS: Mapping[str, Callable[[Any], Any]] = {
    "Float16Vector": _half,
    "BFloat16Vector": _bfloat,
    "JSON": _document,
    "SparseFloatVector": _to_json,
    META: _to_json,
}


class _Column:
    """A column of the file, for a field of a type."""

    def __init__(self, name: str, kind: str, element: str = "") -> None:
        import pyarrow

        self.name = name
        self._vector_of = _VECTORS.get(kind)
        is_list = self._vector_of or kind == "Array"
        of_values = pyarrow.type_for_alias(self._vector_of or _SCALARS.get(element if is_list else kind, "string"))
        self.type = pyarrow.list_(of_values) if is_list else of_values
        self._encode = _ENCODERS.get(kind) or (_utf8 if self.type == pyarrow.string() else None)

    def encode(self, value: Any) -> Any:
        """Turn a checked value into one of the column's type."""
        import numpy

        if value is None:
            return None
        if self._vector_of and isinstance(value, str):  # bytes, which the row's check has turned into text
            return numpy.frombuffer(base64.b64decode(value), "uint8")
        encoded = self._encode(value) if self._encode else value
        return numpy.asarray(encoded, self._vector_of) if self._vector_of else encoded

    def to_arrow(self, values: Sequence[Any]) -> pyarrow.Array:
        """Make an array of encoded values."""
        import numpy
        import pyarrow

        if not self._vector_of or any(value is None for value in values):
            return pyarrow.array(values, self.type)
        offsets = numpy.cumsum([0, *map(len, values)], dtype="int32")
        return pyarrow.ListArray.from_arrays(offsets, pyarrow.array(numpy.concatenate(values)), type=self.type)
