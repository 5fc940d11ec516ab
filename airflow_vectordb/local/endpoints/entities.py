"""entities/…"""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass, field
from typing import Annotated, Any

from airflow_vectordb.local.body import Key
from airflow_vectordb.local.endpoints.indexes import CollectionNameReq
from airflow_vectordb.local.endpoints.table import Answer, Call, endpoint
from airflow_vectordb.local.engine import rows
from airflow_vectordb.local.engine.base import SearchCall
from airflow_vectordb.local.engine.model import CollectionSpec, FieldSpec
from airflow_vectordb.local.errors import ApiError, bad_format, invalid, not_here

__all__: list[str] = []

_COUNT = "count(*)"


@dataclass(frozen=True, kw_only=True)
class CollectionDataReq(CollectionNameReq):
    data: Annotated[list[dict[str, Any]], Key("data", "The rows, an object each.")]
    partition_name: Annotated[str, Key("partitionName", "The partition that they go to.")] = ""


@dataclass(frozen=True, kw_only=True)
class UpsertReq(CollectionDataReq):
    partial: Annotated[bool, Key("partialUpdate", "Keep the fields that a row does not mention.")] = False


@dataclass(frozen=True, kw_only=True)
class CollectionFilterReq(CollectionNameReq):
    filter: Annotated[str, Key("filter", "Which rows.")]
    partition_name: Annotated[str, Key("partitionName", "Only in this partition.")] = ""
    expr_params: Annotated[dict[str, Any], Key("exprParams", "Values for {names} in the filter.")] = field(
        default_factory=dict
    )


@dataclass(frozen=True, kw_only=True)
class CollectionIDReq(CollectionNameReq):
    id: Annotated[Any, Key("id", "A primary key or a list of them.")]
    output_fields: Annotated[
        list[str] | None, Key("outputFields", "The fields to return; all when it is left out.")
    ] = None
    partition_name: Annotated[str, Key("partitionName", "Only in this partition.")] = ""
    partition_names: Annotated[list[str], Key("partitionNames", "Only in these partitions.")] = field(
        default_factory=list
    )


@dataclass(frozen=True, kw_only=True)
class QueryReq(CollectionNameReq):
    filter: Annotated[str, Key("filter", "Which rows.")] = ""
    output_fields: Annotated[
        list[str] | None, Key("outputFields", "The fields to return; all when it is left out.")
    ] = None
    partition_names: Annotated[list[str], Key("partitionNames", "Only in these partitions.")] = field(
        default_factory=list
    )
    limit: Annotated[int, Key("limit", "At most so many rows.")] = 100
    offset: Annotated[int, Key("offset", "Leave out so many first.")] = 0
    expr_params: Annotated[dict[str, Any], Key("exprParams", "Values for {names} in the filter.")] = field(
        default_factory=dict
    )


@dataclass(frozen=True, kw_only=True)
class SearchReq(CollectionNameReq):
    data: Annotated[list[Any], Key("data", "The query vectors, or texts where a function makes vectors of texts.")]
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
    grouping_field: Annotated[str, Key("groupingField", "One hit (or groupSize) per value of this field.")] = ""
    group_size: Annotated[int, Key("groupSize", "Hits per group.")] = 1
    strict_group_size: Annotated[bool, Key("strictGroupSize", "Only groups with so many hits.")] = False


def _spec(call: Call, collection: str) -> CollectionSpec:
    return call.engine.describe_collection(call.database, collection).spec


def _shown_ids(call: Call, ids: list[int] | list[str]) -> list[Any]:
    return list(ids) if call.int64_as_numbers else [str(value) for value in ids]


# --- writing ---


@endpoint("entities/insert", CollectionDataReq)
def insert(call: Call, request: CollectionDataReq) -> Answer:
    """Insert rows."""
    spec = _spec(call, request.collection_name)
    columns = rows.encode(spec, request.data, with_ids=False)
    done = call.engine.insert(
        call.database, request.collection_name, request.partition_name, columns, len(request.data)
    )
    return {"cost": 0, "data": {"insertCount": done.count, "insertIds": _shown_ids(call, done.ids)}}


@endpoint("entities/upsert", UpsertReq)
def upsert(call: Call, request: UpsertReq) -> Answer:
    """Insert rows, in place of those with the same keys."""
    spec = _spec(call, request.collection_name)
    columns = rows.encode(spec, request.data, with_ids=True, partial=request.partial)
    done = call.engine.upsert(
        call.database,
        request.collection_name,
        request.partition_name,
        columns,
        len(request.data),
        partial=request.partial,
    )
    return {"cost": 0, "data": {"upsertCount": done.count, "upsertIds": _shown_ids(call, done.ids)}}


