"""Calls on ``/v2/vectordb/collections``. ``database`` is the collection's; None: the configured one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from airflow_vectordb.rest.http.call import Answer, Call, build_body, parse_names, parse_none, property_values
from airflow_vectordb.rest.lists import as_list, as_list_or_none, as_mapping
from airflow_vectordb.rest.result import Result

#: Types of primary keys.
IdType = Literal["Int64", "VarChar"]

_NOT_LOADED = re.compile(r"\bnot (?:been )?(?:loaded|found)\b|\bnot exist\b|n't exist\b", re.IGNORECASE)


@dataclass(frozen=True)
class Field(Result):
    """A field of a schema; ``params``, for example ``{"dim": "64"}``, has the values as the server spells them."""

    name: str
    type: str
    is_primary: bool = False
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Function(Result):
    """A function, for example of type ``BM25``, that fills ``output_fields`` from other fields."""

    name: str
    type: str
    output_fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Collection(Result):
    """
    A collection as the server describes it.

    :param name: the name that it was asked for by: of an alias, Milvus 2.6 says the alias
    :param load: ``LoadStateNotLoad``, ``LoadStateLoading`` or ``LoadStateLoaded``
    :param enable_dynamic_field: whether rows may have fields that the schema does not name
    :param aliases: its aliases; None: the server does not list them
    :param raw: the whole description
    """

    name: str
    fields: tuple[Field, ...]
    functions: tuple[Function, ...] = ()
    load: str = ""
    enable_dynamic_field: bool = False
    aliases: tuple[str, ...] | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def identity(self) -> str:
        """Identifies the collection, even if another one gets its name later; the name, if the server reports no id."""
        return str(self.raw.get("collectionID") or self.name)


@dataclass(frozen=True)
class LoadState(Result):
    """
    The load state of a collection, or of some of its partitions.

    :param state: ``LoadStateNotExist``, ``LoadStateNotLoad``, ``LoadStateLoading`` or ``LoadStateLoaded``
    :param progress: percent; None when the server does not say
    :param message: why it is not loaded, in the server's words; empty if it does not say
    """

    state: str
    progress: int | None = None
    message: str = ""


def create(
    name: str,
    *,
    schema: Mapping[str, Any] | None = None,
    index_params: Sequence[Mapping[str, Any]] | None = None,
    dimension: int | None = None,
    metric_type: str | None = None,
    id_type: IdType | None = None,
    auto_id: bool | None = None,
    primary_field: str | None = None,
    vector_field: str | None = None,
    params: Mapping[str, Any] | None = None,
    description: str | None = None,
    database: str | None = None,
) -> Call[None]:
    """
    Create a collection, from a schema or by quick setup (``dimension`` alone suffices).

    Quick setup also creates an index on the vector field and loads the collection. With a schema, the server does so
    only if ``index_params`` are given. Creating an identical collection again is a no-op, so the call may be repeated.

    :param schema: ``{"autoID", "enableDynamicField", "fields": [{"fieldName", "dataType", "isPrimary",
        "elementTypeParams"}], "functions"}``
    :param index_params: indexes to create with it, in the API's own spelling
    :param dimension: quick setup, as are the next five: that of the vector field
    :param metric_type: of its index; the server's default is COSINE
    :param auto_id: whether the server makes the ids
    :param primary_field: name of the primary key; the server's default is ``id``
    :param vector_field: name of the vector field; the server's default is ``vector``
    :param params: further settings, for example ``{"shardsNum": 2, "consistencyLevel": "Strong"}``
    """
    body = build_body(
        database,
        collectionName=name,
        schema=schema,
        indexParams=as_list_or_none("index_params", index_params, "mappings"),
        dimension=dimension,
        metricType=metric_type,
        idType=id_type,
        autoID=auto_id,
        primaryFieldName=primary_field,
        vectorFieldName=vector_field,
        params=None if params is None else property_values(params),
        description=description,
    )
    return Call("collections/create", body, parse_none)


def describe(name: str, *, database: str | None = None) -> Call[Collection]:
    """Describe a collection, by its name or an alias."""
    return Call("collections/describe", build_body(database, collectionName=name), _collection)


def has(name: str, *, database: str | None = None) -> Call[bool]:
    """Return whether a collection exists."""
    return Call("collections/has", build_body(database, collectionName=name), lambda a: bool(a.data["has"]))


def list_(*, database: str | None = None) -> Call[list[str]]:
    """List the names of a database's collections."""
    return Call("collections/list", build_body(database), parse_names)


def drop(name: str, *, database: str | None = None) -> Call[None]:
    """Drop a collection. Dropping one that does not exist is a no-op."""
    return Call("collections/drop", build_body(database, collectionName=name), parse_none)


def rename(name: str, new_name: str, *, new_database: str | None = None, database: str | None = None) -> Call[None]:
    """Rename a collection (no alias), or move it to another database. A second call would fail: it is not retried."""
    body = build_body(database, collectionName=name, newCollectionName=new_name, newDbName=new_database)
    return Call("collections/rename", body, parse_none, idempotent=False)


