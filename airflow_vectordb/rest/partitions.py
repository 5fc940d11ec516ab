"""Calls on ``/v2/vectordb/partitions``."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_vectordb.rest.http.call import Call, build_body, parse_names, parse_none


def list_(collection: str, *, database: str | None = None) -> Call[list[str]]:
    """
    List the names of a collection's partitions.

    :param collection: name of the collection
    :param database: its database; None: the configured one
    """
    return Call("partitions/list", build_body(database, collectionName=collection), parse_names)


def load(collection: str, partitions: Sequence[str], *, database: str | None = None) -> Call[None]:
    """
    Load partitions into memory, so that they can be searched. The call returns before they are loaded.

    :param collection: name of the collection
    :param partitions: names of the partitions, at least one
    :param database: its database; None: the configured one
    """
    body = build_body(database, collectionName=collection, partitionNames=list(partitions))
    return Call("partitions/load", body, parse_none)


def release(collection: str, partitions: Sequence[str], *, database: str | None = None) -> Call[None]:
    """
    Take partitions out of memory. The call returns before they are released.

    :param collection: name of the collection
    :param partitions: names of the partitions, at least one
    :param database: its database; None: the configured one
    """
    body = build_body(database, collectionName=collection, partitionNames=list(partitions))
    return Call("partitions/release", body, parse_none)


__all__ = ["list_", "load", "release"]
