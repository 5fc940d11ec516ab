"""What a task instance has to remember from one try to the next."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow import sdk

from airflow_vectordb._compat import AirflowException, is_retry, is_run_by_airflow

if TYPE_CHECKING:
    from airflow.sdk import Context


#: How long Airflow's task state store keeps it: longer than any wait, whatever the deployment's default is.
RETENTION = timedelta(days=365)


class RetryState:
    """
    Keeps one fact of a task instance where its next try finds it, even if this one is killed.

    **How it works:** on Airflow 3.3 and later in the task state store; before that in an Airflow Variable whose name is
    made from the task instance's, and which :meth:`delete` deletes. XComs would not do: Airflow deletes those of a task
    instance before each try.

    **Known limits:** on Airflow 3.1 and 3.2 the Variable stays if the task instance never comes to its end, and a try
    that ends before Airflow has its result is done again.

    **Without a task instance, or without Airflow,** as unit tests of DAGs call operators, there is no next try: it is
    kept in a dict.

    :param spare: the dict; None: one of its own
    """

    def __init__(self, context: Context, key: str, spare: dict[str, Any] | None = None) -> None:
        ti: Any = (context or {}).get("ti")
        store: Any = (context or {}).get("task_state_store")
        self._key = f"airflow_vectordb.{key}"
        self._max_tries = getattr(ti, "max_tries", None)
        self._store: Any
        if not isinstance(getattr(ti, "run_id", None), str) or (store is None and not is_run_by_airflow()):
            self._store = _DictStore({} if spare is None else spare)
        else:
            self._store = _VariableStore(ti, retried=is_retry(context)) if store is None else store

    def get(self) -> Any:
        """
        Return the fact; None when there is none. Where an earlier try has come to its end, it is ``{"result": …}``.

        :raises AirflowException: when Airflow does not say
        """
        fact = self._store.get(self._key)
        # A task that is cleared gets more tries: then the work is done again.
        return None if isinstance(fact, dict) and fact.get("max_tries", self._max_tries) != self._max_tries else fact

    def set(self, fact: Any) -> None:
        """
        Store the fact. It is there when this returns.

        :param fact: JSON-ready, not None
        :raises AirflowException: when it could not be stored
        """
        self._store.set(self._key, fact, retention=RETENTION)

    def finish(self, result: Any) -> None:
        """
        Store the task's result in place of the fact: until Airflow has it, there may be another try.

        Variables, which nobody else would delete, and what is kept without Airflow are deleted.
        """
        if isinstance(self._store, _VariableStore | _DictStore):
            self.delete()
        else:
            self.set({"result": result, "max_tries": self._max_tries})

    def delete(self) -> None:
        """Delete the fact."""
        self._store.delete(self._key)

    def expire(self) -> None:
        """Delete the fact unless the store does so in time: until Airflow has the result, there may be another try."""
        if isinstance(self._store, _VariableStore):
            self.delete()


class _DictStore:
    """A dict with the methods of Airflow's task state store."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self._facts = facts

    def get(self, key: str) -> Any:
        return self._facts.get(key)

    def set(self, key: str, fact: Any, *, retention: timedelta) -> None:
        del retention
        self._facts[key] = fact

    def delete(self, key: str) -> None:
        self._facts.pop(key, None)


class _VariableStore:
    """Airflow Variables with the methods of its task state store, for Airflow 3.1 and 3.2."""

    def __init__(self, ti: Any, *, retried: bool) -> None:
        identity = (ti.dag_id, ti.run_id, ti.task_id, getattr(ti, "map_index", -1))
        self._owner = "task {2} of DAG {0}, run {1}, map index {3}".format(*identity)
        # Run ids have characters that not every release takes in a Variable's name.
        self._suffix = "." + hashlib.sha256("\n".join(map(str, identity)).encode()).hexdigest()[:32]
        self._retried = retried

    def get(self, key: str) -> Any:
        name = key + self._suffix
        fact = self._read(name)
        if fact is None and self._retried:
            # Airflow takes a Variable that it could not read for one that is not there. One that surely is there
            # tells the two apart.
            self._write(f"{name}.probe", True)
            fact = self._read(name)
            sdk.Variable.delete(f"{name}.probe")
        return fact

    def set(self, key: str, fact: Any, *, retention: timedelta) -> None:
        del retention
        self._write(key + self._suffix, fact)

    def delete(self, key: str) -> None:
        sdk.Variable.delete(key + self._suffix)

    def _read(self, name: str) -> Any:
        return sdk.Variable.get(name, default=None, deserialize_json=True)

    def _write(self, name: str, fact: Any) -> None:
        sdk.Variable.set(name, fact, description=f"kept for the next try of {self._owner}", serialize_json=True)
        if self._read(name) != fact:  # Airflow logs what goes wrong, and goes on
            raise AirflowException(f"Airflow Variable {name!r} could not be written; see the log above")


class SharedNote:
    """
    Passes on to tasks that work on the same thing at the same time what one of them has found, by an Airflow Variable.

    It is a help and no promise: a task goes on without it when Airflow cannot be asked, and logs that.
    """

    def __init__(self, log: Any, *thing: str) -> None:
        self._log = log
        self._thing = ", ".join(thing)
        self._name = f"airflow_vectordb.replacing.{hashlib.sha256(repr(thing).encode()).hexdigest()[:32]}"

    def read(self) -> Any:
        """Return the note; None when there is none."""
        return self._try(lambda: sdk.Variable.get(self._name, default=None, deserialize_json=True))

    def write(self, note: Any) -> None:
        """Leave a note: JSON-ready, and not None."""
        about = f"what was loaded of {self._thing} before a task began to replace an index of it"
        self._try(lambda: sdk.Variable.set(self._name, note, description=about, serialize_json=True))

    def delete(self) -> None:
        """Delete the note."""
        self._try(lambda: sdk.Variable.delete(self._name))

    def _try(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Exception as error:  # noqa: BLE001 - see above
            self._log.debug("%s: other tasks cannot be told, or asked, what was loaded: %s", self._thing, error)
            return None
