"""indexes/…"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_vectordb.local.body import optional, required
from airflow_vectordb.local.endpoints.bodies import CollectionNameReq, IndexReq, key_values
from airflow_vectordb.local.endpoints.table import Answer, RequestContext, endpoint
from airflow_vectordb.local.engine.index_rules import MMAP, OFFSET_CACHE, check_properties, described
from airflow_vectordb.local.engine.literals import normalize
from airflow_vectordb.local.engine.model import IndexInfo
from airflow_vectordb.local.errors import index_not_found


@dataclass(frozen=True, kw_only=True)
class IndexParam:
    """One index. As of Milvus 2.6, ``indexConfig``, the spelling of the first servers, is not looked at."""

    field_name: str = required("fieldName", "The field to index.")
    index_name: str = optional("indexName", "The name of the index; the field's name when it is left out.")
    metric_type: str = optional("metricType", "The metric; vectors need one, unless AUTOINDEX has its own.")
    index_type: str = optional("indexType", "The index type; AUTOINDEX when it is left out.")
    params: dict[str, Any] = optional("params", "Build parameters; index_type and metric_type here win.", dict)


@dataclass(frozen=True, kw_only=True)
class IndexParamReq(CollectionNameReq):
    index_params: list[IndexParam] = required("indexParams", "The indexes to create, in this order.")


@dataclass(frozen=True, kw_only=True)
class IndexPropertiesReq(IndexReq):
    go_name = "IndexReqWithProperties"

    properties: dict[str, Any] = optional("properties", "mmap.enabled, indexoffsetcache.enabled, warmup.", dict)


@dataclass(frozen=True, kw_only=True)
class IndexPropertyKeysReq(IndexReq):
    go_name = "DropIndexPropertiesReq"

    keys: list[str] = optional("propertyKeys", "The properties to drop.", list)


def create_all(context: RequestContext, collection: str, indexes: list[IndexParam]) -> None:
    """Create indexes in order; the first error ends it, and those before it stay."""
    for index in indexes:
        wanted = described(index.index_type, index.metric_type, index.params)
        context.engine.indexes.create(context.database, collection, index.field_name, index.index_name, wanted)


@endpoint("indexes/create", IndexParamReq)
def create_indexes(context: RequestContext, request: IndexParamReq) -> None:
    """Create indexes on fields of a collection."""
    create_all(context, request.collection_name, request.index_params)


@endpoint("indexes/list", CollectionNameReq)
def list_indexes(context: RequestContext, request: CollectionNameReq) -> Answer:
    """List the names of the indexes of a collection."""
    found = context.engine.indexes.describe(context.database, request.collection_name)
    return {"data": [index.name for index in found]}


@endpoint("indexes/describe", IndexReq)
def describe_index(context: RequestContext, request: IndexReq) -> Answer:
    """Return what an index is and how far it is built."""
    found = context.engine.indexes.describe(context.database, request.collection_name)
    named = [_described(index) for index in found if index.name == request.index_name]
    if not named:
        raise index_not_found(request.collection_name, request.index_name)
    return {"data": named}


def _described(index: IndexInfo) -> dict[str, Any]:
    return {
        "indexName": index.name,
        "fieldName": index.field,
        "indexType": index.params.get("index_type", ""),
        "metricType": index.params.get("metric_type", ""),
        "indexState": index.state,
        "totalRows": index.total,
        "indexedRows": index.indexed,
        "pendingRows": index.pending,
        "failReason": index.fail_reason,
        "indexParams": key_values(index.params) or None,
        MMAP: index.params.get(MMAP, ""),
        OFFSET_CACHE: index.params.get(OFFSET_CACHE, ""),
        "minIndexVersion": 0,
        "maxIndexVersion": 0,
    }


@endpoint("indexes/alter_properties", IndexPropertiesReq)
def alter_index(context: RequestContext, request: IndexPropertiesReq) -> None:
    """Set properties of an index."""
    properties = normalize(request.properties)
    check_properties(properties, [])
    context.engine.indexes.alter(context.database, request.collection_name, request.index_name, properties, [])


@endpoint("indexes/drop_properties", IndexPropertyKeysReq)
def drop_index_properties(context: RequestContext, request: IndexPropertyKeysReq) -> None:
    """Drop properties of an index."""
    check_properties({}, request.keys)
    context.engine.indexes.alter(context.database, request.collection_name, request.index_name, {}, request.keys)


@endpoint("indexes/drop", IndexReq)
def drop_index(context: RequestContext, request: IndexReq) -> None:
    """Drop an index of a collection that is not loaded."""
    context.engine.indexes.drop(context.database, request.collection_name, request.index_name)
