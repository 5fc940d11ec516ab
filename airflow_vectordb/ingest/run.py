"""The ingest: reads sources, and writes their rows into a collection."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

from airflow_vectordb.ingest.bad_rows import BadRows
from airflow_vectordb.ingest.batches import Batch, Batcher
from airflow_vectordb.ingest.documents import DocumentKeys
from airflow_vectordb.ingest.options import Options
from airflow_vectordb.ingest.rows import RowChecker, problems_of_sources
from airflow_vectordb.ingest.source import Source
from airflow_vectordb.ingest.values import convert_all, converter, text_converter
from airflow_vectordb.ingest.writer import Progress, Send, Writer, seconds_in_doubt
from airflow_vectordb.rest import entities
from airflow_vectordb.rest.collections import Collection, Field
from airflow_vectordb.rest.errors import ConflictError, InvalidParametersError
from airflow_vectordb.rest.http.response import misshapen
from airflow_vectordb.rest.lists import is_list
from airflow_vectordb.rest.spelling import describe_value, suggest

_log = logging.getLogger(__name__)
#: Types of fields whose values can be compared exactly in filters.
_COMPARABLE = ("VarChar", "String", "Int8", "Int16", "Int32", "Int64")
#: A number larger than any number of rows: any row may have been sent.
_ALL = 2**62


def ingest(
    sources: Sequence[Source],
    collection: Collection,
    send: Send,
    options: Options,
    bad_rows: BadRows,
    *,
    progress: Progress | None = None,
    save: Callable[[dict[str, Any]], None] = lambda progress: None,
) -> Progress:
    """
    Write the rows of sources into a collection.

    :param sources: read one after the other
    :param collection: as described by the server
    :param send: sends a call; called in several threads
    :param options: how they are written
    :param bad_rows: takes each row that cannot be sent; raises to end the ingest
    :param progress: what ``save`` last received in an earlier try; None: there is none
    :param save: stores JSON-ready data where a retry finds it
    :return: the progress at the end
    :raises InvalidParametersError: if the sources do not fit the collection, or have changed since an earlier try
    :raises MilvusError: if a batch could not be written
    """
    key, auto_id = primary_key(collection), has_auto_ids(collection)
    mode = options.mode or ("insert" if auto_id else "upsert")
    checkers = [
        RowChecker(collection, options.field_mapping, with_auto_ids=mode == "upsert", is_text=source.is_text)
        for source in sources
    ]
    problems = problems_of_sources(sources, checkers)
    problems += _problems_of_field(collection, "key_field", options.key_field)
    documents: list[Any] = []
    if options.replace_documents is not None:
        problems += _problems_of_replacing(collection, options.replace_documents, mode if auto_id else "insert")
        documents, wrong = _checked_documents(collection, options.replace_documents, options.documents)
        problems += wrong
    if problems:
        raise InvalidParametersError(problems, f"rows for collection {collection.name!r}")
    has_keys = mode == "upsert" or not auto_id
    # Rows with keys are upserted again, and of documents those are stale that came before.
    asked_by = None if has_keys or options.replace_documents else options.key_field
    options = replace(options, mode=mode, key_field=asked_by)
    progress = _where_to_begin(sources, progress, options, collection, has_keys=has_keys)
    bad_rows.resume(progress)

    def save_both(done: dict[str, Any]) -> None:
        bad_rows.write()  # first, since the position marks them as handled
        save(done)

    with ExitStack() as stack:
        batcher = Batcher(options, bad_rows)
        key_converter = text_converter(key.type, converter(key.type))
        keys: DocumentKeys | None = None
        if options.replace_documents is not None:
            keys = stack.enter_context(closing(DocumentKeys(options.replace_documents, key.name)))

        def on_written(batch: Batch, made: Sequence[Any]) -> None:
            batcher.spare.append(batch.rows.memory)
            if keys is not None:
                try:
                    keys.add(batch.documents, map(key_converter, made) if auto_id else batch.keys)
                except ValueError as error:
                    raise misshapen(f"the ids of inserted rows: {error}") from None

        def batches() -> Iterator[Batch]:
            for number, source in enumerate(sources):
                first = progress.row if number == progress.source else 0
                if keys is not None and number <= progress.source:
                    upto = first if number == progress.source else _ALL
                    _add_written(keys, batcher, source, checkers[number], upto)
                if number >= progress.source:
                    yield from batcher.batches(number, source, checkers[number], first)

        counts = [source.row_count() for source in sources]
        writer = Writer(
            collection.name,
            options,
            send,
            save_both,
            progress,
            mode_again="upsert" if has_keys else "insert",
            total=None if None in counts else sum(count or 0 for count in counts),
            on_written=on_written,
        )
        done = writer.write(batches())
        if keys is not None:
            keys.add(documents, [None] * len(documents))
            if not has_keys:  # rows of lost inserts are stale, too
                options.sleep(done.seconds_in_doubt or 0.0)
            _delete_stale(writer.send, collection.name, options.partition_name, keys)
            if not _all_there(writer.send, collection.name, options.partition_name, keys):
                # All rows have to be written again.
                save(replace(done, source=0, row=0, reserved=_ALL, rows=0, batches=0, skipped=0, size=0).as_json())
                raise ConflictError(
                    "rows that were written no longer exist",
                    cause="Another task replaces the same documents, and has deleted these rows",
                    hint="A retry writes them.",
                    transient=True,
                )
    bad_rows.warn(collection.name, done.skipped)
    return done


def _delete_stale(send: Send, collection: str, partition: str | None, keys: DocumentKeys) -> None:
    # A deletion sees everything that the strongly consistent read before it has seen, so all writes so far.
    send(entities.count(collection))
    requests = 0
    for requests, selected in enumerate(keys.stale_filters(), start=1):  # noqa: B007
        send(entities.delete(collection, selected, partition=partition))
    _log.info("%s: stale rows of documents are deleted, in %d requests", collection, requests)


def _all_there(send: Send, collection: str, partition: str | None, keys: DocumentKeys) -> bool:
    """Return whether the new rows still exist: another ingest of the same documents would delete them as stale."""
    partitions = [partition] if partition else None
    return all(
        send(entities.count(collection, filter=own, partitions=partitions)) >= number
        for own, number in keys.own_filters()
    )


def _add_written(keys: DocumentKeys, batcher: Batcher, source: Source, checker: RowChecker, upto: int) -> None:
    """Add the rows that an earlier try has written, by reading the source again."""
    if not upto:
        return
    for block in source.blocks():
        rows = block.rows[: max(upto - block.first, 0)]
        encoded = (batcher.encode(row, checker) for row in rows)
        checked = [row for row, _, problems in encoded if not problems]
        keys.add([row[keys.document_field] for row in checked], [row[keys.key_field] for row in checked])
        if block.first + len(block.rows) >= upto:
            return


def _problems_of_field(collection: Collection, argument: str, name: str | None) -> list[str]:
    if name is None:
        return []
    types = {field.name: field.type for field in collection.fields}
    if types.get(name, "VarChar" if collection.enable_dynamic_field else "") in _COMPARABLE:
        return []
    return [f"{argument}={name!r}: the collection has no such VarChar or integer field{suggest(name, types)}"]


def _problems_of_replacing(collection: Collection, document_field: str, mode: str) -> list[str]:
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
    if not is_list(documents):
        # A string would delete the documents named by its letters.
        return [], [f"documents must be a list, not {describe_value(documents)}"]
    given = list(documents)
    kind = next((field.type for field in collection.fields if field.name == name), None)
    if kind not in _COMPARABLE:  # a dynamic field, which may have strings and integers
        wrong = [one for one in given if isinstance(one, bool) or not isinstance(one, str | int)]
        return given, [f"documents: {describe_value(one)} is neither a string nor an integer" for one in wrong[:10]]
    return convert_all("documents", given, name, kind)


def primary_key(collection: Collection) -> Field:
    """Return the primary key's field."""
    for field in collection.fields:
        if field.is_primary:
            return field
    raise misshapen(f"collection {collection.name!r} has no primary key")


