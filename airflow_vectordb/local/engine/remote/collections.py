"""Collections of a Milvus: made, described, loaded, flushed, dropped."""

from __future__ import annotations

from typing import Any

from airflow_vectordb.local.engine.messages import common_pb2, milvus_pb2
from airflow_vectordb.local.engine.model import CollectionInfo, CollectionSpec, CompactionInfo, LoadInfo
from airflow_vectordb.local.engine.remote.parts import Parts, Version
from airflow_vectordb.local.engine.requests import pairs, row_count
from airflow_vectordb.local.engine.schema import read_schema, schema_message
from airflow_vectordb.local.errors import ApiError, no_load_state

__all__ = ["Collections"]

_SINCE: dict[str, Version] = {
    "SparseFloatVector": (2, 4),
    "Float16Vector": (2, 4),
    "BFloat16Vector": (2, 4),
    "Int8Vector": (2, 6),
    "Geometry": (2, 6),
    "Timestamptz": (2, 6),
    "Text": (3, 0),
}
# That a partition is not there or not loaded, or that the collection has been released since.
_NO_PROGRESS = (101, 200, 201)


class Collections(Parts):
    """The collections of the Milvus."""

    def list_collections(self, database: str) -> list[str]:
        answer = self._rpc("ShowCollections", milvus_pb2.ShowCollectionsRequest(db_name=database))
        return sorted(answer.collection_names)

    def has_collection(self, database: str, name: str) -> bool:
        try:
            self._described(database, name)
        except ApiError as error:
            if error.code == 100:
                return False
            raise
        return True

    def create_collection(self, database: str, spec: CollectionSpec) -> None:
        self._need(_wanted(spec))
        keyed = any(entry.is_partition_key for entry in spec.fields)
        request = milvus_pb2.CreateCollectionRequest(
            db_name=database,
            collection_name=spec.name,
            schema=schema_message(spec, engine_makes_ids=True).SerializeToString(),
            shards_num=spec.shards,
            consistency_level=common_pb2.ConsistencyLevel.Value(spec.consistency),
            properties=pairs(spec.properties),
            num_partitions=spec.partitions if keyed else 0,
        )
        self._rpc("CreateCollection", request)

    def collection_spec(self, database: str, name: str) -> CollectionSpec:
        return _spec(self._described(database, name))

    def describe_collection(self, database: str, name: str) -> CollectionInfo:
        answer = self._described(database, name)
        spec = _spec(answer)
        request = milvus_pb2.ShowPartitionsRequest(db_name=database, collection_name=spec.name)
        partitions = self._rpc("ShowPartitions", request).partition_names
        state = self._load_state(database, spec.name)
        return CollectionInfo(answer.collectionID, spec, sorted(answer.aliases), state, list(partitions))

    def _described(self, database: str, name: str) -> Any:
        request = milvus_pb2.DescribeCollectionRequest(db_name=database, collection_name=name)
        return self._in_database("DescribeCollection", request, database)

    def drop_collection(self, database: str, name: str) -> None:
        self._check_database(database)
        try:
            self._rpc("DropCollection", milvus_pb2.DropCollectionRequest(db_name=database, collection_name=name))
        except ApiError as error:
            if error.code != 100:
                raise

    def load_collection(self, database: str, name: str) -> None:
        request = milvus_pb2.LoadCollectionRequest(db_name=database, collection_name=name)
        self._in_database("LoadCollection", request, database)

    def release_collection(self, database: str, name: str) -> None:
        request = milvus_pb2.ReleaseCollectionRequest(db_name=database, collection_name=name)
        self._in_database("ReleaseCollection", request, database)

    def load_state(self, database: str, collection: str, partitions: list[str]) -> LoadInfo:
        # Milvus's REST API asks for the state of the collection first, whatever partitions are asked for.
        state = self._load_state(database, collection)
        if state == "LoadStateNotLoad":
            return LoadInfo(state)
        request = milvus_pb2.GetLoadingProgressRequest(
            db_name=database, collection_name=collection, partition_names=partitions
        )
        try:
            progress = int(self._rpc("GetLoadingProgress", request).progress)
        except ApiError as error:
            if error.code not in _NO_PROGRESS:
                raise
            return LoadInfo("LoadStateLoading", -1, f"{error.message}.")
        return LoadInfo("LoadStateLoaded" if progress >= 100 else "LoadStateLoading", progress)

    def _load_state(self, database: str, name: str) -> str:
        request = milvus_pb2.GetLoadStateRequest(db_name=database, collection_name=name)
        try:
            state = self._rpc("GetLoadState", request).state
        except ApiError as error:
            if error.code != 800:
                raise
            state = common_pb2.LoadStateNotExist
        if state == common_pb2.LoadStateNotExist:
            raise no_load_state(name)
        return str(common_pb2.LoadState.Name(state))

    def refresh_load(self, database: str, name: str) -> None:
        request = milvus_pb2.LoadCollectionRequest(db_name=database, collection_name=name, refresh=True)
        self._in_database("LoadCollection", request, database)

    def rename_collection(self, database: str, name: str, new_database: str, new_name: str) -> None:
        self._described(database, name)
        self._check_database(new_database or database)
        self._need({"renaming into another database": (2, 4)} if new_database not in ("", database) else {})
        request = milvus_pb2.RenameCollectionRequest(
            db_name=database, oldName=name, newName=new_name, newDBName=new_database
        )
        self._rpc("RenameCollection", request)

    def compact(self, database: str, name: str, *, clustering: bool) -> int:
        self._need({"clustering compaction": (2, 4)} if clustering else {})
        request = milvus_pb2.ManualCompactionRequest(
            # Older servers know a collection by its id only.
            collectionID=self._described(database, name).collectionID,
            db_name=database,
            collection_name=name,
            majorCompaction=clustering,
        )
        return int(self._rpc("ManualCompaction", request).compactionID)

    def compaction_state(self, job: int) -> CompactionInfo:
        answer = self._rpc("GetCompactionState", milvus_pb2.GetCompactionStateRequest(compactionID=job))
        return CompactionInfo(
            common_pb2.CompactionState.Name(answer.state),
            answer.executingPlanNo,
            answer.timeoutPlanNo,
            answer.completedPlanNo,
        )

    def alter_collection(self, database: str, name: str, properties: dict[str, str], drop: list[str]) -> None:
        self._need({"dropping properties": (2, 5)} if drop else {})
        request = milvus_pb2.AlterCollectionRequest(
            db_name=database, collection_name=name, properties=pairs(properties), delete_keys=drop
        )
        self._in_database("AlterCollection", request, database)

    def row_count(self, database: str, name: str) -> int:
        request = milvus_pb2.GetCollectionStatisticsRequest(db_name=database, collection_name=name)
        return row_count(self._in_database("GetCollectionStatistics", request, database))

    def flush(self, database: str, name: str) -> None:
        # Like Milvus's REST API it does not wait until what was sealed is written, and counted.
        request = milvus_pb2.FlushRequest(db_name=database, collection_names=[name])
        self._in_database("Flush", request, database)


def _spec(answer: Any) -> CollectionSpec:
    return read_schema(
        answer.schema,
        # What stands beside the schema is the name that was asked for, which may be an alias.
        name=answer.schema.name,
        shards=answer.shards_num,
        consistency=common_pb2.ConsistencyLevel.Name(answer.consistency_level),
        partitions=answer.num_partitions,
        properties={pair.key: pair.value for pair in answer.properties},
    )


def _wanted(spec: CollectionSpec) -> dict[str, Version]:
    """What a collection needs that Milvus has not always had."""
    wanted = {entry.type: _SINCE[entry.type] for entry in spec.fields if entry.type in _SINCE}
    if any(entry.is_clustering_key for entry in spec.fields):
        wanted["clustering keys"] = (2, 4)
    if any(entry.nullable for entry in spec.fields):
        wanted["nullable fields"] = (2, 5)
    if any(entry.default is not None for entry in spec.fields):
        wanted["default values"] = (2, 5)
    if spec.functions:
        wanted["functions"] = (2, 5)
    return wanted
