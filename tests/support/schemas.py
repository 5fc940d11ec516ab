"""A schema, as a task is given it, and as a server describes a collection that has it."""

from __future__ import annotations

from typing import Any

from airflow_vectordb.rest import collections
from airflow_vectordb.rest.http.call import Answer
from airflow_vectordb.rest.schema.parsing import parse_schema

ID = {"fieldName": "id", "dataType": "Int64", "isPrimary": True}
TITLE = {"fieldName": "title", "dataType": "VarChar", "elementTypeParams": {"max_length": 256}}
VECTOR = {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 8}}
DOCS = {"autoID": False, "enableDynamicField": False, "fields": [ID, TITLE, VECTOR]}


def with_fields(*fields: Any, **more: Any) -> dict[str, Any]:
    """Make a schema with more fields than a key and a vector."""
    return {"fields": [ID, VECTOR, *fields], **more}


def described(schema: dict[str, Any] | None = None, **more: Any) -> collections.Collection:
    """What Milvus 2.6.3 describes of a collection."""
    spec = parse_schema(schema or DOCS)
    fields = [
        {
            "name": field.name,
            "id": 100 + number,
            "type": field.type,
            "primaryKey": field.is_primary,
            "partitionKey": field.is_partition_key,
            "clusteringKey": field.is_clustering_key,
            "autoId": field.is_primary and spec.auto_id,
            "nullable": field.nullable,
            "description": "",
            **({"elementType": field.element_type} if field.element_type else {}),
            **({"params": [{"key": k, "value": str(v)} for k, v in field.params.items()]} if field.params else {}),
            **({"defaultValue": {"Data": {"LongData": field.default}}} if field.default is not None else {}),
        }
        for number, field in enumerate(spec.fields)
    ]
    functions = [function.body() for function in spec.functions]
    data = {
        "collectionName": "docs",
        "collectionID": 1,
        "aliases": [],
        "autoId": spec.auto_id,
        "description": "",
        "fields": fields,
        "functions": functions,
        "indexes": [],
        "load": "LoadStateNotLoad",
        "shardsNum": 1,
        "enableDynamicField": spec.enable_dynamic_field,
        "properties": [],
        "consistencyLevel": "Bounded",
        **more,
    }
    return collections.describe("docs").read(Answer(data, {}))
