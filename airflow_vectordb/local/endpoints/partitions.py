"""partitions/…"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_vectordb.local.body import required
from airflow_vectordb.local.endpoints.bodies import CollectionNameReq, PartitionReq
from airflow_vectordb.local.endpoints.table import Answer, RequestContext, endpoint
from airflow_vectordb.local.engine.names import check_partition_name
from airflow_vectordb.local.errors import ApiError, collection_not_found, not_expected, unexpected


@dataclass(frozen=True, kw_only=True)
class PartitionsReq(CollectionNameReq):
    partition_names: list[str] = required("partitionNames", "The partitions.")


@endpoint("partitions/create", PartitionReq)
def create_partition(context: RequestContext, request: PartitionReq) -> None:
    """Add a partition to a collection."""
    check_partition_name(request.partition_name)
    context.engine.partitions.create(context.database, request.collection_name, request.partition_name)


@endpoint("partitions/list", CollectionNameReq)
def list_partitions(context: RequestContext, request: CollectionNameReq) -> Answer:
    """List the names of the partitions of a collection."""
    return {"data": _partitions(context, request.collection_name)}


@endpoint("partitions/has", PartitionReq)
def has_partition(context: RequestContext, request: PartitionReq) -> Answer:
    """Return whether a partition exists."""
    check_partition_name(request.partition_name)
    return {"data": {"has": request.partition_name in _partitions(context, request.collection_name)}}


def _partitions(context: RequestContext, collection: str) -> list[str]:
    try:
        return context.engine.collections.describe(context.database, collection).partitions
    except ApiError as error:
        # Milvus does not look for the database here.
        raise collection_not_found(context.database, collection) if error.code == 800 else error from None


@endpoint("partitions/get_stats", PartitionReq)
def partition_stats(context: RequestContext, request: PartitionReq) -> Answer:
    """Return the number of flushed rows in a partition."""
    rows = context.engine.segments.row_count(context.database, request.collection_name, request.partition_name)
    return {"data": {"rowCount": rows}}


@endpoint("partitions/load", PartitionsReq)
def load_partitions(context: RequestContext, request: PartitionsReq) -> None:
    """Load partitions, so that they can be searched."""
    if not request.partition_names:
        context.engine.collections.spec(context.database, request.collection_name)
        raise unexpected("failed to load partition, due to no partition specified")
    context.engine.loading.load_partitions(context.database, request.collection_name, request.partition_names)


@endpoint("partitions/release", PartitionsReq)
def release_partitions(context: RequestContext, request: PartitionsReq) -> None:
    """Release partitions from memory."""
    if not request.partition_names:
        context.engine.collections.spec(context.database, request.collection_name)
        raise not_expected("no partition specified to release", "any partition", "empty partition list")
    context.engine.loading.release_partitions(context.database, request.collection_name, request.partition_names)


@endpoint("partitions/drop", PartitionReq)
def drop_partition(context: RequestContext, request: PartitionReq) -> None:
    """Drop a partition with its rows."""
    check_partition_name(request.partition_name)
    context.engine.partitions.drop(context.database, request.collection_name, request.partition_name)
