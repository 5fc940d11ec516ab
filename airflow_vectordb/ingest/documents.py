"""Replacement of documents: after an ingest, a document has exactly the rows of the sources.

**No reader sees a document without rows.** The new rows are written first. Then those rows of each document that are
not among the new ones, by their primary keys, are deleted.

**Memory is bounded:** the keys of the new rows are in a temporary database on disk. A retry creates it again from the
sources, if their rows have keys. If the server generates the keys, a retry starts over, and the rows of the earlier try
are stale themselves.
"""

from __future__ import annotations

import itertools
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from airflow_vectordb.rest.filters import is_one_of, literal

#: The maximum numbers of documents and of keys in one request.
DOCUMENTS_AT_ONCE, KEYS_AT_ONCE = 200, 2000
_ROWS_READ = 1000


class DocumentKeys:
    """The primary keys of the rows that came with each document; a context manager."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._database: sqlite3.Connection | None = None

    def __enter__(self) -> DocumentKeys:
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="ingest-"))
        database = sqlite3.connect(Path(folder, "keys"), isolation_level=None)
        self._stack.callback(database.close)
        # The file is not needed after this process, so it needs no journal.
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("CREATE TABLE keys (document, key, PRIMARY KEY (document, key)) WITHOUT ROWID")
        database.execute("CREATE TABLE documents (document PRIMARY KEY) WITHOUT ROWID")
        self._database = database
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def name(self, documents: Iterable[Any]) -> None:
        """Add documents, with rows or without."""
        self._insert("INSERT OR IGNORE INTO documents VALUES (?)", ((document,) for document in documents))

    def add(self, documents: Sequence[Any], keys: Sequence[Any]) -> None:
        """Add rows: the document and the key of each."""
        self._insert("INSERT OR IGNORE INTO keys VALUES (?, ?)", zip(documents, keys, strict=True))
        self.name(set(documents))

    def stale_filters(self, document_field: str, key_field: str) -> Iterator[str]:
        """
        Return filters that together select the stale rows of all documents.

        :param document_field: name of the field that has the document
        :param key_field: name of the primary key
        """
        for documents, keys in self._groups():
            of_documents = is_one_of(document_field, documents)
            parts = [keys[start : start + KEYS_AT_ONCE] for start in range(0, len(keys), KEYS_AT_ONCE)] or [[]]
            for number, part in enumerate(parts):
                # The parts cover all possible keys: each up to its last key, and the last part the rest.
                conditions = [of_documents]
                if number:
                    conditions.append(f"{key_field} > {literal(parts[number - 1][-1])}")
                if number < len(parts) - 1:
                    conditions.append(f"{key_field} <= {literal(part[-1])}")
                if part:
                    conditions.append(f"{key_field} not in {literal(part)}")
                yield " and ".join(conditions)

    def own_filters(self, key_field: str) -> Iterator[tuple[str, int]]:
        """
        Return filters that together select the new rows, each with the number of rows it selects.

        :param key_field: name of the primary key
        """
        for _, keys in self._groups():
            own = list(dict.fromkeys(keys))
            for start in range(0, len(own), KEYS_AT_ONCE):
                part = own[start : start + KEYS_AT_ONCE]
                yield is_one_of(key_field, part), len(part)

    def _groups(self) -> Iterator[tuple[list[Any], list[Any]]]:
        """Yield groups of documents for one request, with the sorted keys of all their rows."""
        rows = self._rows()
        documents: list[Any] = []
        keys: list[Any] = []
        for document, of_document in itertools.groupby(rows, key=lambda row: row[0]):
            own = [key for _, key in of_document if key is not None]
            if documents and (len(documents) >= DOCUMENTS_AT_ONCE or len(keys) + len(own) > KEYS_AT_ONCE):
                yield documents, sorted(keys)
                documents, keys = [], []
            documents.append(document)
            keys += own
        if documents:
            yield documents, sorted(keys)

    def _rows(self) -> Iterator[tuple[Any, Any]]:
        assert self._database is not None
        found = self._database.execute(
            "SELECT document, key FROM documents LEFT JOIN keys USING (document) ORDER BY document"
        )
        while some := found.fetchmany(_ROWS_READ):
            yield from some

    def _insert(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        assert self._database is not None
        self._database.execute("BEGIN")
        self._database.executemany(statement, rows)
        self._database.execute("COMMIT")


__all__ = ["DocumentKeys"]
