"""Collections of a Milvus, and their partitions."""

from __future__ import annotations

from typing import Any

from airflow_vectordb.local.engine.messages import common_pb2
from airflow_vectordb.local.engine.model import CollectionInfo, CollectionSpec
from airflow_vectordb.local.engine.remote.backend import Backend, Version
from airflow_vectordb.local.engine.remote.loading import Loading
from airflow_vectordb.local.engine.requests import pairs, unpaired
from airflow_vectordb.local.engine.schema import read_schema, schema_message
from airflow_vectordb.local.errors import ApiError

#: Types whose rows end an older Milvus, or are lost in it. It refuses rows of sparse vectors by itself.
_SINCE: dict[str, Version] = {
    "Float16Vector": (2, 4),
    "BFloat16Vector": (2, 4),
    "Int8Vector": (2, 6),
    "Geometry": (2, 6),
    "Timestamptz": (2, 6),
    "Text": (3, 0),
}


class Collections:
    def __init__(self, backend: Backend, loading: Loading) -> None:
        self._backend = backend
        self._loading = loading

    def names(self, database: str) -> list[str]:
        return sorted(self._backend.call("ShowCollections", db_name=database).collection_names)

    def has(self, database: str, name: str) -> bool:
        try:
            self._backend.described(database, name)
        except ApiError as error:
            if error.code == 100:
                return False
            raise
        return True

    def create(self, database: str, spec: CollectionSpec) -> None:
        self._backend.require(_wanted(spec))
        self._backend.call(
            "CreateCollection",
            db_name=database,
            collection_name=spec.name,
            schema=schema_message(spec, engine_makes_ids=True).SerializeToString(),
            shards_num=spec.shards,
            consistency_level=common_pb2.ConsistencyLevel.Value(spec.consistency),
            properties=pairs(spec.properties),
            num_partitions=spec.partitions if spec.has_partition_key else 0,
        )

    def spec(self, database: str, name: str) -> CollectionSpec:
        return _spec(self._backend.described(database, name))

    def describe(self, database: str, name: str) -> CollectionInfo:
        answer = self._backend.described(database, name)
        spec = _spec(answer)
        partitions = self._backend.call("ShowPartitions", db_name=database, collection_name=spec.name).partition_names
        state = self._loading.collection_state(database, spec.name)
        return CollectionInfo(answer.collectionID, spec, sorted(answer.aliases), state, list(partitions))

    def rename(self, database: str, name: str, new_database: str, new_name: str) -> None:
        self._backend.described(database, name)
        self._backend.check_database(new_database or database)
        self._backend.require({"renaming into another database": (2, 4)} if new_database not in ("", database) else {})
        self._backend.call(
            "RenameCollection", db_name=database, oldName=name, newName=new_name, newDBName=new_database or database
        )

    def alter(self, database: str, name: str, properties: dict[str, str], drop: list[str]) -> None:
        if drop:
            self._backend.described(database, name)
            self._backend.require({"dropping properties": (2, 5)})
        self._backend.call_in(
            database, "AlterCollection", collection_name=name, properties=pairs(properties), delete_keys=drop
        )

    def drop(self, database: str, name: str) -> None:
        self._backend.check_database(database)
        self._backend.drop("DropCollection", 100, db_name=database, collection_name=name)


class Partitions:
    def __init__(self, backend: Backend, collections: Collections) -> None:
        self._backend = backend
        self._collections = collections

    def create(self, database: str, collection: str, name: str) -> None:
        # Milvus's REST API takes one that exists for created; over gRPC only newer servers do.
        if name in self._collections.describe(database, collection).partitions:
            return
        self._backend.call_in(database, "CreatePartition", collection_name=collection, partition_name=name)

    def drop(self, database: str, collection: str, name: str) -> None:
        try:
            self._backend.call_in(database, "DropPartition", collection_name=collection, partition_name=name)
        except ApiError as error:
            if error.code != 200:
                raise


def _spec(answer: Any) -> CollectionSpec:
    return read_schema(
        answer.schema,
        # What stands beside the schema is the name that was asked for, which may be an alias.
        name=answer.schema.name,
        shards=answer.shards_num,
        consistency=common_pb2.ConsistencyLevel.Name(answer.consistency_level),
        partitions=answer.num_partitions,
        properties=unpaired(answer.properties),
    )


def _wanted(spec: CollectionSpec) -> dict[str, Version]:
    """Return what a collection needs that Milvus has not always had, and that an older one would ignore."""
    wanted = {entry.type: _SINCE[entry.type] for entry in spec.fields if entry.type in _SINCE}
    if any(entry.is_clustering_key for entry in spec.fields):
        wanted["clustering keys"] = (2, 4)
    if any(entry.nullable for entry in spec.fields):
        wanted["nullable fields"] = (2, 5)
    if any(entry.default is not None for entry in spec.fields):
        wanted["default values"] = (2, 3)
    if spec.functions:
        wanted["functions"] = (2, 5)
    return wanted
