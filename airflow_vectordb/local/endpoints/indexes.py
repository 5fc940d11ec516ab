"""indexes/…"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from airflow_vectordb.local.body import Key
from airflow_vectordb.local.endpoints.table import DONE, Answer, Call, InDatabase, endpoint
from airflow_vectordb.local.engine.index_rules import normalize
from airflow_vectordb.local.engine.model import IndexInfo
from airflow_vectordb.local.errors import index_not_found, invalid

__all__ = ["IndexParam", "create_all"]


@dataclass(frozen=True, kw_only=True)
class IndexParam:
    """One index. Its type and parameters may be spelt in three ways, of three ages of Milvus; see :meth:`params`."""

    field_name: Annotated[str, Key("fieldName", "The field to index.")]
    index_name: Annotated[str, Key("indexName", "The name of the index; the field's name when it is left out.")] = ""
    metric_type: Annotated[str, Key("metricType", "The metric; by the field's type when it is left out.")] = ""
    index_type: Annotated[str, Key("indexType", "The index type (Milvus 2.4.14 and later).")] = ""
    given: Annotated[dict[str, Any], Key("params", "Build parameters; index_type may stand here (Milvus 2.4).")] = (
        field(default_factory=dict)
    )
    index_config: Annotated[dict[str, Any], Key("indexConfig", "Index type and parameters (before Milvus 2.4).")] = (
        field(default_factory=dict)
    )

    def params(self) -> dict[str, str]:
        """All of it as one dict; the later spelling wins where a body carries several.

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
class IndexParamReq(InDatabase):
    collection_name: Annotated[str, Key("collectionName", "The collection.")]
    index_params: Annotated[list[IndexParam], Key("indexParams", "The indexes to create, in this order.")]


@dataclass(frozen=True, kw_only=True)
class CollectionNameReq(InDatabase):
    collection_name: Annotated[str, Key("collectionName", "The collection.")]


@dataclass(frozen=True, kw_only=True)
class IndexReq(CollectionNameReq):
    index_name: Annotated[str, Key("indexName", "The index.")]


def create_all(call: Call, collection: str, indexes: list[IndexParam]) -> None:
    """Create indexes in order; the first error ends it, and what came before stays."""
    for index in indexes:
        call.engine.create_index(call.database, collection, index.field_name, index.index_name, index.params())


@endpoint("indexes/create", IndexParamReq)
def create_indexes(call: Call, request: IndexParamReq) -> Answer:
    """Create indexes on fields of a collection."""
    create_all(call, request.collection_name, request.index_params)
    return DONE


@endpoint("indexes/list", CollectionNameReq)
def list_indexes(call: Call, request: CollectionNameReq) -> Answer:
    """The names of the indexes of a collection."""
    return {"data": [index.name for index in call.engine.describe_indexes(call.database, request.collection_name)]}


@endpoint("indexes/describe", IndexReq)
def describe_index(call: Call, request: IndexReq) -> Answer:
    """What an index is and how far it is built."""
    found = call.engine.describe_indexes(call.database, request.collection_name)
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
        "indexParams": [{"key": key, "value": value} for key, value in index.params.items()],
        "minIndexVersion": 0,
        "maxIndexVersion": 0,
    }


@endpoint("indexes/drop", IndexReq)
def drop_index(call: Call, request: IndexReq) -> Answer:
    """Drop an index of a collection that is not loaded."""
    call.engine.drop_index(call.database, request.collection_name, request.index_name)
    return DONE
