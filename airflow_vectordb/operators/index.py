"""Operators that create and drop indexes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_vectordb import hooks, operators, rest, waiting
from airflow_vectordb._compat import is_retry
from airflow_vectordb.deferral import ResumeState, wait_for
from airflow_vectordb.operators.base import MilvusOperator, WaitingOperator
from airflow_vectordb.validation import IfExists, IfMissing, check_index_params, count_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.operators._replace import IndexReplacement
    from airflow_vectordb.rest.errors import MilvusError


class CreateIndexOperator(WaitingOperator):
    """
    Create one or several indexes of a collection, and wait until they are built.

    The task succeeds only when each index exists as requested, and has no rows pending. It can be retried at any point:
    for an index that exists, it only waits. `Create Index
    <https://milvus.io/api-reference/restful/v2.5.x/v2/Index%20(v2)/Create.md>`__

    It also takes the arguments of :class:`~airflow_vectordb.operators.base.WaitingOperator`.

    :param collection_name: the collection (or an alias), which must exist. Templated.
    :param index_params: a mapping, or a list of them, one for each index: ``fieldName``, ``indexName`` (default: the
        field's name), ``metricType`` (default: COSINE for float vectors, HAMMING for binary ones, IP for sparse ones,
        BM25 for the output of a BM25 function, none for scalars), ``indexType`` (default: AUTOINDEX), ``params`` (build
        parameters). Also accepted: the API's older spellings ``params.index_type`` and ``indexConfig``,
        names_with_underscores, build parameters next to the type, a JSON or YAML string, the name of a ``.json``,
        ``.yaml`` or ``.yml`` file beside the DAG, a whole request body that contains ``indexParams``, and the result of
        this operator. Templated.
    :param if_exists: what to do if an index exists on the field. ``skip``: wait for it if it is the same; otherwise
        fail with the differences. ``replace``: wait for it if it is the same; otherwise, or if its build failed,
        release the collection, drop the index, create the new one, and load the collection again if it was loaded;
        meanwhile it cannot be searched. If the new index is refused or cannot be built, the old one is restored, and
        the task fails. Give such a task ``retries``, and run one at a time for a collection. ``fail``: fail, unless an
        earlier try of this task instance may have created it.
    :param strict: fail if the server built AUTOINDEX instead of the requested type, as Zilliz Cloud does with every
        vector index; otherwise log a warning
    :param allow_unknown: also send names that look like misspelt index types, metrics or build parameters, and
        parameters that do not seem to fit the field. Names that resemble no known one are always sent, with a warning
    :param min_rows: succeed only when each index covers at least this many rows: a number, or the result of a task that
        ingests, as ``min_rows=ingest.output`` (of mapped tasks, the sum). This is the only proof that the rows of a new
        collection are in its index. None: the sealed rows. Templated.
    :param flush: whether to seal the rows inserted so far (Milvus 2.5 and later), and wait until they are counted,
        since unsealed rows are in no index. The wait ends when the row count has not changed for 5 s (15 s while others
        write), which does not prove that the server has counted all; ``min_rows`` does. The rows of a loaded collection
        are also counted by a query before the flush
    :return: a list with a dict for each index, in the order of ``index_params``: ``collection_name``, ``index_name``,
        ``field_name``, ``index_type``, ``metric_type``, ``state``, ``total_rows``, ``indexed_rows``, ``pending_rows``,
        ``params``. The ``extra`` of events of outlet assets has the same under ``indexes``
    """

    template_fields: Sequence[str] = ("milvus_conn_id", "database", "collection_name", "index_params", "min_rows")
    template_ext: Sequence[str] = (".json", ".yaml", ".yml")
    template_fields_renderers = {"index_params": "json"}  # noqa: RUF012 - as BaseOperator declares it

    def __init__(
        self,
        *,
        collection_name: str,
        index_params: Mapping[str, Any] | Sequence[Mapping[str, Any] | str] | str,
        if_exists: IfExists = "skip",
        strict: bool = False,
        allow_unknown: bool = False,
        min_rows: int | str | None = None,
        flush: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.index_params = index_params
        self.if_exists = if_exists
        self.strict = strict
        self.allow_unknown = allow_unknown
        self.min_rows = min_rows
        self.flush = flush
        # Error messages name the file, which rendering replaces by its content.
        self._index_params_source = index_params if isinstance(index_params, str) else None
        self.raise_if_invalid()

    @classmethod
    def problems_at_parse(cls, given: Mapping[str, Any]) -> list[str]:
        """Also check the index parameters."""
        problems = super().problems_at_parse(given)
        if "index_params" in given:
            allow_unknown = given.get("allow_unknown") is True
            problems += check_index_params(given["index_params"], cls.template_ext, allow_unknown=allow_unknown)
        return problems

    def validate_rendered(self) -> None:
        """Leave it to :meth:`_read_arguments`, which reports everything together."""

    def run_task(self, hook: MilvusHook, context: Context, state: ResumeState) -> list[dict[str, Any]]:
        """Create the indexes, and wait for them."""
        replacement = self._replacement(hook, context, state)
        if "built" not in state.results:
            self._create(hook, state, replacement, retried=is_retry(context) or "restarted" in state.results)
        raise_if_replaced(self.collection_name, state.results)
        if replacement is not None:
            replacement.reload()
        result = [{"collection_name": self.collection_name, **index} for index in state.results["built"]]
        for index in state.results["built"]:
            name = rest.text.sanitize_text(index["index_name"], 255)
            self.log.info("%s/%s: %s", self.collection_name, name, rest.indexes.IndexDescription(**index))
        self.emit_asset_events(hook, context, {"indexes": result})
        return result

    def on_failure(self, hook: MilvusHook, context: Context, state: ResumeState, error: MilvusError) -> MilvusError:
        """After a failed replacement, restore the old index or report what is missing."""
        replacement = self._replacement(hook, context, state)
        return error if replacement is None else replacement.on_failure(error)

    def _replacement(self, hook: MilvusHook, context: Context, state: ResumeState) -> IndexReplacement | None:
        # A deferred task goes on with what it began, even if its DAG has been changed meanwhile.
        replaces = self.if_exists == "replace" or "noted" in state.results
        return operators._replace.IndexReplacement(self, hook, context, state) if replaces else None

    def _read_arguments(self, hook: MilvusHook) -> list[rest.IndexSpec]:
        """Check and return the rendered indexes, and raise one error with all problems."""
        problems = self.rendered_problems()
        named = not problems
        specs, parsed = rest.index.spec.read_index_params(self.index_params, allow_unknown=self.allow_unknown)
        problems += parsed.problems + self.check_envelope(hook, "index_params", parsed.envelope)
        if not problems:
            return specs
        if specs and named:
            with suppress(rest.errors.MilvusError):  # problems that need no schema are reported in any case
                described = hook.send(rest.collections.describe(self.collection_name), retries=0)
                try:
                    rest.index.plan.resolve_all(specs, described)
                except rest.errors.InvalidParametersError as error:
                    problems += error.problems
        source = self._index_params_source if self._index_params_source != self.index_params else None
        raise rest.errors.InvalidParametersError(problems, "index parameters", source)

    def _create(
        self, hook: MilvusHook, state: ResumeState, replacement: IndexReplacement | None, *, retried: bool
    ) -> None:
        """Create the indexes, and wait until they are built."""
        specs, min_rows = self._read_arguments(hook), count_of(self.min_rows) or 0
        # An alias may move meanwhile; what is created or dropped in one collection is not waited for in another.
        described = hook._describe_by_own_name(self.collection_name)
        specs = rest.index.plan.resolve_all(specs, described)
        for warning in (warning for spec in specs for warning in spec.warnings):
            self.log.warning(warning)
        if replacement is not None:
            replacement.begin(described)
        creation = hooks.index_creation.IndexCreation(
            hook,
            described.name,
            specs,
            replacement=replacement,
            fail_on_same=self.if_exists == "fail" and not retried,
            strict=self.strict,
        )
        if self.flush and "flushed" not in state.results:
            state.results["flushed"] = self._flush(hook, described)
        found = creation.create(reread=self.flush)
        if not self.flush and any((index.total_rows or 0) < max(min_rows, 1) for index in found):
            self.log.info("Inserted rows are in no index until they are sealed: flush=True seals them first")
        flushed = state.results.get("flushed")
        wait_until_built(self, hook, state, found, described.name, min_rows=min_rows, flushed_rows=flushed)

    def _flush(self, hook: MilvusHook, described: rest.collections.Collection) -> int:
        """Seal the rows inserted so far; return their number, 0 if it is not known yet."""
        rows = 0
        if described.load == "LoadStateLoaded":
            try:
                rows = hook.send(rest.entities.count(described.name))
            except rest.errors.MilvusError as error:
                if error.transient:
                    raise
                self.log.info("%s is loaded, but its rows cannot be counted: %s", self.collection_name, error)
        hook._flush(described.name, "flush=True needs Milvus 2.5; min_rows works with all.")
        counted = f", with {rows:,} rows in memory" if rows else ""
        self.log.info("%s: flushed%s; the server seals the rows in the background", self.collection_name, counted)
        return rows


def wait_until_built(
    task: WaitingOperator,
    hook: MilvusHook,
    state: ResumeState,
    found: list[rest.indexes.IndexDescription],
    collection: str,
    *,
    min_rows: int = 0,
    flushed_rows: int | None = None,
) -> None:
    """Wait for the indexes that were read back; ``flushed_rows`` is None without a flush, and 0 if it is not known."""
    names = tuple(description.index_name for description in found)
    condition = waiting.IndexesBuilt(collection, names, min_rows=min_rows, flushed_rows=flushed_rows)
    state.results["read_back"] = [description.as_json() for description in found]
    seen = condition.judge(found)
    if task.wait_for_completion and not isinstance(seen, waiting.Done):
        # Descriptions from before the flush took effect are useless.
        initial = seen if flushed_rows is None else None
        wait_for(task, hook, state, "built", condition.after(found), initial_result=initial)
    else:
        state.results["built"] = state.results["read_back"]


def raise_if_replaced(collection: str, results: dict[str, Any]) -> None:
    """Refuse indexes with which another client has replaced those that were read back, before the wait."""
    lines = []
    for before, after in zip(results.get("read_back", ()), results["built"], strict=False):
        differences = operators._replace.spec_of(before).compare(rest.indexes.IndexDescription(**after)).differences
        if differences:
            lines.append(f"{collection}/{rest.text.sanitize_text(before['index_name'], 255)}: {', '.join(differences)}")
    if lines:
        del results["built"]  # it is not what was asked for
        text = "; ".join(lines)
        cause = f"another client's index is there: {text}"
        raise rest.errors.IndexMismatchError(text, cause=cause, hint=hooks.index_creation.ONE_AT_A_TIME)


class DropIndexOperator(MilvusOperator):
    """
    Drop an index of a collection.

    A vector index that is in use cannot be dropped: release the collection first.
    `Drop Index <https://milvus.io/api-reference/restful/v2.5.x/v2/Index%20(v2)/Drop.md>`__

    It also takes the arguments of :class:`~airflow_vectordb.operators.base.MilvusOperator`.

    :param collection_name: the collection (or an alias). Templated.
    :param index_name: name of the index. Templated.
    :param if_missing: what to do if there is no such index. ``skip``: succeed; ``fail``: fail
    :return: whether an index was dropped
    """

    template_fields: Sequence[str] = ("milvus_conn_id", "database", "collection_name", "index_name")
    name_fields: Sequence[str] = ("collection_name", "index_name")

    def __init__(self, *, collection_name: str, index_name: str, if_missing: IfMissing = "skip", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.index_name = index_name
        self.if_missing = if_missing
        self.raise_if_invalid()

    def run_task(self, hook: MilvusHook, context: Context, state: ResumeState) -> bool:
        """Drop the index, if it exists."""
        try:
            hook.send(rest.indexes.describe(self.collection_name, self.index_name))
        except rest.errors.IndexNotFoundError as error:
            if self.if_missing == "fail" and not is_retry(context):
                raise error.with_context(hint='Set if_missing="skip" if that is fine.') from error.__cause__
            self.log.info("%s/%s: nothing to drop", self.collection_name, self.index_name)
            return False
        try:
            hook.send(rest.indexes.drop(self.collection_name, self.index_name))
        except rest.errors.MilvusError as error:
            if not rest.index.plan.is_in_use(error):
                raise
            raise error.with_context(
                cause="an index of a loaded collection cannot be dropped",
                hint="Release it first (ReleaseCollectionOperator).",
            ) from error.__cause__
        self.log.info("%s/%s: dropped", self.collection_name, self.index_name)
        self.emit_asset_events(hook, context, {"dropped_index": self.index_name})
        return True


__all__ = ["CreateIndexOperator", "DropIndexOperator"]
