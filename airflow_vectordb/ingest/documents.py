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
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from airflow_vectordb.rest.filters import is_one_of, literal
from airflow_vectordb.rest.lists import parts

#: The maximum numbers of documents and of keys in one request.
DOCUMENTS_AT_ONCE, KEYS_AT_ONCE = 200, 2000


class DocumentKeys:
    """
    The primary keys of the rows that came with each document; to be closed.

    :param document_field: name of the field that has the document
    :param key_field: name of the primary key
    """

    def __init__(self, document_field: str, key_field: str) -> None:
        self.document_field = document_field
        self.key_field = key_field
        self._database = sqlite3.connect("")  # a temporary file, which SQLite deletes
        self._database.execute("PRAGMA journal_mode = OFF")
        # The index has them in order, so that nothing has to be sorted.
        self._database.execute("CREATE TABLE keys (document, key, UNIQUE (document, key))")

    def close(self) -> None:
        """Forget them."""
        self._database.close()

    def add(self, documents: Sequence[Any], keys: Iterable[Any]) -> None:
        """Add rows: the document and the key of each; a document that may have no rows, without a key."""
        with self._database:
            self._database.executemany("INSERT OR IGNORE INTO keys VALUES (?, ?)", zip(documents, keys, strict=True))

    def stale_filters(self) -> Iterator[str]:
        """Return filters that together select the stale rows of all documents."""
        key = self.key_field
        for documents, keys in self._groups():
            own = parts(keys, KEYS_AT_ONCE) or [[]]
            for number, part in enumerate(own):
                # The parts cover all possible keys: each up to its last key, and the last part the rest.
                conditions = [is_one_of(self.document_field, documents)]
                if number:
                    conditions.append(f"{key} > {literal(own[number - 1][-1])}")
                if number < len(own) - 1:
                    conditions.append(f"{key} <= {literal(part[-1])}")
                if part:
                    conditions.append(f"{key} not in {literal(part)}")
                yield " and ".join(conditions)

    def own_filters(self) -> Iterator[tuple[str, int]]:
        """Return filters that together select the new rows, each with the number of rows it selects."""
        for _, keys in self._groups():
            for part in parts(list(dict.fromkeys(keys)), KEYS_AT_ONCE):
                yield is_one_of(self.key_field, part), len(part)

    def _groups(self) -> Iterator[tuple[list[Any], list[Any]]]:
        """Yield groups of documents for one request, with the sorted keys of all their rows."""
        documents: list[Any] = []
        keys: list[Any] = []
        rows_of_all = self._database.execute("SELECT document, key FROM keys ORDER BY document")
        for document, rows in itertools.groupby(rows_of_all, key=lambda row: row[0]):
            own = [key for _, key in rows if key is not None]
            if documents and (len(documents) >= DOCUMENTS_AT_ONCE or len(keys) + len(own) > KEYS_AT_ONCE):
                yield documents, sorted(keys)
                documents, keys = [], []
            documents.append(document)
            keys += own
        if documents:
            yield documents, sorted(keys)
