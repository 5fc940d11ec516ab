"""Replacing an index: release and drop, then load again or restore."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_vectordb import rest, waiting
from airflow_vectordb._compat import AirflowException
from airflow_vectordb.deferral import ResumeState, wait_for
from airflow_vectordb.retry_state import SharedNote

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.operators.base import WaitingOperator


@dataclass(frozen=True)
class _Original:
    """The state before the first try; JSON-ready. ``loaded``: None: nothing; empty: everything; else the partitions."""

    collection: str
    loaded: list[str] | None
    indexes: list[dict[str, Any]]


class IndexReplacement:
    """
    Makes room for an index, and loads the collection again when the index is built.

    An index of a loaded collection cannot be dropped. So the load state and the index to drop are stored first, where a
    retry of this task instance finds them. Each step then checks the server's state first, so that it can be repeated.
    If the new index is refused or cannot be built, the old one is created and loaded again, and the task fails; if that
    fails with a transient error, Airflow retries the task, which begins with the new index again.

    **Known limits:** between release and load the collection cannot be searched. Replica number, resource groups and
    load fields are not visible over the RESTful API: the server's defaults are used. A task that is not retried to its
    end leaves the collection released. If two tasks replace indexes of one collection at the same time, one of them may
    fail, and is finished by its retry. The last one loads what either of them has released, and a task whose index was
    replaced by another one fails.
    """

    def __init__(self, task: WaitingOperator, hook: MilvusHook, context: Context, state: ResumeState) -> None:
        self._task = task
        self._hook = hook
        self._state = state
        # Set by `begin`.
        self.collection = ""
        self._not_loaded = False
        self._before: _Original | None = None
        self._memory = task.retry_state(context, "replace", state)

    def begin(self, described: rest.collections.Collection) -> None:
        """Set the collection, by its own name: an alias may move; and finish an earlier try's work on another one."""
        self.collection = self._hook._own_name(described)
        self._not_loaded = described.load == "LoadStateNotLoad"
        self._before = original = self._recall()
        if original is not None and original.collection != self.collection:
            self._task.log.warning("An earlier try replaced an index of %s: restoring it", original.collection)
            with suppress(rest.errors.CollectionNotFoundError):
                self._rollback(original)
            self._forget(original)
            self._before = None

    def release_and_drop(self, to_drop: Mapping[str, tuple[rest.indexes.IndexDescription, str]]) -> None:
        """
        Release the collection if it is loaded, and drop indexes, given as name -> description and reason.

        What another task has released, and not loaded yet, will be loaded again, even if there is nothing to drop.
        """
        before = self._before or _Original(self.collection, None, [])
        loaded = self._loaded() if to_drop else None
        to_load = loaded if before.loaded is None else before.loaded
        if loaded is not None:
            self._note(self.collection).write(loaded)
        elif to_load is None and (to_drop or self._not_loaded):
            to_load = self._note(self.collection).read()
            if to_load is not None:
                self._task.log.warning(
                    "Another task has released %s to replace an index, and has not loaded it yet: so will this one",
                    self.collection,
                )
        # The earlier try's observation counts: after a kill nothing is loaded, and the present index may be its own.
        known = {spec_of(index).place for index in before.indexes}
        dropped = [description.as_json() for description, _ in to_drop.values()]
        added = [index for index in dropped if spec_of(index).place not in known]
        now = replace(before, loaded=to_load, indexes=before.indexes + added)
        if now != before:
            self._memory.set(asdict(now))
            self._before = now
            self._state.results["noted"] = True
        if loaded is not None:
            self._task.log.info("Releasing %s, to load it again later", self.collection)
            self._hook.send(rest.collections.release(self.collection))
            self._state.results.pop("released", None)
            wait_for(self._task, self._hook, self._state, "released", waiting.CollectionReleased(self.collection))
        for description, why in to_drop.values():
            self._drop(description, why)

    def _drop(self, planned: rest.indexes.IndexDescription, why: str) -> None:
        name = planned.index_name
        shown = f"{self.collection}/{rest.text.sanitize_text(name, 255)}"
        try:
            (found, *_) = self._hook.send(rest.indexes.describe(self.collection, name))
            lines = spec_of(planned.as_json()).compare(found).differences
            if planned.state == "Failed" != found.state:
                lines += (f"state: {rest.text.sanitize_text(found.state, 100)}",)
            if lines:
                raise rest.errors.ConflictError(
                    f"{shown} was to be dropped ({why})",
                    cause=f"another client has just replaced the index ({', '.join(lines)})",
                    hint="A retry of this task checks again.",
                    transient=True,
                )
            self._task.log.info("Dropping %s (%s)", shown, why)
            self._hook.send(rest.indexes.drop(self.collection, name))
        except rest.errors.IndexNotFoundError:
            self._task.log.info("%s is gone already", shown)
        except rest.errors.MilvusError as error:
            if not rest.index.plan.is_in_use(error) or self._loaded() is None:
                raise
            raise error.with_context(
                transient=True,
                cause="Another client is loading the collection",
                hint="A retry of this task releases it again.",
            ) from error.__cause__

    def mark_rejected(self, specs: Iterable[rest.IndexSpec]) -> None:
        """Remember that the server built something else for these, so that :meth:`on_failure` may drop it."""
        self._state.results["rejected"] = [spec.name for spec in specs]

    def reload(self) -> None:
        """Load what was loaded before the first try."""
        original = self._recall()
        if original is None:
            return
        if original.loaded is not None and "loaded" not in self._state.results:
            self._task.log.info("Loading %s again", original.collection)
            condition = self._load(original)
            if self._task.wait_for_completion and condition is not None:
                wait_for(self._task, self._hook, self._state, "loaded", condition)
        try:
            self._forget(original)
        except Exception as error:  # noqa: BLE001 - the work is done
            self._task.log.warning("What was stored for retries could not be deleted: %s", error)

    def on_failure(self, error: rest.errors.MilvusError) -> rest.errors.MilvusError:
        """After a permanent error, restore the old index; return the error to raise, with the outcome."""
        build_failed = isinstance(error, rest.errors.IndexFailedError)
        if build_failed:
            error = error.with_context(hint="Another try drops it and starts over.")
        original = self._recall()
        if original is None:
            return error
        was_loaded = original.loaded is not None
        if error.transient or "built" in self._state.results:
            advice = f"Collection {original.collection!r} was loaded; another try of this task loads it again."
            return _add(error, advice) if was_loaded else error
        try:
            restored = self._rollback(original)
        except rest.errors.MilvusError as second:
            old = "; ".join(f"{i['index_name']}: {i['index_type']} {i['params']}" for i in original.indexes)
            why = "for the same reason" if second.message == error.message else f"either: {second}"
            text = f"What was there ({old}{', loaded' if was_loaded else ''}) could not be restored {why}"
            return _add(error, text).with_context(transient=second.transient)
        self._forget(original)
        done = [f"index {name!r} is being built as it was" for name in restored]
        if was_loaded:
            done.append("the collection is being loaded again")
        if done and build_failed:
            error = error.with_context(hint="Remove the cause, and try again.")
        return _add(error, f"So that nothing is lost, {' and '.join(done)}.") if done else error

    def _recall(self) -> _Original | None:
        fact = self._memory.get()
        if fact is not None:
            return _Original(**fact)
        if "noted" in self._state.results:
            # Without it, the collection would silently stay released.
            text = f"what was stored for retries about {self._task.describe_target()} is gone"
            raise AirflowException(f"task {self._task.task_id}: {text}. Load it if it was loaded, then clear the task.")
        return None

    def _forget(self, original: _Original) -> None:
        self._memory.delete()
        self._state.results.pop("noted", None)
        if original.loaded is not None:
            self._note(original.collection).delete()

    def _note(self, collection: str) -> SharedNote:
        config = self._hook.config
        return SharedNote(self._task.log, config.url, config.database or rest.DEFAULT_DATABASE, collection)

    def _loaded(self) -> list[str] | None:
        """Return what is loaded: None: nothing; empty: the whole collection; else the partitions."""

        def is_loaded(names: tuple[str, ...] = ()) -> bool:
            state = self._hook.send(rest.collections.load_state(self.collection, names)).state
            return state in ("LoadStateLoaded", "LoadStateLoading")

        if not is_loaded():
            return None
        names = self._hook.send(rest.partitions.list_(self.collection))
        if len(names) < 2 or is_loaded(tuple(names)):
            return []
        return [name for name in names if is_loaded((name,))]

    def _load(self, original: _Original) -> waiting.Condition | None:
        """Load what was loaded; return what to wait for, or None if none of the partitions exists any longer."""
        names = tuple(original.loaded or ())
        if names:
            existing = self._hook.send(rest.partitions.list_(original.collection))
            names = tuple(name for name in names if name in existing)
            if not names:
                self._task.log.warning("The partitions of %s that were loaded are gone", original.collection)
                return None
        self._hook.load(original.collection, names or None, wait=False)
        return waiting.CollectionLoaded(original.collection, names)

    def _rollback(self, original: _Original) -> list[str]:
        """Create old indexes that are missing or were replaced by unusable ones, and load; return their names."""
        existing = [description.as_json() for description in self._hook.describe_indexes(original.collection)]
        rejected = self._state.results.get("rejected", ())
        restored: list[str] = []
        for index in original.indexes:
            in_place = [other for other in existing if spec_of(other).place == spec_of(index).place]
            of_use = [o for o in in_place if o["state"] != "Failed" and o["index_name"] not in rejected]
            if index["state"] == "Failed" or of_use:
                continue
            for other in in_place:
                self._hook.send(rest.indexes.drop(original.collection, other["index_name"]))
            self._hook.send(rest.indexes.create(original.collection, [spec_of(index)]))
            restored.append(index["index_name"])
        if original.loaded is not None:
            self._load(original)
        return restored


def spec_of(index: Mapping[str, Any]) -> rest.IndexSpec:
    """Return what creates an index of which this is the description, JSON-ready."""
    params, autoindex = index["params"], rest.index.types.AUTOINDEX
    if index["index_type"].upper() == autoindex:  # the request accepts only some of the reported parameters
        params = {key: value for key, value in params.items() if key in rest.index.types.INDEX_TYPES[autoindex]}
    return rest.IndexSpec(
        index["field_name"], index["index_name"], index["index_type"], index["metric_type"] or None, params
    )


def _add(error: rest.errors.MilvusError, text: str) -> rest.errors.MilvusError:
    return error.with_context(hint=f"{error.hint} {text}".strip())
