"""Calls on ``/v2/vectordb/indexes``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_vectordb.rest.errors import IndexNotFoundError
from airflow_vectordb.rest.http.call import Answer, Call, build_body, parse_names, parse_none
from airflow_vectordb.rest.index.types import INDEX_PROPERTIES
from airflow_vectordb.rest.index.values import told
from airflow_vectordb.rest.result import Result
from airflow_vectordb.rest.text import sanitize_text
from airflow_vectordb.rest.wording import in_words

if TYPE_CHECKING:
    from airflow_vectordb.rest.index.spec import IndexSpec

#: Keys of ``indexParams`` in a description that are not build parameters.
_NOT_PARAMS = frozenset({"index_type", "metric_type"})


@dataclass(frozen=True)
class IndexDescription(Result):
    """
    An index as the server describes it.

    :param index_name: its name, unique within the collection
    :param field_name: the field that it is on
    :param index_type: as ``HNSW``
    :param metric_type: as ``COSINE``; empty for scalar fields
    :param state: ``IndexStateNone``, ``Unissued``, ``InProgress``, ``Finished``, ``Failed``, ``Retry`` or ``Deleted``
    :param total_rows: rows in sealed segments; None when the server does not say
    :param indexed_rows: rows that are in the index. May stay below ``total_rows`` for good: small segments are
        searched without an index
    :param pending_rows: rows that wait to be indexed; None when the server does not say
    :param fail_reason: why the build failed; empty otherwise
    :param params: build parameters, as ``{"M": 16}``
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
        facts = [
            self.index_type,
            self.metric_type,
            *(f"{key}={value}" for key, value in self.params.items()),
            in_words(self.state),
        ]
        if self.total_rows is not None:
            facts.append(f"{self.indexed_rows or 0:,} of {self.total_rows:,} rows indexed")
        if self.pending_rows:
            facts.append(f"{self.pending_rows:,} pending")
        return sanitize_text(", ".join(fact for fact in facts if fact), 2000)

    @property
    def covered_rows(self) -> int | None:
        """
        Rows with nothing left to do for this index: in it, or in segments that are searched without one; None when the
        server does not say.
        """
        if self.total_rows is None or self.pending_rows is None:
            return self.indexed_rows
        return self.total_rows - self.pending_rows

    def as_json(self) -> dict[str, Any]:
        """Make a JSON-ready dict of it, for XComs and asset events."""
        return {
            "index_name": self.index_name,
            "field_name": self.field_name,
            "index_type": self.index_type,
            "metric_type": self.metric_type,
            "state": self.state,
            "total_rows": self.total_rows,
            "indexed_rows": self.indexed_rows,
            "pending_rows": self.pending_rows,
            "params": dict(self.params),
        }


def create(
    collection: str, specs: Sequence[IndexSpec], *, type_in_params: bool = True, database: str | None = None
) -> Call[None]:
    """
    Create indexes. The call returns before anything is built.

    Creating an index that is there already, the very same, is a no-op; so the call may be repeated. The list is
    worked through in order and stops at the first error: what came before it stays created.

    :param collection: name of the collection, or an alias
    :param specs: what to create, at least one
    :param type_in_params: see :meth:`~airflow_vectordb.rest.index.spec.IndexSpec.body`
    :param database: its database; None: the configured one
    """
    items = [spec.body(type_in_params=type_in_params) for spec in specs]
    body = build_body(database, collectionName=collection, indexParams=items)
    return Call("indexes/create", body, parse_none)


def describe(collection: str, index_name: str, *, database: str | None = None) -> Call[list[IndexDescription]]:
    """
    Describe an index.

    :param collection: name of the collection
    :param index_name: name of the index
    :param database: its database; None: the configured one
    :return: one description; more than one only from a server that has several of that name
    """
    body = build_body(database, collectionName=collection, indexName=index_name)

    def read(answer: Answer) -> list[IndexDescription]:
        # A list, and some engines answer an unknown name with all that they have.
        found = [d for d in map(_description, answer.data) if d.index_name == index_name]
        if not found:
            raise IndexNotFoundError(f"the server describes no index {index_name!r}")
        return found

    return Call("indexes/describe", body, read)


def list_(collection: str, *, database: str | None = None) -> Call[list[str]]:
    """
    List the names of a collection's indexes.

    :param collection: name of the collection
    :param database: its database; None: the configured one
    """
    return Call("indexes/list", build_body(database, collectionName=collection), parse_names)


def drop(collection: str, index_name: str, *, database: str | None = None) -> Call[None]:
    """
    Drop an index. A vector index of a loaded collection cannot be dropped: release the collection first.

    :param collection: name of the collection
    :param index_name: name of the index
    :param database: its database; None: the configured one
    """
    return Call("indexes/drop", build_body(database, collectionName=collection, indexName=index_name), parse_none)


def _description(item: Mapping[str, Any]) -> IndexDescription:
    pairs = {str(pair["key"]): pair.get("value") for pair in item.get("indexParams") or ()}
    # What the request had under "params" stands there as one JSON text, its own index_type and metric_type included.
    nested = pairs.pop("params", None)
    if isinstance(nested, str) and nested:
        try:
            nested = json.loads(nested)
        except RecursionError:
            raise ValueError("the parameters of the index are nested too deeply") from None
    if not isinstance(nested, Mapping):
        nested = {}
    index_type = str(item.get("indexType") or pairs.get("index_type") or "")
    if index_type.upper() != "AUTOINDEX":  # Milvus builds what is said in params, whatever is said beside them
        index_type = str(nested.get("index_type") or index_type)
    metric = str(nested.get("metric_type") or item.get("metricType") or pairs.get("metric_type") or "")
    # Properties that were altered later stand beside the parameters; empty: not set.
    altered = {key: item[key] for key in INDEX_PROPERTIES if item.get(key) not in (None, "")}
    params = {**nested, **pairs, **altered}
    return IndexDescription(
        index_name=str(item["indexName"]),
        field_name=str(item["fieldName"]),
        index_type=index_type,
        metric_type="" if metric.upper() == "NONE" else metric,  # some engines' word for a scalar index's
        state=str(item.get("indexState") or ""),
        total_rows=_rows(item.get("totalRows")),
        indexed_rows=_rows(item.get("indexedRows")),
        pending_rows=_rows(item.get("pendingRows")),
        fail_reason=str(item.get("failReason") or ""),
        params={key: told(key, value) for key, value in params.items() if key not in _NOT_PARAMS},
    )


def _rows(value: Any) -> int | None:
    return None if value is None else int(value)


__all__ = ["IndexDescription", "create", "describe", "drop", "list_"]
