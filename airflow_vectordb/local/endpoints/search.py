"""entities/search and entities/hybrid_search"""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from airflow_vectordb.local.body import Int32, optional, required
from airflow_vectordb.local.endpoints.entities import ReadReq, filled, key_literal, read_rows, shown_ids
from airflow_vectordb.local.endpoints.table import Answer, RequestContext, endpoint
from airflow_vectordb.local.engine import rows
from airflow_vectordb.local.engine.calls import HybridCall, QueryCall, SearchCall, SearchResult
from airflow_vectordb.local.engine.model import TYPE_NUMBERS, CollectionSpec, FieldSpec
from airflow_vectordb.local.engine.vectors import dense_bytes
from airflow_vectordb.local.errors import bad_format, invalid, missing, not_here, unexpected

_MOST_VECTORS = 16384
_MOST_IN_GROUP = 10


@dataclass(frozen=True, kw_only=True)
class HitsReq(ReadReq):
    """What both searches may say of their hits."""

    limit: Int32 = optional("limit", "At most so many hits per vector.", 100)
    offset: Int32 = optional("offset", "Leave out so many first.", 0)
    output_fields: list[str] = optional("outputFields", "The fields to return besides key and distance.", list)
    grouping_field: str = optional("groupingField", "One hit (or groupSize) per value of this field.")
    group_size: Int32 = optional("groupSize", "Hits per group.", 1)
    strict_group_size: bool = optional("strictGroupSize", "Only groups with so many hits.", False)
    function_score: dict[str, Any] = optional("functionScore", "Not here.", dict)

    def begin(self, context: RequestContext) -> CollectionSpec:
        if self.function_score:
            raise not_here("functionScore")
        return super().begin(context)

    def hits(self) -> dict[str, Any]:
        """Return the arguments that the calls of engines have for it.

        :raises ApiError: 1100 for groups larger than Milvus's.
        """
        if self.grouping_field and self.group_size > _MOST_IN_GROUP:
            raise invalid(f"input group size:{self.group_size} exceeds configured max group size:{_MOST_IN_GROUP}")
        return {
            "limit": self.limit,
            "offset": self.offset,
            "output_fields": self.output_fields,
            "partitions": self.partition_names,
            "grouping_field": self.grouping_field,
            "group_size": self.group_size,
            "strict_group_size": self.strict_group_size,
        }


@dataclass(frozen=True, kw_only=True)
class SearchReq(HitsReq):
    go_name = "SearchReqV2"

    data: list[Any] | None = optional(
        "data", "The query vectors, or texts where a function makes vectors of texts.", None
    )
    ids: list[Any] = optional("ids", "In place of data: search by the vectors of these rows.", list)
    anns_field: str = optional("annsField", "The vector field; needed when there are several.")
    filter: str = optional("filter", "Only among these rows.")
    search_params: dict[str, Any] = optional("searchParams", "metric_type, params: {ef, nprobe, radius …}.", dict)
    params: dict[str, float] = optional("params", "Without effect; searchParams has taken its place.", dict)
    expr_params: dict[str, Any] = optional("exprParams", "Values for {names} in the filter.", dict)


@dataclass(frozen=True, kw_only=True)
class SubSearchReq:
    data: list[Any] = required("data", "The query vectors, or texts where a function makes vectors of texts.")
    anns_field: str = optional("annsField", "The vector field.")
    filter: str = optional("filter", "Only among these rows.")
    limit: Int32 = optional("limit", "At most so many hits per vector go into the merge.", 100)
    offset: Int32 = optional("offset", "Leave out so many first.", 0)
    metric_type: str = optional("metricType", "The metric, which is that of the index.")
    given: dict[str, Any] = optional("params", "ef, nprobe, radius …", dict)
    search_params: dict[str, Any] = optional("searchParams", "The same in the way of entities/search.", dict)
    expr_params: dict[str, Any] = optional("exprParams", "Values for {names} in the filter.", dict)


@dataclass(frozen=True, kw_only=True)
class RerankReq:
    go_name = "Rand"

    strategy: str = optional("strategy", "rrf or weighted.")
    params: dict[str, Any] = optional("params", "k of rrf; weights and norm_score of weighted.", dict)


@dataclass(frozen=True, kw_only=True)
class HybridSearchReq(HitsReq):
    search: list[SubSearchReq] = optional("search", "The searches.", list)
    rerank: RerankReq = optional("rerank", "How their results are merged.", RerankReq())


