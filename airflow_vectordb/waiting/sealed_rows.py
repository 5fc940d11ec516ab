"""How many rows a flush sealed: the server does not say when it has counted them, so that is learnt poll by poll."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from airflow_vectordb.rest import collections, entities
from airflow_vectordb.rest.errors import MilvusError
from airflow_vectordb.rest.http.call import Call

#: Seconds that the row count must have stayed the same before it is taken for all that a flush sealed. The server
#: answers a flush before it counts, and reports nowhere when it is done: on Milvus 2.6.3 its count was right after 0.4
#: to 0.75 s.
SETTLING_TIME = 5.0
#: Seconds after which the row count is taken as it is: others go on writing, and so it does not settle.
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
    Learns, poll by poll, how many rows of a collection are sealed since it was flushed.

    :param flushed_rows: rows that it had when it was flushed; 0: not known
    """

    def __init__(self, collection: str, database: str | None, flushed_rows: int, clock: Callable[[], float]) -> None:
        self._collection = collection
        self._database = database
        self._expected = flushed_rows
        self._clock = clock
        self._began = self._unchanged_since = clock()
        #: The last row count that the server reported; None: it has not been asked.
        self.counted: int | None = None
        #: Rows that the flush sealed; None: not known yet.
        self.sealed: int | None = None
        #: Whether all indexes are reported to have so many rows.
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
        if self._expected > rows:  # they are not counted yet, or were deleted meanwhile
            self._expected = min(self._expected, (yield from self._alive_rows()))
        sealed = max(rows, self._expected)
        # It never rises: what others write later was not flushed. Deletions and compactions lower it.
        self.sealed = sealed if self.sealed is None else min(self.sealed, sealed)

    def compare(self, described: int, *, built: bool) -> None:
        """
        Take note of what indexes are reported to have.

        :param described: rows that each of them has at least
        """
        now = self._clock()
        if described != self._described or not built:
            self._described, self._described_since = described, now
        reached = self.sealed is not None and described >= self.sealed
        self.covered = self.covered or reached or now - self._described_since >= LONGEST_LAG

    def stands_still_below(self, rows: int) -> bool:
        """
        Return whether the server has counted fewer rows for long, and has nothing left to do for its indexes.

        :param rows: how many are asked for
        """
        since = max(self._unchanged_since, self._described_since)
        counted = max(self.counted or 0, self.sealed or 0)
        return counted < rows and self.covered and self._clock() - since >= STANDSTILL

    def _alive_rows(self) -> Generator[Call[Any], Any, int]:
        """Count the rows exactly; 0 if that cannot be done: the collection is not loaded any more, for instance."""
        try:
            alive: int = yield entities.count(self._collection, database=self._database)
        except MilvusError as error:
            if error.transient:
                raise
            return 0
        return alive
