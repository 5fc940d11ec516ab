"""entities/…"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Any

from airflow_vectordb.local.body import Key
from airflow_vectordb.local.endpoints.indexes import CollectionNameReq
from airflow_vectordb.local.endpoints.table import Answer, Call, endpoint
from airflow_vectordb.local.engine import rows
from airflow_vectordb.local.engine.base import CONSISTENCY
from airflow_vectordb.local.engine.literals import literal
from airflow_vectordb.local.engine.model import CollectionSpec, FieldSpec
from airflow_vectordb.local.engine.requests import COUNT
from airflow_vectordb.local.errors import ApiError, invalid

__all__ = ["filled", "key_literal", "read_at", "shown_ids", "spec_of"]

_CONSISTENCY = ("Strong", "Session", "Bounded", "Eventually", "Customized")


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
    consistency: Annotated[str, Key("consistencyLevel", "Strong, Session, Bounded, Eventually.")] = ""
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
    consistency: Annotated[str, Key("consistencyLevel", "Strong, Session, Bounded, Eventually.")] = ""
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


def spec_of(call: Call, collection: str) -> CollectionSpec:
    """What the collection of a request is made of."""
    return call.engine.collection_spec(call.database, collection)


def shown_ids(call: Call, ids: list[int] | list[str]) -> list[Any]:
    """Primary keys as the caller wants them: Int64 as numbers or as strings."""
    return list(ids) if call.int64_as_numbers else [str(value) for value in ids]


def read_at(level: str) -> None:
    """Set the consistency level of this call's reads; over Milvus Lite each sees all that was written before it.

    :raises ApiError: 1100 for a level that Milvus has not.
    """
    if level and level not in _CONSISTENCY:
        raise invalid(f"parameter:'{level}' is incorrect, please check it: consistencyLevel is one of {_CONSISTENCY}")
    CONSISTENCY.set(level)


# --- writing ---


@endpoint("entities/insert", CollectionDataReq, limiter=(200,))
def insert(call: Call, request: CollectionDataReq) -> Answer:
    """Insert rows."""
    spec = spec_of(call, request.collection_name)
    columns = rows.encode(spec, request.data, with_ids=False)
    done = call.engine.insert(
        call.database, request.collection_name, request.partition_name, columns, len(request.data)
    )
    return {"cost": 0, "data": {"insertCount": done.count, "insertIds": shown_ids(call, done.ids)}}


@endpoint("entities/upsert", UpsertReq, limiter=(200,))
def upsert(call: Call, request: UpsertReq) -> Answer:
    """Insert rows, in place of those with the same keys."""
    spec = spec_of(call, request.collection_name)
    columns = rows.encode(spec, request.data, with_ids=True, partial=request.partial)
    done = call.engine.upsert(
        call.database,
        request.collection_name,
        request.partition_name,
        columns,
        len(request.data),
        partial=request.partial,
    )
    return {"cost": 0, "data": {"upsertCount": done.count, "upsertIds": shown_ids(call, done.ids)}}


@endpoint("entities/delete", CollectionFilterReq, limiter=(200,))
def delete(call: Call, request: CollectionFilterReq) -> Answer:
    """Delete the rows that a filter finds."""
    text = filled(request.filter, request.expr_params)
    count = call.engine.delete(call.database, request.collection_name, request.partition_name, text)
    return {"cost": 0, "data": {"deleteCount": count}}


# --- reading ---


@endpoint("entities/get", CollectionIDReq, limiter=(200,))
def get(call: Call, request: CollectionIDReq) -> Answer:
    """The rows with these keys."""
    read_at(request.consistency)
    spec = spec_of(call, request.collection_name)
    keys = request.id if isinstance(request.id, list) else [request.id]
    partitions = [*request.partition_names, *filter(None, [request.partition_name])]
    fields = ["*"] if request.output_fields is None else request.output_fields
    columns = call.engine.query(
        call.database,
        request.collection_name,
        filter=f"{spec.primary.name} in [{', '.join(key_literal(spec.primary, key) for key in keys)}]",
        output_fields=fields,
        partitions=partitions,
        limit=None,
        offset=0,
    )
    return {"cost": 0, "data": _rows(call, spec, columns, fields)}


def key_literal(primary: FieldSpec, value: Any) -> str:
    """A primary key as a literal of Milvus's filter language."""
    if primary.type == "VarChar" and type(value) is str:
        return literal(value)
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


@endpoint("entities/query", QueryReq, limiter=(200,))
def query(call: Call, request: QueryReq) -> Answer:
    """The rows that a filter finds, or their number."""
    read_at(request.consistency)
    spec = spec_of(call, request.collection_name)
    fields = ["*"] if request.output_fields is None else request.output_fields
    columns = call.engine.query(
        call.database,
        request.collection_name,
        filter=filled(request.filter, request.expr_params),
        output_fields=fields,
        partitions=request.partition_names,
        limit=None if COUNT in fields else request.limit,
        offset=request.offset,
    )
    return {"cost": 0, "data": _rows(call, spec, columns, fields)}


def _rows(call: Call, spec: CollectionSpec, columns: list[Any], fields: list[str]) -> list[dict[str, Any]]:
    if COUNT in fields:
        return [{COUNT: int(columns[0].scalars.long_data.data[0])}]
    key = next((column for column in columns if column.field_name == spec.primary.name), None)
    if key is None:
        return []
    slot = key.scalars.string_data if key.scalars.HasField("string_data") else key.scalars.long_data
    return rows.decode(spec, columns, len(slot.data), int64_as_numbers=call.int64_as_numbers)


_TEMPLATE = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\{(\w+)\}""")


def filled(text: str, values: dict[str, Any]) -> str:
    """Put values in place of ``{names}`` in a filter, outside of its strings."""

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return match.group(0)
        if name not in values:
            raise invalid(f"the value of expression template variable name {{{name}}} is not found")
        return literal(values[name])

    return _TEMPLATE.sub(fill, text) if "{" in text else text
