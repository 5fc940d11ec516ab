"""Partitions of a Milvus."""

from __future__ import annotations

from typing import Any

from airflow_vectordb.local.engine.messages import milvus_pb2
from airflow_vectordb.local.engine.remote.collections import Collections
from airflow_vectordb.local.engine.requests import row_count
from airflow_vectordb.local.errors import ApiError

__all__ = ["Partitions"]


class Partitions(Collections):
    """The partitions of the Milvus's collections."""

    def create_partition(self, database: str, collection: str, name: str) -> None:
        # Milvus's REST API takes one that is there for created; over gRPC only newer servers do.
        if name in self.describe_collection(database, collection).partitions:
            return
        request = milvus_pb2.CreatePartitionRequest(db_name=database, collection_name=collection, partition_name=name)
        self._in_database("CreatePartition", request, database)

    def drop_partition(self, database: str, collection: str, name: str) -> None:
        request = milvus_pb2.DropPartitionRequest(db_name=database, collection_name=collection, partition_name=name)
        try:
            self._in_database("DropPartition", request, database)
        except ApiError as error:
            if error.code != 200:
                raise

    def load_partitions(self, database: str, collection: str, names: list[str]) -> None:
        request = milvus_pb2.LoadPartitionsRequest(db_name=database, collection_name=collection, partition_names=names)
        self._in_database("LoadPartitions", request, database)

    def release_partitions(self, database: str, collection: str, names: list[str]) -> None:
        request = milvus_pb2.ReleasePartitionsRequest(
            db_name=database, collection_name=collection, partition_names=names
        )
        self._in_database("ReleasePartitions", request, database)

    def partition_row_count(self, database: str, collection: str, name: str) -> int:
        request = milvus_pb2.GetPartitionStatisticsRequest(
            db_name=database, collection_name=collection, partition_name=name
        )
        answer: Any = self._in_database("GetPartitionStatistics", request, database)
        return row_count(answer)
