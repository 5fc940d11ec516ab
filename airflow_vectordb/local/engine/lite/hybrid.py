"""Hybrid searches over Milvus Lite."""

from __future__ import annotations

import dataclasses
from typing import Any

from airflow_vectordb.local.engine.base import Found, HybridCall
from airflow_vectordb.local.engine.lite.catalog import CollectionRecord
from airflow_vectordb.local.engine.lite.entities import Entities, check_window
from airflow_vectordb.local.engine.lite.fusion import Ranked, check_strategy, fuse, group, values_of
from airflow_vectordb.local.engine.literals import literal
from airflow_vectordb.local.errors import invalid

__all__ = ["HybridSearches"]

_MOST_SEARCHES = 1024


class HybridSearches(Entities):
    """Several searches whose results are merged."""

    def hybrid_search(self, database: str, collection: str, call: HybridCall) -> Found:
        check_strategy(call)
        if len(call.searches) > _MOST_SEARCHES:
            raise invalid(f"maximum of ann search requests is {_MOST_SEARCHES}")
        if len({len(search.vectors) for search in call.searches}) > 1:
            raise invalid("the searches of a hybrid search must have equally many vectors")
        check_window(call.limit, call.offset, "topk")
        with self._reading(database, collection) as record:
            wanted = self._output(record, call.output_fields)
            if call.grouping_field:
                self._check_grouping(record, call.grouping_field)
            found, metrics = [], []
            for search in call.searches:
                plain = dataclasses.replace(search, output_fields=[], grouping_field="")
                metrics.append(self._metric(record, plain))
                found.append(self._searched(record, plain))
            lists = fuse(call, found, metrics)
            if not call.grouping_field:
                lists = [hits[call.offset : call.offset + call.limit] for hits in lists]
            fields = [*wanted, *filter(None, [call.grouping_field])]
            columns, place = self._rows_of(record, lists, fields or [record.spec.primary.name])
            if call.grouping_field:
                values = _values(columns, call.grouping_field)
                lists = [group(hits, lambda hit: values[place[hit.id]], call) for hits in lists]
                if call.grouping_field not in wanted and "*" not in wanted:
                    columns = [column for column in columns if column.field_name != call.grouping_field]
        hits = [hit for one in lists for hit in one]
        ids: Any = [hit.id for hit in hits]
        scores = [hit.score for hit in hits]
        return Found(ids, scores, columns, len(place), [place[key] for key in ids], [len(one) for one in lists])

    def _rows_of(
        self, record: CollectionRecord, lists: list[list[Ranked]], fields: list[str]
    ) -> tuple[list[Any], dict[int | str, int]]:
        """The columns of all hits, and which of their rows each key is."""
        keys = list(dict.fromkeys(hit.id for hits in lists for hit in hits))
        if not keys:
            return [], {}
        primary = record.spec.primary.name
        literals = ", ".join(map(literal, keys))
        columns = self._query(record, f"{primary} in [{literals}]", fields, [], {})
        column = next(column for column in columns if column.field_name == primary)
        data = column.scalars.string_data if column.scalars.HasField("string_data") else column.scalars.long_data
        return columns, {key: row for row, key in enumerate(data.data)}


def _values(columns: list[Any], field: str) -> list[Any]:
    return next((values_of(column) for column in columns if column.field_name == field), [])
