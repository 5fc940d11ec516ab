"""Calls on ``/v2/vectordb/indexes``.

The collection may be given by an alias. ``database`` is the collection's; None: the configured one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_vectordb.rest.errors import IndexNotFoundError
from airflow_vectordb.rest.http.call import Answer, Call, build_body, parse_names, parse_none
from airflow_vectordb.rest.index.description import BuildState, IndexDescription, parse_description
from airflow_vectordb.rest.lists import as_list, as_mapping

if TYPE_CHECKING:
    from airflow_vectordb.rest.index.spec import IndexSpec

D = TypeVar("D", BuildState, IndexDescription)


def create(
    collection: str, specs: Sequence[IndexSpec], *, type_in_params: bool = True, database: str | None = None
) -> Call[None]:
    """
    Create indexes, at least one. The call returns before anything is built.

    Creating an identical index again is a no-op, so the call may be repeated. The server works through the list in
    order and stops at the first error: what came before it stays created.

    :param type_in_params: see :meth:`~airflow_vectordb.rest.index.spec.IndexSpec.body`
    """
    items = [spec.body(type_in_params=type_in_params) for spec in as_list("specs", specs, "specs")]
    return Call("indexes/create", build_body(database, collectionName=collection, indexParams=items), parse_none)


def describe(collection: str, index_name: str, *, database: str | None = None) -> Call[list[IndexDescription]]:
    """
    Describe an index: a list of one, unless a server has several of that name.

    :raises IndexNotFoundError: when the call is sent and there is no such index
    """
    body = build_body(database, collectionName=collection, indexName=index_name)
    return Call("indexes/describe", body, partial(read_named, parse_description, index_name))


def read_named(parse: Callable[[Mapping[str, Any]], D], index_name: str, answer: Answer) -> list[D]:
    """Read the descriptions of one index, each with ``parse``."""
    # The answer is a list; for an unknown name, some engines return all indexes.
    found = [d for d in map(parse, answer.data) if d.index_name == index_name]
    if not found:
        raise IndexNotFoundError(f"the server describes no index {index_name!r}")
    return found


def list_(collection: str, *, database: str | None = None) -> Call[list[str]]:
    """List the names of a collection's indexes."""
    return Call("indexes/list", build_body(database, collectionName=collection), parse_names)


def alter_properties(
    collection: str, index_name: str, properties: Mapping[str, Any], *, database: str | None = None
) -> Call[None]:
    """Set properties (not build parameters), as ``{"mmap.enabled": True}``. The collection must be released."""
    values = as_mapping("properties", properties, '{"mmap.enabled": true}')
    body = build_body(database, collectionName=collection, indexName=index_name, properties=values)
    return Call("indexes/alter_properties", body, parse_none)


def drop_properties(
    collection: str, index_name: str, keys: Sequence[str], *, database: str | None = None
) -> Call[None]:
    """Reset properties, as ``["mmap.enabled"]``, to their defaults. The collection must be released."""
    body = build_body(database, collectionName=collection, indexName=index_name, propertyKeys=as_list("keys", keys))
    return Call("indexes/drop_properties", body, parse_none)


def drop(collection: str, index_name: str, *, database: str | None = None) -> Call[None]:
    """Drop an index. A vector index of a loaded collection cannot be dropped: release the collection first."""
    return Call("indexes/drop", build_body(database, collectionName=collection, indexName=index_name), parse_none)


__all__ = ["IndexDescription", "alter_properties", "create", "describe", "drop", "drop_properties", "list_"]
