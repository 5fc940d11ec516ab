"""What changes something that is there: rename, truncate, compact, properties, fields, functions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from airflow_vectordb.local.body import Key
from airflow_vectordb.local.endpoints.collections import FieldReq, FunctionReq, field_of, function_of
from airflow_vectordb.local.endpoints.databases import DatabaseReq
from airflow_vectordb.local.endpoints.indexes import CollectionNameReq, IndexReq
from airflow_vectordb.local.endpoints.table import DONE, Answer, Call, InDatabase, endpoint
from airflow_vectordb.local.engine.index_rules import normalize

__all__: list[str] = []


@dataclass(frozen=True, kw_only=True)
class RenameCollectionReq(CollectionNameReq):
    new_name: Annotated[str, Key("newCollectionName", "Its new name.")]
    new_database: Annotated[str, Key("newDbName", "The database that it moves to.")] = ""


@dataclass(frozen=True, kw_only=True)
class CompactReq(CollectionNameReq):
    clustering: Annotated[bool, Key("isClustering", "Whether rows are to be clustered by the clustering key.")] = False


@dataclass(frozen=True, kw_only=True)
class CompactionStateReq(InDatabase):
    job: Annotated[int, Key("jobID", "What collections/compact gave.")] = 0


@dataclass(frozen=True, kw_only=True)
class CollectionPropertiesReq(CollectionNameReq):
    properties: Annotated[dict[str, Any], Key("properties", "The properties to set.")]


@dataclass(frozen=True, kw_only=True)
class CollectionPropertyKeysReq(CollectionNameReq):
    keys: Annotated[list[str], Key("propertyKeys", "The properties to take away.")]


@dataclass(frozen=True, kw_only=True)
class FieldParamsReq(CollectionNameReq):
    field_name: Annotated[str, Key("fieldName", "The field.")]
    params: Annotated[dict[str, Any], Key("fieldParams", "max_length, max_capacity, mmap.enabled.")] = field(
        default_factory=dict
    )


@dataclass(frozen=True, kw_only=True)
class AddFieldReq(CollectionNameReq):
    schema: Annotated[FieldReq, Key("schema", "The new field.")]


@dataclass(frozen=True, kw_only=True)
class AddFunctionReq(CollectionNameReq):
    function: Annotated[FunctionReq, Key("function", "The function.")]


@dataclass(frozen=True, kw_only=True)
class AlterFunctionReq(AddFunctionReq):
    name: Annotated[str, Key("functionName", "The function that is changed.")]


@dataclass(frozen=True, kw_only=True)
class DropFunctionReq(CollectionNameReq):
    name: Annotated[str, Key("functionName", "The function.")]


@dataclass(frozen=True, kw_only=True)
class IndexPropertiesReq(IndexReq):
    properties: Annotated[dict[str, Any], Key("properties", "mmap.enabled, indexoffsetcache.enabled, warmup.")]


@dataclass(frozen=True, kw_only=True)
class IndexPropertyKeysReq(IndexReq):
    keys: Annotated[list[str], Key("propertyKeys", "The properties to take away.")]


@dataclass(frozen=True, kw_only=True)
class DatabasePropertiesReq(DatabaseReq):
    properties: Annotated[dict[str, Any], Key("properties", "The properties to set.")] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DatabasePropertyKeysReq(DatabaseReq):
    keys: Annotated[list[str], Key("propertyKeys", "The properties to take away.")]


# --- collections ---


@endpoint("collections/rename", RenameCollectionReq)
def rename_collection(call: Call, request: RenameCollectionReq) -> Answer:
    """Give a collection another name; its aliases stay with it."""
    call.engine.rename_collection(call.database, request.collection_name, request.new_database, request.new_name)
    return DONE


@endpoint("collections/refresh_load", CollectionNameReq)
def refresh_load(call: Call, request: CollectionNameReq) -> Answer:
    """Load what came into a loaded collection since it was loaded."""
    call.engine.refresh_load(call.database, request.collection_name)
    return DONE


@endpoint("collections/truncate", CollectionNameReq)
def truncate_collection(call: Call, request: CollectionNameReq) -> Answer:
    """Take all rows out of a collection."""
    call.engine.truncate_collection(call.database, request.collection_name)
    return DONE


@endpoint("collections/compact", CompactReq, limiter=(800,))
def compact(call: Call, request: CompactReq) -> Answer:
    """Merge small segments."""
    job = call.engine.compact(call.database, request.collection_name, clustering=request.clustering)
    return {"data": {"compactionID": job}}


@endpoint("collections/get_compaction_state", CompactionStateReq)
def compaction_state(call: Call, request: CompactionStateReq) -> Answer:
    """How far a compaction is."""
    info = call.engine.compaction_state(request.job)
    return {
        "data": {
            "compactionID": request.job,
            "state": info.state,
            "executingPlanNumber": info.executing,
            "timeoutPlanNumber": info.timed_out,
            "completedPlanNumber": info.completed,
        }
    }


@endpoint("collections/alter_properties", CollectionPropertiesReq)
def alter_collection(call: Call, request: CollectionPropertiesReq) -> Answer:
    """Set properties of a collection."""
    call.engine.alter_collection(call.database, request.collection_name, normalize(request.properties), [])
    return DONE


@endpoint("collections/drop_properties", CollectionPropertyKeysReq)
def drop_collection_properties(call: Call, request: CollectionPropertyKeysReq) -> Answer:
    """Take properties of a collection away."""
    call.engine.alter_collection(call.database, request.collection_name, {}, request.keys)
    return DONE


@endpoint("collections/fields/alter_properties", FieldParamsReq)
def alter_field(call: Call, request: FieldParamsReq) -> Answer:
    """Set properties of a field."""
    call.engine.alter_field(call.database, request.collection_name, request.field_name, normalize(request.params))
    return DONE


@endpoint("collections/fields/add", AddFieldReq)
def add_field(call: Call, request: AddFieldReq) -> Answer:
    """Add a field to a collection."""
    call.engine.add_field(call.database, request.collection_name, field_of(request.schema))
    return DONE


@endpoint("collections/add_function", AddFunctionReq)
def add_function(call: Call, request: AddFunctionReq) -> Answer:
    """Add a function to a collection."""
    call.engine.add_function(call.database, request.collection_name, function_of(request.function))
    return DONE


@endpoint("collections/alter_function", AlterFunctionReq)
def alter_function(call: Call, request: AlterFunctionReq) -> Answer:
    """Change a function of a collection."""
    call.engine.alter_function(call.database, request.collection_name, request.name, function_of(request.function))
    return DONE


@endpoint("collections/drop_function", DropFunctionReq)
def drop_function(call: Call, request: DropFunctionReq) -> Answer:
    """Take a function from a collection."""
    call.engine.drop_function(call.database, request.collection_name, request.name)
    return DONE


# --- indexes ---


@endpoint("indexes/alter_properties", IndexPropertiesReq)
def alter_index(call: Call, request: IndexPropertiesReq) -> Answer:
    """Set properties of an index."""
    call.engine.alter_index(
        call.database, request.collection_name, request.index_name, normalize(request.properties), []
    )
    return DONE


@endpoint("indexes/drop_properties", IndexPropertyKeysReq)
def drop_index_properties(call: Call, request: IndexPropertyKeysReq) -> Answer:
    """Take properties of an index away."""
    call.engine.alter_index(call.database, request.collection_name, request.index_name, {}, request.keys)
    return DONE


# --- databases ---


# Its name before Milvus 2.6, and since.
@endpoint("databases/alter", DatabasePropertiesReq)
@endpoint("databases/alter_properties", DatabasePropertiesReq)
def alter_database(call: Call, request: DatabasePropertiesReq) -> Answer:
    """Set properties of a database."""
    call.engine.alter_database(request.db_name, normalize(request.properties), [])
    return DONE


@endpoint("databases/drop_properties", DatabasePropertyKeysReq)
def drop_database_properties(call: Call, request: DatabasePropertyKeysReq) -> Answer:
    """Take properties of a database away."""
    call.engine.alter_database(request.db_name, {}, request.keys)
    return DONE
