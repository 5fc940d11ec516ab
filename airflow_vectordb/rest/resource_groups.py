"""Calls on ``/v2/vectordb/resource_groups``: query nodes reserved for some collections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_vectordb.rest.http.call import Call, build_body, parse_names, parse_none


def create(name: str, *, config: Mapping[str, Any] | None = None) -> Call[None]:
    """
    Create a resource group, with a ``config`` as ``{"requests": {"node_num": 1}, "limits": {"node_num": 2}}``.

    It fails if another one of that name exists, so the call is not retried.
    """
    return Call("resource_groups/create", build_body(name=name, config=config), parse_none, idempotent=False)


def alter(configs: Mapping[str, Mapping[str, Any]]) -> Call[None]:
    """Set the configuration of resource groups, by name, each as ``config`` of :func:`create`."""
    body = build_body(resource_groups={name: dict(config) for name, config in configs.items()})
    return Call("resource_groups/alter", body, parse_none)


def describe(name: str) -> Call[dict[str, Any]]:
    """Describe a resource group, as the server spells it."""
    return Call("resource_groups/describe", build_body(name=name), lambda a: dict(a.data))


def list_() -> Call[list[str]]:
    """List the names of all resource groups."""
    return Call("resource_groups/list", build_body(), parse_names)


def drop(name: str) -> Call[None]:
    """Drop a resource group, which must have no nodes."""
    return Call("resource_groups/drop", build_body(name=name), parse_none)


def transfer_replica(
    source: str, target: str, collection: str, replicas: int, *, database: str | None = None
) -> Call[None]:
    """Move so many replicas of a collection to another group. A second call moves more, so it is not retried."""
    body = build_body(
        database, sourceRgName=source, targetRgName=target, collectionName=collection, replicaNum=replicas
    )
    return Call("resource_groups/transfer_replica", body, parse_none, idempotent=False)