@endpoint("entities/delete", CollectionFilterReq)
def delete(call: Call, request: CollectionFilterReq) -> Answer:
    """Delete the rows that a filter finds."""
    text = _filled(request.filter, request.expr_params)
    count = call.engine.delete(call.database, request.collection_name, request.partition_name, text)
    return {"cost": 0, "data": {"deleteCount": count}}


# --- reading ---


@endpoint("entities/get", CollectionIDReq)
def get(call: Call, request: CollectionIDReq) -> Answer:
    """The rows with these keys."""
    spec = _spec(call, request.collection_name)
    keys = request.id if isinstance(request.id, list) else [request.id]
    partitions = [*request.partition_names, *filter(None, [request.partition_name])]
    fields = ["*"] if request.output_fields is None else request.output_fields
    columns = call.engine.query(
        call.database,
        request.collection_name,
        filter=f"{spec.primary.name} in [{', '.join(_key(spec.primary, key) for key in keys)}]",
        output_fields=fields,
        partitions=partitions,
        limit=None,
        offset=0,
    )
    return {"cost": 0, "data": _rows(call, spec, columns, fields)}


def _key(primary: FieldSpec, value: Any) -> str:
    """A primary key as a literal of Milvus's filter language."""
    if primary.type == "VarChar" and type(value) is str:
        return json.dumps(value, ensure_ascii=False)
    if primary.type == "Int64":
        try:
            number = int(value) if type(value) in (int, str) else None
        except ValueError:
            number = None
        if number is not None and -(2**63) <= number < 2**63:
            return str(number)
    raise ApiError(
        1806, f"please check the primary key and its' type can only in [int, string], error: {value!r:.60} is no key"
    )


@endpoint("entities/query", QueryReq)
def query(call: Call, request: QueryReq) -> Answer:
    """The rows that a filter finds, or their number."""
    spec = _spec(call, request.collection_name)
    fields = ["*"] if request.output_fields is None else request.output_fields
    columns = call.engine.query(
        call.database,
        request.collection_name,
        filter=_filled(request.filter, request.expr_params),
        output_fields=fields,
        partitions=request.partition_names,
        limit=None if _COUNT in fields else request.limit,
        offset=request.offset,
    )
    return {"cost": 0, "data": _rows(call, spec, columns, fields)}


def _rows(call: Call, spec: CollectionSpec, columns: list[Any], fields: list[str]) -> list[dict[str, Any]]:
    if _COUNT in fields:
        return [{_COUNT: int(columns[0].scalars.long_data.data[0])}]
    key = next((column for column in columns if column.field_name == spec.primary.name), None)
    if key is None:
        return []
    slot = key.scalars.string_data if key.scalars.HasField("string_data") else key.scalars.long_data
    return rows.decode(spec, columns, len(slot.data), int64_as_numbers=call.int64_as_numbers)


@endpoint("entities/search", SearchReq)
def search(call: Call, request: SearchReq) -> Answer:
    """The rows whose vectors are nearest."""
    spec = _spec(call, request.collection_name)
    field = _searched(spec, request.anns_field)
    metric, params = _search_params(request.search_params)
    placeholder, vectors = _packed(spec, field, request.data)
    found = call.engine.search(
        call.database,
        request.collection_name,
        SearchCall(
            field.name,
            vectors,
            placeholder,
            request.limit,
            request.offset,
            _filled(request.filter, request.expr_params),
            metric,
            request.output_fields,
            request.partition_names,
            params,
            request.grouping_field,
            request.group_size,
            request.strict_group_size,
        ),
    )
    given = rows.decode(spec, found.columns, found.given, int64_as_numbers=call.int64_as_numbers)
    hits = [given[row] for row in found.rows]
    for hit, key, score in zip(hits, _shown_ids(call, found.ids), found.scores, strict=True):
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
    packed = []
    for entry in data:
        if not isinstance(entry, list) or not set(map(type, entry)) <= {int, float}:
            raise bad_format(f"json: cannot unmarshal {type(entry).__name__} into a vector of numbers")
        if len(entry) != field.dim:
            raise bad_format(f"dimension: {field.dim}, but length of []float: {len(entry)}")
        try:
            packed.append(struct.pack(f"<{field.dim}f", *entry))
        except OverflowError as error:
            raise bad_format(f"a value of the vector is out of the range of float32: {error}") from error
    return 101, packed


_TEMPLATE = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\{(\w+)\}""")


def _filled(text: str, values: dict[str, Any]) -> str:
    """Put values in the place of ``{names}`` in a filter, outside of its strings."""

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return match.group(0)
        if name not in values:
            raise invalid(f"the value of expression template variable name {{{name}}} is not found")
        return json.dumps(values[name], ensure_ascii=False)

    return _TEMPLATE.sub(fill, text) if "{" in text else text
