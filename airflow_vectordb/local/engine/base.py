"""What the endpoints ask of an engine.

Two things can stand behind it: Milvus Lite in this process, with a layer beside it that keeps what it forgets, or any
Milvus over gRPC. The endpoints know only this face. Everything here blocks; the server calls it from worker threads.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

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
from airflow_vectordb.local.errors import time_out

__all__ = [
    "CONSISTENCY",
    "CREDENTIALS",
    "DEADLINE",
    "Engine",
    "Found",
    "HybridCall",
    "SearchCall",
    "Written",
    "remaining",
]

# When the caller stops waiting, on the monotonic clock: engines must not queue for a lock beyond it.
DEADLINE: ContextVar[float] = ContextVar("deadline", default=float("inf"))

# What the caller authenticates with (``user:password`` or a key); for engines that have users of their own.
CREDENTIALS: ContextVar[bytes] = ContextVar("credentials", default=b"")

# The consistency level that the caller asks for, empty for the collection's own; for engines that have several.
CONSISTENCY: ContextVar[str] = ContextVar("consistency", default="")


def remaining() -> float:
    """Seconds until the caller stops waiting.

    :raises ApiError: 10001 when that moment has passed.
    """
    left = DEADLINE.get() - monotonic()
    if left <= 0:
        raise time_out()
    return left


@dataclass(frozen=True)
class Written:
    """What an insert or upsert did."""

    count: int
    ids: list[int] | list[str]


@dataclass(frozen=True)
class Found:
    """What a search found, query vector after query vector.

    :param columns: the output fields, over as many rows as the engine gave.
    :param given: how many rows these are.
    :param rows: which of them the hits are.
    :param counts: hits per query vector.
    """

    ids: list[int] | list[str]
    scores: list[float]
    columns: Sequence[Any]
    given: int
    rows: list[int]
    counts: list[int]


@dataclass(frozen=True)
class SearchCall:
    """A vector search.

    :param vectors: query vectors, each packed as its type is, or UTF-8 text.
    :param placeholder: Milvus's number for what the vectors are: that of their type, or 21 for text.
    :param params: search parameters of the index (``ef``, ``nprobe``, ``radius``, ``range_filter`` …).
    """

    field: str
    vectors: list[bytes]
    placeholder: int
    limit: int
    offset: int = 0
    filter: str = ""
    metric: str = ""
    output_fields: list[str] = dataclasses.field(default_factory=list)
    partitions: list[str] = dataclasses.field(default_factory=list)
    params: dict[str, Any] = dataclasses.field(default_factory=dict)
    grouping_field: str = ""
    group_size: int = 1
    strict_group_size: bool = False


@dataclass(frozen=True)
class HybridCall:
    """Several vector searches, and how what they find becomes one list.

    :param searches: one per vector field; what they say of output fields and grouping is not looked at.
    :param strategy: ``rrf`` or ``weighted``.
    :param params: of the strategy: ``k``, or ``weights`` and ``norm_score``.
    """

    searches: list[SearchCall]
    strategy: str
    params: dict[str, Any]
    limit: int
    offset: int = 0
    output_fields: list[str] = dataclasses.field(default_factory=list)
    grouping_field: str = ""
    group_size: int = 1
    strict_group_size: bool = False


class Engine(Protocol):
    """The face of an engine. Every method raises :class:`~airflow_vectordb.local.errors.ApiError`."""

    def close(self, timeout: float) -> None:
        """Write out and let go of everything, unless a call is still at work after ``timeout`` seconds."""

    def list_databases(self) -> list[str]: ...

    def create_database(self, name: str, properties: dict[str, str]) -> None: ...

    def describe_database(self, name: str) -> DatabaseInfo: ...

    def drop_database(self, name: str) -> None: ...

    def list_collections(self, database: str) -> list[str]: ...

    def has_collection(self, database: str, name: str) -> bool: ...

    def create_collection(self, database: str, spec: CollectionSpec) -> None: ...

    def collection_spec(self, database: str, name: str) -> CollectionSpec: ...

    def describe_collection(self, database: str, name: str) -> CollectionInfo: ...

    def drop_collection(self, database: str, name: str) -> None: ...

    def load_collection(self, database: str, name: str) -> None: ...

    def release_collection(self, database: str, name: str) -> None: ...

    def row_count(self, database: str, name: str) -> int: ...

    def flush(self, database: str, name: str) -> None: ...

    def create_index(self, database: str, collection: str, field: str, name: str, params: dict[str, str]) -> None: ...

    def describe_indexes(self, database: str, collection: str) -> list[IndexInfo]: ...

    def drop_index(self, database: str, collection: str, name: str) -> None: ...

    def create_alias(self, database: str, alias: str, collection: str) -> None: ...

    def alter_alias(self, database: str, alias: str, collection: str) -> None: ...

    def describe_alias(self, database: str, alias: str) -> str: ...

    def list_aliases(self, database: str, collection: str) -> list[str]: ...

    def drop_alias(self, database: str, alias: str) -> None: ...

    def insert(self, database: str, collection: str, partition: str, columns: list[Any], count: int) -> Written: ...

    def upsert(
        self, database: str, collection: str, partition: str, columns: list[Any], count: int, *, partial: bool
    ) -> Written: ...

    def delete(self, database: str, collection: str, partition: str, filter: str) -> int: ...

    def query(
        self,
        database: str,
        collection: str,
        *,
        filter: str,
        output_fields: list[str],
        partitions: list[str],
        limit: int | None,
        offset: int,
    ) -> list[Any]: ...

    def search(self, database: str, collection: str, call: SearchCall) -> Found: ...

    def hybrid_search(self, database: str, collection: str, call: HybridCall) -> Found: ...

    def create_partition(self, database: str, collection: str, name: str) -> None: ...

    def drop_partition(self, database: str, collection: str, name: str) -> None: ...

    def load_partitions(self, database: str, collection: str, names: list[str]) -> None: ...

    def release_partitions(self, database: str, collection: str, names: list[str]) -> None: ...

    def partition_row_count(self, database: str, collection: str, name: str) -> int: ...

    def load_state(self, database: str, collection: str, partitions: list[str]) -> LoadInfo:
        """How far some partitions of a collection are loaded, taken together; none: all that are to be.

        As Milvus has it: of a collection that is not loaded, any partition is not. Of one that is, a partition that is
        not loaded, or not there, is ``LoadStateLoading`` at -1 percent, for the reason in ``message``.

        :raises ApiError: 100 for a collection or database that is not there; never for a partition.
        """

    def refresh_load(self, database: str, name: str) -> None: ...

    def rename_collection(self, database: str, name: str, new_database: str, new_name: str) -> None: ...

    def truncate_collection(self, database: str, name: str) -> None: ...

    def compact(self, database: str, name: str, *, clustering: bool) -> int:
        """Start a compaction, and say by which id it can be asked for."""

    def compaction_state(self, job: int) -> CompactionInfo: ...

    def alter_collection(self, database: str, name: str, properties: dict[str, str], drop: list[str]) -> None: ...

    def alter_field(self, database: str, collection: str, field: str, params: dict[str, str]) -> None: ...

    def add_field(self, database: str, collection: str, field: FieldSpec) -> None: ...

    def add_function(self, database: str, collection: str, function: FunctionSpec) -> None: ...

    def alter_function(self, database: str, collection: str, name: str, function: FunctionSpec) -> None: ...

    def drop_function(self, database: str, collection: str, name: str) -> None: ...

    def alter_index(
        self, database: str, collection: str, name: str, properties: dict[str, str], drop: list[str]
    ) -> None: ...

    def alter_database(self, name: str, properties: dict[str, str], drop: list[str]) -> None: ...

    def create_import(
        self, database: str, collection: str, partition: str, files: list[list[str]], options: dict[str, str]
    ) -> str: ...

    def import_job(self, database: str, job: str) -> ImportInfo: ...

    def import_jobs(self, database: str, collection: str) -> list[ImportInfo]: ...
