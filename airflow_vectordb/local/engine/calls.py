"""Queries and searches for engines, and the results of writes and searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any, TypeVar

T = TypeVar("T")

COUNT = "count(*)"
"""The output field that stands for the number of rows."""


@dataclass(frozen=True)
class Written:
    """The result of an insert or upsert."""

    count: int
    ids: list[int] | list[str]


@dataclass(frozen=True)
class QueryCall:
    """A query for the rows that a filter matches.

    :param limit: None for all of them.
    """

    filter: str
    output_fields: list[str]
    partitions: list[str] = field(default_factory=list)
    limit: int | None = None
    offset: int = 0


@dataclass(frozen=True, kw_only=True)
class _Hits:
    """Which hits of a search are returned, and with what."""

    limit: int
    offset: int = 0
    output_fields: list[str] = field(default_factory=list)
    partitions: list[str] = field(default_factory=list)
    grouping_field: str = ""
    group_size: int = 1
    strict_group_size: bool = False


@dataclass(frozen=True, kw_only=True)
class SearchCall(_Hits):
    """A vector search.

    :param vectors: query vectors, each packed as its type is, or UTF-8 text.
    :param placeholder: Milvus's number for what the vectors are: that of their type, or 21 for text.
    :param params: search parameters of the index (``ef``, ``nprobe``, ``radius``, ``range_filter`` …).
    """

    field: str
    vectors: list[bytes]
    placeholder: int
    filter: str = ""
    metric: str = ""
    params: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class HybridCall(_Hits):
    """Several vector searches, and how their results are merged into one list.

    :param searches: one per vector field; their output fields and grouping have no effect.
    :param strategy: ``rrf`` or ``weighted``.
    :param params: of the strategy: ``k``, or ``weights`` and ``norm_score``.
    """

    searches: list[SearchCall]
    strategy: str
    params: dict[str, Any]


@dataclass(frozen=True)
class SearchResult:
    """The hits of a search, by query vector.

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

    def by_query(self, hits: list[T]) -> list[list[T]]:
        """Return the hits of each query vector, for any representation of hits."""
        return [hits[start:end] for start, end in pairwise([0, *accumulate(self.counts)])]
