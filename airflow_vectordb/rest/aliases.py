"""Calls on ``/v2/vectordb/aliases``. ``database`` is the collection's; None: the configured one."""

from __future__ import annotations

from airflow_vectordb.rest.http.call import Call, build_body, parse_name, parse_names, parse_none


def create(alias: str, collection: str, *, database: str | None = None) -> Call[None]:
    """Create an alias of a collection. It fails with code 1602 if the alias exists, so the call is not retried."""
    body = build_body(database, aliasName=alias, collectionName=collection)
    return Call("aliases/create", body, parse_none, idempotent=False)


def alter(alias: str, collection: str, *, database: str | None = None) -> Call[None]:
    """Move an alias, which must exist, to another collection, atomically."""
    return Call("aliases/alter", build_body(database, aliasName=alias, collectionName=collection), parse_none)


def describe(alias: str, *, database: str | None = None) -> Call[str]:
    """Return the name of the collection that an alias points to."""
    return Call("aliases/describe", build_body(database, aliasName=alias), parse_name("collectionName"))


def list_(collection: str | None = None, *, database: str | None = None) -> Call[list[str]]:
    """List the aliases of a collection; None: those of the whole database."""
    return Call("aliases/list", build_body(database, collectionName=collection), parse_names)


def drop(alias: str, *, database: str | None = None) -> Call[None]:
    """Drop an alias; the collection stays."""
    return Call("aliases/drop", build_body(database, aliasName=alias), parse_none)
