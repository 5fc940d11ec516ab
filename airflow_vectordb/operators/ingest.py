"""Operators that write rows into collections, and delete them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_vectordb import rest
from airflow_vectordb.deferral import ResumeState
from airflow_vectordb.ingest import options
from airflow_vectordb.operators.base import MilvusOperator
from airflow_vectordb.rest.spelling import check_choice, check_range
from airflow_vectordb.validation import check_flag, count_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_vectordb.hooks.milvus import MilvusHook

#: Milvus returns at most 16,384 rows for a query.
MAX_DELETED_AT_ONCE = 16_384


class RowsFunction:
    """A function that returns rows, wrapped because Airflow calls functions itself when it renders templates."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __str__(self) -> str:
        # Shown by Airflow; must not change between parses of the DAG.
        return f"<callable {getattr(self._function, '__qualname__', type(self._function).__qualname__)}>"

    def call(self, context: Context) -> Any:
        """Call it with the context's values for its parameters."""
        given: Mapping[str, Any] = context or {}
        parameters = inspect.signature(self._function).parameters
        takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        return self._function(**{name: given[name] for name in given if takes_all or name in parameters})


class IngestOperator(MilvusOperator):
    """
    Write rows into a collection: checked against its schema, in parallel batches, in constant memory.

    A retry continues after the last acknowledged batch, also on another worker; see the guide on ingesting. `Upsert
    <https://milvus.io/api-reference/restful/v2.5.x/v2/Vector%20(v2)/Upsert.md>`__, `Insert
    <https://milvus.io/api-reference/restful/v2.5.x/v2/Vector%20(v2)/Insert.md>`__

    It also takes the arguments of :class:`~airflow_vectordb.operators.base.MilvusOperator`.

    :param collection_name: the collection (or an alias). Templated.
    :param rows: a list of mappings, a task's output, a function that returns or yields rows (parameters with names of
        Airflow's context receive its values), a pandas or Polars frame, Arrow data, or the result of an embedding task
        (its ``chunks``). Templated.
    :param source: instead of rows: one or more paths or globs of files, local or on any storage that Airflow's
        ``ObjectStoragePath`` reads: JSON lines, CSV, Parquet, Arrow, ``.npy``, ``.npz``; each also ``.gz`` or ``.zst``.
        Templated.
    :param source_conn_id: Airflow connection for the files; None: the storage's library finds credentials itself
        (environment variables, an instance's role). Templated.
    :param mode: ``upsert`` or ``insert``; None: ``insert`` if the server generates the keys, else ``upsert``
    :param field_mapping: name in the source -> name of the field; None drops the column. ``metadata.page`` is the value
        of ``page`` in ``metadata``. Templated.
    :param key_field: a field with unique values, if the server generates the keys: a retry uses it to find out which
        rows exist. Templated.
    :param replace_documents: name of the field that identifies a row's document: afterwards, each document in the
        source has exactly the rows of the source, and no reader saw it empty. Templated.
    :param documents: further documents, a list: those without rows in the source lose all their rows. Templated.
    :param on_bad_row: what to do with a row that cannot be sent: ``fail`` the task, or ``skip`` the row
    :param max_bad_rows: rows that may be skipped; None: any number
    :param bad_rows_path: file for skipped rows, as JSON lines with ``source``, ``row``, ``field``, ``reason``; of
        a mapped task with ``{{ ti.map_index }}`` in its name. Templated.
    :param batch_bytes: bytes of rows in one request, default 8 MiB
    :param batch_rows: rows in one request, default 10,000
    :param max_in_flight: concurrent requests, default 4
    :param min_rows: minimum number of rows; fewer fail the task. None: no minimum. Templated.
    :param flush: whether to seal the rows at the end (Milvus 2.5 and later)
    :param allow_missing: whether to ignore files that do not exist, and globs that match nothing
    :param partition_name: the partition that rows go to; None: the default one. Templated.
    :return: ``{"collection_name", "rows", "batches", "skipped", "bytes", "seconds"}``. The ``extra`` of events of
        outlet assets has the same under ``ingest``
    """

    template_fields: Sequence[str] = (
        "milvus_conn_id",
        "database",
        "collection_name",
        "rows",
        "source",
        "source_conn_id",
        "field_mapping",
        "key_field",
        "replace_documents",
        "documents",
        "bad_rows_path",
        "min_rows",
        "partition_name",
    )

    def __init__(
        self,
        *,
        collection_name: str,
        rows: Any = None,
        source: Any = None,
        source_conn_id: str | None = None,
        mode: options.Mode | None = None,
        field_mapping: Mapping[str, str | None] | None = None,
        key_field: str | None = None,
        replace_documents: str | None = None,
        documents: Iterable[Any] | None = None,
        on_bad_row: options.OnBadRow = "fail",
        max_bad_rows: int | None = None,
        bad_rows_path: str | None = None,
        batch_bytes: int = options.MAX_BYTES,
        batch_rows: int = options.MAX_ROWS,
        max_in_flight: int = options.MAX_IN_FLIGHT,
        min_rows: int | str | None = None,
        flush: bool = False,
        allow_missing: bool = False,
        partition_name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.rows = RowsFunction(rows) if callable(rows) else rows
        self.source = source
        self.source_conn_id = source_conn_id
        self.mode = mode
        self.field_mapping = field_mapping
        self.key_field = key_field
        self.replace_documents = replace_documents
        self.documents = documents
        self.on_bad_row = on_bad_row
        self.max_bad_rows = max_bad_rows
        self.bad_rows_path = bad_rows_path
        self.batch_bytes = batch_bytes
        self.batch_rows = batch_rows
        self.max_in_flight = max_in_flight
        self.min_rows = min_rows
        self.flush = flush
        self.allow_missing = allow_missing
        self.partition_name = partition_name
        self.raise_if_invalid(*self._problems_of_arguments())

    def _problems_of_arguments(self) -> list[str]:
        problems = []
        if (self.rows is None) == (self.source is None):
            problems.append("pass either rows or source")
        if isinstance(self.rows, Iterator):
            what = "a generator" if inspect.isgenerator(self.rows) else "an iterator"
            problems.append(f"rows is {what}, which only one try could read: pass the function that creates it")
        if self.mode is not None:
            problems += check_choice("mode", self.mode, options.Mode)
        problems += check_choice("on_bad_row", self.on_bad_row, options.OnBadRow)
        if self.on_bad_row == "fail" and (self.max_bad_rows is not None or self.bad_rows_path is not None):
            problems.append('max_bad_rows and bad_rows_path require on_bad_row="skip"')
        if self.documents is not None and self.replace_documents is None:
            problems.append("documents requires replace_documents, the name of their field")
        problems += check_range("batch_bytes", self.batch_bytes, 1, options.LARGEST_REQUEST)
        problems += check_range("batch_rows", self.batch_rows, 1)
        problems += check_range("max_in_flight", self.max_in_flight, 1, 64)
        return problems

    def run_task(self, hook: MilvusHook, context: Context, state: ResumeState) -> dict[str, Any]:
        """Write the rows that no earlier try has written."""
        kept = self.retry_state(context, "ingest", state)
        progress = kept.get() or {}
        if "result" in progress:
            result: dict[str, Any] = progress["result"]
            self.log.info("An earlier try has done this, but Airflow did not get its result:")
        else:
            if progress:
                self.log.info("%s: an earlier try has written %s rows", self.collection_name, f"{progress['rows']:,}")
            result = hook.ingest(
                self.collection_name,
                partial(self.rows.call, context) if isinstance(self.rows, RowsFunction) else self.rows,
                source=self.source,
                source_conn_id=self.source_conn_id,
                mode=self.mode,
                field_mapping=self.field_mapping,
                key_field=self.key_field,
                replace_documents=self.replace_documents,
                documents=() if self.documents is None else self.documents,
                on_bad_row=self.on_bad_row,
                max_bad_rows=self.max_bad_rows,
                bad_rows_path=self.bad_rows_path,
                batch_bytes=self.batch_bytes,
                batch_rows=self.batch_rows,
                max_in_flight=self.max_in_flight,
                min_rows=count_of(self.min_rows) or 0,
                flush=self.flush,
                allow_missing=self.allow_missing,
                partition_name=self.partition_name,
                progress=progress or None,
                save=kept.set,
            )
            kept.finish(result)
        self.log.info(
            "%s: %s rows in %s batches, %.1f MB, %.1f s; %s rows skipped",
            self.collection_name,
            f"{result['rows']:,}",
            f"{result['batches']:,}",
            result["bytes"] / 1e6,
            result["seconds"],
            f"{result['skipped']:,}",
        )
        self.emit_asset_events(hook, context, {"ingest": result})
        return result


class DeleteOperator(MilvusOperator):
    """
    Delete rows of a collection, in batches. Deleting missing rows is a no-op, so the task can be retried at any point.

    `Delete <https://milvus.io/api-reference/restful/v2.5.x/v2/Vector%20(v2)/Delete.md>`__

    It also takes the arguments of :class:`~airflow_vectordb.operators.base.MilvusOperator`.

    :param collection_name: the collection (or an alias). It must be loaded, unless rows are deleted by ``ids``.
        Templated.
    :param filter: a boolean expression, for example ``doc_id in {docs} and page > 3``. Templated.
    :param filter_params: values for the ``{names}`` in the filter, which are quoted by type. Templated.
    :param ids: instead of a filter: primary keys, a list or a task's output. Templated.
    :param partition_name: the partition to delete from; None: all. Templated.
    :param batch_rows: rows in one request, default 1000, at most 16,384
    :param dry_run: whether to only count the rows
    :return: ``{"collection_name", "rows", "batches", "dry_run"}``; with ``ids``, ``rows`` is their number, unless
        ``dry_run`` counted them. The ``extra`` of events of outlet assets has the same under ``delete``
    """

    template_fields: Sequence[str] = (
        "milvus_conn_id",
        "database",
        "collection_name",
        "filter",
        "filter_params",
        "ids",
        "partition_name",
    )

    def __init__(
        self,
        *,
        collection_name: str,
        filter: str | None = None,
        filter_params: Mapping[str, Any] | None = None,
        ids: Iterable[Any] | None = None,
        partition_name: str | None = None,
        batch_rows: int = options.DELETED_AT_ONCE,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.filter = filter
        self.filter_params = filter_params
        self.ids = ids
        self.partition_name = partition_name
        self.batch_rows = batch_rows
        self.only_count = dry_run  # `dry_run` is a method of Airflow's operators
        problems = []
        if (filter is None) == (ids is None):
            problems.append("pass either filter or ids")
        if isinstance(filter, str) and not filter.strip():
            problems.append("filter is empty, and would select all rows")
        if filter_params is not None and filter is None:
            problems.append("filter_params require filter")
        problems += check_range("batch_rows", batch_rows, 1, MAX_DELETED_AT_ONCE) + check_flag("dry_run", dry_run)
        self.raise_if_invalid(*problems)

    def rendered_problems(self) -> list[str]:
        """Also check the filter, which would otherwise select all rows."""
        problems = super().rendered_problems()
        given = self.filter
        if given is not None and (not isinstance(given, str) or not given.strip() or rest.spelling.is_nothing(given)):
            problems.append(f"filter must be an expression, not {rest.spelling.show(given)}")
        return problems

    def run_task(self, hook: MilvusHook, context: Context, state: ResumeState) -> dict[str, Any]:
        """Delete the rows, or count them."""
        result = hook.delete(
            self.collection_name,
            self.ids,
            filter=self.filter,
            filter_params=self.filter_params,
            partition_name=self.partition_name,
            batch_rows=self.batch_rows,
            dry_run=self.only_count,
        )
        done = "would be deleted" if self.only_count else "deleted"
        self.log.info("%s: %s rows %s", self.collection_name, f"{result['rows']:,}", done)
        if not self.only_count:
            self.emit_asset_events(hook, context, {"delete": result})
        return result


__all__ = ["DeleteOperator", "IngestOperator"]
