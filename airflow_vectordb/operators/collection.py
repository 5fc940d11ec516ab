"""Operators that create, check and drop collections, load them into memory and release them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_vectordb import operators, rest, validation, waiting
from airflow_vectordb._compat import is_retry
from airflow_vectordb.deferral import ResumeState, wait_for
from airflow_vectordb.operators.base import MilvusOperator, WaitingOperator
from airflow_vectordb.validation import IfExists, IfMissing

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.rest.errors import MilvusError


class CreateCollectionOperator(WaitingOperator):
    """
    Create a collection; with ``index_params`` also build its indexes, load it, and wait until it can be searched.

    The schema is checked before the first request, and all problems are reported together: Milvus ignores unknown keys,
    such as ``isPrimaryKey``. Creating a collection that exists with the same schema is a no-op, so the task can be
    retried at any point. `Create Collection
    <https://milvus.io/api-reference/restful/v2.5.x/v2/Collection%20(v2)/Create.md>`__

    It also takes the arguments of :class:`~airflow_vectordb.operators.base.WaitingOperator`.

    :param collection_name: the collection. Templated.
    :param schema: a mapping with ``fields`` (``fieldName``, ``dataType``, ``isPrimary``, ``elementTypeParams``,
        ``nullable``, …), ``autoID``, ``enableDynamicField`` and ``functions``. Also accepted: names_with_underscores,
        pymilvus's names and its ``CollectionSchema``, parameters next to the type, a description by the server, a JSON
        or YAML string, the name of a ``.json``, ``.yaml`` or ``.yml`` file beside the DAG, and a whole request body
        that contains a ``schema``. Templated.
    :param dimension: instead of a schema: create an Int64 key ``id``, a FloatVector ``vector`` of this dimension,
        dynamic fields and an AUTOINDEX, and load the collection. Templated.
    :param index_params: indexes to build, as for :class:`CreateIndexOperator`; then the collection is loaded. None: no
        index. Templated.
    :param properties: for example ``{"collection.ttl.seconds": 86400, "mmap.enabled": True}``; also ``shardsNum``,
        ``partitionsNum`` and ``consistencyLevel``. A mapping, or JSON or YAML. Templated.
    :param if_exists: what to do if the collection exists. ``skip``: succeed if it has the same schema; otherwise fail
        with the differences. ``replace``: succeed if it has the same schema; otherwise drop it with its rows, unless an
        alias points to it. ``fail``: fail, unless an earlier try of this task instance may have created it.
    :param alter: alter in place what is possible: properties, a larger ``max_length`` or ``max_capacity``, new nullable
        fields (Milvus 2.6)
    :param strict: fail if the server built AUTOINDEX instead of the requested index
    :param allow_unknown: also send names that look like misspelt types, parameters or properties
    :return: ``{"collection_name", "created", "replaced", "altered"}``, with ``index_params`` also ``indexes`` and
        ``load_state``. The ``extra`` of events of outlet assets has the same under ``collection``
    """

    template_fields: Sequence[str] = (
        *("milvus_conn_id", "database", "collection_name"),
        *("schema", "dimension", "index_params", "properties"),
    )
    template_ext: Sequence[str] = (".json", ".yaml", ".yml")
    template_fields_renderers = dict.fromkeys(("schema", "index_params", "properties"), "json")
    name_fields: Sequence[str] = ()
    new_name_fields: Sequence[str] = ("collection_name",)

    def __init__(
        self,
        *,
        collection_name: str,
        schema: Any = None,
        dimension: int | str | None = None,
        index_params: Mapping[str, Any] | Sequence[Mapping[str, Any] | str] | str | None = None,
        properties: Mapping[str, Any] | str | None = None,
        if_exists: IfExists = "skip",
        alter: bool = False,
        strict: bool = False,
        allow_unknown: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.schema = schema
        self.dimension = dimension
        self.index_params = index_params
        self.properties = properties
        self.if_exists = if_exists
        self.alter = alter
        self.strict = strict
        self.allow_unknown = allow_unknown
        # Error messages name the file, which rendering replaces by its content.
        self.schema_source = schema if isinstance(schema, str) else None
        self.raise_if_invalid()

    @classmethod
    def problems_at_parse(cls, given: Mapping[str, Any]) -> list[str]:
        """Also check the schema, the properties and the indexes."""
        schema, dimension, index_params = map(given.get, ("schema", "dimension", "index_params"))
        extensions, allow_unknown = cls.template_ext, given.get("allow_unknown") is True
        problems = super().problems_at_parse(given)
        if "schema" in given or "dimension" in given:
            problems += validation.check_schema(schema, dimension, extensions, allow_unknown=allow_unknown)
        problems += validation.check_properties(given.get("properties"), extensions, allow_unknown=allow_unknown)
        if index_params is not None:
            problems += validation.check_index_params(index_params, extensions, allow_unknown=allow_unknown)
        return problems + validation.check_indexes_of_schema(
            schema, index_params, extensions, allow_unknown=allow_unknown
        )

    def validate_rendered(self) -> None:
        """Leave it to :meth:`run_task`, which reports everything together."""

    def run_task(self, hook: MilvusHook, context: Context, state: ResumeState) -> dict[str, Any]:
        """Create the collection, its indexes, and wait for them."""
        retried = is_retry(context) or "restarted" in state.results
        creation = operators._create_collection.CollectionCreation(self, hook, state, retried=retried)
        result = creation.run()
        self.emit_asset_events(hook, context, {"collection": result})
        return result

    def on_failure(self, hook: MilvusHook, context: Context, state: ResumeState, error: MilvusError) -> MilvusError:
        """Retry if the collection is missing: it was there, or has just been created."""
        if not isinstance(error, rest.errors.CollectionNotFoundError):
            return error
        cause, hint = "Another client has dropped what was just created", "A retry creates it again."
        return error.with_context(cause=cause, hint=hint, transient=True)


class DropCollectionOperator(MilvusOperator):
    """
    Drop a collection with its rows and indexes, unless an alias points to it.

    `Drop Collection <https://milvus.io/api-reference/restful/v2.5.x/v2/Collection%20(v2)/Drop.md>`__

    It also takes the arguments of :class:`~airflow_vectordb.operators.base.MilvusOperator`.

    :param collection_name: the collection, by its own name. Templated.
    :param if_missing: what to do if there is no such collection. ``skip``: succeed; ``fail``: fail
    :param drop_aliases: whether to drop its aliases first; otherwise the task fails if it has any
    :return: whether a collection was dropped
    """

    template_fields: Sequence[str] = ("milvus_conn_id", "database", "collection_name")

    def __init__(
        self, *, collection_name: str, if_missing: IfMissing = "skip", drop_aliases: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.if_missing = if_missing
        self.drop_aliases = drop_aliases
        self.raise_if_invalid()

    def run_task(self, hook: MilvusHook, context: Context, state: ResumeState) -> bool:
        """Drop the collection, if it exists."""
        try:
            described = hook.send(rest.collections.describe(self.collection_name))
            aliases = hook._aliases_of(described)
        except rest.errors.CollectionNotFoundError as error:
            if self.if_missing == "fail" and not is_retry(context):
                raise error.with_context(hint='Set if_missing="skip" if that is fine.') from error.__cause__
            self.log.info("%s: nothing to drop", self.collection_name)
            return False
        if self.collection_name in aliases or not self.drop_aliases:
            operators._create_collection.refuse_aliases(
                self.collection_name, aliases, "Move it first, or set drop_aliases=True."
            )
        for alias in aliases:
            self.log.info("Dropping alias %s", alias)
            hook.send(rest.aliases.drop(alias))
        rows = operators._create_collection.rows_in_words(hook, described)
        self.log.info("Dropping %s with %s", self.collection_name, rows)
        hook.send(rest.collections.drop(self.collection_name))
        self.emit_asset_events(hook, context, {"dropped_collection": self.collection_name})
        return True


class VerifyCollectionOperator(MilvusOperator):
    """
    Check a collection before readers get it; fail with the figures of all failed checks.

    It also takes the arguments of :class:`~airflow_vectordb.operators.base.MilvusOperator`.

    :param collection_name: the collection (or an alias). Templated.
    :param min_rows: minimum number of rows, also as a string. Templated.
    :param max_rows: maximum number of rows. Templated.
    :param sample: number of rows, up to 16,384, to search for by their own vectors: their keys must be among the first
        ``k`` hits. The collection must be loaded. With the metric IP, vectors must be normalized
    :param queries: a list of ``{"vector": […], "ids": […]}``, vectors and the keys of their nearest rows; or JSON of
        it, or the name of a ``.json`` file beside the DAG. Templated.
    :param k: hits of each search
    :param min_recall: minimum share of sampled rows that are found, and of known answers among the hits
    :param anns_field: the vector field; None: the first one that fits. Templated.
    :param search_params: of the searches, as for ``MilvusHook.search``, for example ``{"ef": 64}``
    :param check: your own function, called with the hook and the collection's name. The task fails if it raises or
        returns False; any other result (JSON-ready) is added to the figures
    :return: the figures: ``{"collection_name", "rows"}``, and if requested ``sampled``, ``found``, ``queries``,
        ``recall``, ``check``. The ``extra`` of events of outlet assets has the same under ``verified``
    """

    template_fields: Sequence[str] = (
        *("milvus_conn_id", "database", "collection_name"),
        *("min_rows", "max_rows", "queries", "anns_field"),
    )
    template_ext: Sequence[str] = (".json",)

    def __init__(
        self,
        *,
        collection_name: str,
        min_rows: int | str | None = None,
        max_rows: int | str | None = None,
        sample: int = 0,
        queries: Sequence[Mapping[str, Any]] | str | None = None,
        k: int = 10,
        min_recall: float = 0.95,
        anns_field: str | None = None,
        search_params: Mapping[str, Any] | None = None,
        check: Callable[[MilvusHook, str], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.min_rows = min_rows
        self.max_rows = max_rows
        self.sample = sample
        self.queries = queries
        self.k = k
        self.min_recall = min_recall
        self.anns_field = anns_field
        self.search_params = search_params
        self.check = check
        self.raise_if_invalid(
            *_check_bounds(min_rows, max_rows),
            *rest.spelling.check_range("sample", sample, 0, 16_384),
            *rest.spelling.check_range("k", k, 1, 16_384),
            *rest.spelling.check_range("min_recall", min_recall, 0, 1, float),
            *([] if check is None or callable(check) else [f"check must be a function, not {check!r}"]),
        )

    def rendered_problems(self) -> list[str]:
        """Also check the queries."""
        return [*super().rendered_problems(), *operators._verify.read_queries(self.queries)[1]]

    def run_task(self, hook: MilvusHook, context: Context, state: ResumeState) -> dict[str, Any]:
        """Run the checks."""
        return operators._verify.Verification(self, hook).run(context)


def _check_bounds(least: Any, most: Any) -> list[str]:
    if isinstance(least, int) and isinstance(most, int) and least > most:
        return [f"min_rows is {least:,}, but max_rows is {most:,}"]
    return []


class _LoadingOperator(WaitingOperator):
    """Base of the two operators below: loads or releases, and waits for it."""

    _loads: ClassVar[bool]
    template_fields: Sequence[str] = ("milvus_conn_id", "database", "collection_name", "partition_names")

    def __init__(
        self, *, collection_name: str, partition_names: str | Sequence[str] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.partition_names = partition_names
        self.raise_if_invalid()

    def run_task(self, hook: MilvusHook, context: Context, state: ResumeState) -> dict[str, Any]:
        """Make the call, and wait until it has taken effect."""
        partitions = validation.parse_names("partition_names", self.partition_names)
        if "asked" not in state.results:
            try:
                (hook.load if self._loads else hook.release)(self.collection_name, partitions or None, wait=False)
            except rest.errors.IndexNotFoundError as error:
                raise error.with_context(
                    cause=f"a vector field has no index in {self.collection_name!r}",
                    hint="Create it first (CreateIndexOperator).",
                ) from error.__cause__
            state.results["asked"] = True
        result: dict[str, Any] = {"collection_name": self.collection_name, "partition_names": list(partitions)}
        if self.wait_for_completion:
            condition = waiting.CollectionLoaded if self._loads else waiting.CollectionReleased
            result = wait_for(self, hook, state, "done", condition(self.collection_name, partitions))
            self.log.info("%s: %s", self.collection_name, rest.wording.in_words(result["load_state"]))
        self.emit_asset_events(hook, context, {"loading": result})
        return result


class LoadCollectionOperator(_LoadingOperator):
    """
    Load a collection into memory, and wait until it can be searched.

    Loading a loaded collection is a no-op, so the task can be retried at any point.
    `Load Collection <https://milvus.io/api-reference/restful/v2.5.x/v2/Collection%20(v2)/Load.md>`__

    It also takes the arguments of :class:`~airflow_vectordb.operators.base.WaitingOperator`.

    :param collection_name: the collection (or an alias), with an index on each of its vector fields. Templated.
    :param partition_names: one or more partitions to load; None: the whole collection. Templated.
    :return: ``{"collection_name", "partition_names", "load_state"}``, the last only after a wait. The ``extra`` of
        events of outlet assets has the same under ``loading``
    """

    _loads = True


class ReleaseCollectionOperator(_LoadingOperator):
    """
    Release a collection from memory, and wait until it is released, so that its indexes can be dropped.

    Releasing a collection that is not loaded is a no-op, so the task can be retried at any point.
    `Release Collection <https://milvus.io/api-reference/restful/v2.5.x/v2/Collection%20(v2)/Release.md>`__

    It also takes the arguments of :class:`~airflow_vectordb.operators.base.WaitingOperator`.

    :param collection_name: the collection (or an alias). Templated.
    :param partition_names: one or more partitions to release; None: the whole collection. Templated.
    :return: ``{"collection_name", "partition_names", "load_state"}``, the last only after a wait. The ``extra`` of
        events of outlet assets has the same under ``loading``
    """

    _loads = False


__all__ = [
    "CreateCollectionOperator",
    "DropCollectionOperator",
    "LoadCollectionOperator",
    "ReleaseCollectionOperator",
    "VerifyCollectionOperator",
]
