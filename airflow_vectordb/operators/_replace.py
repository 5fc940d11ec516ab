"""How an index is replaced: what has to happen around its drop, so that nothing is lost on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_vectordb import rest
from airflow_vectordb._compat import AirflowException
from airflow_vectordb.retry_state import RetryState, SharedNote

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.mixins import ResumeState
    from airflow_vectordb.operators.base import WaitingOperator
    from airflow_vectordb.rest.errors import MilvusError
    from airflow_vectordb.rest.index.spec import IndexSpec
    from airflow_vectordb.rest.indexes import IndexDescription


class IndexReplacement:
    """
    Clears the place for an index, and puts the collection back into memory when the index is built.

    **How it works:** an index of a loaded collection cannot be dropped. So what is loaded, and what is about to be
    dropped, is written down before anything changes, where a retry of this task instance finds it; then the collection
    is released, the index dropped and (by the operator) created and waited for, and what was loaded is loaded again.
    Each step looks at the server first, so it may be gone through again from any point.

    **If the new index is refused or cannot be built,** the old one is asked for again, and the collection is loaded
    again; the task fails all the same. Should even that fail for a reason that may pass, the task fails in a way that
    Airflow retries: the retry begins with the new index again.

    **Known limits:** between release and load the collection cannot be searched. Replica number, resource groups and
    load fields are not visible over the RESTful API: the server's defaults are loaded. A run that is never retried to
    its end leaves the collection released. Two tasks that replace indexes of one collection at the same time are in
    each other's way, and one of them may fail; but the last one loads what either of them has released.

    :param task: the operator, whose waiting is used
    :param hook: open
    :param context: the task's context
    :param state: how far the task has got
    """

    def __init__(self, task: WaitingOperator, hook: MilvusHook, context: Context, state: ResumeState) -> None:
        self._task = task
        self._hook = hook
        self._state = state
        self._collection = ""
        self._memory = RetryState(context, "replace", state.results)

    def begin(self, collection: str) -> None:
        """
        Say which collection it is about.

        :param collection: its own name, not an alias: that could lead elsewhere when the task is retried
        """
        from airflow_vectordb.rest.errors import CollectionNotFoundError

        self._collection = collection
        fact = self._recall()
        if fact is not None and fact["collection"] != collection:
            self._task.log.warning("An earlier try was about %s, which gets back what it had", fact["collection"])
            with suppress(CollectionNotFoundError):
                self._rollback(fact)
            self._forget(fact)

    def release_and_drop(self, to_drop: Mapping[str, tuple[IndexDescription, str]]) -> None:
        """
        Release the collection if it is loaded, and drop indexes.

        :param to_drop: description of each index, and why it has to go, by name
        """
        from airflow_vectordb.rest import collections, errors, indexes
        from airflow_vectordb.rest.index.plan import is_in_use
        from airflow_vectordb.rest.text import sanitize_text
        from airflow_vectordb.waiting.conditions import CollectionReleased

        loaded = self._loaded()
        note = self._note(self._collection)
        if loaded is None:
            if (released := note.read()) is not None:
                self._task.log.warning(
                    "Another task has released %s to replace an index, and has not loaded it yet: this one will, too",
                    self._collection,
                )
        else:
            released = loaded
            note.write(loaded)
        self._write_down(released, [description for description, _ in to_drop.values()])
        if loaded is not None:
            self._task.log.info("Releasing %s, to load it again later", self._collection)
            self._hook.send(collections.release(self._collection))
            self._state.results.pop("released", None)
            self._task.wait_for(self._hook, self._state, "released", CollectionReleased(self._collection))
        for name, (_, why) in to_drop.items():
            self._task.log.info("Dropping %s/%s (%s)", self._collection, sanitize_text(name, 255), why)
            try:
                self._hook.send(indexes.drop(self._collection, name))
            except errors.IndexNotFoundError:
                self._task.log.info("%s/%s is gone already", self._collection, sanitize_text(name, 255))
            except errors.MilvusError as error:
                if not (is_in_use(error) and self._loaded() is not None):
                    raise
                raise error.with_context(
                    transient=True,
                    cause="Somebody else loads the collection",
                    hint="A retry of this task releases it again.",
                ) from error.__cause__

    def mark_rejected(self, specs: Iterable[IndexSpec]) -> None:
        """
        Say that the server built something else for these: :meth:`on_failure` may drop it.

        :param specs: what was asked for in this try
        """
        self._state.results["rejected"] = [spec.name for spec in specs]

    def reload(self) -> None:
        """Load what was loaded before the first try."""
        fact = self._recall()
        if fact is None:
            return
        if fact["loaded"] is not None:
            from airflow_vectordb.waiting.conditions import CollectionLoaded

            partitions: tuple[str, ...] | None = ()
            if "loaded" not in self._state.results:
                self._task.log.info("Loading %s again", fact["collection"])
                partitions = self._load(fact)
            if self._task.wait_for_completion and partitions is not None:
                wait = CollectionLoaded(fact["collection"], partitions)
                self._task.wait_for(self._hook, self._state, "loaded", wait)
        try:
            self._forget(fact)
        except Exception as error:  # noqa: BLE001 - the work is done
            self._task.log.warning("What was written down for retries could not be deleted: %s", error)

    def on_failure(self, error: MilvusError) -> MilvusError:
        """
        After an error that does not pass, put back what was there.

        :param error: what happened
        :return: the error to raise, which says what came of it
        """
        from airflow_vectordb.rest.errors import IndexFailedError, MilvusError

        if isinstance(error, IndexFailedError):
            error = error.with_context(hint="Another try drops it, and begins anew.")
        fact = self._recall()
        if fact is None:
            return error
        was_loaded = fact["loaded"] is not None
        if error.transient or "built" in self._state.results:
            if not was_loaded:
                return error
            return _add(
                error, f"Collection {fact['collection']!r} was loaded; another try of this task loads it again."
            )
        try:
            restored = self._rollback(fact)
        except MilvusError as again:
            old = "; ".join(f"{i['index_name']}: {i['index_type']} {i['params']}" for i in fact["indexes"])
            why = "for the same reason" if again.message == error.message else f"in its turn: {again}"
            text = f"What was there ({old}{', loaded' if was_loaded else ''}) could not be put back {why}"
            return _add(error, text).with_context(transient=again.transient)
        self._forget(fact)
        done = [f"index {name!r} is being built as it was" for name in restored]
        if was_loaded:
            done.append("the collection is being loaded again")
        if not done:
            return error
        if isinstance(error, IndexFailedError):
            error = error.with_context(hint="Remove the cause, and try again.")
        return _add(error, f"So that nothing is lost, {' and '.join(done)}.")

    def _recall(self) -> dict[str, Any] | None:
        fact: dict[str, Any] | None = self._memory.get()
        if fact is None and "noted" in self._state.results:
            # To go on without it would be to forget about loading, silently.
            raise AirflowException(f"task {self._task.task_id}: what it wrote down for its own retries is gone")
        return fact

    def _forget(self, fact: Mapping[str, Any]) -> None:
        self._memory.delete()
        self._state.results.pop("noted", None)
        if fact["loaded"] is not None:
            self._note(fact["collection"]).delete()

    def _note(self, collection: str) -> SharedNote:
        config = self._hook.config
        return SharedNote(self._task.log, config.url, config.database or rest.DEFAULT_DATABASE, collection)

    def _loaded(self) -> list[str] | None:
        """Find what is loaded: None: nothing; empty: the whole collection; else the partitions."""
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
        before = self._recall() or {"collection": self._collection, "loaded": None, "indexes": []}
        # What an earlier try saw counts: after a kill nothing is loaded, and what is in that place may be its own.
        known = {_place(index) for index in before["indexes"]}
        fact = {
            **before,
            "loaded": loaded if before["loaded"] is None else before["loaded"],
            "indexes": before["indexes"] + [d.as_json() for d in dropped if _place(d.as_json()) not in known],
        }
        if fact != before:
            self._memory.set(fact)
            self._state.results["noted"] = True

    def _load(self, fact: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Ask for what was loaded; return the partitions that are loaded now, or None when nothing is left to load."""
        from airflow_vectordb.rest import collections, partitions

        collection: str = fact["collection"]
        if not fact["loaded"]:
            self._hook.send(collections.load(collection))
            return ()
        there = self._hook.send(partitions.list_(collection))
        names = tuple(name for name in fact["loaded"] if name in there)
        if not names:
            self._task.log.warning("The partitions of %s that were loaded are gone", collection)
            return None
        self._hook.send(partitions.load(collection, names))
        return names

    def _rollback(self, fact: Mapping[str, Any]) -> list[str]:
        """Ask for the old indexes, and load again; return the names of the indexes that were missing."""
        restored = self._restore(fact["collection"], fact["indexes"])
        if fact["loaded"] is not None:
            self._load(fact)
        return restored

    def _restore(self, collection: str, old: list[dict[str, Any]]) -> list[str]:
        """Ask for old indexes in whose place there is none now, or one that is of no use."""
        from airflow_vectordb.rest import indexes
        from airflow_vectordb.rest.index.spec import IndexSpec
        from airflow_vectordb.rest.index.types import AUTOINDEX, INDEX_TYPES

        rejected = self._state.results.get("rejected", ())
        there = [
            description.as_json()
            for name in self._hook.send(indexes.list_(collection))
            for description in self._hook.send(indexes.describe(collection, name))
        ]
        restored: list[str] = []
        for index in old:
            in_place = [other for other in there if _place(other) == _place(index)]
            of_use = [o for o in in_place if o["state"] != "Failed" and o["index_name"] not in rejected]
            if index["state"] == "Failed" or of_use:
                continue
            for other in in_place:
                self._hook.send(indexes.drop(collection, other["index_name"]))
            params = index["params"]
            if index["index_type"].upper() == AUTOINDEX:  # it takes few, although servers tell more
                params = {key: value for key, value in params.items() if key in INDEX_TYPES[AUTOINDEX]}
            spec = IndexSpec(
                index["field_name"], index["index_name"], index["index_type"], index["metric_type"] or None, params
            )
            self._hook.send(indexes.create(collection, [spec]))
            restored.append(index["index_name"])
        return restored


def _place(index: Mapping[str, Any]) -> tuple[str, ...]:
    from airflow_vectordb.rest.index.spec import index_place

    return index_place(index["field_name"], index["params"])


def _add(error: MilvusError, text: str) -> MilvusError:
    return error.with_context(hint=f"{error.hint} {text}".strip())


__all__ = ["IndexReplacement"]
