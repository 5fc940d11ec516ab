"""Operators that load collections into memory and release them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_vectordb import rest, waiting
from airflow_vectordb.deferral import ResumeState, wait_for
from airflow_vectordb.operators.base import WaitingOperator
from airflow_vectordb.validation import check_literal, check_literals, parse_names

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.rest.http.call import Call
    from airflow_vectordb.waiting import Condition


class _LoadingOperator(WaitingOperator):
    """Base of the two below: makes a call, and waits for the load state that follows."""

    template_fields: Sequence[str] = ("milvus_conn_id", "database", "collection_name", "partition_names")

    def __init__(
        self, *, collection_name: str, partition_names: str | Sequence[str] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.partition_names = partition_names
        self.raise_if_invalid(
            *check_literal(collection_name=collection_name), *check_literals(partition_names=partition_names)
        )

    @abstractmethod
    def _call(self, partitions: tuple[str, ...]) -> Call[None]: ...

    @abstractmethod
    def _condition(self, partitions: tuple[str, ...]) -> Condition: ...

    def run_task(self, hook: MilvusHook, context: Context, state: ResumeState) -> dict[str, Any]:
        """Make the call, and wait for its effect."""
        partitions = parse_names("partition_names", self.partition_names, collection_name=self.collection_name)
        with self.error_context(hook, self.describe_target()):
            if "asked" not in state.results:
                self._send(hook, self._call(partitions))
                state.results["asked"] = True
            result: dict[str, Any] = {"collection_name": self.collection_name, "partition_names": list(partitions)}
            if self.wait_for_completion:
                result = wait_for(self, hook, state, "done", self._condition(partitions))
                self.log.info("%s: %s", self.collection_name, rest.wording.in_words(result["load_state"]))
        self.emit_asset_events(hook, context, {"loading": result})
        return result

    def _send(self, hook: MilvusHook, call: Call[None]) -> None:
        hook.send(call)


class LoadCollectionOperator(_LoadingOperator):
    """
    Load a collection into memory, and wait until it is loaded, so that the tasks after this one can search it.

    Loading a loaded collection is a no-op, so the task can be retried at any point.
    `Load Collection <https://milvus.io/api-reference/restful/v2.5.x/v2/Collection%20(v2)/Load.md>`__

    :param collection_name: the collection (or an alias), with an index on each of its vector fields. Templated.
    :param partition_names: a name or several, to load no more than these partitions; None: the whole collection.
        Templated.
    :param database: the database; None: the connection's (its schema field). Templated.
    :param milvus_conn_id: id of an Airflow connection of type ``milvus``. Templated.
    :param wait_for_completion: whether to wait until it is loaded
    :param deferrable: whether to wait in the triggerer; None: Airflow's ``operators.default_deferrable``
    :param poll_interval: the longest pause between two polls, in seconds or as a timedelta; default 30
    :param timeout: for the wait, in seconds or as a timedelta; None: only ``execution_timeout``, or without it 24 h
    :return: ``{"collection_name", "partition_names", "load_state"}``, the last unless it was not waited for. The same
        goes into the ``extra`` of the events of outlet assets, under ``loading``
    :raises AirflowFailException: for permanent errors: no such collection, no index, wrong credentials, …
    :raises AirflowException: for transient errors: no answer, a limiter, a timeout, …
    :raises ValueError: when the DAG is parsed, for an argument that can never be right
    """

    def _call(self, partitions: tuple[str, ...]) -> Call[None]:
        if partitions:
            return rest.partitions.load(self.collection_name, partitions)
        return rest.collections.load(self.collection_name)

    def _send(self, hook: MilvusHook, call: Call[None]) -> None:
        try:
            hook.send(call)
        except rest.errors.IndexNotFoundError as error:
            raise error.with_context(
                cause=f"a vector field is without an index in {self.collection_name!r}",
                hint="Create it first (CreateIndexOperator).",
            ) from error.__cause__

    def _condition(self, partitions: tuple[str, ...]) -> Condition:
        return waiting.CollectionLoaded(self.collection_name, partitions)


class ReleaseCollectionOperator(_LoadingOperator):
    """
    Release a collection from memory, and wait until it is released, so that its indexes can be dropped.

    Releasing a collection that is not loaded is a no-op, so the task can be retried at any point.
    `Release Collection <https://milvus.io/api-reference/restful/v2.5.x/v2/Collection%20(v2)/Release.md>`__

    :param collection_name: the collection (or an alias). Templated.
    :param partition_names: a name or several, to release no more than these partitions; None: the whole collection.
        Templated.
    :param database: the database; None: the connection's (its schema field). Templated.
    :param milvus_conn_id: id of an Airflow connection of type ``milvus``. Templated.
    :param wait_for_completion: whether to wait until it is released
    :param deferrable: whether to wait in the triggerer; None: Airflow's ``operators.default_deferrable``
    :param poll_interval: the longest pause between two polls, in seconds or as a timedelta; default 30
    :param timeout: for the wait, in seconds or as a timedelta; None: only ``execution_timeout``, or without it 24 h
    :return: ``{"collection_name", "partition_names", "load_state"}``, the last unless it was not waited for. The same
        goes into the ``extra`` of the events of outlet assets, under ``loading``
    :raises AirflowFailException: for permanent errors: no such collection, wrong credentials, …
    :raises AirflowException: for transient errors: no answer, a limiter, a timeout, …
    :raises ValueError: when the DAG is parsed, for an argument that can never be right
    """

    def _call(self, partitions: tuple[str, ...]) -> Call[None]:
        if partitions:
            return rest.partitions.release(self.collection_name, partitions)
        return rest.collections.release(self.collection_name)

    def _condition(self, partitions: tuple[str, ...]) -> Condition:
        return waiting.CollectionReleased(self.collection_name, partitions)


__all__ = ["LoadCollectionOperator", "ReleaseCollectionOperator"]
