"""collections/…: how a collection's rows are loaded, flushed, counted and compacted"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_vectordb.local.body import optional
from airflow_vectordb.local.endpoints.bodies import CollectionNameReq
from airflow_vectordb.local.endpoints.table import Answer, RequestContext, endpoint


@dataclass(frozen=True, kw_only=True)
class LoadStateReq(CollectionNameReq):
    go_name = "CollectionNameReq"

    partition_names: list[str] = optional("partitionNames", "Only these partitions.", list)


@dataclass(frozen=True, kw_only=True)
class FlushReq(CollectionNameReq):
    """A collection."""


@dataclass(frozen=True, kw_only=True)
class CompactReq(CollectionNameReq):
    clustering: bool = optional("isClustering", "Whether rows are to be clustered by the clustering key.", False)


@dataclass(frozen=True, kw_only=True)
class GetCompactionStateReq:
    job: int = optional("jobID", "What collections/compact returned.", 0)


@endpoint("collections/load", CollectionNameReq)
def load_collection(context: RequestContext, request: CollectionNameReq) -> None:
    """Load a collection, so that it can be searched."""
    context.engine.loading.load(context.database, request.collection_name)


@endpoint("collections/refresh_load", CollectionNameReq)
def refresh_load(context: RequestContext, request: CollectionNameReq) -> None:
    """Load what was added to a loaded collection since it was loaded."""
    context.engine.loading.refresh(context.database, request.collection_name)


@endpoint("collections/release", CollectionNameReq)
def release_collection(context: RequestContext, request: CollectionNameReq) -> None:
    """Release a collection from memory."""
    context.engine.loading.release(context.database, request.collection_name)


@endpoint("collections/get_load_state", LoadStateReq)
def get_load_state(context: RequestContext, request: LoadStateReq) -> Answer:
    """Return whether a collection is loaded, and how far."""
    load = context.engine.loading.state(context.database, request.collection_name, request.partition_names)
    if load.state == "LoadStateNotLoad":
        return {"data": {"loadState": load.state}}
    # The message stands beside the data: a caller who reads the data only sees a load that makes no progress.
    return {"data": {"loadState": load.state, "loadProgress": load.progress}, "message": load.message}


@endpoint("collections/get_stats", CollectionNameReq)
def get_stats(context: RequestContext, request: CollectionNameReq) -> Answer:
    """Return the number of flushed rows."""
    return {"data": {"rowCount": context.engine.segments.row_count(context.database, request.collection_name)}}


@endpoint("collections/flush", FlushReq, limiter=(100, 800))
def flush(context: RequestContext, request: FlushReq) -> None:
    """Seal what was inserted so far, so that indexes are built over it."""
    context.engine.segments.flush(context.database, request.collection_name)


@endpoint("collections/truncate", CollectionNameReq)
def truncate_collection(context: RequestContext, request: CollectionNameReq) -> None:
    """Delete all rows of a collection (Milvus 3.0 and later)."""
    context.engine.segments.truncate(context.database, request.collection_name)


@endpoint("collections/compact", CompactReq, limiter=(800,))
def compact(context: RequestContext, request: CompactReq) -> Answer:
    """Merge small segments."""
    job = context.engine.segments.compact(context.database, request.collection_name, clustering=request.clustering)
    return {"data": {"compactionID": job}}


@endpoint("collections/get_compaction_state", GetCompactionStateReq)
def compaction_state(context: RequestContext, request: GetCompactionStateReq) -> Answer:
    """Return how far a compaction is."""
    info = context.engine.segments.compaction(request.job)
    return {
        "data": {
            "compactionID": request.job,
            "state": info.state,
            "executingPlanNumber": info.executing,
            "timeoutPlanNumber": info.timed_out,
            "completedPlanNumber": info.completed,
        }
    }
