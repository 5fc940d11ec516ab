"""entities/insert, upsert, delete, get and query"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from airflow_vectordb.local.body import Int32, optional, required
from airflow_vectordb.local.body_rows import decode_rows
from airflow_vectordb.local.endpoints.bodies import CollectionNameReq
from airflow_vectordb.local.endpoints.table import Answer, RequestContext, endpoint
from airflow_vectordb.local.engine import rows
from airflow_vectordb.local.engine.caller import CONSISTENCY
from airflow_vectordb.local.engine.calls import COUNT, QueryCall
from airflow_vectordb.local.engine.literals import go_integer, literal
from airflow_vectordb.local.engine.model import CONSISTENCY_LEVELS, CollectionSpec, FieldSpec
from airflow_vectordb.local.errors import ApiError, invalid, unexpected


@dataclass(frozen=True, kw_only=True)
class CollectionDataReq(CollectionNameReq):
    data: list[dict[str, Any]] = required("data", "The rows, an object each.")
    partition_name: str = optional("partitionName", "The partition that they go to.")
    partial: bool = optional("partialUpdate", "Upsert alone: keep the fields that a row does not mention.", False)


@dataclass(frozen=True, kw_only=True)
class CollectionFilterReq(CollectionNameReq):
    filter: str = required("filter", "Which rows.")
    partition_name: str = optional("partitionName", "Only in this partition.")
    expr_params: dict[str, Any] = optional("exprParams", "Values for {names} in the filter.", dict)


@dataclass(frozen=True, kw_only=True)
class ReadReq(CollectionNameReq):
    """What all that reads rows may say of it."""

    consistency: str = optional("consistencyLevel", "Strong, Session, Bounded, Eventually.")
    partition_names: list[str] = optional("partitionNames", "Only in these partitions.", list)

    def begin(self, context: RequestContext) -> CollectionSpec:
        """Set the consistency level of what follows, and return what the collection is made of.

        Over Milvus Lite each read sees all that was written before it.

        :raises ApiError: 1100 for a level that Milvus does not have, 65535 for a partition without a name.
        """
        level = self.consistency
        if level and level not in CONSISTENCY_LEVELS:
            raise invalid(
                f"consistencyLevel can only be [{', '.join(CONSISTENCY_LEVELS)}], default: Bounded, "
                f"err:parameter:'{level}' is incorrect, please check it"
            )
        CONSISTENCY.set(level)
        spec = context.engine.collections.spec(context.database, self.collection_name)
        if not all(name.strip() for name in self.partition_names):
            raise unexpected("Invalid partition name: . Partition name should not be empty.")
        return spec


@dataclass(frozen=True, kw_only=True)
class RowsReq(ReadReq):
    """What all that returns rows may say of their fields."""

    output_fields: list[str] | None = optional(
        "outputFields", "The fields to return; all when it is left out.", None, null=[]
    )

    def fields(self, spec: CollectionSpec) -> list[str]:
        return ["*"] if self.output_fields is None else self.output_fields or [spec.primary.name]


@dataclass(frozen=True, kw_only=True)
class CollectionIDReq(RowsReq):
    id: Any = required("id", "A primary key or a list of them.")
    partition_name: str = optional("partitionName", "Only in this partition.")


@dataclass(frozen=True, kw_only=True)
class QueryReq(RowsReq):
    go_name = "QueryReqV2"

    filter: str = optional("filter", "Which rows.")
    limit: Int32 = optional("limit", "At most so many rows; all, whatever the offset, for 0 and less.", 100)
    offset: Int32 = optional("offset", "Leave out so many first.", 0)
    expr_params: dict[str, Any] = optional("exprParams", "Values for {names} in the filter.", dict)


def shown_ids(context: RequestContext, ids: list[int] | list[str]) -> list[Any]:
    """Return primary keys as the caller wants them: Int64 as numbers or as strings."""
    return list(ids) if context.int64_as_numbers else [str(value) for value in ids]


# --- writing ---


def _columns(spec: CollectionSpec, request: CollectionDataReq, *, with_ids: bool, partial: bool = False) -> list[Any]:
    if not request.data:
        raise rows.bad_row("missing required parameters")
    return rows.encode(spec, request.data, with_ids=with_ids, partial=partial)


@endpoint("entities/insert", CollectionDataReq, limiter=(200,), decode=decode_rows)
def insert(context: RequestContext, request: CollectionDataReq) -> Answer:
    """Insert rows."""
    spec = context.engine.collections.spec(context.database, request.collection_name)
    columns = _columns(spec, request, with_ids=False)
    done = context.engine.entities.insert(
        context.database, request.collection_name, request.partition_name, columns, len(request.data)
    )
    return {"cost": 0, "data": {"insertCount": done.count, "insertIds": shown_ids(context, done.ids)}}


@endpoint("entities/upsert", CollectionDataReq, limiter=(200,), decode=decode_rows)
def upsert(context: RequestContext, request: CollectionDataReq) -> Answer:
    """Insert rows, in place of those with the same keys."""
    spec = context.engine.collections.spec(context.database, request.collection_name)
    columns = _columns(spec, request, with_ids=True, partial=request.partial)
    done = context.engine.entities.upsert(
        context.database,
        request.collection_name,
        request.partition_name,
        columns,
        len(request.data),
        partial=request.partial,
    )
    return {"cost": 0, "data": {"upsertCount": done.count, "upsertIds": shown_ids(context, done.ids)}}


@endpoint("entities/delete", CollectionFilterReq, limiter=(200,))
def delete(context: RequestContext, request: CollectionFilterReq) -> Answer:
    """Delete the rows that a filter matches."""
    text = filled(request.filter, request.expr_params)
    count = context.engine.entities.delete(context.database, request.collection_name, request.partition_name, text)
    return {"data": {"deleteCount": count}}


# --- reading ---


@endpoint("entities/get", CollectionIDReq, limiter=(200,))
def get(context: RequestContext, request: CollectionIDReq) -> Answer:
    """Return the rows with these keys."""
    spec = request.begin(context)
    keys = request.id if isinstance(request.id, list) else [request.id]
    filter_text = f"{spec.primary.name} in [{', '.join(key_literal(spec.primary, key) for key in keys)}]"
    if any(type(key) is str and '"' in key for key in keys):
        # Milvus puts them into the filter as they are. What that makes of it is never evaluated here.
        raise invalid(f"failed to create query plan: cannot parse expression: {filter_text}, error: a key has a quote")
    call = QueryCall(
        filter_text,
        request.fields(spec),
        [*request.partition_names, *filter(None, [request.partition_name])],
    )
    return {"cost": 0, "data": read_rows(context, request.collection_name, spec, call)}


def key_literal(primary: FieldSpec, value: Any) -> str:
    """Return a primary key as a literal of Milvus's filter language, to which a number is no text but an empty one."""
    if primary.type == "VarChar":
        return literal(value if type(value) is str else "")
    text = value if isinstance(value, str) else json.dumps(value)
    number = go_integer(text)
    if number is None:
        why = f'unable to cast "{text[:60]}" of type string to int64'
        raise ApiError(1806, f"please check the primary key and its' type can only in [int, string], error: {why}")
    return str(number)


