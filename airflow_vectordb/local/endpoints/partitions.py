"""partitions/…"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from airflow_vectordb.local.body import Key
from airflow_vectordb.local.endpoints.indexes import CollectionNameReq
from airflow_vectordb.local.endpoints.table import DONE, Answer, Call, endpoint

__all__: list[str] = []


@dataclass(frozen=True, kw_only=True)
class PartitionReq(CollectionNameReq):
    partition_name: Annotated[str, Key("partitionName", "The partition.")]


@dataclass(frozen=True, kw_only=True)
class PartitionsReq(CollectionNameReq):
    partition_names: Annotated[list[str], Key("partitionNames", "The partitions.")]


@endpoint("partitions/create", PartitionReq)
def create_partition(call: Call, request: PartitionReq) -> Answer:
    """Add a partition to a collection."""
    call.engine.create_partition(call.database, request.collection_name, request.partition_name)
    return DONE


@endpoint("partitions/list", CollectionNameReq)
def list_partitions(call: Call, request: CollectionNameReq) -> Answer:
    """The names of the partitions of a collection."""
    return {"data": call.engine.describe_collection(call.database, request.collection_name).partitions}


@endpoint("partitions/has", PartitionReq)
def has_partition(call: Call, request: PartitionReq) -> Answer:
    """Whether a partition is there."""
    there = call.engine.describe_collection(call.database, request.collection_name).partitions
    return {"data": {"has": request.partition_name in there}}


@endpoint("partitions/get_stats", PartitionReq)
def partition_stats(call: Call, request: PartitionReq) -> Answer:
    """The number of flushed rows in a partition."""
    count = call.engine.partition_row_count(call.database, request.collection_name, request.partition_name)
    return {"data": {"rowCount": count}}


@endpoint("partitions/load", PartitionsReq)
def load_partitions(call: Call, request: PartitionsReq) -> Answer:
    """Load partitions, so that they can be searched."""
    call.engine.load_partitions(call.database, request.collection_name, request.partition_names)
    return DONE


@endpoint("partitions/release", PartitionsReq)
def release_partitions(call: Call, request: PartitionsReq) -> Answer:
    """Release partitions from memory."""
    call.engine.release_partitions(call.database, request.collection_name, request.partition_names)
    return DONE


@endpoint("partitions/drop", PartitionReq)
def drop_partition(call: Call, request: PartitionReq) -> Answer:
    """Drop a partition with its rows."""
    call.engine.drop_partition(call.database, request.collection_name, request.partition_name)
    return DONE
