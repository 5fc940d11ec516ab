"""What a task instance has to remember from one try to the next."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from airflow_vectordb._compat import AirflowException

if TYPE_CHECKING:
    from airflow.sdk import Context


class RetryMemory:
    """
    Keeps one fact of a task instance where its next try finds it, even if this one is killed.

    **How it works:** on Airflow 3.3 and later in the task state store; before that in an Airflow Variable whose name is
    made from the task instance's, and which :meth:`forget` deletes. XComs would not do: Airflow deletes those of a task
    instance before each try.

    **Known limit:** on Airflow 3.1 and 3.2 the Variable stays if the task instance never comes to its end.

    :param context: the task's context
    :param key: name of the fact
    """

    def __init__(self, context: Context, key: str) -> None:
        self._store: Any = context.get("task_state_store")
        ti = context["ti"]
        identity = (ti.dag_id, ti.run_id, ti.task_id, getattr(ti, "map_index", -1))
        self._of = "task {2} of DAG {0}, run {1}, map index {3}".format(*identity)
        self._key = f"airflow_vectordb.{key}"
        if self._store is None:
            # Run ids have characters that not every release takes in a Variable's name.
            digest = hashlib.sha256("\n".join(map(str, identity)).encode()).hexdigest()
            self._key += f".{digest[:32]}"

    def recall(self) -> Any:
        """Return the fact; None when there is none."""
        if self._store is not None:
            return self._store.get(self._key)
        from airflow.sdk import Variable

        return Variable.get(self._key, default=None, deserialize_json=True)

    def keep(self, fact: Any) -> None:
        """
        Write the fact down. When this returns, it is there.

        :param fact: JSON-ready, not None
        :raises AirflowException: when it could not be written
        """
        if self._store is not None:
            self._store.set(self._key, fact)
            return
        from airflow.sdk import Variable

        Variable.set(self._key, fact, description=f"kept for the next try of {self._of}", serialize_json=True)
        if self.recall() != fact:  # Airflow logs what goes wrong, and goes on
            raise AirflowException(f"Airflow Variable {self._key!r} could not be written; see the log above")

    def forget(self) -> None:
        """Delete the fact."""
        if self._store is not None:
            self._store.delete(self._key)
            return
        from airflow.sdk import Variable

        Variable.delete(self._key)


__all__ = ["RetryMemory"]