@endpoint("entities/query", QueryReq, limiter=(200,))
def query(context: RequestContext, request: QueryReq) -> Answer:
    """Return the rows that a filter matches, or their number."""
    spec = request.begin(context)
    fields = request.fields(spec)
    limit = None if COUNT in fields or request.limit <= 0 else request.limit
    if limit is None and COUNT not in fields and not request.filter.strip():
        raise invalid("empty expression should be used with limit")
    call = QueryCall(
        filled(request.filter, request.expr_params),
        fields,
        request.partition_names,
        limit,
        max(request.offset, 0),
    )
    return {"cost": 0, "data": read_rows(context, request.collection_name, spec, call)}


def read_rows(context: RequestContext, collection: str, spec: CollectionSpec, call: QueryCall) -> list[dict[str, Any]]:
    """Return the rows that a query finds, as JSON."""
    columns = context.engine.entities.query(context.database, collection, call)
    if COUNT in call.output_fields:
        return [{COUNT: int(columns[0].scalars.long_data.data[0])}]
    key = next((column for column in columns if column.field_name == spec.primary.name), None)
    if key is None:
        return []
    slot = key.scalars.string_data if key.scalars.HasField("string_data") else key.scalars.long_data
    return rows.decode(spec, columns, len(slot.data), int64_as_numbers=context.int64_as_numbers)


_TEMPLATE = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\{(\w+)\}""")


def filled(text: str, values: dict[str, Any]) -> str:
    """Return a filter with values in place of ``{names}``, outside of its strings."""

    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        if name is None:
            return match.group(0)
        if name not in values:
            why = f"the value of expression template variable name {{{name}}} is not found"
            raise invalid(f"failed to create query plan: {why}")
        return literal(values[name])

    return _TEMPLATE.sub(fill, text) if "{" in text else text