def has_auto_ids(collection: Collection) -> bool:
    """Return whether the server generates a collection's keys."""
    fields: Any = collection.raw.get("fields") or ()
    return any(field.get("primaryKey") and field.get("autoId") for field in fields)


def _where_to_begin(
    sources: Sequence[Source], progress: Progress | None, options: Options, collection: Collection, *, has_keys: bool
) -> Progress:
    """Return the end of an earlier try, unless it was in another collection, or the sources have changed since."""
    fingerprints = tuple(source.fingerprint() for source in sources)
    fresh = Progress(fingerprints=fingerprints, collection=collection.identity)
    if progress is None:
        return fresh
    sent = progress.rows or progress.reserved
    if progress.collection not in ("", collection.identity):
        _log.warning(
            "%s is not the collection that the ingest started with (it was recreated, or its alias was moved): "
            "starting over from the first row",
            collection.name,
        )
        # It may have rows of the earlier try, too, as when it was recreated in the middle of it.
        found_again = sent and (has_keys or options.key_field is not None)
        return replace(fresh, reserved=_ALL if found_again else 0, seconds_in_doubt=progress.seconds_in_doubt)
    if options.replace_documents and not has_keys:
        return replace(fresh, seconds_in_doubt=seconds_in_doubt(progress, options.timeout))
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
    if sent and not has_keys and options.key_field is None:
        hint = f"{progress.rows:,} rows are written; delete them, then ingest in a new run (or set key_field)"
        raise InvalidParametersError([*changes, hint], "retry of an ingest")
    _log.warning("%s: starting over from the first row", "; ".join(changes))
    return replace(fresh, reserved=_ALL if sent else 0, seconds_in_doubt=progress.seconds_in_doubt)
