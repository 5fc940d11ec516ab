"""Calls on ``/v2/vectordb/databases``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_vectordb.rest.call import Call, body_of, names, nothing


def create(name: str, *, properties: Mapping[str, Any] | None = None) -> Call[None]:
    """
    Create a database. Fails if it exists, so that a repeated call could fail on its own work.

    :param name: name of the database
    :param properties: as ``{"database.max.collections": 10}``
    """
    return Call("databases/create", body_of(name, properties=properties), nothing, repeatable=False)


def describe(name: str) -> Call[dict[str, Any]]:
    """
    Describe a database.

    :param name: name of the database
    """
    return Call("databases/describe", body_of(name), lambda a: dict(a.data))


def list_() -> Call[list[str]]:
    """List the names of all databases."""
    # Any database will do here, and the endpoint's own need not exist: the list is asked for when one is missing.
    return Call("databases/list", body_of("default"), names)


def drop(name: str) -> Call[None]:
    """
    Drop a database, which must be empty. Dropping one that is not there is a no-op.

    :param name: name of the database
    """
    return Call("databases/drop", body_of(name), nothing)


__all__ = ["create", "describe", "drop", "list_"]
