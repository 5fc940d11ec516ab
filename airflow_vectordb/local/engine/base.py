"""The interface between endpoints and engines: a few parts, each with a few methods.

There are two implementations: Milvus Lite in this process, with a catalog of what it does not store, or any Milvus over
gRPC. Everything here blocks; the server calls it from worker threads. Every method may raise
:class:`~airflow_vectordb.local.errors.ApiError`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from airflow_vectordb.local.engine.calls import HybridCall, QueryCall, SearchCall, SearchResult, Written
from airflow_vectordb.local.engine.model import (
    CollectionInfo,
    CollectionSpec,
    CompactionInfo,
    DatabaseInfo,
    FieldSpec,
    FunctionSpec,
    ImportInfo,
    IndexInfo,
    LoadInfo,
)


class Databases(Protocol):
    def names(self) -> list[str]: ...

    def create(self, name: str, properties: dict[str, str]) -> None: ...

    def describe(self, name: str) -> DatabaseInfo: ...

    def alter(self, name: str, properties: dict[str, str], drop: list[str]) -> None: ...

    def drop(self, name: str) -> None: ...


class Aliases(Protocol):
    def names(self, database: str, collection: str) -> list[str]: ...

    def create(self, database: str, alias: str, collection: str) -> None: ...

    def describe(self, database: str, alias: str) -> str:
        """Return the collection of an alias."""

    def alter(self, database: str, alias: str, collection: str) -> None: ...

    def drop(self, database: str, alias: str) -> None: ...


class Collections(Protocol):
    def names(self, database: str) -> list[str]: ...

    def has(self, database: str, name: str) -> bool: ...

    def create(self, database: str, spec: CollectionSpec) -> None: ...

    def spec(self, database: str, name: str) -> CollectionSpec: ...

    def describe(self, database: str, name: str) -> CollectionInfo: ...

    def rename(self, database: str, name: str, new_database: str, new_name: str) -> None: ...

    def alter(self, database: str, name: str, properties: dict[str, str], drop: list[str]) -> None: ...

    def drop(self, database: str, name: str) -> None: ...


class Schemas(Protocol):
    """Fields and functions of collections that exist."""

    def add_field(self, database: str, collection: str, field: FieldSpec) -> None: ...

    def alter_field(self, database: str, collection: str, field: str, params: dict[str, str]) -> None: ...

    def add_function(self, database: str, collection: str, function: FunctionSpec) -> None: ...

    def alter_function(self, database: str, collection: str, name: str, function: FunctionSpec) -> None: ...

    def drop_function(self, database: str, collection: str, name: str) -> None: ...


class Partitions(Protocol):
    def create(self, database: str, collection: str, name: str) -> None: ...

    def drop(self, database: str, collection: str, name: str) -> None: ...


class Loading(Protocol):
    def load(self, database: str, collection: str) -> None: ...

    def load_partitions(self, database: str, collection: str, names: list[str]) -> None: ...

    def refresh(self, database: str, collection: str) -> None: ...

    def release(self, database: str, collection: str) -> None: ...

    def release_partitions(self, database: str, collection: str, names: list[str]) -> None: ...

    def state(self, database: str, collection: str, partitions: list[str]) -> LoadInfo:
        """Return how far some partitions of a collection are loaded, taken together; none: all that are to be.

        As on Milvus: of a collection that is not loaded, no partition is. Of one that is, a partition that is not
        loaded or does not exist is ``LoadStateLoading`` at -1 percent, for the reason in ``message``.

        :raises ApiError: 100 for a collection or database that does not exist; never for a partition.
        """


class Segments(Protocol):
    """Storage of rows."""

    def flush(self, database: str, collection: str) -> None: ...

    def row_count(self, database: str, collection: str, partition: str = "") -> int:
        """Return the number of flushed rows of a collection, or of one of its partitions."""

    def truncate(self, database: str, collection: str) -> None: ...

    def compact(self, database: str, collection: str, *, clustering: bool) -> int:
        """Start a compaction, and return its id."""

    def compaction(self, job: int) -> CompactionInfo: ...


class Indexes(Protocol):
    def create(self, database: str, collection: str, field: str, name: str, params: dict[str, str]) -> None: ...

    def describe(self, database: str, collection: str) -> list[IndexInfo]: ...

    def alter(self, database: str, collection: str, name: str, properties: dict[str, str], drop: list[str]) -> None: ...

    def drop(self, database: str, collection: str, name: str) -> None: ...


class Entities(Protocol):
    def insert(self, database: str, collection: str, partition: str, columns: list[Any], count: int) -> Written: ...

    def upsert(
        self, database: str, collection: str, partition: str, columns: list[Any], count: int, *, partial: bool
    ) -> Written: ...

    def delete(self, database: str, collection: str, partition: str, filter: str) -> int: ...

    def query(self, database: str, collection: str, call: QueryCall) -> list[Any]: ...


class Searches(Protocol):
    def search(self, database: str, collection: str, call: SearchCall) -> SearchResult: ...

    def hybrid_search(self, database: str, collection: str, call: HybridCall) -> SearchResult: ...


class Imports(Protocol):
    def create(
        self, database: str, collection: str, partition: str, files: list[list[str]], options: dict[str, str]
    ) -> str: ...

    def describe(self, job: str) -> ImportInfo: ...

    def jobs(self, database: str, collection: str) -> list[ImportInfo]: ...


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The parts of an engine.

    :param close: writes out and lets go of everything, unless a call is still at work after so many seconds.
    :param call: calls a method of ``milvus.proto``, for what has no part here; None over an engine without users.
    """

    databases: Databases
    aliases: Aliases
    collections: Collections
    schemas: Schemas
    partitions: Partitions
    loading: Loading
    segments: Segments
    indexes: Indexes
    entities: Entities
    searches: Searches
    imports: Imports
    close: Callable[[float], None]
    call: Callable[..., Any] | None = None
