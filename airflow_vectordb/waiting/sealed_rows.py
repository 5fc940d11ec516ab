"""How many rows a flush sealed: inferred from polls, since the server does not report when it has counted them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from airflow_vectordb.rest import collections, entities
from airflow_vectordb.rest.errors import MilvusError
from airflow_vectordb.rest.http.call import Call

#: Seconds for which the row count must be stable before it counts as final. The server answers a flush before it
#: counts, and does not report when it is done: on Milvus 2.6.3 the count was right after 0.4 to 0.75 s.
SETTLING_TIME = 5.0
#: Seconds after which the current row count is used: if others keep writing, it never settles.
LONGEST_SETTLING_TIME = 3 * SETTLING_TIME
#: Seconds after which indexes that are built are believed to have fewer rows than are counted: others may have inserted
#: rows since the flush, which are counted too, and are in no index until they are sealed. Milvus 2.6.3 reported 2.9 s
#: after a flush what it sealed.
LONGEST_LAG = 60.0
#: Seconds after which no more rows are expected, when all that are counted are indexed. Rows that came after the flush
#: are counted before that: Milvus by itself seals what nobody has added to for ten minutes.
STANDSTILL = 900.0


class SealedRows:
    """
    Tracks how many rows of a collection are sealed since it was flushed.

    :param flushed_rows: its rows when it was flushed; 0: unknown
    """

    def __init__(self, collection: str, database: str | None, flushed_rows: int, clock: Callable[[], float]) -> None:
        self._collection = collection
        self._database = database
        self._expected = flushed_rows
        self._clock = clock
        self._began = self._unchanged_since = clock()
        #: The server's last row count; None: not requested yet.
        self.counted: int | None = None
        #: Rows that the flush sealed; None: unknown.
        self.sealed: int | None = None
        #: Whether all indexes are reported to have that many rows.
        self.covered = False
        self._described = 0
        self._described_since = clock()

    def poll(self) -> Generator[Call[Any], Any, None]:
        """Get the row count, and decide whether it has settled."""
        rows: int = yield collections.row_count(self._collection, database=self._database)
        now = self._clock()
        if rows != self.counted:
            self.counted, self._unchanged_since = rows, now
        settled = now - self._unchanged_since >= SETTLING_TIME
        if not settled and (self.sealed is not None or now - self._began < LONGEST_SETTLING_TIME):
            return
        if self._expected > rows:  # not counted yet, or deleted meanwhile
            self._expected = min(self._expected, (yield from self._alive_rows()))
        sealed = max(rows, self._expected)
        # It never increases: later writes were not flushed. Deletions and compactions lower it.
        self.sealed = sealed if self.sealed is None else min(self.sealed, sealed)

    def compare(self, described: int, *, built: bool) -> None:
        """
        Record the row counts of the indexes.

        :param described: rows that each of them has at least
        """
        now = self._clock()
        if described != self._described or not built:
            self._described, self._described_since = described, now
        reached = self.sealed is not None and described >= self.sealed
        self.covered = self.covered or reached or now - self._described_since >= LONGEST_LAG

    def stands_still_below(self, rows: int) -> bool:
        """
        Return whether the row count has long been too low, with no work left for the indexes.

        :param rows: the requested number
        """
        since = max(self._unchanged_since, self._described_since)
        counted = max(self.counted or 0, self.sealed or 0)
        return counted < rows and self.covered and self._clock() - since >= STANDSTILL

    def _alive_rows(self) -> Generator[Call[Any], Any, int]:
        """Count the rows exactly; 0 if that is not possible, for example because the collection was released."""
        try:
            alive: int = yield entities.count(self._collection, database=self._database)
        except MilvusError as error:
            if error.transient:
                raise
            return 0
        return alive
