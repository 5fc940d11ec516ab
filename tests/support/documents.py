"""A collection of documents, each of several rows."""

from __future__ import annotations

from typing import Any

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.rest import collections, entities

FLAT = {"fieldName": "vector", "indexName": "vector", "metricType": "L2", "indexType": "FLAT", "params": {}}


def field(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"fieldName": name, "dataType": kind, **more}


ID = field("id", "Int64", isPrimary=True)
DOC = field("doc", "VarChar", elementTypeParams={"max_length": 20})
VECTOR = field("vector", "FloatVector", elementTypeParams={"dim": 2})


def make(hook: MilvusHook, *fields: dict[str, Any], auto_id: bool = False, name: str = "docs") -> None:
    schema = {"autoID": auto_id, "fields": list(fields or (ID, DOC, VECTOR))}
    hook.send(collections.create(name, schema=schema, index_params=[FLAT]))


def rows(*documents: tuple[str, int], version: float = 0, auto_id: bool = False) -> list[dict[str, Any]]:
    found = [{"doc": name, "vector": [version, number]} for name, count in documents for number in range(count)]
    return found if auto_id else [{"id": hash_of(row), **row} for row in found]


def hash_of(row: dict[str, Any]) -> int:
    return int.from_bytes(f"{row['doc']}{row['vector'][1]}".encode(), "big")


def there(hook: MilvusHook, name: str = "docs") -> dict[str, list[list[float]]]:
    """Return the vectors of each document."""
    query = entities.query(name, filter="doc != ''", output_fields=["doc", "vector"], limit=1000)
    found: dict[str, list[list[float]]] = {}
    for row in hook.send(query):
        found.setdefault(row["doc"], []).append(row["vector"])
    return {name: sorted(vectors) for name, vectors in sorted(found.items())}
