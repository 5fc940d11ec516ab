"""The ingest: reads sources, and writes their rows into a collection."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from airflow_vectordb.ingest.bad_rows import BadRows
from airflow_vectordb.ingest.batches import MAX_BYTES, MAX_ROWS, BadRow, Batch, Batcher
from airflow_vectordb.ingest.documents import DocumentKeys
from airflow_vectordb.ingest.rows import RowChecker, problems_of_sources
from airflow_vectordb.ingest.source import Source
from airflow_vectordb.ingest.values import converter
from airflow_vectordb.ingest.writer import MAX_IN_FLIGHT, PATIENCE, Mode, Progress, Sender, Target, Writer
from airflow_vectordb.rest import entities
from airflow_vectordb.rest.collections import Collection, Field
from airflow_vectordb.rest.errors import ConflictError, InvalidParametersError
from airflow_vectordb.rest.spelling import describe_value, suggest

_log = logging.getLogger(__name__)
#: Types of fields whose values can be compared exactly in filters.
_COMPARABLE = ("VarChar", "String", "Int8", "Int16", "Int32", "Int64")
#: The maximum number of problems with documents in an error.
_LISTED = 10
#: A number larger than any number of rows: any row may have been sent.
_ALL = 2**62


def ingest(
    sources: Sequence[Source],
    collection: Collection,
    open_sender: Callable[[], Sender],
    *,
    mode: Mode | None = None,
    field_mapping: Mapping[str, str | None] | None = None,
    key_field: str | None = None,
    replace_documents: str | None = None,
    documents: Iterable[Any] = (),
    partition: str | None = None,
    database: str | None = None,
    on_bad_row: Callable[[BadRow], None] | None = None,
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
    :param mode: ``upsert`` or ``insert``; None: ``insert`` if the server generates the keys, else ``upsert``
    :param field_mapping: name in the sources -> name of the field; None drops the column
    :param key_field: a field with unique values, if the server generates the keys
    :param replace_documents: name of the field that identifies a row's document: afterwards, each document in the
        sources has exactly the rows of the sources
    :param documents: further documents: those without rows in the sources lose all their rows
    :param partition: name of a partition; None: the default one
    :param database: None: the configured one
    :param on_bad_row: is called with each row that cannot be sent; raises to end the ingest; None: raises
    :param progress: the data that ``save`` last received in an earlier try; None: there is none
    :param save: stores JSON-ready data where a retry finds it
    :param max_bytes: bytes of rows in one request
    :param max_rows: rows in one request
    :param max_in_flight: concurrent requests
    :param patience: seconds for which calls refused for lack of memory, disk or quota are retried
    :param clock: the present time, in seconds
    :param sleep: sleeps for so many seconds
    :return: the progress at the end
    :raises InvalidParametersError: if the sources do not fit the collection, or have changed since an earlier try
    :raises MilvusError: if a batch could not be written
    """
    auto_id = has_auto_ids(collection)
    mode = mode or ("insert" if auto_id else "upsert")
    checkers = [
        RowChecker(collection, field_mapping, with_auto_ids=mode == "upsert", is_text=source.is_text)
        for source in sources
    ]
    problems = problems_of_sources(sources, checkers)
    problems += _problems_of_field(collection, "key_field", key_field)
    problems += _problems_of_replacing(collection, replace_documents, mode if auto_id else "insert")
    if replace_documents:
        documents, wrong = _checked_documents(collection, replace_documents, documents)
        problems += wrong
    if problems:
        raise InvalidParametersError(problems, f"rows for collection {collection.name!r}")
    target = Target(
        collection.name,
        mode,
        partition,
        database,
        key_field,
        has_keys=not auto_id or mode == "upsert",
        doubles_are_stale=auto_id and replace_documents is not None,
    )
    progress = _checked_progress(sources, progress, target, collection)
    counts = [source.row_count() for source in sources]
    with ExitStack() as stack:
        keys = stack.enter_context(DocumentKeys()) if replace_documents else None
        make_key = int if auto_id and primary_key(collection).type == "Int64" else lambda key: key

        spare: list[bytearray] = []

        def on_written(batch: Batch, made: Sequence[Any]) -> None:
            spare.append(batch.rows.memory)
            if keys is not None:
                keys.add(batch.documents, list(map(make_key, made)) if auto_id else batch.keys)

        def batches() -> Iterator[Batch]:
            for number, source in enumerate(sources):
                first = progress.row if number == progress.source else 0
                if keys is not None and number <= progress.source:
                    upto = first if number == progress.source else _ALL
                    _add_written(keys, source, checkers[number], replace_documents or "", upto)
                if number < progress.source:
                    continue
                batcher = Batcher(
                    checkers[number],
                    on_bad_row or BadRows(),
                    max_bytes=max_bytes,
                    max_rows=max_rows,
                    document_field=replace_documents,
                    spare=spare,
                    key_field=key_field if target.asks else None,
                )
                yield from batcher.batches(number, source, first)

        writer = Writer(
            target,
            open_sender,
            save,
            progress,
            max_in_flight=max_in_flight,
            total=None if None in counts else sum(count or 0 for count in counts),
            on_written=on_written,
            patience=patience,
            clock=clock,
            sleep=sleep,
        )
        done = writer.write(batches())
        if keys is not None:
            keys.name(documents)
            sender = open_sender()
            stack.callback(sender.close)
            key = primary_key(collection).name
            _delete_stale(sender, target, keys, replace_documents or "", key)
            if not _all_there(sender, target, keys, key):
                # All rows have to be written again.
                save(replace(done, source=0, row=0, reserved=_ALL, rows=0, batches=0, skipped=0, size=0).as_json())
                raise ConflictError(
                    "rows that were written no longer exist",
                    cause="Another task replaces the same documents, and has deleted these rows",
                    hint="A retry writes them.",
                    transient=True,
                )
    return done


