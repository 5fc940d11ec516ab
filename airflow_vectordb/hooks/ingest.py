"""The hook's methods that ingest and delete rows."""

from __future__ import annotations

import glob
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from numbers import Integral
from typing import Any

from airflow_vectordb import rest
from airflow_vectordb._compat import connection_of_path
from airflow_vectordb.exceptions import translate_errors
from airflow_vectordb.hooks.base import HookBase
from airflow_vectordb.ingest import options, run
from airflow_vectordb.ingest.bad_rows import BadRows
from airflow_vectordb.ingest.files import open_file
from airflow_vectordb.ingest.memory import source_of
from airflow_vectordb.ingest.source import Source
from airflow_vectordb.ingest.storage import package_for, storage_errors
from airflow_vectordb.ingest.values import convert_all, keys_of
from airflow_vectordb.ingest.writer import Progress
from airflow_vectordb.rest import filters
from airflow_vectordb.rest.collections import Field

_log = logging.getLogger(__name__)
#: Seconds to wait for a rate limit of flushes: many tasks that write into one collection take turns.
FLUSH_PATIENCE = 1800.0


class IngestMethods(HookBase):
    """Methods of the hook that ingest and delete rows."""

    @translate_errors()
    def ingest(
        self,
        collection_name: str,
        rows: Any = None,
        *,
        source: Any = None,
        source_conn_id: str | None = None,
        mode: options.Mode | None = None,
        field_mapping: Mapping[str, str | None] | None = None,
        key_field: str | None = None,
        replace_documents: str | None = None,
        documents: Iterable[Any] = (),
        on_bad_row: options.OnBadRow = "fail",
        max_bad_rows: int | None = None,
        bad_rows_path: Any = None,
        batch_bytes: int = options.MAX_BYTES,
        batch_rows: int = options.MAX_ROWS,
        max_in_flight: int = options.MAX_IN_FLIGHT,
        min_rows: int = 0,
        flush: bool = False,
        allow_missing: bool = False,
        partition_name: str | None = None,
        progress: Mapping[str, Any] | None = None,
        save: Callable[[dict[str, Any]], None] = lambda progress: None,
    ) -> dict[str, Any]:
        """
        Write rows into a collection: checked, in parallel batches, in constant memory.

        The arguments are those of :class:`~airflow_vectordb.operators.ingest.IngestOperator`, which also stores its
        progress for a retry; to do that in a ``@task``, pass ``progress`` and ``save``.

        :param progress: the data that ``save`` last received in an earlier try; None: there is none
        :param save: a function that stores JSON-ready data where a retry finds it
        :return: ``{"collection_name", "rows", "batches", "skipped", "bytes", "seconds"}``
        :raises InvalidParametersError: for rows that cannot be sent, files that cannot be read, wrong arguments
        :raises MilvusError: if a batch could not be written
        """
        problems = rest.spelling.check_field_mapping("field_mapping", field_mapping)
        if mode is not None:
            problems += rest.spelling.check_choice("mode", mode, options.Mode)
        problems += rest.spelling.check_choice("on_bad_row", on_bad_row, options.OnBadRow)
        problems += rest.spelling.check_range("batch_bytes", batch_bytes, 1)
        problems += rest.spelling.check_range("batch_rows", batch_rows, 1)
        problems += rest.spelling.check_range("max_in_flight", max_in_flight, 1)
        problems += rest.spelling.check_range("min_rows", min_rows, 0, 2**63)
        problems += _check_names(
            partition_name=partition_name, key_field=key_field, replace_documents=replace_documents
        )
        if (rows is None) == (source is None):
            problems.append("pass either rows or source")
        if problems:
            raise rest.errors.InvalidParametersError(problems, "ingest")
        collection = self._describe_by_own_name(collection_name)
        self.server_confirmed = True  # for the clients of other threads
        how = options.Options(
            mode=mode,
            field_mapping=field_mapping,
            key_field=key_field,
            replace_documents=replace_documents,
            documents=documents,
            batch_bytes=batch_bytes,
            batch_rows=batch_rows,
            max_in_flight=max_in_flight,
            partition_name=partition_name,
            timeout=self.config.socket_timeout,
        )
        try:
            done = run.ingest(
                open_input(rows, source, source_conn_id, collection, allow_missing=allow_missing),
                collection,
                self.send,
                how,
                open_bad_rows(on_bad_row, max_bad_rows, bad_rows_path, source_conn_id),
                progress=Progress.from_json(progress) if progress else None,
                save=save,
            )
        finally:
            self._close_unused()
        if self.send(rest.collections.describe(collection.name)).identity != collection.identity:
            repeatable = key_field or replace_documents or mode == "upsert" or not run.has_auto_ids(collection)
            raise rest.errors.ConflictError(
                f"the first of {done.rows:,} rows went into the collection that is gone",
                cause="Another client has recreated the collection meanwhile",
                hint="A retry writes all rows." if repeatable else "Empty it first: a retry would double rows.",
                transient=bool(repeatable),
            )
        if done.rows < min_rows:
            raise rest.errors.InvalidParametersError(
                [f"{done.rows:,} rows, but min_rows is {min_rows:,}"], f"rows for collection {collection_name!r}"
            )
        if flush and done.rows:
            self._flush(collection.name, "The rows are written; flush=True needs Milvus 2.5.")
        return {
            "collection_name": collection_name,
            "rows": done.rows,
            "batches": done.batches,
            "skipped": done.skipped,
            "bytes": done.size,
            "seconds": round(done.seconds, 3),
        }

    @translate_errors()
    def delete(
        self,
        collection_name: str,
        ids: Iterable[Any] | int | None = None,
        *,
        filter: str | None = None,
        filter_params: Mapping[str, Any] | None = None,
        partition_name: str | None = None,
        batch_rows: int = options.DELETED_AT_ONCE,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """
        Delete rows in batches, by their primary keys or by a filter. Deleting missing rows is a no-op.

        Arguments and result are those of :class:`~airflow_vectordb.operators.ingest.DeleteOperator`; ``ids`` may also
        be one number.

        :raises InvalidParametersError: if ids are not a list (a string is not), or not keys of this collection
        :raises MilvusError: if the server refuses
        """
        problems = rest.spelling.check_range("batch_rows", batch_rows, 1)
        problems += _check_names(partition_name=partition_name)
        if (ids is None) == (filter is None) or (isinstance(filter, str) and not filter.strip()):
            problems.append("pass either ids or a filter")
        given: Any = filter
        if not isinstance(given, str | None):
            problems.append(f"filter must be an expression, not {rest.spelling.describe_value(given)}")
        if problems:
            raise rest.errors.InvalidParametersError(problems, "deletion")
        filled = None if filter is None else filters.fill(filter, filter_params)
        keys = [] if ids is None else _list_keys(ids)
        collection = self._describe_by_own_name(collection_name)
        field, name = run.primary_key(collection), collection.name
        key = field.name
        keys, problems = convert_all("ids", keys, key, field.type)
        if problems:
            raise rest.errors.InvalidParametersError(problems, "arguments")
        parts = rest.lists.parts(keys, batch_rows)
        if dry_run:
            partitions = [partition_name] if partition_name else None
            wanted = [filters.is_one_of(key, part) for part in parts] if filled is None else [filled]
            rows = sum(self.send(rest.entities.count(name, filter=one, partitions=partitions)) for one in wanted)
            return {"collection_name": collection_name, "rows": rows, "batches": 0, "dry_run": True}
        found = self._keys_of(name, field, filled, partition_name, batch_rows) if filled is not None else parts
        rows = batches = 0
        for part in found:
            selected = filters.is_one_of(key, part)
            self.send(rest.entities.delete(name, selected, partition=partition_name))
            rows += len(part)
            batches += 1
        return {"collection_name": collection_name, "rows": rows, "batches": batches, "dry_run": False}

    def _flush(self, collection_name: str, hint: str) -> None:
        """Flush, waiting out the rate limit; ``hint`` is for servers that cannot."""
        flush, until = rest.collections.flush(collection_name), time.time() + FLUSH_PATIENCE
        while True:
            try:
                return self.send(flush)
            except rest.errors.RateLimitError as error:
                if time.time() >= until:
                    raise
                time.sleep(error.retry_after or 1.0)
            except (rest.errors.NoSuchEndpointError, rest.errors.UnsupportedError) as error:
                cause = "this server cannot flush over REST"
                raise error.with_context(cause=cause, hint=hint) from error.__cause__

    def _keys_of(
        self, collection_name: str, key: Field, selected: str, partition_name: str | None, limit: int
    ) -> Iterator[Sequence[Any]]:
        """Yield keys of existing rows until there are none; the caller deletes them."""
        before: set[Any] = set()
        while True:
            call = rest.entities.query(
                collection_name,
                filter=selected,
                output_fields=[key.name],
                limit=limit,
                partitions=[partition_name] if partition_name else None,
                params={"consistencyLevel": "Strong"},
            )
            keys = keys_of(self.send(call), key.name, key.type)
            if not keys:
                return
            if before == set(keys):
                raise rest.errors.UnexpectedError(
                    f"{len(keys)} rows still exist after their deletion",
                    hint="Does another client write them? A retry deletes them again.",
                    transient=True,
                )
            before = set(keys)
            yield keys


def _check_names(**values: Any) -> list[str]:
    """Check optional names: an empty one would stand for all that there is."""
    given = {name: value for name, value in values.items() if value is not None}
    return [f"{name} {why}" for name, value in given.items() if (why := rest.spelling.why_no_name(value))]


def _list_keys(ids: Any) -> list[Any]:
    """Return primary keys as a list. A single string is refused, since it may be a filter."""
    if not isinstance(ids, bool) and isinstance(ids, Integral):
        return [ids]
    if rest.lists.is_list(ids):
        return list(ids)
    problem = f"ids must be a list of keys, not {rest.spelling.describe_value(ids)}; a filter goes into filter="
    raise rest.errors.InvalidParametersError([problem], "arguments")


def open_bad_rows(policy: options.OnBadRow, most: int | None, path: Any, conn_id: str | None) -> BadRows:
    """Return what takes rows that cannot be sent."""
    return BadRows(policy, most, object_path(path, conn_id) if path else None)


def open_input(
    rows: Any, source: Any, conn_id: str | None, collection: rest.collections.Collection, *, allow_missing: bool
) -> list[Source]:
    """
    Open rows, or files, as sources.

    :param rows: rows, or a function that returns them; None: there are files
    :param source: paths or globs, one or several
    :param collection: vectors of a ``.npy`` are for its first vector field
    :param allow_missing: whether to ignore files that do not exist, and globs that match nothing
    :raises InvalidParametersError: with all files that do not exist or have an unknown format
    """
    if source is None:
        return [source_of(rows() if callable(rows) else rows)]
    given = [source] if _is_path(source) else source
    if not rest.lists.is_list(given) or not all(map(_is_path, given := list(given))):
        problem = f"source must be a path or a list of paths, not {rest.spelling.describe_value(source)}"
        raise rest.errors.InvalidParametersError([problem], "source")
    paths: list[Any] = []
    problems: list[str] = []
    for one in given:
        try:
            paths += _find(one, conn_id, allow_missing=allow_missing)
        except rest.errors.InvalidParametersError as error:
            problems += error.problems
    if problems:
        raise rest.errors.InvalidParametersError(problems, "source")
    vectors = [field.name for field in collection.fields if field.type.endswith("Vector")]
    return [open_file(path, vectors[0] if vectors else "vector") for path in dict.fromkeys(paths)]


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike) or hasattr(value, "open")


