"""Checks of a collection before readers get it."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any

from airflow_vectordb import rest
from airflow_vectordb.ingest.run import primary_key
from airflow_vectordb.ingest.values import convert_all
from airflow_vectordb.rest.text import BOM
from airflow_vectordb.validation import count_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_vectordb.hooks.milvus import MilvusHook
    from airflow_vectordb.operators.collection import VerifyCollectionOperator

#: Rows that a query can skip and read, together.
_WINDOW = 16_384
#: Vectors in one search.
_BATCH = 50
#: Types whose queried vectors can be used in a search as they are.
_SEARCHABLE = ("FloatVector", "SparseFloatVector")


class Verification:
    """Runs the checks of a ``VerifyCollectionOperator``, and reports all failures together."""

    def __init__(self, task: VerifyCollectionOperator, hook: MilvusHook) -> None:
        self._task = task
        self._hook = hook
        self._name = task.collection_name
        self._figures: dict[str, Any] = {"collection_name": self._name}
        self._failed: list[str] = []

    def run(self, context: Context) -> dict[str, Any]:
        """Return the figures; JSON-ready. If a check fails, the error has them."""
        task = self._task
        described = self._hook.send(rest.collections.describe(self._name))
        self._count(described)
        if task.sample:
            self._find_sample(described)
        if task.queries is not None:
            self._measure_recall(described, read_queries(task.queries)[0])
        if task.check is not None:
            result = task.check(self._hook, self._name)
            if getattr(result, "shape", None) == ():
                result = result.item()  # one of NumPy's, whose False is another one than Python's
            if isinstance(result, Awaitable):
                self._failed.append("check is asynchronous, so it was not run: pass a plain function")
            elif result is False:
                self._failed.append(f"{getattr(task.check, '__name__', 'check')} returned False")
            elif result is not None:
                self._figures["check"] = dict(result) if isinstance(result, Mapping) else result
        task.log.info(
            "%s: %s", self._name, ", ".join(f"{k} {v}" for k, v in self._figures.items() if k != "collection_name")
        )
        if self._failed:
            more = f", and {len(self._failed) - 1} more" if len(self._failed) > 1 else ""
            raise rest.errors.MilvusError(
                f"{'; '.join(self._failed)} (all figures: {json.dumps(self._figures, default=str)})",
                cause=f"{self._failed[0]}{more}",
                hint="Do not point readers to it.",
            )
        task.emit_asset_events(self._hook, context, {"verified": self._figures})
        return self._figures

    def _count(self, described: rest.collections.Collection) -> None:
        min_rows, max_rows = count_of(self._task.min_rows) or 0, count_of(self._task.max_rows)
        loaded = described.load == "LoadStateLoaded"
        # Rows that are not flushed are counted in memory only.
        rows = self._hook.send(rest.entities.count(self._name) if loaded else rest.collections.row_count(self._name))
        self._figures["rows"] = rows
        kind = "rows" if loaded else "flushed rows"
        if rows < min_rows:
            self._failed.append(f"{rows:,} {kind}, fewer than min_rows={min_rows:,}")
        if max_rows is not None and rows > max_rows:
            self._failed.append(f"{rows:,} {kind}, more than max_rows={max_rows:,}")

    def _find_sample(self, described: rest.collections.Collection) -> None:
        """Search for the vectors of some rows, and count the rows that are found."""
        key, field = self._fields(described)
        size = min(self._task.sample, _WINDOW)
        spare = max(min(self._figures["rows"], _WINDOW) - size, 0)
        offset = random.randint(0, spare)  # noqa: S311 - any rows will do
        query = rest.entities.query(self._name, output_fields=[key.name, field], limit=size, offset=offset or None)
        rows = [row for row in self._hook.send(query) if row.get(field) and key.name in row]
        found = sum(
            row[key.name] in keys
            for row, keys in zip(rows, self._search([row[field] for row in rows], field, key.name), strict=True)
        )
        self._figures |= {"sampled": len(rows), "found": found}
        if not rows:
            self._failed.append("no row could be sampled")
        elif found < self._task.min_recall * len(rows):
            self._failed.append(
                f"{found:,} of {len(rows):,} sampled rows are found among the first {self._task.k}, "
                f"fewer than min_recall={self._task.min_recall:g}"
            )

    def _measure_recall(self, described: rest.collections.Collection, queries: Sequence[tuple[Any, list[Any]]]) -> None:
        key, field = self._fields(described)
        known: list[list[Any]] = []
        problems: list[str] = []
        for number, (_, ids) in enumerate(queries):
            converted, wrong = convert_all(f"queries[{number}].ids", ids, key.name, key.type)
            known.append(converted)
            problems += wrong
        if problems:
            raise rest.errors.InvalidParametersError(problems[:20])
        hits = self._search([vector for vector, _ in queries], field, key.name)
        shares = []
        for ids, keys in zip(known, hits, strict=True):
            wanted = ids[: self._task.k]
            shares.append(sum(one in keys for one in wanted) / len(wanted))
        recall = sum(shares) / len(shares)
        self._figures |= {"queries": len(queries), "recall": round(recall, 4)}
        if recall < self._task.min_recall:
            self._failed.append(
                f"recall@{self._task.k} is {recall:.3f} over {len(queries):,} queries, "
                f"less than min_recall={self._task.min_recall:g}"
            )

    def _search(self, vectors: Sequence[Any], field: str, key: str) -> list[list[Any]]:
        """Return for each vector the keys of its hits."""
        keys: list[list[Any]] = []
        for start in range(0, len(vectors), _BATCH):
            found = self._hook.search(
                self._name,
                vectors[start : start + _BATCH],
                anns_field=field,
                limit=self._task.k,
                output_fields=[key],
                search_params=self._task.search_params,
            )
            keys += [[hit.get(key) for hit in hits] for hits in found]
        return keys

    def _fields(self, described: rest.collections.Collection) -> tuple[rest.collections.Field, str]:
        """Return the primary key, and the name of the vector field."""
        key = primary_key(described)
        filled = {name for function in described.functions for name in function.output_fields}
        fits = [field.name for field in described.fields if field.type in _SEARCHABLE and field.name not in filled]
        asked = self._task.anns_field
        if asked in fits or (asked is None and fits):
            return key, asked or fits[0]
        types = " or a ".join(_SEARCHABLE)
        problem = f"sample and queries need a {types}: {self._name!r} has none"
        if asked is not None:
            problem = f"anns_field must be a {types}, not {asked!r}{rest.spelling.suggest(asked, fits)}"
        raise rest.errors.InvalidParametersError([problem])


def read_queries(raw: Any) -> tuple[list[tuple[Any, list[Any]]], list[str]]:
    """Return (vector, keys of its nearest rows) for each query with known answers, and what is wrong."""
    if isinstance(raw, str):
        try:
            raw = json.loads(raw.removeprefix(BOM))
        except (ValueError, RecursionError) as error:
            return [], [f"queries is not JSON: {str(error)[:200]}"]
    if raw is None:
        return [], []
    if isinstance(raw, str | Mapping) or not isinstance(raw, Sequence) or not raw:
        return [], [f"queries must be a list of mappings, not {rest.spelling.describe_value(raw)}"]
    queries, problems = [], []
    for number, item in enumerate(raw):
        vector, ids = (item.get("vector"), item.get("ids")) if isinstance(item, Mapping) else (None, None)
        keys = list(ids) if rest.lists.is_list(ids) else []
        if keys and isinstance(vector, Sized) and not isinstance(vector, str | bytes) and len(vector):
            queries.append((vector, keys))
        else:
            problems.append(f"queries[{number}] needs a vector and ids, the keys of its nearest rows")
    return queries, problems[:20]
