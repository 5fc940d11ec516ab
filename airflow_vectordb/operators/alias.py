"""The operator that moves readers to another collection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_vectordb import operators, rest, waiting
from airflow_vectordb.deferral import ResumeState, wait_for
from airflow_vectordb.operators.base import WaitingOperator
from airflow_vectordb.validation import (
    check_literal,
    check_new_name,
    check_rows,
    parse_rows,
    validate_new_name,
    validate_rendered,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.rest.collections import Collection

_IS_A_COLLECTION, _EXISTS = 1601, 1602


class SwitchAliasOperator(WaitingOperator):
    """
    Point an alias to a collection: create the alias, or move it atomically, so that its readers see no gap.

    A collection that is not loaded, or has too few rows, is refused, and the alias does not change. `Alter Alias
    <https://milvus.io/api-reference/restful/v2.5.x/v2/Alias%20(v2)/Alter.md>`__

    It also takes the arguments of :class:`~airflow_vectordb.operators.base.WaitingOperator`.

    :param alias: the alias. Templated.
    :param collection_name: the collection that it will point to; if this is an alias, the collection behind it.
        Templated.
    :param min_rows: minimum number of rows, also as a string. All rows of a loaded collection are counted, otherwise
        those that are flushed. None: they are not counted. Templated.
    :param check_loaded: whether to refuse a collection that is not loaded, or not with all of its partitions
    :param wait_for_completion: whether to wait for a collection that is being loaded; otherwise it is refused, too
    :return: ``{"alias", "collection_name", "previous"}``; ``previous`` is the collection that the alias pointed to
        before, also if the task was killed and retried; None: there was no such alias. The ``extra`` of events of
        outlet assets has the same under ``switch``
    """

    template_fields: Sequence[str] = ("milvus_conn_id", "database", "alias", "collection_name", "min_rows")

    def __init__(
        self,
        *,
        alias: str,
        collection_name: str,
        min_rows: int | str | None = None,
        check_loaded: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.alias = alias
        self.collection_name = collection_name
        self.min_rows = min_rows
        self.check_loaded = check_loaded
        self.raise_if_invalid(
            *check_new_name(alias=alias),
            *check_literal(collection_name=collection_name),
            *_check_different(alias, collection_name),
            *check_rows("min_rows", min_rows),
        )

    def describe_target(self) -> str:
        """Name the alias and the collection."""
        return f"alias {self.alias!r} for collection {self.collection_name!r}"

    def run_task(self, hook: MilvusHook, context: Context, state: ResumeState) -> dict[str, Any]:
        """Check the collection, and switch."""
        min_rows, problems = parse_rows("min_rows", self.min_rows)
        problems += validate_new_name(alias=self.alias)
        problems += validate_rendered(collection_name=self.collection_name)
        problems += _check_different(self.alias, self.collection_name)
        if problems:
            raise rest.errors.InvalidParametersError(problems)
        with self.error_context(hook, self.describe_target()):
            described = hook.send(rest.collections.describe(self.collection_name))
            if self.check_loaded and "loaded" not in state.results:
                self._require_loaded(hook, state)
            if self.min_rows is not None:
                self._require_rows(hook, described, min_rows)
            result = self._switch(hook, context, state, operators._aliases.own_name(hook, described))
        self.emit_asset_events(hook, context, {"switch": result}, self.alias)
        return result

    def _require_loaded(self, hook: MilvusHook, state: ResumeState) -> None:
        found = hook.send(rest.collections.load_state(self.collection_name))
        condition = waiting.CollectionLoaded(self.collection_name)
        seen = hook.poll(condition) if found.state in ("LoadStateLoading", "LoadStateLoaded") else None
        if isinstance(seen, waiting.Done):
            state.results["loaded"] = seen.result
        elif seen is not None and found.state == "LoadStateLoading" and self.wait_for_completion:
            wait_for(self, hook, state, "loaded", condition, initial_result=seen)
        else:
            why = "is not loaded" if seen is None else "is not loaded completely"
            raise rest.errors.NotLoadedError(
                f"collection {self.collection_name!r} {why}: readers of {self.alias!r} would get errors",
                cause=f"Collection {self.collection_name!r} {why}",
            )

    def _require_rows(self, hook: MilvusHook, described: Collection, min_rows: int) -> None:
        loaded = self.check_loaded or described.load == "LoadStateLoaded"
        count = rest.entities.count if loaded else rest.collections.row_count
        rows = hook.send(count(self.collection_name))
        if rows < min_rows:
            text = f"Collection {self.collection_name!r} has {rows:,} rows, fewer than min_rows={min_rows:,}"
            raise rest.errors.MilvusError(text, cause=text, hint="The alias stays where it is.")

    def _switch(self, hook: MilvusHook, context: Context, state: ResumeState, target: str) -> dict[str, Any]:
        from airflow_vectordb.retry_state import RetryState  # only a running task needs it

        memory = RetryState(context, "switch", state.results)
        current = self.find_current(hook)
        result = {"alias": self.alias, "collection_name": target, "previous": current}
        if current == target:
            # An earlier try may have moved it and been killed before Airflow got its result.
            earlier = memory.get()
            if earlier and {**earlier, "previous": current} == result:
                result = earlier
            self.log.info("%s already points to %s", self.alias, target)
        else:
            memory.set(result)
            result["previous"] = current = self._move(hook, current, target)
            self.log.info("%s now points to %s (before: %s)", self.alias, target, current or "no such alias")
        memory.expire()
        return result

    def find_current(self, hook: MilvusHook) -> str | None:
        """Return the collection that the alias points to; None: there is no such alias."""
        try:
            return hook.send(rest.aliases.describe(self.alias))
        except rest.errors.AliasNotFoundError:
            return None

    def _move(self, hook: MilvusHook, current: str | None, target: str) -> str | None:
        """Create the alias, or move it; return the collection that it pointed to."""
        if current is None:
            try:
                hook.send(rest.aliases.create(self.alias, target))
            except rest.errors.ConflictError as error:
                if error.code == _IS_A_COLLECTION:
                    told = operators._aliases.is_a_collection(self.alias)
                    raise error.with_context(**told) from error.__cause__
                if error.code != _EXISTS:
                    raise
            else:
                return None
            current = self.find_current(hook)  # created by another client meanwhile
        hook.send(rest.aliases.alter(self.alias, target))
        return current


def _check_different(alias: str, collection_name: str) -> list[str]:
    same = alias == collection_name
    return [f"alias and collection_name are both {alias!r}: an alias points to a collection"] if same else []


__all__ = ["SwitchAliasOperator"]
