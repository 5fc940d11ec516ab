"""Searches over Milvus Lite, by one vector field or several."""

from __future__ import annotations

import dataclasses
from itertools import groupby
from typing import Any

from airflow_vectordb.local.engine.calls import HybridCall, QueryCall, SearchCall, SearchResult
from airflow_vectordb.local.engine.index_rules import effective
from airflow_vectordb.local.engine.lite.catalog import CollectionRecord
from airflow_vectordb.local.engine.lite.fusion import Ranked, check_strategy, fuse, group, values_of
from airflow_vectordb.local.engine.lite.reading import (
    check_search_window,
    column_of,
    key_values,
    output_fields,
    readable,
)
from airflow_vectordb.local.engine.lite.store import Part
from airflow_vectordb.local.engine.literals import literal
from airflow_vectordb.local.engine.requests import ids_of
from airflow_vectordb.local.errors import ApiError, collection_not_loaded, invalid, unexpected

_GROUPED = frozenset({"Bool", "Int8", "Int16", "Int32", "Int64", "VarChar"})
_MOST_SEARCHES = 1024


class Searches(Part):
    # --- by one field ---

    def search(self, database: str, collection: str, call: SearchCall) -> SearchResult:
        with self._store.reading(database, collection) as record:
            return self._search(record, call)

    def _search(self, record: CollectionRecord, call: SearchCall) -> SearchResult:
        call = dataclasses.replace(
            call,
            partitions=readable(record, call.partitions),
            output_fields=output_fields(record, call.output_fields),
        )
        check_search_window(call.limit, call.offset)
        call = dataclasses.replace(call, metric=_metric(record, call))
        try:
            ranged = _check_range(call)
        except ApiError:
            # Milvus finds out when it searches the first rows.
            if self._driver.live_rows(record):
                raise
            return SearchResult([], [], [], 0, [], [0] * len(call.vectors))
        if call.grouping_field:
            _check_grouping(record, call.grouping_field)
        if not ranged and not call.grouping_field:
            return self._result(record, call)
        # Of a range the engine sees the 5 * limit nearest rows only, of groups a few more: have it search all.
        everything = max(call.limit + call.offset, self._driver.live_rows(record))
        wide = dataclasses.replace(call, limit=everything, offset=0)
        if call.grouping_field:
            return self._grouped(record, call, wide)
        found = self._result(record, wide)
        return _only(found, [rows[call.offset : call.offset + call.limit] for rows in found.by_query(found.rows)])

    def _result(self, record: CollectionRecord, call: SearchCall) -> SearchResult:
        results = self._driver.search(record, call)
        ids = ids_of(results.ids)
        # Of BM25 the engine gives what it sorts by, smallest first.
        scores = [-score for score in results.scores] if call.metric == "BM25" else list(results.scores)
        columns = list(results.fields_data)
        found = SearchResult(ids, scores, columns, len(ids), list(range(len(ids))), list(results.topks))
        return found if len(set(scores)) == len(scores) else _by_key(found)

    def _grouped(self, record: CollectionRecord, call: SearchCall, wide: SearchCall) -> SearchResult:
        field = call.grouping_field
        fields = call.output_fields or [record.spec.primary.name]
        wide = dataclasses.replace(wide, grouping_field="", output_fields=[*dict.fromkeys([*fields, field])])
        found = self._result(record, wide)
        if not found.rows:
            return found
        columns = list(found.columns)
        values = values_of(column_of(columns, field))
        if field not in fields and "*" not in fields:
            columns = [column for column in columns if column.field_name != field]
        kept = [group(rows, values.__getitem__, call) for rows in found.by_query(found.rows)]
        return _only(dataclasses.replace(found, columns=columns), kept)

    # --- by several ---

    def hybrid_search(self, database: str, collection: str, call: HybridCall) -> SearchResult:
        check_strategy(call)
        if len(call.searches) > _MOST_SEARCHES:
            raise invalid(f"maximum of ann search requests is {_MOST_SEARCHES}")
        if len({len(search.vectors) for search in call.searches}) > 1:
            raise invalid("the searches of a hybrid search must have equally many vectors")
        check_search_window(call.limit, call.offset)
        with self._store.reading(database, collection) as record:
            wanted = output_fields(record, call.output_fields)
            if call.grouping_field:
                _check_grouping(record, call.grouping_field)
            plain = [dataclasses.replace(search, output_fields=[], grouping_field="") for search in call.searches]
            metrics = [_metric(record, search) for search in plain]
            lists = fuse(call, [self._search(record, search) for search in plain], metrics)
            if not call.grouping_field:
                lists = [hits[call.offset : call.offset + call.limit] for hits in lists]
            fields = [*wanted, *filter(None, [call.grouping_field])]
            columns, place = self._rows_of(record, lists, fields or [record.spec.primary.name])
        if call.grouping_field and place:
            values = values_of(column_of(columns, call.grouping_field))
            lists = [group(hits, lambda hit: values[place[hit.id]], call) for hits in lists]
            if call.grouping_field not in wanted and "*" not in wanted:
                columns = [column for column in columns if column.field_name != call.grouping_field]
        hits = [hit for one in lists for hit in one]
        ids: Any = [hit.id for hit in hits]
        scores = [hit.score for hit in hits]
        return SearchResult(ids, scores, columns, len(place), [place[key] for key in ids], [len(one) for one in lists])

    def _rows_of(
        self, record: CollectionRecord, lists: list[list[Ranked]], fields: list[str]
    ) -> tuple[list[Any], dict[int | str, int]]:
        """Return the columns of all hits, and which of their rows each key is."""
        keys = list(dict.fromkeys(hit.id for hits in lists for hit in hits))
        if not keys:
            return [], {}
        literals = ", ".join(map(literal, keys))
        columns = self._driver.query(record, QueryCall(f"{record.spec.primary.name} in [{literals}]", fields))
        return columns, {key: row for row, key in enumerate(key_values(record, columns))}


