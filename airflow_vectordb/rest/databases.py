"""
Calls on ``/v2/vectordb/databases``.

The name is sent even if it is None, which Milvus refuses: otherwise, it would be the connection's database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_vectordb.rest import DEFAULT_DATABASE
from airflow_vectordb.rest.http.call import Call, build_body, parse_names, parse_none, property_values
from airflow_vectordb.rest.lists import as_list, as_mapping

_PROPERTIES = '{"database.max.collections": 10}'


def create(name: str, *, properties: Mapping[str, Any] | None = None) -> Call[None]:
    """
    Create a database, with properties, for example ``{"database.max.collections": 10}``.

    It fails if the database exists, so the call is not retried.
    """
    values = None if properties is None else property_values(as_mapping("properties", properties, _PROPERTIES))
    return Call("databases/create", {"dbName": name, **build_body(properties=values)}, parse_none, idempotent=False)


def describe(name: str) -> Call[dict[str, Any]]:
    """Describe a database."""
    return Call("databases/describe", {"dbName": name}, lambda a: dict(a.data))


def alter_properties(name: str, properties: Mapping[str, Any]) -> Call[None]:
    """Set properties; others do not change. Milvus 2.6 also has the path ``databases/alter`` for this."""
    values = property_values(as_mapping("properties", properties, _PROPERTIES))
    return Call("databases/alter_properties", {"dbName": name, "properties": values}, parse_none)


def drop_properties(name: str, keys: Sequence[str]) -> Call[None]:
    """Reset properties, for example ``["database.max.collections"]``, to their defaults."""
    return Call("databases/drop_properties", {"dbName": name, "propertyKeys": as_list("keys", keys)}, parse_none)


def list_() -> Call[list[str]]:
    """List the names of all databases."""
    # Works in any database; the configured one may not exist, which is when the list is needed.
    return Call("databases/list", build_body(DEFAULT_DATABASE), parse_names)


def drop(name: str) -> Call[None]:
    """Drop a database, which must be empty. Dropping one that does not exist is a no-op."""
    return Call("databases/drop", {"dbName": name}, parse_none)