def _find(given: Any, conn_id: str | None, *, allow_missing: bool) -> list[Any]:
    """
    Return the paths of the files that a path or glob is for.

    :raises InvalidParametersError: with what is wrong with it
    """
    text = str(given).strip()
    if not text or rest.spelling.is_nothing(text):
        raise _wrong_source(f"source is {given!r}: did its template render to nothing?")
    if text.startswith("[") and text.endswith("]"):
        raise _wrong_source(
            f"source is {rest.spelling.show(given)}, a list rendered to text: pass a task's output itself"
        )
    path = object_path(given, conn_id)
    is_glob = glob.has_magic(text)
    with storage_errors(path):
        # Listings cached earlier in this process may be outdated.
        path.fs.invalidate_cache()
        found = path.fs.glob(path.path, detail=True) if is_glob else {}
        if not is_glob:
            with suppress(FileNotFoundError, NotADirectoryError):
                found[path.path] = path.fs.info(path.path)
        # A local listing does not tell whether a link points to a folder.
        files = sorted(
            name
            for name, info in found.items()
            if info["type"] != "directory" and not (info.get("islink") and path.fs.isdir(name))
        )
    if found and not files and not is_glob:
        raise _wrong_source(f"{given} is a directory; name its files, for example {text.rstrip('/')}/*.parquet")
    if not files and not allow_missing:
        what = "matches no file" if is_glob else "does not exist"
        raise _wrong_source(f"{given}: {what}; set allow_missing=True if that is fine")
    conn_id = connection_of_path(path)
    return [object_path(path.fs.unstrip_protocol(name), conn_id) if is_glob else path for name in files]


def _wrong_source(problem: str) -> rest.errors.InvalidParametersError:
    return rest.errors.InvalidParametersError([problem], "source")


def object_path(given: Any, conn_id: str | None) -> Any:
    """Return an ``ObjectStoragePath``; check that the packages for its storage are installed."""
    from airflow.sdk import ObjectStoragePath  # loads fsspec

    try:
        path = given
        if not isinstance(given, ObjectStoragePath):
            text = os.fspath(given)
            path = ObjectStoragePath(text if "://" in text else f"file://{os.path.abspath(text)}", conn_id=conn_id)
        with storage_errors(path):
            path.fs  # noqa: B018
    except (ImportError, ValueError) as error:
        scheme = str(given).partition("://")[0]
        problem = f"{scheme}://: install {package_for(scheme)} to use {given} ({error})"
        raise rest.errors.InvalidParametersError([problem], "path") from error
    return path
