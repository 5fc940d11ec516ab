"""Rows into batches: encoded once, bounded by bytes and rows."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from airflow_vectordb.ingest.options import LARGEST_REQUEST, Options
from airflow_vectordb.ingest.rows import RowChecker
from airflow_vectordb.ingest.source import Row, Source, Unreadable
from airflow_vectordb.rest.http.json import EncodedRows
from airflow_vectordb.rest.spelling import article


class Position(NamedTuple):
    """A place between two rows: the numbers of the source, and of the row within it that comes next, from 0."""

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


_START = Position(0, 0)


@dataclass
class Batch:
    """
    Rows for one request.

    :param rows: as JSON
    :param keys: their primary keys, with the number of the row; empty if the server generates them
    :param documents: the document of each row, if documents are replaced
    :param size: bytes
    :param seen: rows of the sources that it accounts for, bad ones included
    :param end: where the next batch begins
    """

    rows: EncodedRows
    keys: dict[Any, int] = field(default_factory=dict)
    documents: list[Any] = field(default_factory=list)
    size: int = 0
    seen: int = 0
    end: Position = _START


class Batcher:
    """Turns blocks of rows into batches; ``on_bad_row`` takes each row that cannot be sent, and may raise."""

    def __init__(self, options: Options, on_bad_row: Callable[[BadRow], None]) -> None:
        import orjson

        needed = {
            options.replace_documents: "documents are replaced by it",
            options.key_field: "key_field tells rows apart by it",
        }
        self._needed = {name: why for name, why in needed.items() if name}
        self._options = options
        self._on_bad_row = on_bad_row
        self._dumps = partial(orjson.dumps, option=orjson.OPT_SERIALIZE_NUMPY)
        #: Memory of batches that are done, which further ones get.
        self.spare: list[bytearray] = []

    def batches(self, number: int, source: Source, checker: RowChecker, first: int = 0) -> Iterator[Batch]:
        """Read a source from a row to its end. The last batch may be empty, to mark the source as done."""
        batch, position = self._new_batch(), first
        most_bytes, most_rows = self._options.batch_bytes, self._options.batch_rows
        key, document_field = checker.key, self._options.replace_documents
        for block in source.blocks(first):
            fitting = checker.fitting(block.matrices) if block.matrices else ()
            for position, row in enumerate(block.rows, start=block.first):
                checked, encoded, problems = self.encode(row, checker, fitting)
                if not problems and key is not None and (twice := batch.keys.get(checked[key])) is not None:
                    problems = [f"{key}: {checked[key]!r} is also the key of row {twice + 1:,}"]
                if problems:
                    self._on_bad_row(BadRow(source.name, position + 1, tuple(problems), number))
                    batch.seen += 1
                    continue
                if batch.size and (batch.size + len(encoded) >= most_bytes or len(batch.rows) >= most_rows):
                    batch.end = Position(number, position)
                    yield batch
                    batch = self._new_batch()
                batch.rows.append(encoded)
                batch.size += len(encoded) + 1
                batch.seen += 1
                if key is not None:
                    batch.keys[checked[key]] = position
                if document_field:
                    batch.documents.append(checked[document_field])
            position = block.first + len(block.rows)
        batch.end = Position(number, position)
        yield batch

    def _new_batch(self) -> Batch:
        return Batch(EncodedRows(memory=self.spare.pop() if self.spare else None))

    def encode(
        self, row: Row | Unreadable, checker: RowChecker, fitting: Container[str] = ()
    ) -> tuple[dict[str, Any], bytes, list[str]]:
        """Return a row as it is sent, the same as JSON, and its problems."""
        checked, problems = checker.check(row, fitting)
        if problems:
            return checked, b"", problems
        for name, why in self._needed.items():
            if not isinstance(checked.get(name), str | int):
                problems.append(f"{name}: missing, and {why}")
        try:
            encoded = self._dumps(checked)
        except TypeError as error:
            return checked, b"", [*problems, self._unencodable(checked) or str(error)]
        if len(encoded) > LARGEST_REQUEST:
            problems.append(f"{len(encoded):,} bytes, but a request may have at most {LARGEST_REQUEST:,}")
        return checked, encoded, problems

    def _unencodable(self, row: Mapping[str, Any]) -> str | None:
        for name, value in row.items():
            try:
                self._dumps(value)
            except TypeError:
                return f"{name}: {article(type(value).__name__)} cannot be written as JSON"
        return None
