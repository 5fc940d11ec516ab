"""What a task instance has to remember from one try to the next."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_vectordb._compat import AirflowException, is_retry, is_run_by_airflow

if TYPE_CHECKING:
    from airflow.sdk import Context


#: How long Airflow's task state store keeps it: longer than any wait, whatever the deployment's default is.
KEPT_FOR = timedelta(days=365)


class RetryState:
    """
    Keeps one fact of a task instance where its next try finds it, even if this one is killed.

    **How it works:** on Airflow 3.3 and later in the task state store; before that in an Airflow Variable whose name is
    made from the task instance's, and which :meth:`delete` deletes. XComs would not do: Airflow deletes those of a task
    instance before each try.

    **Known limit:** on Airflow 3.1 and 3.2 the Variable stays if the task instance never comes to its end.

    **Without a task instance, or without Airflow,** as unit tests of DAGs call operators, there is no next try: it is
    kept in a dict.

    :param context: the task's context
    :param key: name of the fact
    :param spare: the dict; None: one of its own
    """

    def __init__(self, context: Context, key: str, spare: dict[str, Any] | None = None) -> None:
        ti: Any = (context or {}).get("ti")
        store: Any = (context or {}).get("task_state_store")
        if not isinstance(getattr(ti, "run_id", None), str) or (store is None and not is_run_by_airflow()):
            self._key = f"airflow_vectordb.{key}"
            self._store: Any = _Spare({} if spare is None else spare)
            return
        self._store = store
        self._retried = is_retry(context)
        identity = (ti.dag_id, ti.run_id, ti.task_id, getattr(ti, "map_index", -1))
        self._of = "task {2} of DAG {0}, run {1}, map index {3}".format(*identity)
        self._key = f"airflow_vectordb.{key}"
        if self._store is None:
            # Run ids have characters that not every release takes in a Variable's name.
            digest = hashlib.sha256("\n".join(map(str, identity)).encode()).hexdigest()
            self._key += f".{digest[:32]}"

    def get(self) -> Any:
        """
        Return the fact; None when there is none.

        :raises AirflowException: when nobody knows
        """
        if self._store is not None:
            return self._store.get(self._key)
        fact = self._read(self._key)
        if fact is None and self._retried:
            # Airflow takes a Variable that it could not read for one that is not there. One that surely is there
            # tells the two apart.
            self._write(f"{self._key}.probe", True)
            fact = self._read(self._key)
            self._delete(f"{self._key}.probe")
        return fact

    def set(self, fact: Any) -> None:
        """
        Write the fact down. When this returns, it is there.

        :param fact: JSON-ready, not None
        :raises AirflowException: when it could not be written
        """
        if self._store is not None:
            self._store.set(self._key, fact, retention=KEPT_FOR)
        else:
            self._write(self._key, fact)

    def delete(self) -> None:
        """Delete the fact."""
        if self._store is not None:
            self._store.delete(self._key)
        else:
            self._delete(self._key)

    def _read(self, key: str) -> Any:
        from airflow.sdk import Variable

        return Variable.get(key, default=None, deserialize_json=True)

    def _write(self, key: str, fact: Any) -> None:
        from airflow.sdk import Variable

        Variable.set(key, fact, description=f"kept for the next try of {self._of}", serialize_json=True)
        if self._read(key) != fact:  # Airflow logs what goes wrong, and goes on
            raise AirflowException(f"Airflow Variable {key!r} could not be written; see the log above")

    def _delete(self, key: str) -> None:
        from airflow.sdk import Variable

        Variable.delete(key)


class SharedNote:
    """
    Tells tasks that work on the same thing at the same time what one of them has found, in an Airflow Variable.

    It is a help and no promise: a task goes on without it when Airflow cannot be asked.

    :param log: is told so
    :param thing: what names the thing, everywhere
    """

    def __init__(self, log: Any, *thing: str) -> None:
        self._log = log
        self._name = ", ".join(thing)
        self._key = f"airflow_vectordb.replacing.{hashlib.sha256(repr(thing).encode()).hexdigest()[:32]}"

    def read(self) -> Any:
        """Return the note; None when there is none."""
        from airflow.sdk import Variable

        return self._try(lambda: Variable.get(self._key, default=None, deserialize_json=True))

    def write(self, note: Any) -> None:
        """
        Leave a note.

        :param note: JSON-ready, not None
        """
        from airflow.sdk import Variable

        about = f"what was loaded of {self._name} before a task began to replace an index of it"
        self._try(lambda: Variable.set(self._key, note, description=about, serialize_json=True))

    def delete(self) -> None:
        """Take the note away."""
        from airflow.sdk import Variable

        self._try(lambda: Variable.delete(self._key))

    def _try(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except Exception as error:  # noqa: BLE001 - see above
            self._log.debug("%s: other tasks cannot be told, or asked, what was loaded: %s", self._name, error)
            return None


class _Spare:
    """A dict in place of Airflow's task state store."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self._facts = facts

    def get(self, key: str) -> Any:
        return self._facts.get(key)

    def set(self, key: str, fact: Any, **how_long: Any) -> None:
        del how_long
        self._facts[key] = fact

    def delete(self, key: str) -> None:
        self._facts.pop(key, None)


__all__ = ["RetryState", "SharedNote"]
