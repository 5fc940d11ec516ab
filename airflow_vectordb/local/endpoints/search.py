"""entities/search and entities/hybrid_search"""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np

from airflow_vectordb.local.body import Key
from airflow_vectordb.local.endpoints.entities import filled, key_literal, read_at, shown_ids, spec_of
from airflow_vectordb.local.endpoints.indexes import CollectionNameReq
from airflow_vectordb.local.endpoints.table import Answer, Call, endpoint
from airflow_vectordb.local.engine import rows
from airflow_vectordb.local.engine.base import Found, HybridCall, SearchCall
from airflow_vectordb.local.engine.model import TYPE_NUMBERS, CollectionSpec, FieldSpec
from airflow_vectordb.local.engine.vectors import dense_bytes
from airflow_vectordb.local.errors import bad_format, invalid, missing, not_here

__all__: list[str] = []


@dataclass(frozen=True, kw_only=True)
class SearchReq(CollectionNameReq):
    data: Annotated[list[Any], Key("data", "The query vectors, or texts where a function makes vectors of texts.")] = (
        field(default_factory=list)
    )
    ids: Annotated[list[Any], Key("ids", "In place of data: search by the vectors of these rows.")] = field(
        default_factory=list
    )
    anns_field: Annotated[str, Key("annsField", "The vector field; needed when there are several.")] = ""
    filter: Annotated[str, Key("filter", "Only among these rows.")] = ""
    limit: Annotated[int, Key("limit", "At most so many hits per vector.")] = 100
    offset: Annotated[int, Key("offset", "Leave out so many first.")] = 0
    output_fields: Annotated[list[str], Key("outputFields", "The fields to return besides key and distance.")] = field(
        default_factory=list
    )
    partition_names: Annotated[list[str], Key("partitionNames", "Only in these partitions.")] = field(
        default_factory=list
    )
    search_params: Annotated[dict[str, Any], Key("searchParams", "metricType, params: {ef, nprobe, radius …}.")] = (
        field(default_factory=dict)
    )
    expr_params: Annotated[dict[str, Any], Key("exprParams", "Values for {names} in the filter.")] = field(
        default_factory=dict
    )
    consistency: Annotated[str, Key("consistencyLevel", "Strong, Session, Bounded, Eventually.")] = ""
    function_score: Annotated[dict[str, Any], Key("functionScore", "Not here.")] = field(default_factory=dict)
    grouping_field: Annotated[str, Key("groupingField", "One hit (or groupSize) per value of this field.")] = ""
    group_size: Annotated[int, Key("groupSize", "Hits per group.")] = 1
    strict_group_size: Annotated[bool, Key("strictGroupSize", "Only groups with so many hits.")] = False


@dataclass(frozen=True, kw_only=True)
class SubSearchReq:
    data: Annotated[list[Any], Key("data", "The query vectors, or texts where a function makes vectors of texts.")]
    anns_field: Annotated[str, Key("annsField", "The vector field.")] = ""
    filter: Annotated[str, Key("filter", "Only among these rows.")] = ""
    limit: Annotated[int, Key("limit", "At most so many hits per vector go into the merge.")] = 100
    offset: Annotated[int, Key("offset", "Leave out so many first.")] = 0
    metric_type: Annotated[str, Key("metricType", "The metric, which is that of the index.")] = ""
    given: Annotated[dict[str, Any], Key("params", "ef, nprobe, radius …")] = field(default_factory=dict)
    search_params: Annotated[dict[str, Any], Key("searchParams", "The same in the way of entities/search.")] = field(
        default_factory=dict
    )
    expr_params: Annotated[dict[str, Any], Key("exprParams", "Values for {names} in the filter.")] = field(
        default_factory=dict
    )


@dataclass(frozen=True, kw_only=True)
class RerankReq:
    strategy: Annotated[str, Key("strategy", "rrf or weighted.")] = "rrf"
    params: Annotated[dict[str, Any], Key("params", "k of rrf; weights and norm_score of weighted.")] = field(
        default_factory=dict
    )


