"""The operator that moves readers to another collection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_vectordb import rest, waiting
from airflow_vectordb.deferral import ResumeState, wait_for
from airflow_vectordb.operators.base import WaitingOperator
from airflow_vectordb.validation import count_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_vectordb.hooks.milvus import MilvusHook


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
    new_name_fields: Sequence[str] = ("alias",)

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
        self.raise_if_invalid(*self._check_different())

    def _check_different(self) -> list[str]:
        same = self.alias == self.collection_name
        return [f"alias and collection_name are both {self.alias!r}: an alias points to a collection"] if same else []

    def rendered_problems(self) -> list[str]:
        """Also compare the names."""
        return [*super().rendered_problems(), *self._check_different()]

    def describe_target(self) -> str:
        """Name the alias and the collection."""
        return f"alias {self.alias!r} for collection {self.collection_name!r}"

    def run_task(self, hook: MilvusHook, context: Context, state: ResumeState) -> dict[str, Any]:
        """Check the collection, and switch."""
        described = hook.send(rest.collections.describe(self.collection_name))
        if self.check_loaded and "loaded" not in state.results:
            self._require_loaded(hook, state)
        if self.min_rows is not None:
            self._require_rows(hook, described, count_of(self.min_rows) or 0)
        result = self._switch(hook, context, state, hook._own_name(described))
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

    def _require_rows(self, hook: MilvusHook, described: rest.collections.Collection, min_rows: int) -> None:
        loaded = self.check_loaded or described.load == "LoadStateLoaded"
        count = rest.entities.count if loaded else rest.collections.row_count
        rows = hook.send(count(self.collection_name))
        if rows < min_rows:
            text = f"Collection {self.collection_name!r} has {rows:,} rows, fewer than min_rows={min_rows:,}"
            raise rest.errors.MilvusError(text, cause=text, hint="The alias stays where it is.")

    def _switch(self, hook: MilvusHook, context: Context, state: ResumeState, target: str) -> dict[str, Any]:
        memory = self.retry_state(context, "switch", state)
        current = hook._find_alias(self.alias)
        result = {"alias": self.alias, "collection_name": target, "previous": current}
        if current == target:
            # An earlier try may have moved it and been killed before Airflow got its result.
            earlier = memory.get()
            if earlier and {**earlier, "previous": current} == result:
                result = earlier
            self.log.info("%s already points to %s", self.alias, target)
        else:
            memory.set(result, retention=None)
            result["previous"] = current = hook._move_alias(self.alias, current, target)
            self.log.info("%s now points to %s (before: %s)", self.alias, target, current or "no such alias")
        memory.finish()
        return result


__all__ = ["SwitchAliasOperator"]
