"""What index is asked for: every spelling in, one body out, and how it differs from what exists."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

from airflow_vectordb.rest.collections import Collection, Field
from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.index_types import (
    ALL_METRICS,
    FIELD_KINDS,
    FLOAT,
    INDEX_KINDS,
    LIST_METRICS,
    METRICS,
    SCALAR,
    SPARSE,
)
from airflow_vectordb.rest.indexes import IndexDescription

AUTOINDEX = "AUTOINDEX"


def fold(key: str) -> str:
    """
    Make two spellings of a key comparable.

    :param key: as ``index_type`` or ``indexType``
    """
    return key.replace("_", "").lower()


def nearest(name: str, known: Iterable[str]) -> str:
    """
    Suggest what a misspelt name may have meant.

    :param name: the unknown name
    :param known: those that there are
    :return: as ``; did you mean 'vector'?``, or the known names if none is near
    """
    names = list(dict.fromkeys(known))
    given = fold(name)
    # Transposed letters are the commonest slip, and the one that similarity counts twice.
    close = [n for n in names if sorted(fold(n)) == sorted(given)] or [
        candidate
        for match in get_close_matches(given, map(fold, names), n=1)
        for candidate in names
        if fold(candidate) == match
    ]
    if close:
        return f"; did you mean {close[0]!r}?"
    if not names:
        return ""
    listed = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"; known: {listed}"


@dataclass(frozen=True)
class Comparison:
    """
    How an index that exists compares to one that is asked for; lines as ``M: 16 -> 32`` (there -> asked for).

    :param differences: what surely differs
    :param doubts: what may differ, and only the server knows: to ask for the index anew is a no-op if it is the same,
        and refused if it is not. Such are parameters that its description does not tell, and AUTOINDEX in the place
        of what was asked for: Zilliz Cloud turns every vector index into that
    :param substituted: whether AUTOINDEX is in the place of another index type
    """

    differences: tuple[str, ...]
    doubts: tuple[str, ...]
    substituted: bool

    @property
    def same(self) -> bool:
        """Whether it surely is the index that is asked for."""
        return not self.differences and not self.doubts


@dataclass(frozen=True)
class IndexSpec:
    """
    One index that is asked for.

    Make it with :meth:`parse`, or ``index_params.parse_index_params`` for several; then :meth:`resolve` it against the
    collection, which fills in what depends on the field.

    :param field_name: the field to index
    :param index_name: None: the field's name; an existing index of another name will do
    :param index_type: as ``HNSW``
    :param metric_type: None: by the field's type, see :meth:`resolve`
    :param params: build parameters, as ``{"M": 16, "efConstruction": 200}``
    """

    field_name: str
    index_name: str | None = None
    index_type: str = AUTOINDEX
    metric_type: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, raw: Mapping[str, Any], *, allow_unknown: bool = False) -> IndexSpec:
        """
        Read one index in any spelling of the API (``indexType`` + ``params``, ``params.index_type``,
        ``indexConfig``), or of pymilvus (snake_case).

        :param raw: the index as the user wrote it
        :param allow_unknown: accept index types, metrics and build parameters that this provider does not know
        :raises InvalidParametersError: with everything that is wrong
        """
        from airflow_vectordb.rest.index_params import parse_index_params

        return parse_index_params([raw], allow_unknown=allow_unknown)[0]

    def __str__(self) -> str:
        params = [f"{key}={spell(value)}" for key, value in self.params.items()]
        return ", ".join([self.index_type, *([self.metric_type] if self.metric_type else []), *params])

    @property
    def name(self) -> str:
        """The name that the index gets when it is created."""
        return self.index_name or self.field_name

    @property
    def json_path(self) -> str | None:
        """The path within a JSON field that the index is on; None: the field itself."""
        path = self.params.get("json_path")
        return None if path is None else str(path)

    def resolve(self, collection: Collection) -> IndexSpec:
        """
        Fill in the metric, and check the spec against the field.

        COSINE for float vectors, HAMMING for binary ones (MHJACCARD for a MinHash function's output), IP for sparse
        ones (BM25 for a BM25 function's output), none for scalars. The API's page says COSINE for all, which only
        fits float vectors.

        :param collection: as the server describes it
        :return: the spec with a metric, if the field's type has one
        :raises InvalidParametersError: with everything that does not fit
        """
        target = next((f for f in collection.fields if f.name == self.field_name), None)
        if target is None:
            if self.json_path is not None and collection.enable_dynamic_field:
                return self  # a key of the dynamic field: the schema cannot name it
            hint = nearest(self.field_name, [f.name for f in collection.fields])
            raise InvalidParametersError(
                [f"no field {self.field_name!r} in {collection.name}{hint}"], "index parameters"
            )
        function = _function_of(target, collection)
        problems = [*self._misfits(target, function)]
        if problems:
            raise InvalidParametersError(problems, "index parameters")
        return replace(self, metric_type=self.metric_type or _default_metric(target, function))

    def body(self) -> dict[str, Any]:
        """
        Make the element of ``indexParams`` that asks for this index.

        A server reads only the spellings of its time, ignores the others without a word, and builds AUTOINDEX when
        it finds none that it knows. So all three are in the body: ``indexConfig`` (to spring 2024, values as
        strings), ``params.index_type`` (from 2.4), ``indexType`` (from 2.4.14 and 2.5).
        """
        body: dict[str, Any] = {"fieldName": self.field_name, "indexName": self.name}
        if self.metric_type:
            body["metricType"] = self.metric_type
        body["indexType"] = self.index_type
        body["params"] = {"index_type": self.index_type, **self.params}
        body["indexConfig"] = {
            "index_type": self.index_type,
            **{key: spell(value) for key, value in self.params.items()},
        }
        return body

    def compare(self, existing: IndexDescription) -> Comparison:
        """
        Compare with an index that exists.

        Parameters that were not asked for are not compared: servers add some of their own.

        :param existing: as the server describes it
        """
        differences: list[str] = []
        doubts: list[str] = []
        if self.index_name is not None and self.index_name != existing.index_name:
            differences.append(f"index_name: {existing.index_name} -> {self.index_name}")
        if self.field_name != existing.field_name:
            differences.append(f"field_name: {existing.field_name} -> {self.field_name}")
        if self.metric_type and existing.metric_type and self.metric_type.upper() != existing.metric_type.upper():
            differences.append(f"metric_type: {existing.metric_type} -> {self.metric_type}")
        substituted = existing.index_type.upper() == AUTOINDEX != self.index_type.upper()
        if self.index_type.upper() != existing.index_type.upper():
            line = f"index_type: {existing.index_type} -> {self.index_type}"
            (doubts if substituted else differences).append(line)
        told = {key.lower(): value for key, value in existing.params.items()}
        for key, value in self.params.items():
            there = told.get(key.lower())
            if there is not None and not equal(value, there):
                differences.append(f"{key}: {spell(there)} -> {spell(value)}")
            elif there is None and not substituted:
                doubts.append(f"{key}: not told -> {spell(value)}")
        return Comparison(tuple(differences), tuple(doubts), substituted)

    def _misfits(self, target: Field, function: str | None) -> Iterable[str]:
        kind = FIELD_KINDS.get(target.type)
        on = f"field {target.name!r} is {article(target.type)}"
        kinds = INDEX_KINDS.get(self.index_type)
        if kind is not None and kinds is not None and kind not in kinds:
            yield f"index type {self.index_type} is for {' and '.join(k + ' fields' for k in kinds)}, but {on}"
        metric = self.metric_type
        if metric is None or kind is None or metric in LIST_METRICS:
            return
        if kind == SCALAR:
            yield f"a scalar index has no metric, but metricType is {metric} and {on}"
        elif metric in ALL_METRICS and metric not in METRICS[kind]:
            yield f"metric {metric} does not fit: {on}, which takes {', '.join(METRICS[kind])}"
        elif metric == "BM25" and function != "BM25":
            yield f"metric BM25 needs a field that a BM25 function fills; {target.name!r} is not one: use IP"
        elif function == "BM25" and metric != "BM25":
            yield f"field {target.name!r} is filled by a BM25 function: its metric is BM25, not {metric}"


def spell(value: Any) -> str:
    """
    Write a parameter's value as Milvus does.

    :param value: a number, a boolean, a text, a list or a mapping
    """
    if isinstance(value, str):
        return value
    return json.dumps(value)


def _function_of(target: Field, collection: Collection) -> str | None:
    return next((f.type for f in collection.functions if target.name in f.output_fields), None)


def _default_metric(target: Field, function: str | None) -> str | None:
    kind = FIELD_KINDS.get(target.type)
    if kind == SPARSE:
        return "BM25" if function == "BM25" else "IP"
    if kind == FLOAT:
        return "COSINE"
    if kind is None or kind == SCALAR:
        return None
    return "MHJACCARD" if function == "MinHash" else "HAMMING"


def equal(one: Any, other: Any) -> bool:
    """
    Compare two values of a parameter as Milvus does, to which ``16``, ``16.0`` and ``"16"`` are one.

    :param one: a value
    :param other: another
    """
    return bool(_canonical(one) == _canonical(other))


def _canonical(value: Any) -> float | str:
    text = spell(value).strip().strip('"')
    try:
        return float(text)
    except ValueError:
        return text.lower() if text.lower() in ("true", "false") else text


def article(name: str) -> str:
    """
    Put the article before a type's name.

    :param name: as ``Int64``
    """
    return f"{'an' if name[:1] in 'AEIOU' else 'a'} {name}"


__all__ = ["AUTOINDEX", "Comparison", "IndexSpec", "article", "equal", "fold", "nearest", "spell"]
