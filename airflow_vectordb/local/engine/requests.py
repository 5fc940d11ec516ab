"""Protobuf messages that every engine is sent alike, and what is read out of its answers alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow_vectordb.local.engine.base import CONSISTENCY, HybridCall, SearchCall
from airflow_vectordb.local.engine.messages import common_pb2, milvus_pb2

__all__ = [
    "COUNT",
    "hybrid_request",
    "ids_of",
    "pairs",
    "query_request",
    "row_count",
    "search_request",
    "write_request",
]

COUNT = "count(*)"
"""The output field that stands for the number of rows."""


def pairs(values: Mapping[str, str]) -> list[Any]:
    """A dict as Milvus's key-value pairs."""
    return [common_pb2.KeyValuePair(key=key, value=value) for key, value in values.items()]


def ids_of(message: Any) -> list[int] | list[str]:
    """The primary keys in an ``IDs`` message."""
    return list(message.str_id.data) if message.HasField("str_id") else list(message.int_id.data)


def row_count(statistics: Any) -> int:
    """The number of rows in an answer to ``GetCollectionStatistics``."""
    return int(next(pair.value for pair in statistics.stats if pair.key == "row_count"))


def write_request(
    message: Any, database: str, collection: str, partition: str, columns: list[Any], count: int, **more: Any
) -> Any:
    """A request to insert or upsert.

    :param message: its class.
    :param more: what only one of them has.
    """
    return message(
        db_name=database,
        collection_name=collection,
        partition_name=partition,
        fields_data=columns,
        num_rows=count,
        **more,
    )


def query_request(
    database: str, collection: str, filter: str, output_fields: list[str], partitions: list[str], params: dict[str, str]
) -> Any:
    """A request for the rows that a filter finds.

    :param params: ``limit``, ``offset`` and so on.
    """
    return milvus_pb2.QueryRequest(
        db_name=database,
        collection_name=collection,
        expr=filter,
        output_fields=output_fields,
        partition_names=partitions,
        query_params=pairs(params),
        **_consistency(),
    )


def search_request(database: str, collection: str, call: SearchCall) -> Any:
    """A request for the rows whose vectors are nearest; the metric is the index's where the call names none."""
    params: dict[str, Any] = {
        "anns_field": call.field,
        "topk": call.limit,
        "offset": call.offset,
        "round_decimal": -1,
        "params": call.params,
    }
    if call.metric:
        params["metric_type"] = call.metric
    if call.grouping_field:
        params["group_by_field"] = call.grouping_field
        params["group_size"] = call.group_size
        params["strict_group_size"] = call.strict_group_size
    group = common_pb2.PlaceholderGroup(
        placeholders=[common_pb2.PlaceholderValue(tag="$0", type=call.placeholder, values=call.vectors)]
    )
    return milvus_pb2.SearchRequest(
        db_name=database,
        collection_name=collection,
        partition_names=call.partitions,
        dsl=call.filter,
        dsl_type=common_pb2.DslType.BoolExprV1,
        placeholder_group=group.SerializeToString(),
        output_fields=call.output_fields,
        search_params=_texts(params),
        nq=len(call.vectors),
        **_consistency(),
    )


def hybrid_request(database: str, collection: str, call: HybridCall) -> Any:
    """A request for several searches whose results are merged."""
    params: dict[str, Any] = {
        "strategy": call.strategy,
        "params": call.params,
        "limit": call.limit,
        "offset": call.offset,
        "round_decimal": -1,
    }
    if call.grouping_field:
        params["group_by_field"] = call.grouping_field
        params["group_size"] = call.group_size
        params["strict_group_size"] = call.strict_group_size
    return milvus_pb2.HybridSearchRequest(
        db_name=database,
        collection_name=collection,
        # The searches of one call are in the same partitions.
        partition_names=call.searches[0].partitions,
        requests=[search_request(database, collection, search) for search in call.searches],
        rank_params=_texts(params),
        output_fields=call.output_fields,
        **_consistency(),
    )


def _consistency() -> dict[str, Any]:
    """At which level to read; without a wish of the caller's, as Milvus's own REST layer does, at the collection's."""
    level = CONSISTENCY.get()
    if not level:
        return {"use_default_consistency": True}
    return {"consistency_level": common_pb2.ConsistencyLevel.Value(level)}


def _texts(params: dict[str, Any]) -> list[Any]:
    return pairs({key: value if isinstance(value, str) else json.dumps(value) for key, value in params.items()})
