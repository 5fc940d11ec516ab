"""indexes/…"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_vectordb.local.body import optional, required
from airflow_vectordb.local.endpoints.bodies import CollectionNameReq, IndexReq, key_values
from airflow_vectordb.local.endpoints.table import Answer, RequestContext, endpoint
from airflow_vectordb.local.engine.literals import normalize
from airflow_vectordb.local.engine.model import IndexInfo
from airflow_vectordb.local.errors import index_not_found, invalid


@dataclass(frozen=True, kw_only=True)
class IndexParam:
    """One index. Its type and parameters may be spelled in three ways, of three ages of Milvus; see :meth:`params`."""

    field_name: str = required("fieldName", "The field to index.")
    index_name: str = optional("indexName", "The name of the index; the field's name when it is left out.")
    metric_type: str = optional("metricType", "The metric; by the field's type when it is left out.")
    index_type: str = optional("indexType", "The index type (Milvus 2.4.14 and later).")
    given: dict[str, Any] = optional("params", "Build parameters; index_type may stand here (Milvus 2.4).", dict)
    index_config: dict[str, Any] = optional("indexConfig", "Index type and parameters (before Milvus 2.4).", dict)

    def params(self) -> dict[str, str]:
        """Return all of it as one dict; the later spelling wins where a body carries several.

        :raises ApiError: 1100 when ``params`` itself contradicts what stands beside it.
        """
        found = normalize(self.index_config)
        later = normalize(self.given)
        for key, beside in (("index_type", self.index_type), ("metric_type", self.metric_type)):
            if beside and later.get(key, beside) != beside:
                raise invalid(f"ambiguous index params: {key} is {beside} and {later[key]}")
            if beside:
                later[key] = beside
        if later.get("index_type"):
            # A body for servers of every age says the same thing several times; the old way is then not needed.
            return later
        return found | later


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
        context.engine.indexes.create(context.database, collection, index.field_name, index.index_name, index.params())


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
        "indexParams": key_values(index.params),
        "minIndexVersion": 0,
        "maxIndexVersion": 0,
    }


@endpoint("indexes/alter_properties", IndexPropertiesReq)
def alter_index(context: RequestContext, request: IndexPropertiesReq) -> None:
    """Set properties of an index."""
    context.engine.indexes.alter(
        context.database, request.collection_name, request.index_name, normalize(request.properties), []
    )


@endpoint("indexes/drop_properties", IndexPropertyKeysReq)
def drop_index_properties(context: RequestContext, request: IndexPropertyKeysReq) -> None:
    """Drop properties of an index."""
    context.engine.indexes.alter(context.database, request.collection_name, request.index_name, {}, request.keys)


@endpoint("indexes/drop", IndexReq)
def drop_index(context: RequestContext, request: IndexReq) -> None:
    """Drop an index of a collection that is not loaded."""
    context.engine.indexes.drop(context.database, request.collection_name, request.index_name)
