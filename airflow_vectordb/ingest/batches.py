"""Rows into batches: encoded once, bounded by bytes and rows."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_vectordb.ingest.rows import RowChecker
from airflow_vectordb.ingest.source import Row, Source, Unreadable
from airflow_vectordb.rest.http.json import EncodedRows
from airflow_vectordb.rest.spelling import article

#: Bytes of rows in one request. Milvus accepts 64 MiB.
MAX_BYTES = 8 * 1024 * 1024
#: Rows in one request.
MAX_ROWS = 10_000
#: Largest size of a row in bytes; Milvus would refuse a larger one.
MAX_ROW_BYTES = 60 * 1024 * 1024


@dataclass(frozen=True, order=True)
class Position:
    """
    A place between two rows.

    :param source: number of the source, from 0
    :param row: number of the row within it that comes next, from 0
    """

    source: int
    row: int


@dataclass(frozen=True)
class BadRow:
    """
    A row that cannot be sent.

    :param source: name of where it is from
    :param row: its number there, from 1
    :param problems: what is wrong
    :param number: of the source, from 0
    """

    source: str
    row: int
    problems: tuple[str, ...]
    number: int = 0

    def __str__(self) -> str:
        return f"{self.source}, row {self.row:,}: {'; '.join(self.problems)}"


@dataclass(frozen=True)
class Batch:
    """
    Rows for one request.

    :param rows: as JSON
    :param keys: their primary keys; empty where the server makes them
    :param size: bytes
    :param end: where the next batch begins
    :param seen: rows of the sources that it accounts for, bad ones included
    :param documents: the document of each row, where that was asked for
    """

    rows: EncodedRows = field(repr=False)
    keys: tuple[Any, ...] = field(repr=False)
    size: int
    end: Position
    seen: int
    documents: tuple[Any, ...] = field(default=(), repr=False)


class Batcher:
    """
    Turns blocks of rows into batches.

    :param checker: of the collection
    :param on_bad_row: is called with each row that cannot be sent; raises to end it all
    :param max_bytes: bytes of a batch
    :param max_rows: rows of a batch
    :param document_field: name of the field that has the document of a row; None: none is asked for
    :param key_field: name of the field that tells rows apart; None: none is needed
    :param spare: memory of batches that are done, which further ones get
    """

    def __init__(
        self,
        checker: RowChecker,
        on_bad_row: Callable[[BadRow], None],
        *,
        max_bytes: int = MAX_BYTES,
        max_rows: int = MAX_ROWS,
        document_field: str | None = None,
        key_field: str | None = None,
        spare: list[bytearray] | None = None,
    ) -> None:
        self._checker = checker
        needed = {document_field: "documents are replaced by it", key_field: "key_field tells rows apart by it"}
        self._needed = {name: why for name, why in needed.items() if name}
        self._document_field = document_field
        self._on_bad_row = on_bad_row
        self._max_bytes = max_bytes
        self._max_rows = max_rows
        self._spare = [] if spare is None else spare

    def batches(self, number: int, source: Source, first: int = 0) -> Iterator[Batch]:
        """
        Read a source to its end. The last batch may be empty, to mark the source as done.

        :param number: of the source
        :param source: its rows
        :param first: number of the row to begin with, from 0
        """
        import orjson

        options = orjson.OPT_SERIALIZE_NUMPY
        rows = self._no_rows()
        keys: dict[Any, int] = {}
        documents: list[Any] = []
        size = seen = 0
        position = first
        key, document_field = self._checker.key, self._document_field

        def batch() -> Batch:
            return Batch(rows, tuple(keys), size, Position(number, position), seen, tuple(documents))

        for block in source.blocks(first):
            fitting = self._checker.fitting(block.matrices)
            for position, row in enumerate(block.rows, start=block.first):
                checked, problems = self._checked(row, fitting)
                if not problems and key is not None and (twice := keys.get(checked[key])) is not None:
                    problems = [f"{key}: {checked[key]!r} is also the key of row {twice + 1:,}"]
                encoded = b""
                if not problems:
                    try:
                        encoded = orjson.dumps(checked, option=options)
                    except orjson.JSONEncodeError as error:
                        problems = [_unencodable(checked, error)]
                    if len(encoded) > MAX_ROW_BYTES:
                        problems = [f"{len(encoded):,} bytes, but a request may have at most {MAX_ROW_BYTES:,}"]
                if problems:
                    self._on_bad_row(BadRow(source.name, position + 1, tuple(problems), number))
                    seen += 1
                    continue
                if size and (size + len(encoded) >= self._max_bytes or len(rows) >= self._max_rows):
                    yield batch()
                    rows, keys, documents, size, seen = self._no_rows(), {}, [], 0, 0
                rows.append(encoded)
                size += len(encoded) + 1
                seen += 1
                if key is not None:
                    keys[checked[key]] = position
                if document_field:
                    documents.append(checked[document_field])
            position = block.first + len(block.rows)
        yield batch()

    def _checked(self, row: Row | Unreadable, fitting: Container[str]) -> tuple[dict[str, Any], list[str]]:
        checked, problems = self._checker.check(row, fitting)
        if self._needed and not problems:
            problems = [
                f"{name}: missing, and {why}"
                for name, why in self._needed.items()
                if not isinstance(checked.get(name), str | int)
            ]
        return checked, problems

    def _no_rows(self) -> EncodedRows:
        return EncodedRows(memory=self._spare.pop() if self._spare else None)


def _unencodable(row: Mapping[str, Any], error: Exception) -> str:
    import orjson

    for name, value in row.items():
        try:
            orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
        except orjson.JSONEncodeError:
            return f"{name}: {article(type(value).__name__)} cannot be written as JSON"
    return str(error)


__all__ = ["MAX_BYTES", "MAX_ROWS", "BadRow", "Batch", "Batcher", "Position"]
