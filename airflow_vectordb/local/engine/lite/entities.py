"""Rows over Milvus Lite: written, deleted, queried."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from airflow_vectordb.local.engine.calls import COUNT, QueryCall, Written
from airflow_vectordb.local.engine.lite.catalog import CollectionRecord
from airflow_vectordb.local.engine.lite.filters import count_keys, unchain
from airflow_vectordb.local.engine.lite.reading import check_query_window, key_values, output_fields, readable
from airflow_vectordb.local.engine.lite.store import Part, check_partitions
from airflow_vectordb.local.engine.literals import literal
from airflow_vectordb.local.engine.messages import milvus_pb2, schema_pb2
from airflow_vectordb.local.engine.model import TYPE_NUMBERS
from airflow_vectordb.local.engine.requests import ids_of, write_fields
from airflow_vectordb.local.errors import collection_not_loaded, invalid, unexpected


class Entities(Part):
    # --- writing ---

    def insert(self, database: str, collection: str, partition: str, columns: list[Any], count: int) -> Written:
        with self._store.writing(database, collection) as record:
            return self.write(record, "Insert", self.insert_request(record, partition, columns, count))

    def upsert(
        self, database: str, collection: str, partition: str, columns: list[Any], count: int, *, partial: bool
    ) -> Written:
        with self._store.writing(database, collection) as record:
            if not partial:
                # The engine's Upsert keeps what the new row does not mention; its Insert replaces the row.
                return self.write(record, "Insert", self.insert_request(record, partition, columns, count))
            fields = _checked(record, partition, columns, count)
            return self.write(record, "Upsert", milvus_pb2.UpsertRequest(**fields))

    def insert_request(self, record: CollectionRecord, partition: str, columns: list[Any], count: int) -> Any:
        """Return a request to insert rows, each of which has its id.

        :raises ApiError: when they do not fit.
        """
        primary = record.spec.primary
        if primary.auto_id and not any(column.field_name == primary.name for column in columns):
            columns = [self._made_ids(record, count), *columns]
        return milvus_pb2.InsertRequest(**_checked(record, partition, columns, count))

    def _made_ids(self, record: CollectionRecord, count: int) -> Any:
        primary = record.spec.primary
        column = schema_pb2.FieldData(field_name=primary.name, type=TYPE_NUMBERS[primary.type])
        ids = self._catalog.ids(count)
        if primary.type == "VarChar":
            column.scalars.string_data.data.extend(str(value) for value in ids)
        else:
            column.scalars.long_data.data.extend(ids)
        return column

    def write(self, record: CollectionRecord, method: str, request: Any) -> Written:
        """Send rows to the engine; see :meth:`.Driver.write`."""
        self._store.unflushed.add(record.id)
        ids = ids_of(self._driver.write(record, method, request))
        return Written(len(ids), ids)

    def delete(self, database: str, collection: str, partition: str, filter: str) -> int:
        with self._store.writing(database, collection) as record:
            check_partitions(record, [partition] if partition else [])
            primary = record.spec.primary.name
            # As Milvus does, count keys that are listed whether there are such rows or not.
            count = count_keys(filter, primary)
            if count is None and not record.loaded:
                raise collection_not_loaded(database, record.name)
            expression = unchain(filter)
            if partition:
                # The engine deletes what the filter matches in any partition.
                keys = self._keys_in(record, filter, partition)
                count = len(keys) if count is None else count
                if not keys:
                    return count
                expression = f"{primary} in [{', '.join(map(literal, keys))}]"
            elif count is None:
                count = len(self._keys(record, filter, []))
            if count:
                self._store.unflushed.add(record.id)
                self._driver.delete(record, filter, expression, partition)
            return count

    def _keys_in(self, record: CollectionRecord, filter: str, partition: str) -> list[Any]:
        if record.loaded:
            return self._keys(record, filter, [partition])
        self._driver.load(record)
        try:
            return self._keys(record, filter, [partition])
        finally:
            self._driver.release(record)

    def _keys(self, record: CollectionRecord, filter: str, partitions: list[str]) -> list[Any]:
        """Return the primary keys of the rows that a filter matches."""
        return key_values(record, self._driver.query(record, QueryCall(filter, [record.spec.primary.name], partitions)))

    # --- querying ---

    def query(self, database: str, collection: str, call: QueryCall) -> list[Any]:
        with self._store.reading(database, collection) as record:
            call = dataclasses.replace(call, partitions=readable(record, call.partitions))
            if COUNT in call.output_fields:
                return [self._count(record, call)]
            call = dataclasses.replace(call, output_fields=output_fields(record, call.output_fields))
            if call.limit is not None:
                check_query_window(call.limit, call.offset)
            # "iterator" has the engine sort by key, as Milvus does, and respect limit and offset for "key in […]" too.
            return self._driver.query(record, call, iterator="True")

    def _count(self, record: CollectionRecord, call: QueryCall) -> Any:
        if len(call.output_fields) > 1:
            raise unexpected("count entities with other fields is not allowed")
        column = schema_pb2.FieldData(field_name=COUNT, type=TYPE_NUMBERS["Int64"])
        if call.filter or call.partitions:
            count = len(self._keys(record, call.filter, call.partitions))
        else:
            count = self._driver.live_rows(record)
        column.scalars.long_data.data.append(count)
        return column


def _checked(record: CollectionRecord, partition: str, columns: list[Any], count: int) -> dict[str, Any]:
    """Return the fields of a request to write rows that fit."""
    check_partitions(record, [partition] if partition else [])
    for column in columns:
        _check_lengths(record, column)
    return write_fields(record.database, record.name, partition, columns, count)


def _check_lengths(record: CollectionRecord, column: Any) -> None:
    entry = record.spec.field_named(column.field_name)
    if entry is None:
        return
    scalars = column.scalars
    if entry.type == "JSON" and any(raw[:1] not in b"{[" for raw in scalars.json_data.data):
        # The engine breaks on bare numbers and the like, but keeps texts, and gives them back without quotes.
        scalars.json_data.data[:] = [
            raw if raw[:1] in b"{[" else json.dumps(raw.decode()).encode() for raw in scalars.json_data.data
        ]
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
