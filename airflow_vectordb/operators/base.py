"""Base classes of all operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_vectordb import rest
from airflow_vectordb._compat import default_deferrable
from airflow_vectordb.deferral import ResumeState
from airflow_vectordb.hooks.connection_fields import DEFAULT_CONN_ID
from airflow_vectordb.mixins import MilvusTaskMixin
from airflow_vectordb.validation import DEFAULT_POLL_INTERVAL, take_times

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_vectordb.hooks.milvus import MilvusHook


class MilvusOperator(MilvusTaskMixin, BaseOperator):
    """
    Base of the operators for Milvus and Zilliz Cloud, with their common arguments.

    Permanent errors (a collection that does not exist, invalid parameters, wrong credentials, …) fail the task
    immediately. Transient errors (no answer, a rate limit, a server that is starting) are retried, by the hook up to
    the connection's ``retries``, then by Airflow up to the task's.

    :param milvus_conn_id: id of an Airflow connection of type ``milvus``. Templated.
    :param database: the database; None: the connection's (its schema field). Templated.
    :raises AirflowFailException: for permanent errors
    :raises AirflowException: for transient errors: no answer, a rate limit, a time-out, …
    :raises ValueError: when the DAG is parsed, for an argument that can never be right
    """

    template_fields: Sequence[str] = ("milvus_conn_id", "database")

    def __init__(self, *, milvus_conn_id: str = DEFAULT_CONN_ID, database: str | None = None, **kwargs: Any) -> None:
        problems = take_times(kwargs, "execution_timeout")
        super().__init__(**kwargs)
        self._problems = problems
        self.milvus_conn_id = milvus_conn_id
        self.database = database

    def check_envelope(self, hook: MilvusHook, argument: str, envelope: Mapping[str, str]) -> list[str]:
        """Check that a request copied from the API's page names the task's own collection and database."""
        own = {"collectionName": self.collection_name, "dbName": hook.config.database or rest.DEFAULT_DATABASE}
        return [
            f"{argument} has {key} {value!r}, but the task's is {own[key]!r}"
            for key, value in envelope.items()
            if value != own[key]
        ]

    def execute(self, context: Context) -> Any:
        """Do the work, and wait until it is done."""
        return self._run(context, ResumeState())


class WaitingOperator(MilvusOperator):
    """
    Base of the operators that wait; they also take the arguments of :class:`MilvusOperator`.

    :param wait_for_completion: whether to wait until the work is done
    :param deferrable: whether to wait in the triggerer, without a worker slot; None: Airflow's
        ``operators.default_deferrable``
    :param poll_interval: the longest pause between two polls, in seconds or as a timedelta, default 30; the first ones
        are closer together
    :param timeout: for all waits together, in seconds or as a timedelta; the earlier of it and ``execution_timeout``
        applies; without either, 24 h. The server continues after that, and a retry continues to wait
    """

    def __init__(
        self,
        *,
        wait_for_completion: bool = True,
        deferrable: bool | None = None,
        poll_interval: timedelta | float = DEFAULT_POLL_INTERVAL,
        timeout: timedelta | float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.wait_for_completion = wait_for_completion
        self.deferrable = default_deferrable() if deferrable is None else deferrable
        self.poll_interval = poll_interval
        self.timeout = timeout


__all__ = ["MilvusOperator", "WaitingOperator"]
