"""An index as the server describes it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from airflow_vectordb.rest.http.response import UNREADABLE, misshapen
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
        """Rows in the index, or in segments that are searched without one; None if the server does not report it."""
        return _covered_rows(self.total_rows, self.indexed_rows, self.pending_rows)

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-ready dict, for XComs and asset events."""
        return {key: value for key, value in self.items() if key != "fail_reason"} | {"params": dict(self.params)}


class BuildState(NamedTuple):
    """
    The part of an :class:`IndexDescription` that changes while the index is built, under the same names.

    Reading only this takes a fifth of the time, which counts where thousands of waits poll.
    """

    index_name: str
    state: str
    total_rows: int | None
    indexed_rows: int | None
    pending_rows: int | None
    fail_reason: str
    #: The description, as the server sent it.
    item: Mapping[str, Any]

    @property
    def covered_rows(self) -> int | None:
        """See :attr:`IndexDescription.covered_rows`."""
        return _covered_rows(self.total_rows, self.indexed_rows, self.pending_rows)

    def as_json(self) -> dict[str, Any]:
        """Read the rest of the description, and return it as :meth:`IndexDescription.as_json` does."""
        try:
            return parse_description(self.item).as_json()
        except UNREADABLE as error:
            raise misshapen(f"{type(error).__name__}: {error}") from None


def _covered_rows(total: int | None, indexed: int | None, pending: int | None) -> int | None:
    return indexed if total is None or pending is None else total - pending


def parse_build_state(item: Mapping[str, Any]) -> BuildState:
    """Parse one element of an answer of ``indexes/describe``, as far as it says how the build goes."""
    total, indexed, pending = item.get("totalRows"), item.get("indexedRows"), item.get("pendingRows")
    return BuildState(
        str(item["indexName"]),
        str(item.get("indexState") or ""),
        None if total is None else int(total),
        None if indexed is None else int(indexed),
        None if pending is None else int(pending),
        str(item.get("failReason") or ""),
        item,
    )


def parse_description(item: Mapping[str, Any]) -> IndexDescription:
    """Parse one element of an answer of ``indexes/describe``."""
    params = {str(pair["key"]): pair.get("value") for pair in item.get("indexParams") or ()}
    # The request's "params" are returned as a JSON text, including index_type and metric_type in it.
    nested = params.pop("params", None)
    if isinstance(nested, str) and nested:
        nested = json.loads(nested)
    if not isinstance(nested, dict):
        nested = {}
    index_type = str(item.get("indexType") or params.get("index_type") or "")
    if index_type.upper() != AUTOINDEX:  # Milvus uses the values in params if others are given next to them
        index_type = str(nested.get("index_type") or index_type)
    metric = str(nested.get("metric_type") or item.get("metricType") or params.get("metric_type") or "")
    # Properties that were altered later are next to the parameters; empty: not set.
    altered = {key: item[key] for key in INDEX_PROPERTIES if item.get(key) not in (None, "")}
    params = {**nested, **params, **altered}
    build = parse_build_state(item)
    return IndexDescription(
        build.index_name,
        str(item["fieldName"]),
        index_type,
        "" if metric.upper() == "NONE" else metric,  # some engines' value for scalar indexes
        build.state,
        build.total_rows,
        build.indexed_rows,
        build.pending_rows,
        build.fail_reason,
        {key: parse_value(value, PARAM_KINDS.get(key)) for key, value in params.items() if key not in _NOT_PARAMS},
    )
