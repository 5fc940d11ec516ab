"""partitions/…"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_vectordb.local.body import required
from airflow_vectordb.local.endpoints.bodies import CollectionNameReq, PartitionReq
from airflow_vectordb.local.endpoints.table import Answer, RequestContext, endpoint


@dataclass(frozen=True, kw_only=True)
class PartitionsReq(CollectionNameReq):
    partition_names: list[str] = required("partitionNames", "The partitions.")


@endpoint("partitions/create", PartitionReq)
def create_partition(context: RequestContext, request: PartitionReq) -> None:
    """Add a partition to a collection."""
    context.engine.partitions.create(context.database, request.collection_name, request.partition_name)


@endpoint("partitions/list", CollectionNameReq)
def list_partitions(context: RequestContext, request: CollectionNameReq) -> Answer:
    """List the names of the partitions of a collection."""
    return {"data": context.engine.collections.describe(context.database, request.collection_name).partitions}


@endpoint("partitions/has", PartitionReq)
def has_partition(context: RequestContext, request: PartitionReq) -> Answer:
    """Return whether a partition exists."""
    found = context.engine.collections.describe(context.database, request.collection_name).partitions
    return {"data": {"has": request.partition_name in found}}


@endpoint("partitions/get_stats", PartitionReq)
def partition_stats(context: RequestContext, request: PartitionReq) -> Answer:
    """Return the number of flushed rows in a partition."""
    rows = context.engine.segments.row_count(context.database, request.collection_name, request.partition_name)
    return {"data": {"rowCount": rows}}


@endpoint("partitions/load", PartitionsReq)
def load_partitions(context: RequestContext, request: PartitionsReq) -> None:
    """Load partitions, so that they can be searched."""
    context.engine.loading.load_partitions(context.database, request.collection_name, request.partition_names)


@endpoint("partitions/release", PartitionsReq)
def release_partitions(context: RequestContext, request: PartitionsReq) -> None:
    """Release partitions from memory."""
    context.engine.loading.release_partitions(context.database, request.collection_name, request.partition_names)


@endpoint("partitions/drop", PartitionReq)
def drop_partition(context: RequestContext, request: PartitionReq) -> None:
    """Drop a partition with its rows."""
    context.engine.partitions.drop(context.database, request.collection_name, request.partition_name)
