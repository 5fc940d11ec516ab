"""Request bodies that several endpoints share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_vectordb.local.body import optional, required


@dataclass(frozen=True, kw_only=True)
class EmptyReq:
    """What a request has that needs nothing."""


@dataclass(frozen=True, kw_only=True)
class InDatabase:
    go_name = "DatabaseReq"

    db_name: str = optional("dbName", "The database; the DB-Name header, else `default`, when it is left out.")


@dataclass(frozen=True, kw_only=True)
class DatabaseReqRequiredName:
    db_name: str = required("dbName", "The name of the database.")


@dataclass(frozen=True, kw_only=True)
class CollectionNameReq(InDatabase):
    collection_name: str = required("collectionName", "The collection.")


@dataclass(frozen=True, kw_only=True)
class OptionalCollectionNameReq(InDatabase):
    collection_name: str = optional("collectionName", "Only those of this collection.")


@dataclass(frozen=True, kw_only=True)
class IndexReq(CollectionNameReq):
    index_name: str = required("indexName", "The index.")


@dataclass(frozen=True, kw_only=True)
class PartitionReq(CollectionNameReq):
    partition_name: str = required("partitionName", "The partition.")


def key_values(values: dict[str, str]) -> list[dict[str, Any]]:
    """Return properties or parameters as answers list them."""
    return [{"key": key, "value": value} for key, value in values.items()]
