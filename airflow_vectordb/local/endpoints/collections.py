"""collections/…"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_vectordb.local.body import Int32, optional, required
from airflow_vectordb.local.endpoints.bodies import CollectionNameReq, InDatabase, key_values
from airflow_vectordb.local.endpoints.indexes import IndexParam, create_all
from airflow_vectordb.local.endpoints.schemas import FieldReq, FunctionReq, described_field, described_function
from airflow_vectordb.local.endpoints.table import Answer, RequestContext, endpoint
from airflow_vectordb.local.engine.literals import go_text
from airflow_vectordb.local.engine.model import (
    CONSISTENCY_LEVELS,
    CollectionInfo,
    CollectionSpec,
    FieldSpec,
    FunctionSpec,
    IndexInfo,
)
from airflow_vectordb.local.engine.names import check_name
from airflow_vectordb.local.engine.schema_rules import ISOLATION, MOST_FIELDS, check_schema
from airflow_vectordb.local.errors import missing, not_expected

# Properties of a collection that stand in `params`: their names there and their own. What else is there has no effect.
_PROPERTIES = {
    "ttlSeconds": "collection.ttl.seconds",
    "partitionKeyIsolation": ISOLATION,
    "mmap.enabled": "mmap.enabled",
    "ttlField": "ttl_field",
    **{f"warmup.{what}": f"warmup.{what}" for what in ("scalarField", "scalarIndex", "vectorField", "vectorIndex")},
}

_ID_TYPES = {**dict.fromkeys(("", "Int64", "int64"), "Int64"), **dict.fromkeys(("VarChar", "Varchar"), "VarChar")}
_GO_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


@dataclass(frozen=True, kw_only=True)
class SchemaReq:
    go_name = "CollectionSchema"

    fields: list[FieldReq] = optional("fields", "The fields.", list, most=MOST_FIELDS)
    functions: list[FunctionReq] = optional("functions", "The functions.", list)
    auto_id: bool = optional("autoID", "Whether primary keys are made by the server.", False)
    dynamic: bool = optional("enableDynamicField", "Whether rows may have fields that the schema has not.", False)


@dataclass(frozen=True, kw_only=True)
class CollectionReq(InDatabase):
    collection_name: str = required("collectionName", "The name of the collection.")
    schema: SchemaReq | None = optional("schema", "The fields; without it the collection is set up quickly.", None)
    index_params: list[IndexParam] = optional("indexParams", "Indexes; with them the collection is loaded too.", list)
    dimension: Int32 = optional("dimension", "Quick setup: values per vector.", 0)
    metric_type: str = optional("metricType", "Quick setup: the metric of the index, COSINE by default.")
    id_type: str = optional("idType", "Quick setup: Int64 or VarChar.")
    auto_id: bool = optional("autoID", "Quick setup: whether primary keys are made by the server.", False)
    primary_field: str = optional("primaryFieldName", "Quick setup: `id` by default.")
    vector_field: str = optional("vectorFieldName", "Quick setup: `vector` by default.")
    description: str = optional("description", "What the collection is for.")
    params: dict[str, Any] = optional("params", "max_length, shardsNum, consistencyLevel, ttlSeconds …", dict)


@dataclass(frozen=True, kw_only=True)
class RenameCollectionReq(CollectionNameReq):
    new_name: str = required("newCollectionName", "Its new name.")
    new_database: str = optional("newDbName", "The database that it moves to.")


@dataclass(frozen=True, kw_only=True)
class CollectionReqWithProperties(CollectionNameReq):
    properties: dict[str, Any] = optional("properties", "The properties to set.", dict)


@dataclass(frozen=True, kw_only=True)
class DropCollectionPropertiesReq(CollectionNameReq):
    keys: list[str] = optional("propertyKeys", "The properties to drop.", list)


# --- created ---


@endpoint("collections/create", CollectionReq)
def create_collection(context: RequestContext, request: CollectionReq) -> None:
    """Create a collection, by its schema or set up quickly with an index and loaded."""
    schema = request.schema or SchemaReq()
    indexes = request.index_params
    if schema.fields:
        spec = _from_schema(request, schema)
    else:
        spec = _quick(request, schema)
        vector = spec.vectors[0].name
        indexes = [IndexParam(field_name=vector, index_name=vector, metric_type=request.metric_type or "COSINE")]
    check_schema(spec)
    context.engine.collections.create(context.database, spec)
    for index in indexes:
        # As on Milvus: by now the collection exists.
        if spec.field_named(index.field_name) is None:
            raise missing(f"`{index.field_name}` hasn't defined in schema")
        create_all(context, request.collection_name, [index])
    if indexes:
        context.engine.loading.load(context.database, request.collection_name)


def _quick(request: CollectionReq, schema: SchemaReq) -> CollectionSpec:
    if schema.functions:
        raise not_expected("functions are not supported for quickly create collection", "schema", "functions")
    if not request.dimension:
        why = "dimension is required for quickly create collection(default metric type: COSINE)"
        raise not_expected(why, "collectionName & dimension", "collectionName")
    id_type = _ID_TYPES.get(request.id_type)
    if id_type is None:
        why = "idType can only be [Int64, VarChar], default: Int64"
        raise not_expected(why, "Int64, Varchar", request.id_type)
    length = {"max_length": go_text(request.params.get("max_length"))} if id_type == "VarChar" else {}
    fields = [
        FieldSpec(request.primary_field or "id", id_type, is_primary=True, auto_id=request.auto_id, params=length),
        FieldSpec(request.vector_field or "vector", "FloatVector", params={"dim": str(request.dimension)}),
    ]
    dynamic = _GO_BOOLEANS.get(go_text(request.params.get("enableDynamicField")), True)
    return _spec(request, fields, [], dynamic)


def _from_schema(request: CollectionReq, schema: SchemaReq) -> CollectionSpec:
    functions = [entry.spec() for entry in schema.functions]
    fields = [entry.spec(auto_id=schema.auto_id) for entry in schema.fields]
    return _spec(request, fields, functions, schema.dynamic)


def _spec(
    request: CollectionReq, fields: list[FieldSpec], functions: list[FunctionSpec], dynamic: bool
) -> CollectionSpec:
    params = request.params
    level = params.get("consistencyLevel", "Bounded")
    if level not in CONSISTENCY_LEVELS:
        levels = ", ".join(CONSISTENCY_LEVELS)
        why = f"consistencyLevel can only be [{levels}], default: Bounded"
        raise not_expected(why, levels, go_text(level))
    partitioned = any(entry.is_partition_key for entry in fields)
    return CollectionSpec(
        request.collection_name,
        fields,
        functions,
        dynamic,
        request.description,
        _count(params, "shardsNum", 1),
        level,
        _count(params, "partitionsNum", 16) if partitioned else 1,
        {name: go_text(params[key]) for key, name in _PROPERTIES.items() if key in params},
    )


def _count(params: dict[str, Any], key: str, default: int) -> int:
    """Return a number among the parameters; Milvus passes over what is none."""
    given = go_text(params.get(key))
    number = int(given) if given.isascii() and given.isdecimal() and len(given) < 10 else default
    return number or default


# --- looked up ---


@endpoint("collections/list", InDatabase)
def list_collections(context: RequestContext, request: InDatabase) -> Answer:
    """List the names of the collections of a database."""
    return {"data": context.engine.collections.names(context.database)}


@endpoint("collections/has", CollectionNameReq)
def has_collection(context: RequestContext, request: CollectionNameReq) -> Answer:
    """Return whether a collection exists."""
    return {"data": {"has": context.engine.collections.has(context.database, request.collection_name)}}


@endpoint("collections/describe", CollectionNameReq)
def describe_collection(context: RequestContext, request: CollectionNameReq) -> Answer:
    """Return what a collection is."""
    info = context.engine.collections.describe(context.database, request.collection_name)
    indexes = context.engine.indexes.describe(context.database, info.spec.name)
    message = "" if indexes else f"index not found[collection={info.spec.name}];"
    # The name that was asked for: of an alias Milvus does not say which collection it stands for.
    return {"data": {"collectionName": request.collection_name, **_described(info, indexes)}, "message": message}


def _described(info: CollectionInfo, indexes: list[IndexInfo]) -> dict[str, Any]:
    spec = info.spec
    return {
        "collectionID": info.id,
        "description": spec.description,
        "autoId": spec.primary.auto_id,
        "fields": [described_field(entry) for entry in spec.fields],
        "functions": [described_function(function) for function in spec.functions],
        "aliases": info.aliases,
        "indexes": [
            # Of what has no metric Milvus tells its default.
            {"fieldName": i.field, "indexName": i.name, "metricType": i.params.get("metric_type", "COSINE")}
            for i in indexes
        ],
        "load": info.load_state,
        "shardsNum": spec.shards,
        # With a partition key they are as many as were asked for, whatever the engine spreads rows over.
        "partitionsNum": spec.partitions if spec.has_partition_key else len(info.partitions),
        "consistencyLevel": spec.consistency,
        "enableDynamicField": spec.dynamic,
        "properties": key_values(spec.properties),
    }


# --- changed ---


@endpoint("collections/rename", RenameCollectionReq)
def rename_collection(context: RequestContext, request: RenameCollectionReq) -> None:
    """Give a collection another name; its aliases stay with it."""
    check_name("collection name", request.new_name)
    context.engine.collections.rename(context.database, request.collection_name, request.new_database, request.new_name)


@endpoint("collections/alter_properties", CollectionReqWithProperties)
def alter_collection(context: RequestContext, request: CollectionReqWithProperties) -> None:
    """Set properties of a collection."""
    context.engine.collections.alter(
        context.database,
        request.collection_name,
        {key: go_text(value) for key, value in request.properties.items()},
        [],
    )


@endpoint("collections/drop_properties", DropCollectionPropertiesReq)
def drop_collection_properties(context: RequestContext, request: DropCollectionPropertiesReq) -> None:
    """Drop properties of a collection."""
    context.engine.collections.alter(context.database, request.collection_name, {}, request.keys)


@endpoint("collections/drop", CollectionNameReq)
def drop_collection(context: RequestContext, request: CollectionNameReq) -> None:
    """Drop a collection with its rows and indexes."""
    context.engine.collections.drop(context.database, request.collection_name)
