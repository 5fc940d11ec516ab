"""Collections as the server describes them."""

from __future__ import annotations

from typing import Any

from airflow_vectordb.rest import entities
from airflow_vectordb.rest.collections import Collection, Field, Function


def described(*fields: dict[str, Any], dynamic: bool = False, functions: tuple[Function, ...] = ()) -> Collection:
    """Make a collection as ``collections.describe`` returns it."""
    return Collection(
        "docs",
        tuple(
            Field(f["name"], f["type"], bool(f.get("primaryKey")), {p["key"]: p["value"] for p in f.get("params", ())})
            for f in fields
        ),
        functions=functions,
        enable_dynamic_field=dynamic,
        raw={"fields": list(fields)},
    )


def field(name: str, type: str, **more: Any) -> dict[str, Any]:
    """Make a field as Milvus 2.6.3 describes it; its parameters' values are texts."""
    params = [{"key": key, "value": str(more.pop(key))} for key in ("dim", "max_length", "max_capacity") if key in more]
    return {"name": name, "type": type, "nullable": False, "params": params, **more}


ID = field("id", "Int64", primaryKey=True)
AUTO_ID = field("id", "Int64", primaryKey=True, autoId=True)
TITLE = field("title", "VarChar", max_length=8)
VECTOR = field("vector", "FloatVector", dim=4)

DOCS = described(ID, TITLE, VECTOR)


def ids_in(hook: Any, name: str) -> list[int]:
    """Read all primary keys of a small collection."""
    query = entities.query(name, filter="id >= 0", output_fields=["id"], limit=16384)
    return sorted(row["id"] for row in hook.send(query))


def deeply_nested() -> list[Any]:
    """Return a list that has no repr: the limit of C code is the higher of Python's limits in 3.13."""
    nested: list[Any] = []
    for _ in range(12_000):
        nested = [nested]
    return nested
