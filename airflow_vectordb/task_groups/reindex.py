"""Blue/green: build a new collection beside the current one, then move readers to it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow.sdk import TaskGroup

from airflow_vectordb import hooks, rest
from airflow_vectordb._compat import AirflowSkipException
from airflow_vectordb.operators.alias import SwitchAliasOperator
from airflow_vectordb.operators.base import MilvusOperator
from airflow_vectordb.operators.collection import (
    CreateCollectionOperator,
    LoadCollectionOperator,
    VerifyCollectionOperator,
)
from airflow_vectordb.operators.index import CreateIndexOperator
from airflow_vectordb.operators.ingest import IngestOperator
from airflow_vectordb.rest.spelling import check_range
from airflow_vectordb.validation import check_indexes_of_schema, check_new_name, raise_if_invalid

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Context

    from airflow_vectordb.deferral import ResumeState
    from airflow_vectordb.hooks.milvus import MilvusHook

#: The suffix of a run's collection after the alias: the time at which the run was due, and its short id.
_SUFFIX = "_{{ dag_run.run_after | ts_nodash }}_{{ macros.uuid.uuid5(macros.uuid.NAMESPACE_OID, run_id).hex[:8] }}"
_SUFFIX_PATTERN = r"_(?P<due>\d{8}T\d{6})_(?P<run>[0-9a-f]{8})"
#: States of a task that will not run again, unless it is cleared.
_ENDED_WITHOUT_SUCCESS = frozenset({"failed", "skipped", "upstream_failed", "removed"})


def blue_green_reindex(
    group_id: str = "reindex",
    *,
    alias: str,
    schema: Any,
    index_params: Mapping[str, Any] | Sequence[Mapping[str, Any] | str] | str,
    source: Any = None,
    ingest: Callable[[str], Any] | None = None,
    checks: Mapping[str, Any] | None = None,
    min_rows: int | str | None = None,
    keep: int = 2,
    milvus_conn_id: str | None = None,
    database: str | None = None,
    deferrable: bool | None = None,
    timeout: timedelta | float | None = None,
    outlets: Any = None,
    **kwargs: Any,
) -> TaskGroup:
    """
    Build a new collection, check it, and move the readers of an alias to it atomically.

    The tasks are ``create``, the ingest, ``index``, ``load``, ``verify``, ``switch`` and ``drop_old``; see the guide on
    blue/green. Nothing changes for readers before ``switch``. Each task can be killed and retried. Each run has its own
    collection, named after the alias, the time at which the run was due, and its id.

    :param group_id: id of the group, the prefix of its tasks' ids
    :param alias: the alias that readers use. Templated.
    :param schema: as for :class:`~airflow_vectordb.operators.collection.CreateCollectionOperator`. Templated.
    :param index_params: as for :class:`~airflow_vectordb.operators.index.CreateIndexOperator`. Templated.
    :param source: files to ingest, as for :class:`~airflow_vectordb.operators.ingest.IngestOperator`. Templated.
    :param ingest: instead of a source: a function that is called with the name of the new collection (a template), and
        returns the operator or task that writes rows into it. The task's result must be the number of rows, or a
        mapping with ``rows``, as ``IngestOperator`` returns it
    :param checks: further arguments of :class:`~airflow_vectordb.operators.collection.VerifyCollectionOperator`, for
        example ``{"sample": 100, "queries": "known.json", "min_recall": 0.95}``
    :param min_rows: minimum number of rows in the index and the collection; None: as many as were ingested. Set it if
        rows replace each other by their keys. Templated.
    :param keep: collections to keep, the new one included. With 1, the old one is dropped while queries may still be
        running on it
    :param milvus_conn_id: id of an Airflow connection of type ``milvus``; None: ``milvus_default``. Templated.
    :param database: the database; None: the connection's (its schema field). Templated.
    :param deferrable: whether to wait in the triggerer; None: Airflow's ``operators.default_deferrable``
    :param timeout: for the waits of each task, in seconds or as a timedelta
    :param outlets: assets of ``switch``, whose events have ``{"switch": {"alias", "collection_name", "previous"}}``
    :param kwargs: further arguments of Airflow's ``TaskGroup``, such as ``default_args``, ``tooltip``
    :return: the group; the XCom of its task ``switch`` has what
        :class:`~airflow_vectordb.operators.alias.SwitchAliasOperator` returns
    :raises ValueError: for an argument that can never be right
    """
    problems = []
    function: Any = ingest
    if function is not None and not callable(function):
        problems.append("ingest must be a function of the collection's name that returns the task, not the task itself")
    if (source is None) == (ingest is None):
        problems.append("pass either source or ingest")
    problems += check_range("keep", keep, 1) + check_new_name("alias", alias, rendered=False)
    problems += rest.spelling.check_mapping("checks", checks)
    raise_if_invalid(group_id, *problems)
    given = {"milvus_conn_id": milvus_conn_id, "database": database}
    target: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    waits = {**target, "deferrable": deferrable, "timeout": timeout}
    name = f"{alias}{_SUFFIX}"
    with TaskGroup(group_id, **kwargs) as group:
        create = _CreateForAlias(task_id="create", alias=alias, collection_name=name, schema=schema, **waits)
        written = (
            IngestOperator(task_id="ingest", collection_name=name, source=source, **target)
            if ingest is None
            else ingest(name)
        )
        task = getattr(written, "operator", written)
        if not hasattr(task, "task_id"):
            raise_if_invalid(group_id, f"ingest must return a task, not {rest.spelling.describe_value(written)}")
        rows: Any = task.output if min_rows is None else min_rows
        index = CreateIndexOperator(
            task_id="index", collection_name=name, index_params=index_params, flush=True, min_rows=rows, **waits
        )
        allow_unknown = index.allow_unknown  # of default_args
        unfit = check_indexes_of_schema(schema, index_params, index.template_ext, allow_unknown=allow_unknown)
        raise_if_invalid(group_id, *unfit)
        load = LoadCollectionOperator(task_id="load", collection_name=name, **waits)
        verify = VerifyCollectionOperator(
            task_id="verify", collection_name=name, **{"min_rows": rows, **target, **(checks or {})}
        )
        # An empty collection must not get readers.
        switch = _SwitchToNewer(
            task_id="switch", alias=alias, collection_name=name, min_rows=1, outlets=outlets, **waits
        )
        drop_old = _DropOldCollections(
            task_id="drop_old", alias=alias, collection_name=name, keep=keep, switch=switch.task_id, **target
        )
        create >> written >> index >> load >> verify >> switch >> drop_old
    return group


class _CreateForAlias(CreateCollectionOperator):
    """Creates a collection, after checking that the alias is usable: this should fail before all the work."""

    custom_operator_name = "CreateCollectionOperator"  # on Airflow's pages
    template_fields: Sequence[str] = (*CreateCollectionOperator.template_fields, "alias")

    def __init__(self, *, alias: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alias = alias
        self.raise_if_invalid()

    def run_task(self, hook: MilvusHook, context: Context, state: ResumeState) -> dict[str, Any]:
        """Check the alias, and create the collection."""
        if not state.results:
            # Without the privilege to ask, creating the alias will fail if it has to.
            with suppress(rest.errors.CollectionNotFoundError, rest.errors.PermissionDeniedError):
                if hook._own_name(hook.send(rest.collections.describe(self.alias))) == self.alias:
                    explained = hooks.collections.is_a_collection(self.alias)
                    raise rest.errors.ConflictError(f"collection {self.alias!r} exists", **explained)
        return super().run_task(hook, context, state)


class _SwitchToNewer(SwitchAliasOperator):
    """Moves the alias, unless it points to the collection of a run that was due later."""

    custom_operator_name = "SwitchAliasOperator"  # on Airflow's pages

    def run_task(self, hook: MilvusHook, context: Context, state: ResumeState) -> dict[str, Any]:
        current = hook._find_alias(self.alias)
        found, mine = _parse(self.alias, current or ""), _parse(self.alias, self.collection_name)
        if found is not None and mine is not None and found["due"] > mine["due"]:
            raise AirflowSkipException(f"{self.alias} already points to {current}, of a run that was due later")
        return super().run_task(hook, context, state)


class _DropOldCollections(MilvusOperator):
    """Drops all but ``keep`` of the runs' collections; ``switch`` is the task that moved the alias."""

    custom_operator_name = "DropOldCollections"
    template_fields: Sequence[str] = ("milvus_conn_id", "database", "alias", "collection_name", "previous")

    def __init__(self, *, alias: str, collection_name: str, keep: int, switch: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.alias = alias
        self.collection_name = collection_name
        self.previous = f"{{{{ ti.xcom_pull(task_ids='{switch}')['previous'] or '' }}}}"
        self.keep = keep
        self.switch = switch
        self.raise_if_invalid()

    def run_task(self, hook: MilvusHook, context: Context, state: ResumeState) -> dict[str, list[str]]:
        """Drop collections that are no longer needed; return the names of those kept and dropped."""
        runs = self._states_of_runs(context)
        kept, dropped = [self.collection_name], []
        published = 1
        for name, run in self._earlier(hook):
            had_readers = name == self.previous or runs.get(run, "success") == "success"  # or the run is unknown
            failed = not had_readers and runs[run] in _ENDED_WITHOUT_SUCCESS
            published += had_readers
            if (failed or (had_readers and published > self.keep)) and self._drop(hook, name):
                dropped.append(name)
            else:
                kept.append(name)
        self.log.info("Kept: %s; dropped: %s", ", ".join(kept), ", ".join(dropped) or "none")
        return {"kept": kept, "dropped": dropped}

    def _states_of_runs(self, context: Context) -> dict[str, str | None]:
        """Return the state of ``switch`` in all runs of this DAG, by the runs' short ids."""
        ti: Any = context["ti"]
        states = ti.get_task_states(dag_id=ti.dag_id, task_ids=[self.switch])
        return {
            uuid.uuid5(uuid.NAMESPACE_OID, run_id).hex[:8]: tasks.get(self.switch) for run_id, tasks in states.items()
        }

    def _earlier(self, hook: MilvusHook) -> list[tuple[str, str]]:
        """Return names and runs of the collections of earlier runs, latest first, beginning with the previous one."""
        mine = _parse(self.alias, self.collection_name)
        latest = mine["due"] if mine else ""
        found = []
        for name in hook.send(rest.collections.list_()):
            parsed = _parse(self.alias, name)
            if parsed is not None and name != self.collection_name and parsed["due"] <= latest:
                found.append((name == self.previous, parsed["due"], name, parsed["run"]))
        return [(name, run) for *_, name, run in sorted(found, reverse=True)]

    def _drop(self, hook: MilvusHook, name: str) -> bool:
        try:
            aliases = hook.send(rest.aliases.list_(name))
            if not aliases:
                hook.send(rest.collections.drop(name))
        except rest.errors.CollectionNotFoundError:  # dropped by another run
            return True
        if aliases:
            shown = rest.text.sanitize_text(", ".join(aliases), 200)
            self.log.info("%s stays: alias %s points to it", name, shown)
        return not aliases


def _parse(alias: str, name: str) -> re.Match[str] | None:
    """Parse a collection's name into its run's due time and short id; None: it does not belong to this alias."""
    return re.fullmatch(re.escape(alias) + _SUFFIX_PATTERN, name)


__all__ = ["blue_green_reindex"]