@endpoint("entities/search", SearchReq, limiter=(200,))
def search(context: RequestContext, request: SearchReq) -> Answer:
    """Return the rows whose vectors are nearest."""
    if request.data is None and not request.ids:
        raise missing("Key: 'SearchReqV2.Data' Error:Field validation for 'Data' failed on the 'required' tag")
    spec = request.begin(context)
    anns = _searched(spec, request.anns_field)
    metric, params = _search_params(request.search_params)
    data = _vectors_of(context, request, spec, anns) if request.ids else request.data or []
    _check_count(len(data))
    placeholder, vectors = _packed(spec, anns, data)
    call = SearchCall(
        field=anns.name,
        vectors=vectors,
        placeholder=placeholder,
        filter=filled(request.filter, request.expr_params),
        metric=metric,
        params=params,
        **request.hits(),
    )
    return _hits(context, spec, context.engine.searches.search(context.database, request.collection_name, call))


def _vectors_of(context: RequestContext, request: SearchReq, spec: CollectionSpec, anns: FieldSpec) -> list[Any]:
    """Return the vectors of the rows that are searched by."""
    if request.data:
        raise invalid("only one of data and ids can be given")
    if anns.is_function_output:
        raise invalid(f"cannot search by ids on field {anns.name}, which is the output of a function")
    primary = spec.primary
    keys = [key_literal(primary, key) for key in request.ids]
    call = QueryCall(f"{primary.name} in [{', '.join(keys)}]", [anns.name], request.partition_names)
    found = read_rows(replace(context, int64_as_numbers=True), request.collection_name, spec, call)
    vectors = {key_literal(primary, row[primary.name]): row[anns.name] for row in found}
    absent = [key for key in keys if key not in vectors]
    if absent:
        raise invalid(f"some of the provided primary key IDs do not exist: {', '.join(absent)}")
    return [_as_sent(anns, vectors[key]) for key in keys]


def _as_sent(anns: FieldSpec, vector: Any) -> Any:
    """Return a vector as a request would carry it."""
    if isinstance(vector, dict):
        return {index: float(weight) for index, weight in vector.items()}
    if anns.type == "Int8Vector":
        return np.frombuffer(base64.b64decode(vector), np.int8).tolist()
    return vector if isinstance(vector, str) else vector.tolist()


# Its other name too.
@endpoint("entities/advanced_search", HybridSearchReq, limiter=(200,))
@endpoint("entities/hybrid_search", HybridSearchReq, limiter=(200,))
def hybrid_search(context: RequestContext, request: HybridSearchReq) -> Answer:
    """Return the rows whose vectors are nearest in several fields, merged into one list."""
    spec = request.begin(context)
    strategy = request.rerank.strategy
    if strategy not in ("rrf", "weighted"):
        raise unexpected(f"unsupported rank type {strategy}")
    for count in [len(one.data) for one in request.search] or [0]:
        _check_count(count)
    call = HybridCall(
        searches=[_sub_search(spec, one, request.partition_names) for one in request.search],
        strategy=strategy,
        params=request.rerank.params,
        **request.hits(),
    )
    return _hits(context, spec, context.engine.searches.hybrid_search(context.database, request.collection_name, call))


def _sub_search(spec: CollectionSpec, request: SubSearchReq, partitions: list[str]) -> SearchCall:
    anns = _searched(spec, request.anns_field)
    beside = {"metric_type": request.metric_type} if request.metric_type else {}
    metric, params = _search_params({**request.given, **request.search_params, **beside})
    placeholder, vectors = _packed(spec, anns, request.data)
    return SearchCall(
        field=anns.name,
        vectors=vectors,
        placeholder=placeholder,
        limit=request.limit,
        offset=request.offset,
        filter=filled(request.filter, request.expr_params),
        metric=metric,
        partitions=partitions,
        params=params,
    )


def _hits(context: RequestContext, spec: CollectionSpec, found: SearchResult) -> Answer:
    given = rows.decode(spec, found.columns, found.given, int64_as_numbers=context.int64_as_numbers)
    # Copies: one row may be a hit of several query vectors.
    hits = [dict(given[row]) for row in found.rows]
    for hit, key, score in zip(hits, shown_ids(context, found.ids), found.scores, strict=True):
        hit[spec.primary.name] = key
        hit["distance"] = rows.float32(score)
    return {"cost": 0, "data": hits, **({"topks": found.counts} if hits else {})}


def _check_count(vectors: int) -> None:
    if not 1 <= vectors <= _MOST_VECTORS:
        raise unexpected(
            f"nq [{vectors}] is invalid, nq (number of search vector per search request) should be in range "
            f"[1, {_MOST_VECTORS}], but got {vectors}"
        )


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
    metric = str(given.get("metric_type") or inner.get("metric_type") or "")
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