@dataclass(frozen=True, kw_only=True)
class HybridSearchReq(CollectionNameReq):
    search: Annotated[list[SubSearchReq], Key("search", "The searches.")]
    rerank: Annotated[RerankReq, Key("rerank", "How their results are merged.")] = RerankReq()
    limit: Annotated[int, Key("limit", "At most so many hits.")] = 100
    offset: Annotated[int, Key("offset", "Leave out so many first.")] = 0
    output_fields: Annotated[list[str], Key("outputFields", "The fields to return besides key and distance.")] = field(
        default_factory=list
    )
    partition_names: Annotated[list[str], Key("partitionNames", "Only in these partitions.")] = field(
        default_factory=list
    )
    consistency: Annotated[str, Key("consistencyLevel", "Strong, Session, Bounded, Eventually.")] = ""
    grouping_field: Annotated[str, Key("groupingField", "One hit (or groupSize) per value of this field.")] = ""
    group_size: Annotated[int, Key("groupSize", "Hits per group.")] = 1
    strict_group_size: Annotated[bool, Key("strictGroupSize", "Only groups with so many hits.")] = False
    function_score: Annotated[dict[str, Any], Key("functionScore", "Not here.")] = field(default_factory=dict)


@endpoint("entities/search", SearchReq, limiter=(200,))
def search(call: Call, request: SearchReq) -> Answer:
    """The rows whose vectors are nearest."""
    if not request.data and not request.ids:
        raise missing("Key: 'SearchReq.data' Error:Field validation for 'data' failed on the 'required' tag")
    _refuse_functions(request.function_score)
    read_at(request.consistency)
    spec = spec_of(call, request.collection_name)
    anns = _searched(spec, request.anns_field)
    metric, params = _search_params(request.search_params)
    data = _vectors_of(call, request, spec, anns) if request.ids else request.data
    placeholder, vectors = _packed(spec, anns, data)
    found = call.engine.search(
        call.database,
        request.collection_name,
        SearchCall(
            anns.name,
            vectors,
            placeholder,
            request.limit,
            request.offset,
            filled(request.filter, request.expr_params),
            metric,
            request.output_fields,
            request.partition_names,
            params,
            request.grouping_field,
            request.group_size,
            request.strict_group_size,
        ),
    )
    return _hits(call, spec, found)


def _vectors_of(call: Call, request: SearchReq, spec: CollectionSpec, anns: FieldSpec) -> list[Any]:
    """The vectors of the rows that are searched by."""
    if request.data:
        raise invalid("only one of data and ids can be given")
    if anns.is_function_output:
        raise invalid(f"cannot search by ids on field {anns.name}, which is the output of a function")
    keys = [key_literal(spec.primary, key) for key in request.ids]
    columns = call.engine.query(
        call.database,
        request.collection_name,
        filter=f"{spec.primary.name} in [{', '.join(keys)}]",
        output_fields=[anns.name],
        partitions=request.partition_names,
        limit=None,
        offset=0,
    )
    key_column = next((column for column in columns if column.field_name == spec.primary.name), None)
    slot = key_column.scalars if key_column is not None else None
    count = max(len(slot.long_data.data), len(slot.string_data.data)) if slot is not None else 0
    given = rows.decode(spec, columns, count, int64_as_numbers=True)
    vectors = {key_literal(spec.primary, row[spec.primary.name]): row[anns.name] for row in given}
    absent = [key for key in keys if key not in vectors]
    if absent:
        raise invalid(f"some of the provided primary key IDs do not exist: {', '.join(absent)}")
    # As a request would carry them.
    wanted = [vectors[key] for key in keys]
    return [_as_given(anns, vector) for vector in wanted]


def _as_given(anns: FieldSpec, vector: Any) -> Any:
    if isinstance(vector, dict):
        return {index: float(weight) for index, weight in vector.items()}
    if anns.type == "Int8Vector":
        return np.frombuffer(base64.b64decode(vector), np.int8).tolist()
    return vector if isinstance(vector, str) else vector.tolist()


