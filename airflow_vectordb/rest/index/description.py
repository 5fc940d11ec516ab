"""An index as the server describes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_vectordb.rest.index.types import AUTOINDEX, INDEX_PROPERTIES, PARAM_KINDS
from airflow_vectordb.rest.result import Result
from airflow_vectordb.rest.text import sanitize_text
from airflow_vectordb.rest.values import parse_value
from airflow_vectordb.rest.wording import in_words

#: Keys of ``indexParams`` in a description that are not build parameters.
_NOT_PARAMS = frozenset({"index_type", "metric_type"})


@dataclass(frozen=True)
class IndexDescription(Result):
    """
    An index as the server describes it.

    :param index_name: its name, unique within the collection
    :param field_name: the field that it is on
    :param index_type: for example ``HNSW``
    :param metric_type: for example ``COSINE``; empty for scalar fields
    :param state: ``IndexStateNone``, ``Unissued``, ``InProgress``, ``Finished``, ``Failed``, ``Retry`` or ``Deleted``
    :param total_rows: rows in sealed segments; None when the server does not say
    :param indexed_rows: rows that are in the index. May stay below ``total_rows`` for good: small segments are
        searched without an index
    :param pending_rows: rows that wait to be indexed; None when the server does not say
    :param fail_reason: why the build failed; empty otherwise
    :param params: build parameters, for example ``{"M": 16}``
    """

    index_name: str
    field_name: str
    index_type: str
    metric_type: str
    state: str
    total_rows: int | None = None
    indexed_rows: int | None = None
    pending_rows: int | None = None
    fail_reason: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        facts = [self.index_type, self.metric_type, *(f"{key}={value}" for key, value in self.params.items())]
        facts.append(in_words(self.state))
        if self.total_rows is not None:
            facts.append(f"{self.indexed_rows or 0:,} of {self.total_rows:,} rows indexed")
        if self.pending_rows:
            facts.append(f"{self.pending_rows:,} pending")
        return sanitize_text(", ".join(fact for fact in facts if fact), 2000)

    @property
    def covered_rows(self) -> int | None:
        """
        Rows with no work left for this index; None if the server does not report it.

        They are in the index, or in segments that are searched without one.
        """
        if self.total_rows is None or self.pending_rows is None:
            return self.indexed_rows
        return self.total_rows - self.pending_rows

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-ready dict, for XComs and asset events."""
        return {key: value for key, value in self.items() if key != "fail_reason"} | {"params": dict(self.params)}


def parse_description(item: Mapping[str, Any]) -> IndexDescription:
    """
    Parse one element of an answer of ``indexes/describe``.

    :raises KeyError: when it has no name or field
    :raises ValueError: when it cannot be read
    """
    params = {str(pair["key"]): pair.get("value") for pair in item.get("indexParams") or ()}
    # The request's "params" are returned as a JSON text, including index_type and metric_type in it.
    nested = params.pop("params", None)
    if isinstance(nested, str) and nested:
        try:
            nested = json.loads(nested)
        except RecursionError:
            raise ValueError("the parameters of the index are nested too deeply") from None
    if not isinstance(nested, dict):
        nested = {}
    index_type = str(item.get("indexType") or params.get("index_type") or "")
    if index_type.upper() != AUTOINDEX:  # Milvus uses the values in params if others are given next to them
        index_type = str(nested.get("index_type") or index_type)
    metric = str(nested.get("metric_type") or item.get("metricType") or params.get("metric_type") or "")
    # Properties that were altered later are next to the parameters; empty: not set.
    params = {**nested, **params}
    for key in INDEX_PROPERTIES:
        if item.get(key) not in (None, ""):
            params[key] = item[key]
    total, indexed, pending = item.get("totalRows"), item.get("indexedRows"), item.get("pendingRows")
    return IndexDescription(
        index_name=str(item["indexName"]),
        field_name=str(item["fieldName"]),
        index_type=index_type,
        metric_type="" if metric.upper() == "NONE" else metric,  # some engines' value for scalar indexes
        state=str(item.get("indexState") or ""),
        total_rows=None if total is None else int(total),
        indexed_rows=None if indexed is None else int(indexed),
        pending_rows=None if pending is None else int(pending),
        fail_reason=str(item.get("failReason") or ""),
        params={
            key: parse_value(value, PARAM_KINDS.get(key)) for key, value in params.items() if key not in _NOT_PARAMS
        },
    )
