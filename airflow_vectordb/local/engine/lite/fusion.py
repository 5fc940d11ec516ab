"""One list from several searches: reciprocal ranks or weighted scores, as Milvus computes them.

Milvus Lite has a hybrid search too; it knows neither ranges nor what it forgets elsewhere, so the searches are run one
by one, as any search, and merged here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow_vectordb.local.engine.calls import HybridCall, SearchCall, SearchResult
from airflow_vectordb.local.errors import invalid

T = TypeVar("T")

_RRF_K = 60.0
_MOST_K = 16384


@dataclass(frozen=True)
class Ranked:
    """A hit of one query vector."""

    id: int | str
    score: float


def check_strategy(call: HybridCall) -> None:
    """Refuse a strategy or parameters that Milvus does not have."""
    if call.strategy == "rrf":
        k = call.params.get("k", _RRF_K)
        if type(k) not in (int, float) or not 0 < k < _MOST_K:
            raise invalid(f"The rank params k should be in range (0, {_MOST_K}), but got {k!r:.60}")
        return
    weights = call.params.get("weights")
    if not isinstance(weights, list):
        raise invalid("weights not found in rank_params")
    if len(weights) != len(call.searches):
        raise invalid(
            f"the length of weights param mismatch with ann search requests: {len(weights)} of {len(call.searches)}"
        )
    for weight in weights:
        if type(weight) not in (int, float) or not 0 <= weight <= 1:
            raise invalid(f"rank param weight should be in range [0, 1], but got {weight!r:.60}")
    if type(call.params.get("norm_score", True)) is not bool:
        raise invalid("norm_score should be true or false")


def fuse(call: HybridCall, found: list[SearchResult], metrics: list[str]) -> list[list[Ranked]]:
    """Return all hits of all searches for each query vector, best first; each search has its metric."""
    lists: list[list[list[Ranked]]] = [_ranked(one) for one in found]
    if call.strategy == "rrf":
        k = float(call.params.get("k", _RRF_K))
        scores = [[[1 / (k + rank) for rank, _ in enumerate(hits, 1)] for hits in one] for one in lists]
        ascending = False
    else:
        turns, ascending = _turns(metrics, normalize=call.params.get("norm_score", True))
        weights = call.params["weights"]
        scores = [
            [[weight * turn(hit.score) for hit in hits] for hits in one]
            for weight, turn, one in zip(weights, turns, lists, strict=True)
        ]
    fused = []
    for query in range(len(lists[0])):
        sums: dict[int | str, float] = {}
        for one, marks in zip(lists, scores, strict=True):
            for hit, mark in zip(one[query], marks[query], strict=True):
                sums[hit.id] = sums.get(hit.id, 0.0) + mark
        # Stable, so hits of equal scores stay in the order in which they were found.
        ranked = sorted(sums.items(), key=lambda item: item[1], reverse=not ascending)
        fused.append([Ranked(key, score) for key, score in ranked])
    return fused


def _ranked(found: SearchResult) -> list[list[Ranked]]:
    ids: Sequence[int | str] = found.ids
    return found.by_query([Ranked(key, score) for key, score in zip(ids, found.scores, strict=True)])


def _turns(metrics: list[str], *, normalize: bool) -> tuple[list[Callable[[float], float]], bool]:
    """How scores of each metric are made comparable, and whether the smallest sums are then the best."""
    if normalize:
        return [_NORMAL.get(metric, _nearness) for metric in metrics], False
    if all(metric == "L2" for metric in metrics):
        return [_same] * len(metrics), True
    return [_nearness if metric == "L2" else _same for metric in metrics], False


def _same(score: float) -> float:
    return score


def _nearness(distance: float) -> float:
    return 1 - 2 * math.atan(distance) / math.pi


_NORMAL: dict[str, Callable[[float], float]] = {
    "COSINE": lambda score: (1 + score) / 2,
    "IP": lambda score: 0.5 + math.atan(score) / math.pi,
    "BM25": lambda score: 2 * math.atan(score) / math.pi,
}


def group(items: list[T], value: Callable[[T], Any], call: SearchCall | HybridCall) -> list[T]:
    """Return the best groups of one query vector's hits, ``group_size`` each; limit and offset count groups."""
    size = max(call.group_size, 1)
    groups: dict[Any, list[T]] = {}
    for item in items:
        members = groups.setdefault(value(item), [])
        if len(members) < size:
            members.append(item)
    chosen = [g for g in groups.values() if not call.strict_group_size or len(g) == size]
    return [item for members in chosen[call.offset : call.offset + call.limit] for item in members]


def values_of(column: Any) -> list[Any]:
    """Return the values of a scalar column, None for null."""
    kind = column.scalars.WhichOneof("data")
    data = list(getattr(column.scalars, kind).data) if kind else []
    valid = list(column.valid_data)
    if not valid:
        return data
    if len(data) == len(valid):
        return [value if there else None for value, there in zip(data, valid, strict=True)]
    given = iter(data)
    return [next(given) if there else None for there in valid]
