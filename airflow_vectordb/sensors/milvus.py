"""Sensors: wait for work in Milvus that another DAG or program started."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_vectordb import rest, waiting
from airflow_vectordb.sensors.base import MilvusSensor
from airflow_vectordb.validation import check_list_of_names, check_names, count_of, parse_names

if TYPE_CHECKING:
    from airflow_vectordb.waiting import Condition


class IndexSensor(MilvusSensor):
    """
    Wait until indexes of a collection exist, are Finished, and have no rows pending.

    For DAGs that did not create the index: it also waits for an index, or a collection, that does not exist yet. A
    failed build ends the wait.

    It also takes the arguments of :class:`~airflow_vectordb.sensors.base.MilvusSensor`.

    :param collection_name: the collection (or an alias). Templated.
    :param index_name: one or more names; None: all indexes of the collection, at least one. Templated.
    :param min_rows: wait until each index covers at least this many rows: a number, or the result of a task that
        ingests. None: the sealed rows. Templated.
    :return: a list with a description of each index, as CreateIndexOperator returns it, without ``collection_name``
    """

    template_fields: Sequence[str] = ("milvus_conn_id", "database", "collection_name", "index_name", "min_rows")

    def __init__(
        self,
        *,
        collection_name: str,
        index_name: str | Sequence[str] | None = None,
        min_rows: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.index_name = index_name
        self.min_rows = min_rows
        self.raise_if_invalid(*check_list_of_names("index_name", index_name))

    def condition(self) -> Condition:
        """Return the condition: the indexes are built."""
        names, min_rows = parse_names("index_name", self.index_name), count_of(self.min_rows) or 0
        return waiting.IndexesBuilt(self.collection_name, names, wait_if_missing=True, min_rows=min_rows)

    def found(self, result: list[dict[str, Any]]) -> Iterable[str]:
        """Describe each index."""
        return [
            f"{self.collection_name}/{index['index_name']}: {rest.indexes.IndexDescription(**index)}"
            for index in result
        ]


class CollectionLoadSensor(MilvusSensor):
    """
    Wait until a collection is loaded, so that it can be searched.

    For DAGs that did not load it: it also waits for a collection that does not exist yet, or is not being loaded yet.

    It also takes the arguments of :class:`~airflow_vectordb.sensors.base.MilvusSensor`.

    :param collection_name: the collection (or an alias). Templated.
    :param partition_names: one or more partitions; None: the whole collection. Templated.
    :return: ``{"collection_name", "partition_names", "load_state"}``
    """

    template_fields: Sequence[str] = ("milvus_conn_id", "database", "collection_name", "partition_names")

    def __init__(
        self, *, collection_name: str, partition_names: str | Sequence[str] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.partition_names = partition_names
        self.raise_if_invalid()

    def condition(self) -> Condition:
        """Return the condition: the collection is loaded."""
        names = parse_names("partition_names", self.partition_names)
        return waiting.CollectionLoaded(self.collection_name, names, wait_if_missing=True)

    def found(self, result: dict[str, Any]) -> Iterable[str]:
        """Name what is loaded."""
        partitions = ", ".join(result["partition_names"])
        return [f"{self.collection_name}: loaded{f' (partitions: {partitions})' if partitions else ''}"]


class ImportSensor(MilvusSensor):
    """
    Wait until an import job is completed, so that its rows can be read. The log has the progress of each file.

    For jobs that another DAG or program started. A failed job ends the wait, with the server's reason.

    It also takes the arguments of :class:`~airflow_vectordb.sensors.base.MilvusSensor`.

    :param job_id: id of the job, as ``jobs/import/create`` or ``ImportOperator(wait_for_completion=False)`` returned
        it. Templated.
    :param collection_name: its collection, for links; None: unknown. Templated.
    :return: ``{"collection_name", "job_id", "rows", "files"}``
    """

    template_fields: Sequence[str] = ("milvus_conn_id", "database", "job_id", "collection_name")
    name_fields: Sequence[str] = ()  # the id may be a number

    def __init__(self, *, job_id: str | int, collection_name: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id
        self.collection_name = collection_name or ""
        self.raise_if_invalid(
            *check_names(job_id=_text(job_id), rendered=False), *check_list_of_names("collection_name", collection_name)
        )

    def rendered_problems(self) -> list[str]:
        """Also check the id, and the collection, if there is one."""
        names = {"job_id": _text(self.job_id)}
        if self.collection_name != "":
            names["collection_name"] = self.collection_name
        return [*super().rendered_problems(), *check_names(**names, rendered=True)]

    def condition(self) -> Condition:
        """Return the condition: the job is completed."""
        return waiting.ImportCompleted(self.collection_name, _text(self.job_id))

    def found(self, result: dict[str, Any]) -> Iterable[str]:
        """Describe the job."""
        return [f"import job {result['job_id']}: completed, {result['rows']:,} rows into {result['collection_name']}"]

    def describe_target(self) -> str:
        """Name the job."""
        return f"import job {self.job_id}"


def _text(job_id: Any) -> Any:
    """Return an id as a string: if templates are rendered to native objects, it becomes a number."""
    return str(job_id) if type(job_id) is int else job_id


__all__ = ["CollectionLoadSensor", "ImportSensor", "IndexSensor"]
