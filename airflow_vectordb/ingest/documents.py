"""Documents that are replaced: after an ingest, a document has exactly the rows that came with it.

**No reader sees a document without rows.** The new rows are written first. Then those rows of each document that are
not among the new ones, by their primary keys, are deleted.

**Memory is bounded:** the keys of the new rows are in a temporary database on the disk. A retry makes it again: from
the sources where rows carry their keys; where the server makes them, it begins from the first row again, and what the
earlier try wrote is stale itself.
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

#: Documents that one request is about, and keys that it names.
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
        # A file that nothing reads after this process needs no journal.
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
        Make filters that select, together, the rows of all documents that did not come with them.

        :param document_field: name of the field that has the document
        :param key_field: name of the primary key
        """
        for documents, keys in self._groups():
            of_documents = is_one_of(document_field, documents)
            parts = [keys[start : start + KEYS_AT_ONCE] for start in range(0, len(keys), KEYS_AT_ONCE)] or [[]]
            for number, part in enumerate(parts):
                # The parts divide all keys that there can be among them: up to a part's last key, and the rest.
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
        Make filters that select, together, the rows that came, and say how many each of them selects.

        :param key_field: name of the primary key
        """
        for _, keys in self._groups():
            own = list(dict.fromkeys(keys))
            for start in range(0, len(own), KEYS_AT_ONCE):
                part = own[start : start + KEYS_AT_ONCE]
                yield is_one_of(key_field, part), len(part)

    def _groups(self) -> Iterator[tuple[list[Any], list[Any]]]:
        """Yield documents that one request can be about, and the sorted keys of all of their rows."""
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
