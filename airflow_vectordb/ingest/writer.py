"""Batches to Milvus: several in flight, acknowledged in order, resumable.

**Nothing lost, nothing twice.** Acknowledged batches are stored as a position in the sources: all rows before it are in
Milvus. Batches after it may or may not have arrived when a process dies or a connection breaks. How they are handled
depends on the keys:

- *upsert*: they are sent again, which has the same effect;
- *insert with the user's keys*: they are sent again as upserts;
- *insert with generated keys* and a ``key_field``: Milvus is asked which rows it has, and the others are sent;
- the same without a ``key_field``: they are sent again, and rows in flight may be there twice ("at least once").
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol

from airflow_vectordb.ingest.batches import Batch, Position
from airflow_vectordb.rest import entities
from airflow_vectordb.rest.errors import LimitExceededError, MilvusError, RateLimitError, UnexpectedError
from airflow_vectordb.rest.filters import is_one_of
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.http.json import EncodedRows
from airflow_vectordb.rest.wording import duration

_log = logging.getLogger(__name__)

Mode = Literal["upsert", "insert"]
#: Concurrent requests.
MAX_IN_FLIGHT = 4
#: Seconds between two lines of progress.
REPORT_INTERVAL = 10.0
#: Seconds between two times that the position is stored.
SAVE_INTERVAL = 2.0
#: Attempts to keep the progress where it has to be kept, and seconds between them.
SAVE_ATTEMPTS, SAVE_PAUSE = 12, 5.0
#: Keys in one query for existing rows. Milvus returns at most 16,384 rows.
ASKED_AT_ONCE = 1000
#: Longest pause, in seconds, after a refusal for lack of memory, disk or quota, which may be temporary.
LONGEST_PAUSE = 60.0
#: Seconds after which a paused batch checks whether the ingest has been stopped.
LONGEST_NAP = 1.0
#: Seconds for which such refusals are retried.
PATIENCE = 3600.0


class NotKeptError(Exception):
    """Raised if the progress cannot be stored, for a transient reason."""


class Sender(Protocol):
    """Sends calls; used by one thread at a time."""

    def send(self, call: Call[Any], *, retries: int | None = None) -> Any:
        """Send a call; see :class:`airflow_vectordb.rest.Client`."""

    def close(self) -> None:
        """Close the connections."""


@dataclass(frozen=True)
class Progress:
    """
    The progress of an ingest, stored for a retry.

    :param source: number of the source that comes next
    :param row: number of the row within it that comes next
    :param reserved: rows from there on that may have been sent
    :param rows: rows that Milvus acknowledged
    :param batches: requests that it acknowledged
    :param skipped: rows that could not be sent and were passed over
    :param size: bytes of the rows
    :param seconds: how long it took
    :param fingerprints: of the sources, as they were when the ingest began
    :param collection: what tells the collection from others, also from a later one of its name; empty: not known
    """

    source: int = 0
    row: int = 0
    reserved: int = 0
    rows: int = 0
    batches: int = 0
    skipped: int = 0
    size: int = 0
    seconds: float = 0.0
    fingerprints: tuple[str | None, ...] = ()
    collection: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {**asdict(self), "fingerprints": list(self.fingerprints)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Progress:
        """Create it from the data of :meth:`as_json`."""
        return cls(**{**data, "fingerprints": tuple(data.get("fingerprints") or ())})


@dataclass(frozen=True)
class Target:
    """
    Where rows go, and how.

    :param collection: name of the collection
    :param mode: ``upsert`` or ``insert``
    :param partition: name of a partition; None: the default one
    :param database: None: the configured one
    :param key_field: a field that tells rows apart, where the server makes the keys
    :param has_keys: whether rows carry their primary keys
    :param doubles_are_stale: whether a row that is there twice is made one later, so that it may be sent again
    """

    collection: str
    mode: Mode = "upsert"
    partition: str | None = None
    database: str | None = None
    key_field: str | None = None
    has_keys: bool = True
    doubles_are_stale: bool = False

    @property
    def asks(self) -> bool:
        """Whether to ask Milvus which rows it has, if that is unknown."""
        return self.key_field is not None and not self.has_keys and not self.doubles_are_stale

    def call(self, rows: EncodedRows, mode: Mode) -> Call[entities.Written]:
        """Make the request for encoded rows."""
        encoded: Any = rows
        make = entities.upsert if mode == "upsert" else entities.insert
        return make(self.collection, encoded, partition=self.partition, database=self.database)


class Writer:
    """
    Writes batches.

    :param target: where to
    :param open_sender: makes a client, for one thread
    :param save: keeps the progress where a retry finds it; :class:`NotKeptError`: not now
    :param progress: what an earlier try has done
    :param max_in_flight: batches on their way at once
    :param total: rows that there are in all; None: not known
    :param on_written: is called with each batch that was acknowledged, in their order, and the keys that its rows got
    :param patience: seconds for which refusals for lack of memory, disk or quota are waited out
    :param clock: the present time, in seconds
    :param sleep: sleeps for so many seconds
    """

    def __init__(
        self,
        target: Target,
        open_sender: Callable[[], Sender],
        save: Callable[[dict[str, Any]], None],
        progress: Progress,
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
        total: int | None = None,
        on_written: Callable[[Batch, Sequence[Any]], None] | None = None,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.progress = progress
        self._target = target
        self._save = save
        self._max_in_flight = max_in_flight
        self._total = total
        self._on_written = on_written
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._doubtful = progress.reserved  # rows that an earlier try may have sent
        self._senders = _Senders(open_sender)
        self._paused_until = clock()
        self._failed_at: Position | None = None  # the end of a failed batch
        self._stopped = False  # the results are no longer needed
        self._began = self._reported = self._saved = clock()
        self._first = progress

    def write(self, batches: Iterator[Batch]) -> Progress:
        """
        Write all batches.

        :param batches: in the order of the sources, from the progress's position on
        :return: the progress at the end
        :raises MilvusError: when one could not be written. What was acknowledged before it is kept.
        """
        in_flight: deque[tuple[Batch, Future[Sequence[Any]]]] = deque()
        pool = ThreadPoolExecutor(self._max_in_flight, thread_name_prefix="ingest")
        try:
            for batch in batches:
                if self._target.mode == "upsert":
                    # If two rows have the same key, the later one must be written last.
                    keys = set(batch.keys)
                    while any(not keys.isdisjoint(one.keys) for one, _ in in_flight):
                        self._acknowledge(*in_flight[0])
                        in_flight.popleft()
                self._reserve(sum(one.seen for one, _ in in_flight) + batch.seen)
                in_flight.append((batch, pool.submit(self._write, batch, doubtful=self._doubtful > 0)))
                self._doubtful -= batch.seen
                # One more than there are threads, so that no thread waits for the next batch to be encoded.
                while in_flight and (in_flight[0][1].done() or len(in_flight) > self._max_in_flight):
                    self._acknowledge(*in_flight[0])
                    in_flight.popleft()
            while in_flight:
                self._acknowledge(*in_flight[0])
                in_flight.popleft()
        finally:
            self._stopped = True
            pool.shutdown(wait=True, cancel_futures=True)
            self._senders.close()
            kept = self._keep()
        if not kept:
            self._keep_surely()
        return self.progress

    def _reserve(self, rows: int) -> None:
        """Record that this many rows after the position may have been sent, before sending them."""
        if self._target.mode == "insert" and rows > self.progress.reserved:
            self.progress = replace(self.progress, reserved=4 * rows)
            self._keep_surely()

    def _acknowledge(self, batch: Batch, written: Future[Sequence[Any]]) -> None:
        keys = written.result()
        if self._on_written is not None:
            self._on_written(batch, keys)
        done, now = self.progress, self._clock()
        self.progress = replace(
            done,
            source=batch.end.source,
            row=batch.end.row,
            reserved=max(done.reserved - batch.seen, 0),
            rows=done.rows + len(batch.rows),
            batches=done.batches + bool(batch.rows),
            skipped=done.skipped + batch.seen - len(batch.rows),
            size=done.size + batch.size,
            seconds=self._first.seconds + now - self._began,
        )
        if now - self._saved >= SAVE_INTERVAL:
            self._keep()
        if now - self._reported >= REPORT_INTERVAL:
            self._reported = now
            _log.info("%s: %s", self._target.collection, self._speed())

    def _keep(self, *, surely: bool = False) -> bool:
        """Store the progress, and return whether that worked; if not, the last stored progress is still valid."""
        self._saved = self._clock()
        try:
            self._save(self.progress.as_json())
        except NotKeptError as error:
            if surely:
                raise
            _log.warning("%s: %s", self._target.collection, error)
            return False
        return True

    def _keep_surely(self) -> None:
        for _ in range(SAVE_ATTEMPTS - 1):
            if self._keep():
                return
            self._sleep(SAVE_PAUSE)
        self._keep(surely=True)

    def _speed(self) -> str:
        """Describe the progress, as ``12,000 of 100,000 rows (12%), 8,900 rows/s, 75.1 MB/s, 10 s left``."""
        done, elapsed = self.progress, max(self._clock() - self._began, 1e-6)
        per_second = (done.rows - self._first.rows) / elapsed
        megabytes = (done.size - self._first.size) / elapsed / 1e6
        text = f"{done.rows:,} rows"
        if self._total:
            text = f"{done.rows:,} of {self._total:,} rows ({100 * done.rows // self._total}%)"
        text += f", {per_second:,.0f} rows/s, {megabytes:.1f} MB/s"
        if self._total and per_second > 0:
            text += f", {duration(max(self._total - done.rows - done.skipped, 0) / per_second)} left"
        return text

    # --- in the threads -----------------------------------------------------------------------------------------------

    def _write(self, batch: Batch, *, doubtful: bool) -> Sequence[Any]:
        self._raise_if_cancelled(batch)
        try:
            return self._send(batch, doubtful=doubtful)
        except BaseException:
            self._failed_at = min(self._failed_at or batch.end, batch.end)
            raise

    def _send(self, batch: Batch, *, doubtful: bool) -> Sequence[Any]:
        """Send a batch's rows; return the keys that the server made for those that were sent last."""
        with self._senders.one() as sender:
            mode, rows = self._target.mode, batch.rows
            refused_since: float | None = None
            pause = 1.0
            while rows:
                if doubtful and mode == "insert":
                    mode, rows = self._without_written(sender, rows)
                    if not rows:
                        break
                while (left := self._paused_until - self._clock()) > 0:
                    self._sleep(min(left, LONGEST_NAP))
                    self._raise_if_cancelled(batch)
                try:
                    written: entities.Written = sender.send(self._target.call(rows, mode))
                except (RateLimitError, LimitExceededError) as error:
                    refused_since = self._clock() if refused_since is None else refused_since
                    if self._clock() - refused_since + pause > self._patience:
                        raise
                    _log.warning("%s; going on in %s", error, duration(pause))
                    self._paused_until = self._clock() + pause  # for all threads
                    pause = min(2 * pause, LONGEST_PAUSE)
                except MilvusError as error:
                    # The client retries idempotent calls, but not inserts.
                    if mode != "insert" or not error.transient or doubtful:
                        raise
                    _log.warning("%s It is unknown whether the rows arrived", error)
                    self._sleep(1.0)  # the server may still be processing them
                    doubtful = True
                else:
                    if written.count != len(rows):
                        raise UnexpectedError(
                            f"{written.count} of {len(rows)} rows were acknowledged", hint="See Milvus's log."
                        )
                    return written.ids
            return ()

    def _raise_if_cancelled(self, batch: Batch) -> None:
        # An earlier batch failed, which is about to be reported, or the caller was stopped.
        if self._stopped or (self._failed_at is not None and self._failed_at < batch.end):
            raise CancelledError

    def _without_written(self, sender: Sender, rows: EncodedRows) -> tuple[Mode, EncodedRows]:
        """Decide how to send rows that may already exist, and which of them."""
        if self._target.has_keys:
            return "upsert", rows
        if self._target.doubles_are_stale:
            return "insert", rows
        if self._target.key_field is None:
            _log.warning("%d rows are sent again and may exist twice: key_field= would prevent that", len(rows))
            return "insert", rows
        written = self._written(sender, self._target.key_field, rows)
        return "insert", EncodedRows(row for row, there in zip(rows, written, strict=True) if not there)

    def _written(self, sender: Sender, key_field: str, rows: EncodedRows) -> list[bool]:
        """Query which rows exist, by the values of a field."""
        import orjson

        values = [orjson.loads(row).get(key_field) for row in rows]
        found: set[Any] = set()
        for start in range(0, len(values), ASKED_AT_ONCE):
            answer = sender.send(
                entities.query(
                    self._target.collection,
                    filter=is_one_of(key_field, values[start : start + ASKED_AT_ONCE]),
                    output_fields=[key_field],
                    limit=16_384,
                    partitions=[self._target.partition] if self._target.partition else None,
                    params={"consistencyLevel": "Strong"},
                    database=self._target.database,
                )
            )
            found.update(row[key_field] for row in answer)
        return [value in found for value in values]


class _Senders:
    """Clients, each used by one thread at a time."""

    def __init__(self, open_sender: Callable[[], Sender]) -> None:
        self._open = open_sender
        self._idle: list[Sender] = []  # append and pop are atomic

    @contextmanager
    def one(self) -> Iterator[Sender]:
        """Borrow one."""
        try:
            sender = self._idle.pop()
        except IndexError:
            sender = self._open()
        try:
            yield sender
        finally:
            self._idle.append(sender)

    def close(self) -> None:
        """Close those that are not in use."""
        while self._idle:
            self._idle.pop().close()


__all__ = ["MAX_IN_FLIGHT", "PATIENCE", "Mode", "NotKeptError", "Progress", "Sender", "Target", "Writer"]
