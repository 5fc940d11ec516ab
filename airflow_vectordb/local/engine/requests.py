"""Protobuf messages that are the same for every engine, and what is read from the answers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_vectordb.local.engine.caller import CONSISTENCY
from airflow_vectordb.local.engine.calls import HybridCall, QueryCall, SearchCall
from airflow_vectordb.local.engine.messages import common_pb2, milvus_pb2


def pairs(values: Mapping[str, str]) -> list[Any]:
    """Return a dict as Milvus's key-value pairs."""
    return [common_pb2.KeyValuePair(key=key, value=value) for key, value in values.items()]


def unpaired(found: Iterable[Any]) -> dict[str, str]:
    """Return Milvus's key-value pairs as a dict."""
    return {pair.key: pair.value for pair in found}


def ids_of(message: Any) -> list[int] | list[str]:
    """Return the primary keys in an ``IDs`` message."""
    return list(message.str_id.data) if message.HasField("str_id") else list(message.int_id.data)


def row_count(statistics: Any) -> int:
    """Return the number of rows in an answer to ``GetCollectionStatistics``."""
    return int(next(pair.value for pair in statistics.stats if pair.key == "row_count"))


def write_fields(database: str, collection: str, partition: str, columns: list[Any], count: int) -> dict[str, Any]:
    """Return what requests to insert and to upsert have in common."""
    return {
        "db_name": database,
        "collection_name": collection,
        "partition_name": partition,
        "fields_data": columns,
        "num_rows": count,
    }


def query_request(database: str, collection: str, call: QueryCall, **params: str) -> Any:
    """Return a request for the rows that a filter matches.

    :param params: query parameters besides limit and offset.
    """
    if call.limit is not None:
        params = {"limit": str(call.limit), "offset": str(call.offset), **params}
    return milvus_pb2.QueryRequest(
        db_name=database,
        collection_name=collection,
        expr=call.filter,
        output_fields=call.output_fields,
        partition_names=call.partitions,
        query_params=pairs(params),
        **_consistency(),
    )


def search_request(database: str, collection: str, call: SearchCall) -> Any:
    """Return a request for the nearest rows; the metric is the index's where the call names none."""
    params: dict[str, Any] = {
        "anns_field": call.field,
        "topk": call.limit,
        "offset": call.offset,
        "round_decimal": -1,
        "params": call.params,
        **_grouping(call),
    }
    if call.metric:
        params["metric_type"] = call.metric
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
    """Return a request for several searches whose results are merged."""
    params: dict[str, Any] = {
        "strategy": call.strategy,
        "params": call.params,
        "limit": call.limit,
        "offset": call.offset,
        "round_decimal": -1,
        **_grouping(call),
    }
    return milvus_pb2.HybridSearchRequest(
        db_name=database,
        collection_name=collection,
        partition_names=call.partitions,
        requests=[search_request(database, collection, search) for search in call.searches],
        rank_params=_texts(params),
        output_fields=call.output_fields,
        **_consistency(),
    )


def _grouping(call: SearchCall | HybridCall) -> dict[str, Any]:
    if not call.grouping_field:
        return {}
    return {
        "group_by_field": call.grouping_field,
        "group_size": call.group_size,
        "strict_group_size": call.strict_group_size,
    }


def _consistency() -> dict[str, Any]:
    """Return the level to read at; as in Milvus's REST layer the collection's, unless the caller asks for another."""
    level = CONSISTENCY.get()
    if not level:
        return {"use_default_consistency": True}
    return {"consistency_level": common_pb2.ConsistencyLevel.Value(level)}


def _texts(params: dict[str, Any]) -> list[Any]:
    return pairs({key: value if isinstance(value, str) else json.dumps(value) for key, value in params.items()})
