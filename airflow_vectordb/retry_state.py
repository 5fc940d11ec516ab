"""What a task instance remembers from one try to the next."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow import sdk

from airflow_vectordb._compat import AirflowException, is_retry, is_run_by_airflow

if TYPE_CHECKING:
    from airflow.sdk import Context


#: How long Airflow's task state store keeps what a wait needs: longer than any, regardless of the deployment's default.
RETENTION = timedelta(days=365)


class RetryState:
    """
    Stores one fact of a task instance for its next try, even if this one is killed.

    On Airflow 3.3 and later it is in the task state store; before that in an Airflow Variable, which stays if the task
    instance never ends, and is deleted before Airflow has the task's result. Airflow deletes XComs before each try.
    Without Airflow, as unit tests of DAGs call operators, there is no next try, and it is kept in a dict.

    :param spare: the dict; None: one of its own
    """

    def __init__(self, context: Context, key: str, spare: dict[str, Any] | None = None) -> None:
        ti: Any = (context or {}).get("ti")
        store: Any = (context or {}).get("task_state_store")
        self._key = f"airflow_vectordb.{key}"
        self._max_tries = getattr(ti, "max_tries", None)
        if not isinstance(getattr(ti, "run_id", None), str) or (store is None and not is_run_by_airflow()):
            store = _DictStore({} if spare is None else spare)
        elif store is None:
            store = _VariableStore(ti, retried=is_retry(context))
        self._store = store

    def get(self) -> Any:
        """Return the fact, or None; after a completed try ``{"result": …}``. Raise if Airflow cannot be asked."""
        fact = self._store.get(self._key)
        # A cleared task gets more tries: then the work is repeated.
        return None if isinstance(fact, dict) and fact.get("max_tries", self._max_tries) != self._max_tries else fact

    def set(self, fact: Any, retention: timedelta | None = RETENTION) -> None:
        """
        Store the fact, JSON-ready and not None, durably; raise AirflowException if that is not possible.

        :param retention: None: the deployment's default, for what is needed only until Airflow has the task's result
        """
        self._store.set(self._key, fact, retention=retention)

    def finish(self, result: Any = None) -> None:
        """
        Delete what would never be deleted otherwise: Variables, and facts kept without Airflow.

        The task state store gets the result, if it is passed, in place of the fact: there may be another try until
        Airflow has it.
        """
        if isinstance(self._store, _VariableStore | _DictStore):
            self.delete()
        elif result is not None:
            self.set({"result": result, "max_tries": self._max_tries}, retention=None)

    def delete(self) -> None:
        """Delete the fact."""
        self._store.delete(self._key)


class _DictStore:
    """A dict with the methods of Airflow's task state store."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self._facts = facts

    def get(self, key: str) -> Any:
        return self._facts.get(key)

    def set(self, key: str, fact: Any, **_: timedelta) -> None:
        self._facts[key] = fact

    def delete(self, key: str) -> None:
        self._facts.pop(key, None)


class _VariableStore:
    """Airflow Variables with the methods of its task state store, for Airflow 3.1 and 3.2."""

    def __init__(self, ti: Any, *, retried: bool) -> None:
        identity = (ti.dag_id, ti.run_id, ti.task_id, getattr(ti, "map_index", -1))
        self._owner = "task {2} of DAG {0}, run {1}, map index {3}".format(*identity)
        # Run ids have characters that some releases do not allow in a Variable's name.
        self._suffix = "." + hashlib.sha256("\n".join(map(str, identity)).encode()).hexdigest()[:32]
        self._retried = retried

    def get(self, key: str) -> Any:
        name = key + self._suffix
        fact = self._read(name)
        if fact is None and self._retried:
            # Airflow treats a Variable that it could not read like a missing one. A Variable that certainly exists
            # tells the two apart.
            self._write(f"{name}.probe", True)
            fact = self._read(name)
            sdk.Variable.delete(f"{name}.probe")
        return fact

    def set(self, key: str, fact: Any, **_: timedelta) -> None:
        self._write(key + self._suffix, fact)

    def delete(self, key: str) -> None:
        sdk.Variable.delete(key + self._suffix)

    def _read(self, name: str) -> Any:
        return sdk.Variable.get(name, default=None, deserialize_json=True)

    def _write(self, name: str, fact: Any) -> None:
        sdk.Variable.set(name, fact, description=f"kept for the next try of {self._owner}", serialize_json=True)
        if self._read(name) != fact:  # Airflow logs errors, and continues
            raise AirflowException(f"Airflow Variable {name!r} could not be written; see the log above")


class SharedNote:
    """
    Shares one task's observation with tasks that work on the same thing at the same time, in an Airflow Variable.

    It is best effort: if Airflow cannot be asked, a task logs that and continues without it.
    """

    def __init__(self, log: Any, *thing: str) -> None:
        self._log = log
        self._thing = ", ".join(thing)
        self._name = f"airflow_vectordb.replacing.{hashlib.sha256(repr(thing).encode()).hexdigest()[:32]}"

    def read(self) -> Any:
        """Return the note; None if there is none."""
        return self._try(sdk.Variable.get, default=None, deserialize_json=True)

    def write(self, note: Any) -> None:
        """Leave a note: JSON-ready, and not None."""
        description = f"what was loaded of {self._thing} before a task began to replace an index of it"
        self._try(sdk.Variable.set, value=note, description=description, serialize_json=True)

    def delete(self) -> None:
        """Delete the note."""
        self._try(sdk.Variable.delete)

    def _try(self, action: Callable[..., Any], **arguments: Any) -> Any:
        try:
            return action(self._name, **arguments)
        except Exception as error:  # noqa: BLE001 - see above
            self._log.debug("%s: what was loaded cannot be shared with other tasks: %s", self._thing, error)
            return None
