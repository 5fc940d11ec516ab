"""Fields and functions of a Milvus's collections.

All by calls that came with later versions: one that a Milvus does not know is refused by its name, and nothing is done.
"""

from __future__ import annotations

from airflow_vectordb.local.engine.model import FieldSpec, FunctionSpec
from airflow_vectordb.local.engine.remote.backend import Part
from airflow_vectordb.local.engine.requests import pairs
from airflow_vectordb.local.engine.schema import field_message, function_message


class Schemas(Part):
    def add_field(self, database: str, collection: str, field: FieldSpec) -> None:
        schema = field_message(field, engine_makes_ids=True).SerializeToString()
        self._backend.call_in(database, "AddCollectionField", collection_name=collection, schema=schema)

    def alter_field(self, database: str, collection: str, field: str, params: dict[str, str]) -> None:
        self._backend.call_in(
            database, "AlterCollectionField", collection_name=collection, field_name=field, properties=pairs(params)
        )

    def add_function(self, database: str, collection: str, function: FunctionSpec) -> None:
        self._backend.call_in(
            database, "AddCollectionFunction", collection_name=collection, functionSchema=function_message(function)
        )

    def alter_function(self, database: str, collection: str, name: str, function: FunctionSpec) -> None:
        self._backend.call_in(
            database,
            "AlterCollectionFunction",
            collection_name=collection,
            function_name=name,
            functionSchema=function_message(function),
        )

    def drop_function(self, database: str, collection: str, name: str) -> None:
        self._backend.call_in(database, "DropCollectionFunction", collection_name=collection, function_name=name)