@endpoint("entities/hybrid_search", HybridSearchReq, limiter=(200,))
def hybrid_search(call: Call, request: HybridSearchReq) -> Answer:
    """The rows whose vectors are nearest in several fields, merged into one list."""
    _refuse_functions(request.function_score)
    read_at(request.consistency)
    spec = spec_of(call, request.collection_name)
    found = call.engine.hybrid_search(
        call.database,
        request.collection_name,
        HybridCall(
            [_sub_search(spec, one, request.partition_names) for one in request.search],
            request.rerank.strategy or "rrf",
            request.rerank.params,
            request.limit,
            request.offset,
            request.output_fields,
            request.grouping_field,
            request.group_size,
            request.strict_group_size,
        ),
    )
    return _hits(call, spec, found)


def _sub_search(spec: CollectionSpec, request: SubSearchReq, partitions: list[str]) -> SearchCall:
    anns = _searched(spec, request.anns_field)
    beside = {"metricType": request.metric_type} if request.metric_type else {}
    metric, params = _search_params({**request.given, **request.search_params, **beside})
    placeholder, vectors = _packed(spec, anns, request.data)
    text = filled(request.filter, request.expr_params)
    return SearchCall(
        anns.name, vectors, placeholder, request.limit, request.offset, text, metric, [], partitions, params
    )


def _refuse_functions(given: dict[str, Any]) -> None:
    if given:
        raise not_here("functionScore")


def _hits(call: Call, spec: CollectionSpec, found: Found) -> Answer:
    given = rows.decode(spec, found.columns, found.given, int64_as_numbers=call.int64_as_numbers)
    # Copies: one row may be a hit of several query vectors.
    hits = [dict(given[row]) for row in found.rows]
    for hit, key, score in zip(hits, shown_ids(call, found.ids), found.scores, strict=True):
        hit[spec.primary.name] = key
        hit["distance"] = rows.float32(score)
    return {"cost": 0, "data": hits, "topks": found.counts}


def _searched(spec: CollectionSpec, name: str) -> FieldSpec:
    vectors = spec.vectors
    if not name:
        if len(vectors) > 1:
            raise bad_format("multiple vector fields in the collection, annsField is required")
        return vectors[0]
    field = spec.field_named(name)
    if field is None or not field.is_vector:
        raise bad_format(f"cannot find a vector field named: {name}")
    return field


def _search_params(given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    inner = given.get("params") or {}
    if not isinstance(inner, dict):
        raise invalid("searchParams['params'] must be a dict")
    outer = {key: value for key, value in given.items() if key not in ("params", "metricType", "metric_type")}
    for key in outer.keys() & inner.keys():
        if outer[key] != inner[key]:
            raise invalid(
                f"ambiguous parameter: {key}, in search_param: {outer[key]}, in search_param.params: {inner[key]}"
            )
    metric = given.get("metricType") or given.get("metric_type") or inner.get("metric_type") or ""
    if not isinstance(metric, str):
        raise bad_format("metricType is no string")
    merged = {key: value for key, value in (outer | inner).items() if key != "metric_type"}
    if "group_by_field" in merged:
        raise not_here("group_by_field in searchParams; use groupingField")
    return metric, merged


def _packed(spec: CollectionSpec, field: FieldSpec, data: list[Any]) -> tuple[int, list[bytes]]:
    """Query vectors as Milvus's placeholders.

    :raises ApiError: 1801, as Milvus has it, for what is no vector of this field.
    """
    if all(isinstance(entry, str) for entry in data) and field.is_function_output:
        return 21, [entry.encode() for entry in data]
    if field.type == "SparseFloatVector":
        try:
            return 104, [rows.sparse_bytes(rows.sparse_pairs(entry)) for entry in data]
        except (ValueError, TypeError, struct.error) as error:
            raise bad_format(f"not a sparse vector: {error}") from error
    try:
        return TYPE_NUMBERS[field.type], [dense_bytes(field, entry) for entry in data]
    except ValueError as error:
        raise bad_format(str(error)) from error
