"""Rows of a Milvus: written, read, searched."""

from __future__ import annotations

import json
from typing import Any

from airflow_vectordb.local.engine.base import Found, HybridCall, SearchCall, Written
from airflow_vectordb.local.engine.messages import milvus_pb2, schema_pb2
from airflow_vectordb.local.engine.remote.parts import Parts
from airflow_vectordb.local.engine.requests import hybrid_request, ids_of, query_request, search_request, write_request

__all__ = ["Entities"]


class Entities(Parts):
    """The rows of the Milvus's collections."""

    # --- writing ---

    def insert(self, database: str, collection: str, partition: str, columns: list[Any], count: int) -> Written:
        request = write_request(milvus_pb2.InsertRequest, database, collection, partition, columns, count)
        answer = self._rpc("Insert", request)
        return Written(answer.insert_cnt, ids_of(answer.IDs))

    def upsert(
        self, database: str, collection: str, partition: str, columns: list[Any], count: int, *, partial: bool
    ) -> Written:
        more = {}
        if partial:
            self._need({"partial updates": (2, 6)})
            more = {"partial_update": True}
        request = write_request(milvus_pb2.UpsertRequest, database, collection, partition, columns, count, **more)
        answer = self._rpc("Upsert", request)
        return Written(answer.upsert_cnt, ids_of(answer.IDs))

    def delete(self, database: str, collection: str, partition: str, filter: str) -> int:
        request = milvus_pb2.DeleteRequest(
            db_name=database, collection_name=collection, partition_name=partition, expr=filter
        )
        answer: Any = self._in_database("Delete", request, database)
        return int(answer.delete_cnt)

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
        window = {} if limit is None else {"limit": str(limit), "offset": str(offset)}
        request = query_request(database, collection, filter, output_fields, partitions, window)
        return _asked(self._rpc("Query", request).fields_data, output_fields)

    def search(self, database: str, collection: str, call: SearchCall) -> Found:
        if call.grouping_field:
            self._need({"grouping": (2, 4)} | ({"group sizes": (2, 5)} if call.group_size > 1 else {}))
        return _found(self._rpc("Search", search_request(database, collection, call)), call.output_fields)

    def hybrid_search(self, database: str, collection: str, call: HybridCall) -> Found:
        self._need({"grouping": (2, 5)} if call.grouping_field else {})
        return _found(self._rpc("HybridSearch", hybrid_request(database, collection, call)), call.output_fields)


def _found(answer: Any, output_fields: list[str]) -> Found:
    results = answer.results
    ids = ids_of(results.ids)
    columns = _asked(results.fields_data, output_fields)
    return Found(ids, list(results.scores), columns, len(ids), list(range(len(ids))), list(results.topks))


def _asked(columns: Any, names: list[str]) -> list[Any]:
    """The columns of an answer, with the dynamic fields that were asked for only: a Milvus sends all of them."""
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
