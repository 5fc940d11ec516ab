"""Calls on ``/v2/vectordb/partitions``. ``database`` is the collection's; None: the configured one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from airflow_vectordb.rest.http.call import Call, build_body, parse_names, parse_none
from airflow_vectordb.rest.lists import as_list


def create(collection: str, partition: str, *, database: str | None = None) -> Call[None]:
    """Create a partition. Creating one that exists is a no-op."""
    return Call("partitions/create", _named(collection, partition, database), parse_none)


def drop(collection: str, partition: str, *, database: str | None = None) -> Call[None]:
    """Drop a partition with its rows. It must be released. Dropping one that does not exist is a no-op."""
    return Call("partitions/drop", _named(collection, partition, database), parse_none)


def has(collection: str, partition: str, *, database: str | None = None) -> Call[bool]:
    """Return whether a partition exists."""
    return Call("partitions/has", _named(collection, partition, database), lambda a: bool(a.data["has"]))


def row_count(collection: str, partition: str, *, database: str | None = None) -> Call[int]:
    """Return the number of flushed rows of a partition (``partitions/get_stats``)."""
    return Call("partitions/get_stats", _named(collection, partition, database), lambda a: int(a.data["rowCount"]))


def list_(collection: str, *, database: str | None = None) -> Call[list[str]]:
    """List the names of a collection's partitions."""
    return Call("partitions/list", build_body(database, collectionName=collection), parse_names)


def load(collection: str, partitions: Sequence[str], *, database: str | None = None) -> Call[None]:
    """Load partitions, at least one, so that they can be searched. The call returns before they are loaded."""
    body = build_body(database, collectionName=collection, partitionNames=as_list("partitions", partitions))
    return Call("partitions/load", body, parse_none)


def release(collection: str, partitions: Sequence[str], *, database: str | None = None) -> Call[None]:
    """Release partitions, at least one, from memory. The call returns before they are released."""
    body = build_body(database, collectionName=collection, partitionNames=as_list("partitions", partitions))
    return Call("partitions/release", body, parse_none)


def _named(collection: str, partition: str, database: str | None) -> dict[str, Any]:
    return build_body(database, collectionName=collection, partitionName=partition)
