"""Changes to collections of a Milvus that are there already: emptied, and with other fields and functions.

All by calls that came with later versions: one that a Milvus does not know is refused by its name, and nothing is done.
"""

from __future__ import annotations

from airflow_vectordb.local.engine.messages import milvus_pb2
from airflow_vectordb.local.engine.model import FieldSpec, FunctionSpec
from airflow_vectordb.local.engine.remote.collections import Collections
from airflow_vectordb.local.engine.requests import pairs
from airflow_vectordb.local.engine.schema import field_message, function_message

__all__ = ["Alterations"]


class Alterations(Collections):
    """What can be changed of the Milvus's collections."""

    def truncate_collection(self, database: str, name: str) -> None:
        request = milvus_pb2.TruncateCollectionRequest(db_name=database, collection_name=name)
        self._in_database("TruncateCollection", request, database)

    def alter_field(self, database: str, collection: str, field: str, params: dict[str, str]) -> None:
        request = milvus_pb2.AlterCollectionFieldRequest(
            db_name=database, collection_name=collection, field_name=field, properties=pairs(params)
        )
        self._in_database("AlterCollectionField", request, database)

    def add_field(self, database: str, collection: str, field: FieldSpec) -> None:
        request = milvus_pb2.AddCollectionFieldRequest(
            db_name=database,
            collection_name=collection,
            schema=field_message(field, engine_makes_ids=True).SerializeToString(),
        )
        self._in_database("AddCollectionField", request, database)

    def add_function(self, database: str, collection: str, function: FunctionSpec) -> None:
        request = milvus_pb2.AddCollectionFunctionRequest(
            db_name=database, collection_name=collection, functionSchema=function_message(function)
        )
        self._in_database("AddCollectionFunction", request, database)

    def alter_function(self, database: str, collection: str, name: str, function: FunctionSpec) -> None:
        request = milvus_pb2.AlterCollectionFunctionRequest(
            db_name=database, collection_name=collection, function_name=name, functionSchema=function_message(function)
        )
        self._in_database("AlterCollectionFunction", request, database)

    def drop_function(self, database: str, collection: str, name: str) -> None:
        request = milvus_pb2.DropCollectionFunctionRequest(
            db_name=database, collection_name=collection, function_name=name
        )
        self._in_database("DropCollectionFunction", request, database)
