"""Rows over Milvus Lite: written, read, searched."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from airflow_vectordb.local.engine.base import Found, SearchCall, Written
from airflow_vectordb.local.engine.lite.catalog import CollectionRecord
from airflow_vectordb.local.engine.lite.filters import unchain
from airflow_vectordb.local.engine.lite.fusion import group, values_of
from airflow_vectordb.local.engine.lite.parts import Parts
from airflow_vectordb.local.engine.literals import literal
from airflow_vectordb.local.engine.messages import milvus_pb2, schema_pb2
from airflow_vectordb.local.engine.model import TYPE_NUMBERS
from airflow_vectordb.local.engine.requests import COUNT, ids_of, query_request, search_request, write_request
from airflow_vectordb.local.errors import ApiError, collection_not_loaded, invalid, partition_not_loaded, unexpected

__all__ = ["Entities", "check_window"]

_WINDOW = 16384
_GROUPED = frozenset({"Bool", "Int8", "Int16", "Int32", "Int64", "VarChar"})


class Entities(Parts):
    """The rows of the collections of the data directory."""

    # --- writing ---

    def insert(self, database: str, collection: str, partition: str, columns: list[Any], count: int) -> Written:
        with self._writing(database, collection) as record:
            primary = record.spec.primary
            if primary.auto_id and not any(column.field_name == primary.name for column in columns):
                columns = [self._made_ids(record, count), *columns]
            return self._write(record, "Insert", self._write_request("Insert", record, partition, columns, count))

    def upsert(
        self, database: str, collection: str, partition: str, columns: list[Any], count: int, *, partial: bool
    ) -> Written:
        with self._writing(database, collection) as record:
            # The engine's Upsert keeps what the new row does not mention; its Insert replaces the row.
            method = "Upsert" if partial else "Insert"
            return self._write(record, method, self._write_request(method, record, partition, columns, count))

    def _made_ids(self, record: CollectionRecord, count: int) -> Any:
        primary = record.spec.primary
        column = schema_pb2.FieldData(field_name=primary.name, type=TYPE_NUMBERS[primary.type])
        ids = self._catalog.ids(count)
        if primary.type == "VarChar":
            column.scalars.string_data.data.extend(str(value) for value in ids)
        else:
            column.scalars.long_data.data.extend(ids)
        return column

    def _write_request(
        self, method: str, record: CollectionRecord, partition: str, columns: list[Any], count: int
    ) -> Any:
        """A request to write rows, every one of which has its id.

        :param method: ``Insert`` or ``Upsert``.
        :raises ApiError: when they do not fit.
        """
        self._check_partitions(record, [partition] if partition else [])
        for column in columns:
            _check_lengths(record, column)
        message = getattr(milvus_pb2, f"{method}Request")
        return write_request(message, record.database, record.name, partition, columns, count)

    def _write(self, record: CollectionRecord, method: str, request: Any) -> Written:
        self._unflushed.add(record.id)
        ids = ids_of(self._rpc(method, request, record.database).IDs)
        return Written(len(ids), ids)

    def delete(self, database: str, collection: str, partition: str, filter: str) -> int:
        with self._writing(database, collection) as record:
            self._check_partitions(record, [partition] if partition else [])
            primary = record.spec.primary.name
            found: int | None = None
            if not record.loaded and not re.fullmatch(rf"\s*{re.escape(primary)}\s*(==|in\b).*", filter, re.DOTALL):
                raise collection_not_loaded(database, record.name)
            expression = unchain(filter)
            if partition:
                # The engine deletes what the filter finds in any partition.
                keys = self._matching_in(record, filter, partition)
                found, expression = len(keys), f"{primary} in [{', '.join(map(literal, keys))}]"
            elif record.loaded:
                # The engine counts what it was told to delete, whether it was there or not.
                found = len(self._matching(record, filter, []))
            if found == 0:
                return 0
            request = milvus_pb2.DeleteRequest(
                db_name=database, collection_name=record.name, partition_name=partition, expr=expression
            )
            self._unflushed.add(record.id)
            answer = self._guarded("Delete", request, record, filter)
            return int(answer.delete_cnt) if found is None else found

    def _matching_in(self, record: CollectionRecord, filter: str, partition: str) -> list[Any]:
        if record.loaded:
            return self._matching(record, filter, [partition])
        self._load(record)
        try:
            return self._matching(record, filter, [partition])
        finally:
            self._release(record)

    def _matching(self, record: CollectionRecord, filter: str, partitions: list[str]) -> list[Any]:
        primary = record.spec.primary.name
        columns = self._query(record, filter, [primary], partitions, {})
        column = next(column for column in columns if column.field_name == primary)
        data = column.scalars.string_data if column.scalars.HasField("string_data") else column.scalars.long_data
        return list(data.data)

    # --- reading ---

    def query(
        self,
        database: str,
        collection: str,
        *,
        filter: str,
        output_fields: list[str],
        partitions: list[str],
        limit: int | None,
        offset: int,
    ) -> list[Any]:
        with self._reading(database, collection) as record:
            partitions = self._readable(record, partitions)
            if COUNT in output_fields:
                return [self._count(record, filter, output_fields, partitions)]
            output_fields = self._output(record, output_fields)
            window = {}
            if limit is not None:
                check_window(limit, offset)
                window = {"limit": str(limit), "offset": str(offset)}
            # "iterator" has the engine sort by key, as Milvus does, and heed limit and offset for "key in […]" too.
            return self._query(record, filter, output_fields, partitions, window | {"iterator": "True"})

    def _count(self, record: CollectionRecord, filter: str, output_fields: list[str], partitions: list[str]) -> Any:
        if len(output_fields) > 1:
            raise unexpected("count entities with other fields is not allowed")
        column = schema_pb2.FieldData(field_name=COUNT, type=TYPE_NUMBERS["Int64"])
        if filter or partitions:
            count = len(self._matching(record, filter, partitions))
        else:
            count = self._live_rows(record)
        column.scalars.long_data.data.append(count)
        return column

    def _query(
        self,
        record: CollectionRecord,
        filter: str,
        output_fields: list[str],
        partitions: list[str],
        params: dict[str, str],
    ) -> list[Any]:
        request = query_request(record.database, record.name, unchain(filter), output_fields, partitions, params)
        return list(self._guarded("Query", request, record, filter).fields_data)

    def search(self, database: str, collection: str, call: SearchCall) -> Found:
        with self._reading(database, collection) as record:
            return self._searched(record, call)

    def _searched(self, record: CollectionRecord, call: SearchCall) -> Found:
        partitions = self._readable(record, call.partitions)
        output = self._output(record, call.output_fields)
        call = dataclasses.replace(call, partitions=partitions, output_fields=output)
        check_window(call.limit, call.offset, "topk")
        if len(call.vectors) > _WINDOW:
            raise unexpected(
                f"nq [{len(call.vectors)}] is invalid, nq (number of search vector per search request) should be in "
                f"range [1, {_WINDOW}], but got {len(call.vectors)}"
            )
        metric = self._metric(record, call)
        ranged = _check_range(metric, call.params)
        if call.grouping_field:
            self._check_grouping(record, call.grouping_field)
        if not ranged and not call.grouping_field:
            return self._found(record, call, metric)
        # Of a range the engine sees the 5 * limit nearest rows only, of groups a few more: have it look at all.
        everything = max(call.limit + call.offset, self._live_rows(record))
        if not call.grouping_field:
            wide = dataclasses.replace(call, limit=everything, offset=0)
            return _cut(self._found(record, wide, metric), call.offset, call.limit)
        return self._grouped(record, call, metric, everything)

    def _metric(self, record: CollectionRecord, call: SearchCall) -> str:
        """The metric of the index that is searched; a request may name it, but no other."""
        index = record.index_on(call.field)
        if index is None:
            raise collection_not_loaded(record.database, record.name)
        metric = index.params["metric_type"]
        if call.metric and call.metric != metric:
            raise invalid(f"metric type not match: invalid parameter[expected={metric}][actual={call.metric}]")
        return metric

    def _found(self, record: CollectionRecord, call: SearchCall, metric: str) -> Found:
        results = self._guarded("Search", self._search_request(record, call, metric), record, call.filter).results
        ids = ids_of(results.ids)
        # Of BM25 the engine gives what it sorts by, smallest first.
        scores = [-score for score in results.scores] if metric == "BM25" else list(results.scores)
        return Found(ids, scores, list(results.fields_data), len(ids), list(range(len(ids))), list(results.topks))

    def _grouped(self, record: CollectionRecord, call: SearchCall, metric: str, everything: int) -> Found:
        field = call.grouping_field
        fields = call.output_fields or [record.spec.primary.name]
        wide = dataclasses.replace(
            call, limit=everything, offset=0, grouping_field="", output_fields=[*dict.fromkeys([*fields, field])]
        )
        found = self._found(record, wide, metric)
        if not found.rows:
            return found
        values = values_of(next(column for column in found.columns if column.field_name == field))
        rows, counts, start = [], [], 0
        for count in found.counts:
            kept = group(found.rows[start : start + count], values.__getitem__, call)
            rows += kept
            counts.append(len(kept))
            start += count
        columns = found.columns
        if field not in fields and "*" not in fields:
            columns = [column for column in columns if column.field_name != field]
        return _only(dataclasses.replace(found, columns=columns), rows, counts)

    def _check_grouping(self, record: CollectionRecord, name: str) -> None:
        entry = record.spec.field_named(name)
        if entry is None:
            raise ApiError(1700, f"groupBy field not found in schema: field not found[field={name}]")
        if entry.type not in _GROUPED:
            raise unexpected(f"data type {entry.type} of field {name} is not supported for group by")

    def _search_request(self, record: CollectionRecord, call: SearchCall, metric: str) -> Any:
        # The engine has no approximate sparse search, and refuses the parameter that would allow one.
        tuning = {key: value for key, value in call.params.items() if not key.startswith("drop_ratio")}
        call = dataclasses.replace(
            call,
            metric=metric,
            filter=unchain(call.filter),
            params=tuning,
            # Without any the engine gives all fields; the key is part of every answer anyway.
            output_fields=call.output_fields or [record.spec.primary.name],
        )
        return search_request(record.database, record.name, call)

    # --- checks ---

    def _readable(self, record: CollectionRecord, partitions: list[str]) -> list[str]:
        """The partitions to read, none for all."""
        if not record.loaded:
            raise collection_not_loaded(record.database, record.name)
        self._check_partitions(record, partitions)
        for name in partitions:
            if record.loaded_partitions and name not in record.loaded_partitions:
                raise partition_not_loaded(name)
        return partitions or record.loaded_partitions

    def _output(self, record: CollectionRecord, names: list[str]) -> list[str]:
        """The fields to ask the engine for: all of them for ``*``, apart from what functions fill, as on Milvus."""
        made = {entry.name for entry in record.spec.fields if entry.is_function_output}
        for name in names:
            if name in made:
                raise invalid(f"not allowed to retrieve raw data of field {name}")
            if name != "*" and not record.spec.dynamic and record.spec.field_named(name) is None:
                raise unexpected(f"field {name} not exist")
        if "*" not in names or not made:
            return names
        dynamic = ["$meta"] if record.spec.dynamic else []
        return [entry.name for entry in record.spec.fields if entry.name not in made] + dynamic

    def _guarded(self, method: str, request: Any, record: CollectionRecord, filter: str) -> Any:
        """Call the engine; what it cannot make of a filter is refused as Milvus would."""
        try:
            return self._rpc(method, request, record.database)
        except ApiError as error:
            if error.code == 1100 and filter:
                raise invalid(
                    f"failed to create query plan: cannot parse expression: {filter}, error: {error.message}"
                ) from error
            raise


def check_window(limit: int, offset: int, what: str = "limit") -> None:
    if not 1 <= limit <= _WINDOW:
        raise unexpected(f"{what} [{limit}] is invalid, it should be in range [1, {_WINDOW}], but got {limit}")
    if not 0 <= offset <= _WINDOW:
        raise unexpected(f"offset [{offset}] is invalid, it should be in range [0, {_WINDOW}], but got {offset}")
    if limit + offset > _WINDOW:
        raise unexpected(
            f"invalid max query result window, (offset+limit) should be in range [1, {_WINDOW}], "
            f"but got {limit + offset}"
        )


def _check_range(metric: str, params: dict[str, Any]) -> bool:
    """Whether a search is one of a range of distances, which then must be one."""
    bounds = {key: params[key] for key in ("radius", "range_filter") if key in params}
    for key, value in bounds.items():
        if type(value) not in (int, float):
            raise invalid(f"{key} should be a number, but got {value!r:.60}")
    if len(bounds) == 2:
        radius, inner = bounds["radius"], bounds["range_filter"]
        if metric == "L2" and inner >= radius:
            raise invalid(f"range_filter({inner}) must be less than radius({radius})")
        if metric != "L2" and inner <= radius:
            raise invalid(f"range_filter({inner}) must be greater than radius({radius})")
    return bool(bounds)


def _cut(found: Found, offset: int, limit: int) -> Found:
    """Of the hits of each query vector, those from ``offset`` on, ``limit`` at most."""
    rows, counts, start = [], [], 0
    for count in found.counts:
        kept = found.rows[start : start + count][offset : offset + limit]
        rows += kept
        counts.append(len(kept))
        start += count
    return _only(found, rows, counts)


def _only(found: Found, rows: list[int], counts: list[int]) -> Found:
    ids: Any = [found.ids[row] for row in rows]
    scores = [found.scores[row] for row in rows]
    return dataclasses.replace(found, ids=ids, scores=scores, rows=rows, counts=counts)


def _check_lengths(record: CollectionRecord, column: Any) -> None:
    entry = record.spec.field_named(column.field_name)
    if entry is None:
        return
    scalars = column.scalars
    if entry.type == "JSON" and any(raw[:1] not in b"{[" for raw in scalars.json_data.data):
        raise invalid(f"this local server's engine, Milvus Lite, takes JSON objects and arrays only ({entry.name})")
    if entry.type == "VarChar":
        _check_strings(entry.name, int(entry.params["max_length"]), scalars.string_data.data)
    elif entry.type == "Array":
        capacity = int(entry.params["max_capacity"])
        for item in scalars.array_data.data:
            kind = item.WhichOneof("data")
            length = len(getattr(item, kind).data) if kind else 0
            if length > capacity:
                raise invalid(f"the length ({length}) of array exceeds max capacity ({capacity}), field {entry.name}")
            if entry.element_type == "VarChar":
                _check_strings(entry.name, int(entry.params["max_length"]), item.string_data.data)


def _check_strings(name: str, most: int, values: Any) -> None:
    for row, value in enumerate(values):
        # Milvus counts bytes, the engine characters.
        if len(value) * 4 > most and len(value.encode()) > most:
            raise invalid(
                f"length of varchar field {name} exceeds max length, row number: {row}, "
                f"length: {len(value.encode())}, max length: {most}"
            )
