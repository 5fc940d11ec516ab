"""Rows of a Milvus: written, queried, searched."""

from __future__ import annotations

import json
from typing import Any

from airflow_vectordb.local.engine.calls import HybridCall, QueryCall, SearchCall, SearchResult, Written
from airflow_vectordb.local.engine.messages import schema_pb2
from airflow_vectordb.local.engine.remote.backend import Part
from airflow_vectordb.local.engine.requests import hybrid_request, ids_of, query_request, search_request, write_fields


class Entities(Part):
    def insert(self, database: str, collection: str, partition: str, columns: list[Any], count: int) -> Written:
        answer = self._backend.call("Insert", **write_fields(database, collection, partition, columns, count))
        return Written(answer.insert_cnt, ids_of(answer.IDs))

    def upsert(
        self, database: str, collection: str, partition: str, columns: list[Any], count: int, *, partial: bool
    ) -> Written:
        fields = write_fields(database, collection, partition, columns, count)
        if partial:
            self._backend.require({"partial updates": (2, 6)})
            fields["partial_update"] = True
        answer = self._backend.call("Upsert", **fields)
        return Written(answer.upsert_cnt, ids_of(answer.IDs))

    def delete(self, database: str, collection: str, partition: str, filter: str) -> int:
        answer = self._backend.call_in(
            database, "Delete", collection_name=collection, partition_name=partition, expr=filter
        )
        return int(answer.delete_cnt)

    def query(self, database: str, collection: str, call: QueryCall) -> list[Any]:
        answer = self._backend.send("Query", query_request(database, collection, call))
        return _asked(answer.fields_data, call.output_fields)


class Searches(Part):
    def search(self, database: str, collection: str, call: SearchCall) -> SearchResult:
        if call.grouping_field:
            self._backend.require({"grouping": (2, 4)} | ({"group sizes": (2, 5)} if call.group_size > 1 else {}))
        return _result(self._backend.send("Search", search_request(database, collection, call)), call.output_fields)

    def hybrid_search(self, database: str, collection: str, call: HybridCall) -> SearchResult:
        self._backend.require({"grouping": (2, 5)} if call.grouping_field else {})
        answer = self._backend.send("HybridSearch", hybrid_request(database, collection, call))
        return _result(answer, call.output_fields)


def _result(answer: Any, output_fields: list[str]) -> SearchResult:
    results = answer.results
    ids = ids_of(results.ids)
    columns = _asked(results.fields_data, output_fields)
    return SearchResult(ids, list(results.scores), columns, len(ids), list(range(len(ids))), list(results.topks))


def _asked(columns: Any, names: list[str]) -> list[Any]:
    """Return the columns of an answer, with the dynamic fields that were asked for only: a Milvus sends all of them."""
    if "*" in names or "$meta" in names:
        return list(columns)
    wanted = set(names)
    return [_narrowed(column, wanted) if column.is_dynamic else column for column in columns]


def _narrowed(column: Any, wanted: set[str]) -> Any:
    narrowed = schema_pb2.FieldData()
    narrowed.CopyFrom(column)
    del narrowed.scalars.json_data.data[:]
    for raw in column.scalars.json_data.data:
        row = {key: value for key, value in json.loads(raw).items() if key in wanted}
        narrowed.scalars.json_data.data.append(json.dumps(row).encode())
    return narrowed
