"""collections/…"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from airflow_vectordb.local.body import Key
from airflow_vectordb.local.endpoints.indexes import CollectionNameReq, IndexParam, create_all
from airflow_vectordb.local.endpoints.table import DONE, Answer, Call, InDatabase, endpoint
from airflow_vectordb.local.engine.index_rules import normalize
from airflow_vectordb.local.engine.model import (
    TYPE_NUMBERS,
    CollectionInfo,
    CollectionSpec,
    FieldSpec,
    FunctionSpec,
    IndexInfo,
)
from airflow_vectordb.local.errors import invalid, missing, not_here

__all__ = ["FieldReq", "FunctionReq", "field_of", "function_of"]

_CONSISTENCY = ("Strong", "Session", "Bounded", "Eventually", "Customized")
# Properties of a collection that stand in `params`; the others there are arguments of its creation.
_PROPERTIES = {"ttlSeconds": "collection.ttl.seconds", "partitionKeyIsolation": "partitionkey.isolation"}
_ARGUMENTS = frozenset({"max_length", "enableDynamicField", "shardsNum", "consistencyLevel", "partitionsNum"})


@dataclass(frozen=True, kw_only=True)
class FieldReq:
    field_name: Annotated[str, Key("fieldName", "The name of the field.")]
    data_type: Annotated[str, Key("dataType", "Its type, case-sensitive: Int64, VarChar, FloatVector …")]
    element_data_type: Annotated[str, Key("elementDataType", "The type of an array's elements.")] = ""
    is_primary: Annotated[bool, Key("isPrimary", "Whether it is the primary key.")] = False
    is_partition_key: Annotated[bool, Key("isPartitionKey", "Whether rows are spread over partitions by it.")] = False
    is_clustering_key: Annotated[bool, Key("isClusteringKey", "Whether rows are clustered by it.")] = False
    element_type_params: Annotated[dict[str, Any], Key("elementTypeParams", "dim, max_length, max_capacity …")] = field(
        default_factory=dict
    )
    nullable: Annotated[bool, Key("nullable", "Whether a row may have no value.")] = False
    default_value: Annotated[Any, Key("defaultValue", "The value of a row that has none.")] = None
    description: Annotated[str, Key("description", "What it is for.")] = ""


@dataclass(frozen=True, kw_only=True)
class FunctionReq:
    name: Annotated[str, Key("name", "The name of the function.")]
    type: Annotated[str, Key("type", "BM25.")]
    inputs: Annotated[list[str], Key("inputFieldNames", "What it reads.")]
    outputs: Annotated[list[str], Key("outputFieldNames", "What it fills.")]
    params: Annotated[dict[str, Any], Key("params", "Its parameters.")] = field(default_factory=dict)
    description: Annotated[str, Key("description", "What it is for.")] = ""


@dataclass(frozen=True, kw_only=True)
class SchemaReq:
    fields: Annotated[list[FieldReq], Key("fields", "The fields.", most=64)]
    functions: Annotated[list[FunctionReq], Key("functions", "The functions.")] = field(default_factory=list)
    auto_id: Annotated[bool, Key("autoID", "Whether primary keys are made by the server.")] = False
    dynamic: Annotated[bool, Key("enableDynamicField", "Whether rows may have fields that the schema has not.")] = False
    description: Annotated[str, Key("description", "What the collection is for.")] = ""


@dataclass(frozen=True, kw_only=True)
class CollectionReq(InDatabase):
    collection_name: Annotated[str, Key("collectionName", "The name of the collection.")]
    schema: Annotated[SchemaReq | None, Key("schema", "The fields; without it the collection is set up quickly.")] = (
        None
    )
    index_params: Annotated[
        list[IndexParam], Key("indexParams", "Indexes; with them the collection is loaded too.")
    ] = field(default_factory=list)
    dimension: Annotated[int, Key("dimension", "Quick setup: values per vector.")] = 0
    metric_type: Annotated[str, Key("metricType", "Quick setup: the metric of the index, COSINE by default.")] = ""
    id_type: Annotated[str, Key("idType", "Quick setup: Int64 or VarChar.")] = ""
    auto_id: Annotated[bool, Key("autoID", "Quick setup: whether primary keys are made by the server.")] = False
    primary_field: Annotated[str, Key("primaryFieldName", "Quick setup: `id` by default.")] = ""
    vector_field: Annotated[str, Key("vectorFieldName", "Quick setup: `vector` by default.")] = ""
    description: Annotated[str, Key("description", "What the collection is for.")] = ""
    params: Annotated[dict[str, Any], Key("params", "max_length, shardsNum, consistencyLevel, ttlSeconds …")] = field(
        default_factory=dict
    )


@dataclass(frozen=True, kw_only=True)
class LoadStateReq(CollectionNameReq):
    partition_names: Annotated[list[str], Key("partitionNames", "Only these partitions.")] = field(default_factory=list)


@endpoint("collections/create", CollectionReq)
def create_collection(call: Call, request: CollectionReq) -> Answer:
    """Create a collection, by its schema or set up quickly with an index and loaded."""
    indexes = request.index_params
    if request.schema is None:
        spec = _quick(request)
        vector = spec.vectors[0].name
        indexes = [IndexParam(field_name=vector, index_name=vector, metric_type=request.metric_type or "COSINE")]
    else:
        spec = _from_schema(request, request.schema)
    call.engine.create_collection(call.database, spec)
    if indexes:
        create_all(call, request.collection_name, indexes)
        call.engine.load_collection(call.database, request.collection_name)
    return DONE


def _quick(request: CollectionReq) -> CollectionSpec:
    if not request.dimension:
        raise missing("dimension is required for quickly create collection(default metric type: COSINE)")
    id_type = request.id_type or "Int64"
    if id_type not in ("Int64", "VarChar"):
        raise invalid(f"idType can only be [Int64, VarChar], default: Int64, but got {id_type}")
    length = {}
    if id_type == "VarChar":
        length = normalize({"max_length": request.params.get("max_length", 65535)})
    fields = [
        FieldSpec(request.primary_field or "id", id_type, is_primary=True, auto_id=request.auto_id, params=length),
        FieldSpec(request.vector_field or "vector", "FloatVector", params={"dim": str(request.dimension)}),
    ]
    dynamic = _flag(request.params, "enableDynamicField", default=True)
    return _spec(request, fields, [], dynamic, request.description)


def _from_schema(request: CollectionReq, schema: SchemaReq) -> CollectionSpec:
    fields = [field_of(entry, auto_id=schema.auto_id) for entry in schema.fields]
    functions = [function_of(entry) for entry in schema.functions]
    dynamic = schema.dynamic or _flag(request.params, "enableDynamicField", default=False)
    return _spec(request, fields, functions, dynamic, schema.description or request.description)


def function_of(entry: FunctionReq) -> FunctionSpec:
    """A function as engines know it."""
    return FunctionSpec(
        entry.name, entry.type, entry.inputs, entry.outputs, 0, entry.description, normalize(entry.params)
    )


def field_of(entry: FieldReq, *, auto_id: bool = False) -> FieldSpec:
    """A field as engines know it.

    :param auto_id: whether keys are made by the server, where it is the primary one.
    :raises ApiError: 1100 for a type or default that cannot be.
    """
    for name in filter(None, (entry.data_type, entry.element_data_type)):
        if name not in TYPE_NUMBERS:
            raise invalid(f"data type {name} is invalid(case sensitive).")
    if entry.default_value is not None and entry.data_type in ("Array", "JSON"):
        raise not_here(f"a default value of type {entry.data_type} (field {entry.field_name})")
    return FieldSpec(
        entry.field_name,
        entry.data_type,
        is_primary=entry.is_primary,
        auto_id=entry.is_primary and auto_id,
        is_partition_key=entry.is_partition_key,
        is_clustering_key=entry.is_clustering_key,
        nullable=entry.nullable,
        element_type=entry.element_data_type,
        description=entry.description,
        default=_default(entry),
        params=normalize(entry.element_type_params),
    )


def _default(entry: FieldReq) -> Any:
    value = entry.default_value
    wanted: tuple[type, ...] = (str,)
    if entry.data_type.startswith("Int"):
        wanted = (int,)
    elif entry.data_type in ("Float", "Double"):
        wanted = (int, float)
    elif entry.data_type == "Bool":
        wanted = (bool,)
    if value is not None and type(value) not in wanted:
        raise invalid(f"convert defaultValue fail, err: {value!r} is no {entry.data_type}, field {entry.field_name}")
    return value


def _spec(
    request: CollectionReq, fields: list[FieldSpec], functions: list[FunctionSpec], dynamic: bool, description: str
) -> CollectionSpec:
    params = request.params
    level = params.get("consistencyLevel", "Bounded")
    if level not in _CONSISTENCY:
        raise invalid(f"consistencyLevel can only be [{', '.join(_CONSISTENCY)}], default: Bounded, but got {level}")
    partitioned = any(entry.is_partition_key for entry in fields)
    properties = {_PROPERTIES.get(key, key): value for key, value in params.items() if key not in _ARGUMENTS}
    return CollectionSpec(
        request.collection_name,
        fields,
        functions,
        dynamic,
        description,
        _number(params, "shardsNum", 1, 16),
        level,
        _number(params, "partitionsNum", 16 if partitioned else 1, 1024),
        normalize(properties),
    )


def _number(params: dict[str, Any], key: str, default: int, most: int) -> int:
    try:
        value = int(params.get(key, default))
    except (TypeError, ValueError):
        raise invalid(f"{key} should be a number, but got {params[key]!r}") from None
    if not 1 <= value <= most:
        raise invalid(f"{key} should be in range [1, {most}], but got {value}")
    return value


def _flag(params: dict[str, Any], key: str, *, default: bool) -> bool:
    value = params.get(key, default)
    if value in (True, "true", "True"):
        return True
    if value in (False, "false", "False"):
        return False
    raise invalid(f"{key} should be true or false, but got {value!r}")


@endpoint("collections/list", InDatabase)
def list_collections(call: Call, request: InDatabase) -> Answer:
    """The names of the collections of a database."""
    return {"data": call.engine.list_collections(call.database)}


@endpoint("collections/has", CollectionNameReq)
def has_collection(call: Call, request: CollectionNameReq) -> Answer:
    """Whether a collection is there."""
    return {"data": {"has": call.engine.has_collection(call.database, request.collection_name)}}


@endpoint("collections/describe", CollectionNameReq)
def describe_collection(call: Call, request: CollectionNameReq) -> Answer:
    """All about a collection."""
    info = call.engine.describe_collection(call.database, request.collection_name)
    # Milvus describes the index of the first vector field here, and no other.
    first = info.spec.vectors[0].name
    indexes = [i for i in call.engine.describe_indexes(call.database, info.spec.name) if i.field == first]
    message = "" if indexes else f"index not found[collection={info.spec.name}];"
    # The name that was asked for: of an alias Milvus does not say which collection it stands for.
    return {"data": {"collectionName": request.collection_name, **_described(info, indexes)}, "message": message}


def _described(info: CollectionInfo, indexes: list[IndexInfo]) -> dict[str, Any]:
    spec = info.spec
    keyed = any(entry.is_partition_key for entry in spec.fields)
    return {
        "collectionID": info.id,
        "description": spec.description,
        "autoId": spec.primary.auto_id,
        "fields": [_described_field(entry) for entry in spec.fields],
        "functions": [
            {
                "name": function.name,
                "id": function.id,
                "description": function.description,
                "type": function.type,
                "inputFieldNames": function.inputs,
                "outputFieldNames": function.outputs,
                "params": [{"key": key, "value": value} for key, value in function.params.items()],
            }
            for function in spec.functions
        ],
        "aliases": info.aliases,
        "indexes": [
            {"fieldName": i.field, "indexName": i.name, "metricType": i.params.get("metric_type", "")} for i in indexes
        ],
        "load": info.load_state,
        "shardsNum": spec.shards,
        # With a partition key they are as many as were asked for, whatever the engine spreads rows over.
        "partitionsNum": spec.partitions if keyed else len(info.partitions),
        "consistencyLevel": spec.consistency,
        "enableDynamicField": spec.dynamic,
        "properties": [{"key": key, "value": value} for key, value in spec.properties.items()],
    }


def _described_field(entry: FieldSpec) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": entry.name,
        "id": entry.id,
        "type": entry.type,
        "primaryKey": entry.is_primary,
        "partitionKey": entry.is_partition_key,
        "clusteringKey": entry.is_clustering_key,
        "autoId": entry.auto_id,
        "nullable": entry.nullable,
        "description": entry.description,
    }
    if entry.default is not None:
        described["defaultValue"] = entry.default
    if entry.element_type:
        described["elementType"] = entry.element_type
    if entry.params:
        described["params"] = [{"key": key, "value": value} for key, value in entry.params.items()]
    if entry.is_function_output:
        described["isFunctionOutput"] = True
    return described


@endpoint("collections/drop", CollectionNameReq)
def drop_collection(call: Call, request: CollectionNameReq) -> Answer:
    """Drop a collection with all that is in it."""
    call.engine.drop_collection(call.database, request.collection_name)
    return DONE


@endpoint("collections/load", CollectionNameReq)
def load_collection(call: Call, request: CollectionNameReq) -> Answer:
    """Load a collection, so that it can be searched."""
    call.engine.load_collection(call.database, request.collection_name)
    return DONE


@endpoint("collections/release", CollectionNameReq)
def release_collection(call: Call, request: CollectionNameReq) -> Answer:
    """Release a collection from memory."""
    call.engine.release_collection(call.database, request.collection_name)
    return DONE


@endpoint("collections/get_load_state", LoadStateReq)
def get_load_state(call: Call, request: LoadStateReq) -> Answer:
    """Whether a collection is loaded, and how far."""
    load = call.engine.load_state(call.database, request.collection_name, request.partition_names)
    if load.state == "LoadStateNotLoad":
        return {"data": {"loadState": load.state}}
    # The message stands beside the data: a caller who reads the data only sees a load that does not get on.
    return {"data": {"loadState": load.state, "loadProgress": load.progress}, "message": load.message}


@endpoint("collections/get_stats", CollectionNameReq)
def get_stats(call: Call, request: CollectionNameReq) -> Answer:
    """The number of flushed rows."""
    return {"data": {"rowCount": call.engine.row_count(call.database, request.collection_name)}}


@endpoint("collections/flush", CollectionNameReq, limiter=(100, 800))
def flush(call: Call, request: CollectionNameReq) -> Answer:
    """Seal what was inserted so far, so that indexes are built over it."""
    call.engine.flush(call.database, request.collection_name)
    return DONE
