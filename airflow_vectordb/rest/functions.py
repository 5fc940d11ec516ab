"""Calls on the functions of a collection (Milvus 3.0); None as ``database`` is the configured one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_vectordb.rest.http.call import Call, build_body, parse_none


def add(collection: str, function: Mapping[str, Any], *, database: str | None = None) -> Call[None]:
    """
    Add a function. It fails if the function exists, so the call is not retried.

    :param function: ``{"name", "type", "inputFieldNames", "outputFieldNames", "params"}``
    """
    body = build_body(database, collectionName=collection, function=dict(function))
    return Call("collections/add_function", body, parse_none, idempotent=False)


def alter(collection: str, name: str, function: Mapping[str, Any], *, database: str | None = None) -> Call[None]:
    """Alter a function: ``function`` is the whole definition, as for :func:`add`."""
    body = build_body(database, collectionName=collection, functionName=name, function=dict(function))
    return Call("collections/alter_function", body, parse_none)


def drop(collection: str, name: str, *, database: str | None = None) -> Call[None]:
    """Drop a function of a collection. It fails if there is none, so the call is not retried."""
    body = build_body(database, collectionName=collection, FunctionName=name)
    return Call("collections/drop_function", body, parse_none, idempotent=False)