def _delete_stale(sender: Sender, target: Target, keys: DocumentKeys, document_field: str, key: str) -> None:
    # A deletion sees everything that the strongly consistent read before it has seen, so all writes so far.
    sender.send(entities.count(target.collection, database=target.database))
    requests = 0
    for requests, selected in enumerate(keys.stale_filters(document_field, key), start=1):  # noqa: B007
        sender.send(entities.delete(target.collection, selected, partition=target.partition, database=target.database))
    _log.info("%s: stale rows of documents are deleted, in %d requests", target.collection, requests)


def _all_there(sender: Sender, target: Target, keys: DocumentKeys, key: str) -> bool:
    """Return whether the new rows still exist: another ingest of the same documents would delete them as stale."""
    partitions = [target.partition] if target.partition else None
    return all(
        sender.send(entities.count(target.collection, filter=own, partitions=partitions, database=target.database)) >= n
        for own, n in keys.own_filters(key)
    )


def _add_written(keys: DocumentKeys, source: Source, checker: RowChecker, document_field: str, upto: int) -> None:
    """Add the rows that an earlier try has written, by reading the source again."""
    if not upto:
        return
    for block in source.blocks():
        rows = block.rows[: max(upto - block.first, 0)]
        checked = [found for found, problems in map(checker.check, rows) if not problems]
        checked = [row for row in checked if isinstance(row.get(document_field), str | int)]
        keys.add([row[document_field] for row in checked], [row[checker.key or ""] for row in checked])
        if block.first + len(block.rows) >= upto:
            return


def _problems_of_field(collection: Collection, argument: str, name: str | None) -> list[str]:
    if name is None:
        return []
    types = {field.name: field.type for field in collection.fields}
    if types.get(name, "VarChar" if collection.enable_dynamic_field else "") in _COMPARABLE:
        return []
    return [f"{argument}={name!r}: the collection has no such VarChar or integer field{suggest(name, types)}"]


def _problems_of_replacing(collection: Collection, document_field: str | None, mode: Mode) -> list[str]:
    if document_field is None:
        return []
    problems = _problems_of_field(collection, "replace_documents", document_field)
    if mode == "upsert":
        problems.append("replace_documents inserts rows if the server generates the keys: omit mode")
    if collection.load == "LoadStateNotLoad":
        problems.append(
            "replace_documents deletes by filter, which Milvus does in loaded collections only: load it first"
        )
    return problems


def _checked_documents(collection: Collection, name: str, documents: Any) -> tuple[list[Any], list[str]]:
    """Return documents in their field's type, and problems, which must be found before rows are written."""
    if isinstance(documents, str | bytes | Mapping) or not isinstance(documents, Iterable):
        # A string would delete the documents named by its letters.
        return [], [f"documents must be a list, not {describe_value(documents)}"]
    given = list(documents)
    kind = next((field.type for field in collection.fields if field.name == name), None)
    if kind not in _COMPARABLE:  # a dynamic field, which may have strings and integers
        wrong = [one for one in given if isinstance(one, bool) or not isinstance(one, str | int)]
        return given, [
            f"documents: {describe_value(one)} is neither a string nor an integer" for one in wrong[:_LISTED]
        ]
    found: list[Any] = []
    problems: list[str] = []
    convert = converter(kind)
    for one in given:
        try:
            found.append(convert(one))
        except (ValueError, TypeError, OverflowError) as error:
            problems.append(f"documents: {error}; {name} is of type {kind}")
    return found, problems[:_LISTED]


def primary_key(collection: Collection) -> Field:
    """
    Return the primary key's field.

    :param collection: as described by the server
    """
    return next(field for field in collection.fields if field.is_primary)


def has_auto_ids(collection: Collection) -> bool:
    """
    Return whether the server generates a collection's keys.

    :param collection: as described by the server
    """
    fields: Any = collection.raw.get("fields") or ()
    return any(field.get("primaryKey") and field.get("autoId") for field in fields)


def progress_in(collection: Collection, progress: Progress) -> Progress | None:
    """
    Return the progress of an earlier try, if it was in this collection.

    :param collection: as described by the server
    :param progress: of the earlier try
    """
    if progress.collection in ("", collection.identity):
        return progress
    _log.warning(
        "%s is not the collection that the ingest started with (it was recreated, or its alias was moved): starting "
        "over from the first row",
        collection.name,
    )
    return None


def _checked_progress(
    sources: Sequence[Source], progress: Progress | None, target: Target, collection: Collection
) -> Progress:
    """Return where to begin: at the end of an earlier try, unless the sources have changed since."""
    fingerprints = tuple(source.fingerprint() for source in sources)
    fresh = Progress(fingerprints=fingerprints, collection=collection.identity)
    if progress is None or target.doubles_are_stale:
        return fresh
    before = progress.fingerprints
    if len(before) != len(fingerprints):
        changes = [f"there were {len(before)} sources when the ingest began, and there are {len(fingerprints)} now"]
    else:
        changes = [
            f"{source.name} has changed since the ingest began ({old}; now {new})"
            for source, old, new in zip(sources, before, fingerprints, strict=True)
            if old != new
        ]
    if not changes:
        return progress
    sent = progress.rows or progress.reserved
    if sent and target.mode == "insert" and not target.has_keys and target.key_field is None:
        hint = f"{progress.rows:,} rows are written; delete them, then ingest in a new run (or set key_field)"
        raise InvalidParametersError([*changes, hint], "retry of an ingest")
    _log.warning("%s: starting over from the first row", "; ".join(changes))
    return replace(fresh, reserved=_ALL if sent else 0)


__all__ = ["has_auto_ids", "ingest", "primary_key", "progress_in"]
