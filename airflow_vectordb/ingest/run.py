"""An ingest from its sources to its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow_vectordb.ingest.batches import MAX_BYTES, MAX_ROWS, BadRow, Batch, Batcher, raise_bad_row
from airflow_vectordb.ingest.rows import RowChecker
from airflow_vectordb.ingest.source import Source
from airflow_vectordb.ingest.writer import MAX_IN_FLIGHT, PATIENCE, Mode, Progress, Sender, Target, Writer
from airflow_vectordb.rest.collections import Collection
from airflow_vectordb.rest.errors import InvalidParametersError


def ingest(
    sources: Sequence[Source],
    collection: Collection,
    open_sender: Callable[[], Sender],
    *,
    mode: Mode | None = None,
    field_mapping: Mapping[str, str | None] | None = None,
    key_field: str | None = None,
    partition: str | None = None,
    database: str | None = None,
    on_bad_row: Callable[[BadRow], None] = raise_bad_row,
    progress: Progress | None = None,
    save: Callable[[dict[str, Any]], None] = lambda progress: None,
    max_bytes: int = MAX_BYTES,
    max_rows: int = MAX_ROWS,
    max_in_flight: int = MAX_IN_FLIGHT,
    patience: float = PATIENCE,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Progress:
    """
    Write the rows of sources into a collection.

    :param sources: read one after the other
    :param collection: as described by the server
    :param open_sender: makes a client; called once for each batch in flight
    :param mode: ``upsert`` or ``insert``; None: ``insert`` where the server makes the keys, else ``upsert``
    :param field_mapping: name in the sources -> name of the field; None in place of one drops the column
    :param key_field: a field that tells rows apart, where the server makes the keys
    :param partition: name of a partition; None: the default one
    :param database: None: the configured one
    :param on_bad_row: is called with each row that cannot be sent; raises to end the ingest
    :param progress: what an earlier try has done; None: nothing
    :param save: keeps the progress where a retry finds it; called with JSON-ready data
    :param max_bytes: bytes of rows in one request
    :param max_rows: rows in one request
    :param max_in_flight: requests on their way at once
    :param patience: seconds for which refusals for lack of memory, disk or quota are waited out
    :param clock: the present time, in seconds
    :param sleep: sleeps for so many seconds
    :return: the progress at the end
    :raises InvalidParametersError: when the sources do not fit the collection, or have changed since an earlier try
    :raises MilvusError: when a batch could not be written
    """
    auto_id = has_auto_ids(collection)
    mode = mode or ("insert" if auto_id else "upsert")
    progress = _checked_progress(sources, progress)
    checkers = [
        RowChecker(collection, field_mapping, with_auto_ids=mode == "upsert", is_text=source.is_text)
        for source in sources
    ]
    problems = [
        f"{source.name}: {problem}"
        for source, checker in zip(sources, checkers, strict=True)
        if (columns := source.columns()) is not None
        for problem in checker.problems_of_columns(columns)
    ]
    if problems:
        raise InvalidParametersError(problems, f"rows for collection {collection.name!r}")
    counts = [source.row_count() for source in sources]
    target = Target(
        collection.name,
        mode,
        partition,
        database,
        key_field,
        has_keys=checkers[0].key is not None if checkers else True,
    )
    writer = Writer(
        target,
        open_sender,
        save,
        progress,
        max_in_flight=max_in_flight,
        total=None if None in counts else sum(count or 0 for count in counts),
        patience=patience,
        clock=clock,
        sleep=sleep,
    )

    def batches() -> Iterator[Batch]:
        first = progress.row
        for number, source in enumerate(sources[progress.source :], start=progress.source):
            batcher = Batcher(checkers[number], on_bad_row, max_bytes=max_bytes, max_rows=max_rows)
            yield from batcher.batches(number, source, first)
            first = 0

    return writer.write(batches())


def has_auto_ids(collection: Collection) -> bool:
    """
    Return whether the server makes a collection's keys.

    :param collection: as described by the server
    """
    fields: Any = collection.raw.get("fields") or ()
    return any(field.get("primaryKey") and field.get("autoId") for field in fields)


def _checked_progress(sources: Sequence[Source], progress: Progress | None) -> Progress:
    fingerprints = tuple(source.fingerprint() for source in sources)
    if progress is None:
        return Progress(fingerprints=fingerprints)
    before = progress.fingerprints
    if len(before) != len(fingerprints):
        problems = [f"there were {len(before)} sources when the ingest began, and there are {len(fingerprints)} now"]
    else:
        problems = [
            f"{source.name} has changed since the ingest began ({old}; now {new})"
            for source, old, new in zip(sources, before, fingerprints, strict=True)
            if old != new
        ]
    if problems:
        raise InvalidParametersError(problems, "retry of an ingest")
    return replace(progress, fingerprints=fingerprints)


__all__ = ["has_auto_ids", "ingest"]