def truncate(name: str, *, database: str | None = None) -> Call[None]:
    """Delete all rows of a collection; schema and indexes stay (Milvus 3.0)."""
    return Call("collections/truncate", build_body(database, collectionName=name), parse_none)


def alter_properties(name: str, properties: Mapping[str, Any], *, database: str | None = None) -> Call[None]:
    """Set properties, for example ``{"collection.ttl.seconds": 86400}``; others do not change."""
    values = as_mapping("properties", properties, '{"collection.ttl.seconds": 86400}')
    body = build_body(database, collectionName=name, properties=property_values(values))
    return Call("collections/alter_properties", body, parse_none)


def drop_properties(name: str, keys: Sequence[str], *, database: str | None = None) -> Call[None]:
    """Reset properties, for example ``["collection.ttl.seconds"]``, to their defaults."""
    body = build_body(database, collectionName=name, propertyKeys=as_list("keys", keys))
    return Call("collections/drop_properties", body, parse_none)


def refresh_load(name: str, *, database: str | None = None) -> Call[None]:
    """Load rows that were added to a loaded collection, for example by an import. The call does not wait for that."""
    return Call("collections/refresh_load", build_body(database, collectionName=name), parse_none)


def load(name: str, *, database: str | None = None) -> Call[None]:
    """Load a collection into memory, so that it can be searched. The call returns before it is loaded."""
    return Call("collections/load", build_body(database, collectionName=name), parse_none)


def release(name: str, *, database: str | None = None) -> Call[None]:
    """Release a collection from memory. The call returns before it is released."""
    return Call("collections/release", build_body(database, collectionName=name), parse_none)


def load_state(name: str, partitions: Sequence[str] = (), *, database: str | None = None) -> Call[LoadState]:
    """
    Return how far a collection, or some of its partitions, is loaded.

    :param partitions: names of partitions: one that is not loaded, or does not exist, makes the answer
        ``LoadStateNotLoad``; empty: the collection, of which one loaded partition is enough
    """

    def read(answer: Answer) -> LoadState:
        state, progress = str(answer.data["loadState"]), _percent(answer.data.get("loadProgress"))
        # Next to ``data``, although only failures usually have a message.
        message = str(answer.envelope.get("message") or answer.data.get("message") or "")
        if progress is not None and progress >= 0:
            return LoadState(state, progress, message)
        # "LoadStateLoading, -1" means that the progress is unknown, and the message says why: in Milvus 2.3 to 2.6
        # mostly because only some partitions are loaded, but it may also be an outage within the cluster.
        nothing_else = progress is not None and not message
        if state == "LoadStateLoading" and (nothing_else or _NOT_LOADED.search(message)):
            state = "LoadStateNotLoad"
        return LoadState(state, None, message)

    body = build_body(database, collectionName=name, partitionNames=as_list("partitions", partitions) or None)
    return Call("collections/get_load_state", body, read)


def _percent(value: Any) -> int | None:
    """Parse a progress in any spelling; None: there is none."""
    try:
        return int(float(str(value).rstrip("% ")))
    except (ValueError, OverflowError):
        return None


def row_count(name: str, *, database: str | None = None) -> Call[int]:
    """Return the number of flushed rows (``collections/get_stats``)."""
    return Call("collections/get_stats", build_body(database, collectionName=name), lambda a: int(a.data["rowCount"]))


def flush(name: str, *, database: str | None = None) -> Call[None]:
    """Seal inserted rows, so that they are indexed (Milvus 2.5 and later). The call returns before they are counted."""
    return Call("collections/flush", build_body(database, collectionName=name), parse_none)


def _collection(answer: Answer) -> Collection:
    data = answer.data
    fields = [_field(item) for item in data["fields"]]
    for struct in data.get("structArrayFields") or data.get("structFields") or ():
        # Milvus names a field within an array of structs as "struct[field]".
        fields += [_field(item, f"{struct['name']}[{{}}]") for item in struct.get("fields") or ()]
    return Collection(
        name=str(data["collectionName"]),
        fields=tuple(fields),
        functions=tuple(map(_function, data.get("functions") or ())),
        load=str(data.get("load") or ""),
        enable_dynamic_field=bool(data.get("enableDynamicField")),
        aliases=tuple(parse_names(Answer(data["aliases"], data))) if "aliases" in data else None,
        raw=data,
    )


def _function(item: Mapping[str, Any]) -> Function:
    outputs = item.get("outputFieldNames") or item.get("outputFields") or ()
    return Function(str(item.get("name") or ""), str(item["type"]), tuple(map(str, outputs)))


def _field(item: Mapping[str, Any], naming: str = "{}") -> Field:
    return Field(
        name=naming.format(item["name"]),
        type=str(item["type"]),
        is_primary=bool(item.get("primaryKey")),
        params={pair["key"]: pair.get("value") for pair in item.get("params") or ()},
    )
