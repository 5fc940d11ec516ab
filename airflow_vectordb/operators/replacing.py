"""How an index is replaced: what has to happen around its drop, so that nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_vectordb.operators.memory import RetryMemory

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.operators.base import WaitingOperator
    from airflow_vectordb.rest.errors import MilvusError
    from airflow_vectordb.rest.indexes import IndexDescription
    from airflow_vectordb.tasks import Course


class Replacement:
    """
    Clears the place for an index, and puts the collection back into memory when the index is built.

    **How it works:** an index of a loaded collection cannot be dropped. So what is loaded, and what is about to be
    dropped, is written down before anything changes, where a retry of this task instance finds it; then the collection
    is released, the index dropped and (by the operator) created and waited for, and what was loaded is loaded again.
    Each step looks at the server first, so it may be gone through again from any point.

    **If the new index is refused or cannot be built,** the old one is asked for again, and the collection is loaded
    again; the task fails all the same.

    **Known limits:** between release and load the collection cannot be searched. Replica number, resource groups and
    load fields are not visible over the RESTful API: the server's defaults are loaded. A run that is never retried to
    its end leaves the collection released.

    :param task: the operator, whose waiting is used
    :param hook: open
    :param context: the task's context
    :param course: how far the task has got
    :param collection: name of the collection
    """

    def __init__(
        self, task: WaitingOperator, hook: MilvusHook, context: Context, course: Course, collection: str
    ) -> None:
        self._task = task
        self._hook = hook
        self._course = course
        self._collection = collection
        self._memory = RetryMemory(context, "replace")

    def clear(self, to_drop: Mapping[str, tuple[IndexDescription, str]]) -> None:
        """
        Release the collection if it is loaded, and drop indexes.

        :param to_drop: description of each index, and why it has to go, by name
        """
        from airflow_vectordb.rest import collections, errors, indexes
        from airflow_vectordb.waits import CollectionReleased

        loaded = self._loaded()
        self._write_down(loaded, [description for description, _ in to_drop.values()])
        if loaded is not None:
            self._task.log.info("Releasing %s, to load it again later", self._collection)
            self._hook.send(collections.release(self._collection))
            self._course.results.pop("released", None)
            self._task.wait_for(self._hook, self._course, "released", CollectionReleased(self._collection))
        for name, (_, why) in to_drop.items():
            self._task.log.info("Dropping %s/%s (%s)", self._collection, name, why)
            try:
                self._hook.send(indexes.drop(self._collection, name))
            except errors.IndexNotFoundError:
                self._task.log.info("%s/%s is gone already", self._collection, name)

    def reload(self) -> None:
        """Load what was loaded before the first try."""
        fact = self._memory.recall()
        if fact is None:
            return
        if fact["loaded"] is not None:
            from airflow_vectordb.waits import CollectionLoaded

            partitions = tuple(fact["loaded"])
            if "loaded" not in self._course.results:
                self._task.log.info("Loading %s again", self._collection)
                self._load(partitions)
            if self._task.wait_for_completion:
                wait = CollectionLoaded(self._collection, partitions)
                self._task.wait_for(self._hook, self._course, "loaded", wait)
        self._memory.forget()

    def recover(self, error: MilvusError) -> None:
        """
        Put back what was there, after an error that does not pass.

        :param error: the error, which is told what came of it
        """
        from airflow_vectordb.rest.errors import MilvusError

        fact = self._memory.recall()
        if fact is None:
            return
        try:
            restored = self._restore(fact["indexes"])
            if fact["loaded"] is not None:
                self._load(tuple(fact["loaded"]))
        except MilvusError as again:
            old = "; ".join(f"{i['index_name']}: {i['index_type']} {i['params']}" for i in fact["indexes"])
            loaded = ", loaded" if fact["loaded"] is not None else ""
            error.hint = f"{error.hint} What was there ({old}{loaded}) could not be put back: {again}".strip()
            return
        self._memory.forget()
        done = [f"index {name!r} is being built as it was" for name in restored]
        if fact["loaded"] is not None:
            done.append("the collection is being loaded again")
        if done:
            error.hint = f"{error.hint} So that nothing is lost, {' and '.join(done)}.".strip()

    def _loaded(self) -> list[str] | None:
        """Tell what is loaded: None: nothing; empty: the whole collection; else the partitions."""
        from airflow_vectordb.rest import collections, partitions

        def is_loaded(names: tuple[str, ...] = ()) -> bool:
            state = self._hook.send(collections.load_state(self._collection, names)).state
            return state in ("LoadStateLoaded", "LoadStateLoading")

        if not is_loaded():
            return None
        names = self._hook.send(partitions.list_(self._collection))
        if len(names) < 2 or is_loaded(tuple(names)):
            return []
        return [name for name in names if is_loaded((name,))]

    def _write_down(self, loaded: list[str] | None, dropped: list[IndexDescription]) -> None:
        before: dict[str, Any] = self._memory.recall() or {"loaded": None, "indexes": []}
        known = {index["index_name"] for index in before["indexes"]}
        fact = {
            # After a kill between release and load, nothing is loaded: what an earlier try saw counts.
            "loaded": loaded if before["loaded"] is None else before["loaded"],
            "indexes": before["indexes"] + [d.as_json() for d in dropped if d.index_name not in known],
        }
        if fact != before:
            self._memory.keep(fact)

    def _load(self, names: tuple[str, ...]) -> None:
        from airflow_vectordb.rest import collections, partitions

        self._hook.send(
            partitions.load(self._collection, names) if names else collections.load(self._collection),
        )

    def _restore(self, old: list[dict[str, Any]]) -> list[str]:
        """Ask for old indexes whose fields have none now, or one that failed."""
        from airflow_vectordb.rest import indexes
        from airflow_vectordb.rest.index_spec import IndexSpec

        there = [
            description
            for name in self._hook.send(indexes.list_(self._collection))
            for description in self._hook.send(indexes.describe(self._collection, name))
        ]
        restored: list[str] = []
        for index in old:
            if index["state"] == "Failed":
                continue
            on_field = [
                description
                for description in there
                if description.field_name == index["field_name"]
                and description.params.get("json_path") == index["params"].get("json_path")
            ]
            if any(description.state != "Failed" for description in on_field):
                continue
            for description in on_field:
                self._hook.send(indexes.drop(self._collection, description.index_name))
            spec = IndexSpec(
                index["field_name"],
                index["index_name"],
                index["index_type"],
                index["metric_type"] or None,
                index["params"],
            )
            self._hook.send(indexes.create(self._collection, [spec]))
            restored.append(index["index_name"])
        return restored


__all__ = ["Replacement"]
