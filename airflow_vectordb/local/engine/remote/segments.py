"""How a Milvus stores rows: flushed, counted, compacted."""

from __future__ import annotations

from airflow_vectordb.local.engine.messages import common_pb2
from airflow_vectordb.local.engine.model import CompactionInfo
from airflow_vectordb.local.engine.remote.backend import Part
from airflow_vectordb.local.engine.requests import row_count


class Segments(Part):
    def flush(self, database: str, collection: str) -> None:
        # Like Milvus's REST API it does not wait until what was sealed is written, and counted.
        self._backend.call_in(database, "Flush", collection_names=[collection])

    def row_count(self, database: str, collection: str, partition: str = "") -> int:
        method, more = "GetCollectionStatistics", {}
        if partition:
            method, more = "GetPartitionStatistics", {"partition_name": partition}
        return row_count(self._backend.call_in(database, method, collection_name=collection, **more))

    def truncate(self, database: str, collection: str) -> None:
        self._backend.call_in(database, "TruncateCollection", collection_name=collection)

    def compact(self, database: str, collection: str, *, clustering: bool) -> int:
        self._backend.require({"clustering compaction": (2, 4)} if clustering else {})
        answer = self._backend.call(
            "ManualCompaction",
            # Older servers know a collection by its id only.
            collectionID=self._backend.described(database, collection).collectionID,
            db_name=database,
            collection_name=collection,
            majorCompaction=clustering,
        )
        return int(answer.compactionID)

    def compaction(self, job: int) -> CompactionInfo:
        answer = self._backend.call("GetCompactionState", compactionID=job)
        return CompactionInfo(
            common_pb2.CompactionState.Name(answer.state),
            answer.executingPlanNo,
            answer.timeoutPlanNo,
            answer.completedPlanNo,
        )
