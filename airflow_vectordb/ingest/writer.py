"""Batches to Milvus: several in flight, acknowledged in order, resumable.

**Nothing lost, nothing twice.** Acknowledged batches are stored as a position in the sources: all rows before it are in
Milvus. Batches after it may or may not have arrived when a process dies or a connection breaks. How they are handled
depends on the keys:

- *upsert*: they are sent again, which has the same effect;
- *insert with the user's keys*: they are sent again as upserts;
- *insert with generated keys* and a ``key_field``: Milvus is asked which rows it has, and the others are sent;
- the same without a ``key_field``: they are sent again, and rows in flight may be there twice ("at least once").

A server may still be at work on an insert whose client is gone. So what was inserted is sent again only when the
time-out of the lost request is over.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from json import JSONDecodeError
from typing import Any

from airflow_vectordb.ingest.batches import Batch, Position
from airflow_vectordb.ingest.options import Mode, Options
from airflow_vectordb.ingest.values import keys_of
from airflow_vectordb.rest import entities, errors
from airflow_vectordb.rest.filters import is_one_of
from airflow_vectordb.rest.http.call import Call
from airflow_vectordb.rest.http.json import EncodedRows
from airflow_vectordb.rest.lists import parts
from airflow_vectordb.rest.wording import duration

_log = logging.getLogger(__name__)

#: Sends a call from any thread; raises MilvusError.
Send = Callable[[Call[Any]], Any]
#: Seconds between two lines of progress.
REPORT_INTERVAL = 10.0
#: Seconds between two times that the position is stored.
SAVE_INTERVAL = 2.0
#: Attempts to store the progress where it has to be stored, and seconds between them.
SAVE_ATTEMPTS, SAVE_PAUSE = 12, 5.0
#: Keys in one query for existing rows. Milvus returns at most 16,384 rows.
ASKED_AT_ONCE = 1000
#: Longest pause, in seconds, after a refusal.
LONGEST_PAUSE = 60.0
#: Seconds after which a waiting batch checks whether the ingest has been stopped.
LONGEST_NAP = 1.0
# For lack of memory, disk or quota, which may be temporary.
_REFUSALS = (errors.RateLimitError, errors.LimitExceededError)


@dataclass(frozen=True)
class Progress:
    """
    The progress of an ingest, stored for a retry.

    :param source: number of the source that comes next, from 0
    :param row: number of the row within it that comes next, from 0
    :param reserved: rows from there on that may have been sent
    :param rows: rows that Milvus acknowledged
    :param batches: requests that it acknowledged
    :param skipped: rows that could not be sent and were passed over
    :param size: bytes of the rows
    :param seconds: how long it took
    :param fingerprints: of the sources, as they were when the ingest began
    :param collection: what tells the collection from others, also from a later one of its name; empty: not known
    :param seconds_in_doubt: seconds, from when it is stored, for which requests without an answer may still take
        effect; None: not known, since the try has not ended by itself
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
    seconds_in_doubt: float | None = None  # a moment would be wrong on a worker whose clock differs

    def as_json(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {**asdict(self), "fingerprints": list(self.fingerprints)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Progress:
        """Create it from the data of :meth:`as_json`, perhaps another version's, with other fields."""
        known = {name: value for name, value in data.items() if name in cls.__dataclass_fields__}
        return cls(**{**known, "fingerprints": tuple(data.get("fingerprints") or ())})


class Writer:
    """
    Writes batches.

    :param options: with a mode; a ``key_field`` only where Milvus is to be asked which rows it has
    :param progress: what an earlier try has done
    :param mode_again: how rows are sent that may be there already
    :param total: number of all rows; None: not known
    :param on_written: is called with each acknowledged batch, in their order, and the keys that its rows got
    """

    def __init__(
        self,
        collection: str,
        options: Options,
        send: Send,
        save: Callable[[dict[str, Any]], None],
        progress: Progress,
        *,
        mode_again: Mode,
        total: int | None,
        on_written: Callable[[Batch, Sequence[Any]], None],
    ) -> None:
        self.progress = progress
        self._collection = collection
        self._options = options
        self._send = send
        self._save = save
        self._mode_again = mode_again
        self._total = total
        self._on_written = on_written
        self._doubtful = progress.reserved  # rows that an earlier try may have sent
        self._failed_at: Position | None = None  # the end of a failed batch
        self._stopped = False  # the results are no longer needed
        self._first = progress
        self._began = self._reported = self._saved = self._paused_until = options.clock()
        self._lost_until = self._began + seconds_in_doubt(progress, options.timeout)

    def write(self, batches: Iterator[Batch]) -> Progress:
        """Write all batches, which begin at the progress's position; return the progress at the end."""
        in_flight: deque[tuple[Batch, Future[Sequence[Any]]]] = deque()
        most = self._options.max_in_flight
        pool = ThreadPoolExecutor(most, thread_name_prefix="ingest")
        try:
            for batch in batches:
                if self._options.mode == "upsert":
                    # If two rows have the same key, the later one must be written last.
                    while any(not batch.keys.keys().isdisjoint(one.keys) for one, _ in in_flight):
                        self._acknowledge(*in_flight.popleft())
                else:
                    self._reserve(sum(one.seen for one, _ in in_flight) + batch.seen)
                in_flight.append((batch, pool.submit(self._write, batch, doubtful=self._doubtful > 0)))
                self._doubtful -= batch.seen
                # One more than there are threads, so that no thread waits for the next batch to be encoded.
                while in_flight and (in_flight[0][1].done() or len(in_flight) > most):
                    self._acknowledge(*in_flight.popleft())
            while in_flight:
                self._acknowledge(*in_flight.popleft())
        finally:
            self._stopped = True
            pool.shutdown(wait=True, cancel_futures=True)
            in_doubt = max(self._lost_until - self._options.clock(), 0.0)
            self.progress = replace(self.progress, seconds_in_doubt=in_doubt)
            unkept = self._keep()
        if unkept:
            self._keep_surely()
        return self.progress

    def send(self, call: Call[Any], batch: Batch | None = None) -> Any:
        """Make a call, of a batch or after all of them; wait out refusals."""
        options, began, pause = self._options, self._options.clock(), 1.0
        while True:
            self._wait(batch)
            try:
                return self._send(call)
            except _REFUSALS as error:
                if options.clock() - began + pause > options.patience:
                    raise
                _log.warning("%s; continuing in %s", error, duration(pause))
                self._paused_until = options.clock() + pause  # for all threads
                pause = min(2 * pause, LONGEST_PAUSE)

    def _reserve(self, rows: int) -> None:
        """Record that this many rows after the position may have been sent, before sending them."""
        done = self.progress
        if rows > done.reserved or done.seconds_in_doubt is not None:
            self.progress = replace(done, reserved=max(4 * rows, done.reserved), seconds_in_doubt=None)
            self._keep_surely()

    def _acknowledge(self, batch: Batch, written: Future[Sequence[Any]]) -> None:
        self._on_written(batch, written.result())
        done, now = self.progress, self._options.clock()
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
        if now - self._saved >= SAVE_INTERVAL and (error := self._keep()) and _is_lasting(error):
            raise error
        if now - self._reported >= REPORT_INTERVAL:
            self._reported = now
            _log.info("%s: %s", self._collection, self._speed())

    def _keep(self) -> Exception | None:
        """Store the progress, and return why that failed; then the last stored progress is still valid."""
        self._saved = self._options.clock()
        try:
            self._save(self.progress.as_json())
        except errors.MilvusError:  # the bad rows, which are stored before it, can never be
            raise
        except Exception as error:  # noqa: BLE001 - whoever needs it to be stored raises it
            text = "%s: the progress cannot be stored now, and a retry would repeat more: %s"
            _log.warning(text, self._collection, error)
            return error
        return None

    def _keep_surely(self) -> None:
        for attempt in range(1, SAVE_ATTEMPTS + 1):
            error = self._keep()
            if error is None:
                return
            if attempt == SAVE_ATTEMPTS or _is_lasting(error):
                raise error
            self._options.sleep(SAVE_PAUSE)

    def _speed(self) -> str:
        """Describe the progress, as ``12,000 of 100,000 rows (12%), 8,900 rows/s, 75.1 MB/s, 10 s left``."""
        done, elapsed = self.progress, max(self._options.clock() - self._began, 1e-6)
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
            return self._send_rows(batch, doubtful=doubtful and self._options.mode == "insert")
        except BaseException:
            self._failed_at = min(self._failed_at or batch.end, batch.end)
            raise

    def _send_rows(self, batch: Batch, *, doubtful: bool) -> Sequence[Any]:
        """Send a batch's rows; return the keys that the server made for those that were sent last."""
        options = self._options
        mode, rows = options.mode, batch.rows
        if doubtful and rows:
            mode, rows = self._mode_again, self._without_written(batch)
        while rows:
            make: Any = entities.upsert if mode == "upsert" else entities.insert
            try:
                written = self.send(make(self._collection, rows, partition=options.partition_name), batch)
            except errors.MilvusError as error:
                # The client retries idempotent calls, but not inserts.
                if mode == "upsert" or not error.transient or isinstance(error, _REFUSALS):
                    raise
                if not error.not_executed and not isinstance(error, errors.AnswerTimeoutError):
                    self._lost_until = max(self._lost_until, options.clock() + options.timeout)
                if doubtful:
                    raise
                _log.warning("%s It is unknown whether the rows arrived", error)
                doubtful = True
                options.sleep(1.0)  # which is often enough for the server
                mode, rows = self._mode_again, self._without_written(batch)
            else:
                if written.count != len(rows):
                    raise errors.UnexpectedError(
                        f"{written.count} of {len(rows)} rows were acknowledged", hint="See Milvus's log."
                    )
                keys: Sequence[Any] = written.ids
                return keys
        return ()

    def _wait(self, batch: Batch | None, until: float = 0.0) -> None:
        """Wait for a moment, and for the end of a pause."""
        while (left := max(until, self._paused_until) - self._options.clock()) > 0:
            self._options.sleep(min(left, LONGEST_NAP))
            self._raise_if_cancelled(batch)

    def _raise_if_cancelled(self, batch: Batch | None) -> None:
        # An earlier batch failed, which is about to be reported, or the caller was stopped.
        if batch is not None and (self._stopped or (self._failed_at is not None and self._failed_at < batch.end)):
            raise CancelledError

    def _without_written(self, batch: Batch) -> EncodedRows:
        """Return those of a batch's rows, which may have been sent, that have to be sent again."""
        rows, until, key_field = batch.rows, self._lost_until, self._options.key_field
        if key_field is not None:
            rows = self._missing(batch, rows, key_field)
            if not rows or self._options.clock() >= until:
                return rows
            self._wait(batch, until)
            return self._missing(batch, rows, key_field)
        if self._mode_again == "upsert":
            self._wait(batch, until)
        elif not self._options.replace_documents:  # which deletes the older ones
            _log.warning("%d rows are sent again and may exist twice: key_field= would prevent that", len(rows))
        return rows

    def _missing(self, batch: Batch, rows: EncodedRows, key_field: str) -> EncodedRows:
        """Query which of a batch's rows exist, by the values of a field, and return the others."""
        import orjson

        partition = self._options.partition_name
        values = [orjson.loads(row).get(key_field) for row in rows]
        kinds = set(map(type, values))  # a dynamic field may have both
        kind = "Int64" if kinds == {int} else "VarChar" if kinds == {str} else "JSON"
        found: set[Any] = set()
        for part in parts(values, ASKED_AT_ONCE):
            query = entities.query(
                self._collection,
                filter=is_one_of(key_field, part),
                output_fields=[key_field],
                limit=16_384,
                partitions=[partition] if partition else None,
                params={"consistencyLevel": "Strong"},
            )
            found.update(keys_of(self.send(query, batch), key_field, kind))
        return EncodedRows(row for row, value in zip(rows, values, strict=True) if value not in found)


def _is_lasting(error: Exception) -> bool:
    """Return whether an error of ``save`` is a mistake in it, which no further attempt would mend."""
    mistake = TypeError | ValueError | LookupError | AttributeError | NameError | NotImplementedError | ImportError
    return isinstance(error, mistake) and not isinstance(error, OSError | JSONDecodeError)  # as of a gateway's answer


def seconds_in_doubt(progress: Progress, timeout: float) -> float:
    """Return for how long requests of an earlier try may still take effect."""
    if progress.seconds_in_doubt is None:
        return timeout if progress.reserved else 0.0
    return progress.seconds_in_doubt
