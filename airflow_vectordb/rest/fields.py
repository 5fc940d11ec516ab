"""Calls on ``/v2/vectordb/collections/fields``. ``database`` is the collection's; None: the configured one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_vectordb.rest.http.call import Call, build_body, parse_none
from airflow_vectordb.rest.lists import as_mapping

_FIELD = '{"fieldName": "lang", "dataType": "VarChar", "nullable": true}'


def add(collection: str, field: Mapping[str, Any], *, database: str | None = None) -> Call[None]:
    """
    Add a field to a collection (Milvus 2.6). It fails if the field exists, so the call is not repeated.

    :param field: ``{"fieldName": "lang", "dataType": "VarChar", "nullable": True, "elementTypeParams":
        {"max_length": 8}}``; it must be nullable: the rows that exist have null
    """
    body = build_body(database, collectionName=collection, schema=as_mapping("field", field, _FIELD))
    return Call("collections/fields/add", body, parse_none, idempotent=False)


def alter_properties(
    collection: str, field_name: str, params: Mapping[str, Any], *, database: str | None = None
) -> Call[None]:
    """Set ``max_length``, ``max_capacity`` or ``mmap.enabled`` of a field, for example ``{"max_length": 512}``."""
    values = as_mapping("params", params, '{"max_length": 512}')
    body = build_body(database, collectionName=collection, fieldName=field_name, fieldParams=values)
    return Call("collections/fields/alter_properties", body, parse_none)