def _metric(record: CollectionRecord, call: SearchCall) -> str:
    """Return the metric of the index that is searched; a request may name it, but no other."""
    index = record.index_on(call.field)
    if index is None:
        raise collection_not_loaded(record.database, record.name)
    metric = effective(index.params)["metric_type"]
    if call.metric and call.metric != metric:
        raise unexpected(f"metric type not match: invalid parameter[expected={metric}][actual={call.metric}]")
    return metric


def _check_grouping(record: CollectionRecord, name: str) -> None:
    entry = record.spec.field_named(name)
    if entry is None:
        raise ApiError(1700, f"groupBy field not found in schema: field not found[field={name}]")
    if entry.type not in _GROUPED:
        raise unexpected(f"data type {entry.type} of field {name} is not supported for group by")


def _number(key: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise invalid(f"{key} should be a number, but got {value!r:.60}") from None


def _check_range(call: SearchCall) -> bool:
    """Whether a search is one of a range of distances, which then must be one."""
    bounds = {key: _number(key, call.params[key]) for key in ("radius", "range_filter") if key in call.params}
    if len(bounds) == 2:
        radius, inner = bounds["radius"], bounds["range_filter"]
        if call.metric == "L2" and inner >= radius:
            raise invalid(f"range_filter({inner}) must be less than radius({radius})")
        if call.metric != "L2" and inner <= radius:
            raise invalid(f"range_filter({inner}) must be greater than radius({radius})")
    return bool(bounds)


def _by_key(found: SearchResult) -> SearchResult:
    """Order hits that are equally near by their keys, as Milvus does."""
    ids, scores = found.ids, found.scores
    return _only(
        found,
        [
            [row for _, tied in groupby(rows, key=scores.__getitem__) for row in sorted(tied, key=ids.__getitem__)]
            for rows in found.by_query(found.rows)
        ],
    )


def _only(found: SearchResult, kept: list[list[int]]) -> SearchResult:
    """Of a result, those rows for each query vector."""
    rows = [row for one in kept for row in one]
    ids: Any = [found.ids[row] for row in rows]
    scores = [found.scores[row] for row in rows]
    return dataclasses.replace(found, ids=ids, scores=scores, rows=rows, counts=[len(one) for one in kept])
