"""What index is asked for: every spelling in, one body out, and how it differs from what exists."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_vectordb.rest.collections import Collection, Field
from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.index.types import (
    ALL_METRICS,
    FIELD_KINDS,
    FLOAT,
    INDEX_KINDS,
    INDEX_TYPES,
    LIST_METRICS,
    METRICS,
    SCALAR,
    SPARSE,
)
from airflow_vectordb.rest.index.values import format_value, values_equal
from airflow_vectordb.rest.indexes import IndexDescription
from airflow_vectordb.rest.spelling import article, suggest
from airflow_vectordb.rest.text import sanitize_text

AUTOINDEX = "AUTOINDEX"
#: What each refusal of something that a newer server may know says.
SWITCH = "allow_unknown=True sends it as it is"
#: The field in which Milvus keeps what rows have beside the fields of the schema.
_DYNAMIC = "$meta"
#: A name that each Milvus takes; some also take others.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
#: A field within an array of structs.
_IN_STRUCT = re.compile(r"(?P<struct>[^\[\]]+)\[[^\[\]]+\]")
#: The keys of a path in a JSON field, as ``meta["a"]['b']``.
_KEYS_OF_PATH = re.compile(r"\[\s*['\"]?([^\[\]'\"]*)['\"]?\s*\]|([^\[\]]+)")


@dataclass(frozen=True)
class Comparison:
    """
    How an index that exists compares to one that is asked for; lines as ``M: 16 -> 32`` (there -> asked for).

    :param differences: what surely differs
    :param unverifiable: what may differ, and only the server knows: asking for the index again is a no-op if it is the
        same, and refused if it is not. Such are parameters that its description does not tell, and AUTOINDEX in place
        of what was asked for: Zilliz Cloud turns every vector index into that
    :param substituted: whether AUTOINDEX is in place of another index type
    """

    differences: tuple[str, ...]
    unverifiable: tuple[str, ...]
    substituted: bool

    @property
    def same(self) -> bool:
        """Whether it surely is the index that is asked for."""
        return not self.differences and not self.unverifiable


@dataclass(frozen=True)
class IndexSpec:
    """
    One index that is asked for.

    Make it with :meth:`parse`, or ``index_params.parse_index_params`` for several; then :meth:`resolve` it against the
    collection, which fills in what depends on the field.

    :param field_name: the field to index
    :param index_name: None: the field's name, or one that the server chooses where that is no name for an index; an
        existing index of another name will do
    :param index_type: as ``HNSW``
    :param metric_type: None: by the field's type, see :meth:`resolve`
    :param params: build parameters, as ``{"M": 16, "efConstruction": 200}``
    :param allow_unknown: whether to send also what does not fit the field, as far as is known here
    :param warnings: what is sent although it is not known here, one sentence each
    """

    field_name: str
    index_name: str | None = None
    index_type: str = AUTOINDEX
    metric_type: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    allow_unknown: bool = field(default=False, compare=False, repr=False)
    warnings: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @classmethod
    def parse(cls, raw: Mapping[str, Any], *, allow_unknown: bool = False) -> IndexSpec:
        """
        Read one index in any spelling of the API (``indexType`` + ``params``, ``params.index_type``,
        ``indexConfig``), or of pymilvus (snake_case).

        :param raw: the index as the user wrote it
        :param allow_unknown: send also what looks like a misspelt index type, metric or build parameter, and what does
            not fit the field, as far as is known here
        :raises InvalidParametersError: with everything that is wrong
        """
        from airflow_vectordb.rest.index.parsing import parse_index_params

        return parse_index_params([raw], allow_unknown=allow_unknown)[0]

    def __str__(self) -> str:
        params = [f"{key}={format_value(value)}" for key, value in self.params.items()]
        return ", ".join([self.index_type, *([self.metric_type] if self.metric_type else []), *params])

    @property
    def name(self) -> str:
        """The name that the index gets when it is created, unless :attr:`named` denies it."""
        return self.index_name or self.field_name

    @property
    def named(self) -> bool:
        """Whether :attr:`name` is asked for: a name that was given is; a field's only where each Milvus takes it."""
        return self.index_name is not None or _NAME.fullmatch(self.field_name) is not None

    @property
    def json_path(self) -> str | None:
        """The path within a JSON field that the index is on; None: the field itself."""
        path = self.params.get("json_path")
        return None if path is None else str(path)

    @property
    def place(self) -> tuple[str, ...]:
        """What the index is on: see :func:`index_place`."""
        return index_place(self.field_name, self.params)

    def resolve(self, collection: Collection) -> IndexSpec:
        """
        Fill in the metric, and check the spec against the field.

        COSINE for float vectors, HAMMING for binary ones (MHJACCARD for MINHASH_LSH and a MinHash function's output),
        IP for sparse ones (BM25 for a BM25 function's output), none for scalars. The API's page says COSINE for all,
        which only fits float vectors.

        :param collection: as the server describes it
        :return: the spec with a metric, if the field's type has one
        :raises InvalidParametersError: with everything that does not fit
        """
        target = next((f for f in collection.fields if f.name == self.field_name), None)
        if target is None:
            if self._may_be_there(collection):
                return self
            hint = suggest(self.field_name, [f.name for f in collection.fields])
            raise InvalidParametersError(
                [f"no field {self.field_name!r} in {sanitize_text(collection.name, 255)}{hint}"], "index parameters"
            )
        function = _function_of(target, collection)
        problems = [*self._misfits(target, function)]
        if problems and not self.allow_unknown:
            raise InvalidParametersError([f"{problem}; {SWITCH}" for problem in problems], "index parameters")
        metric = self.metric_type or _default_metric(target, function, self.index_type)
        return replace(self, metric_type=metric, warnings=(*self.warnings, *problems))

    def body(self, *, type_in_params: bool = True) -> dict[str, Any]:
        """
        Make the element of ``indexParams`` that asks for this index.

        A server reads only the spellings of its time, ignores the others without a word, and builds AUTOINDEX when
        it finds none that it knows. So all three are in the body: ``indexConfig`` (to spring 2024, values as
        strings), ``params.index_type`` (from 2.4), ``indexType`` (from 2.4.14 and 2.5).

        :param type_in_params: whether ``params.index_type`` is among them. Most clients leave it out; and whether an
            index that is asked for again is the same, Milvus tells by the text of ``params``
        """
        body: dict[str, Any] = {"fieldName": self.field_name}
        if self.named:
            body["indexName"] = self.name
        if self.metric_type:
            body["metricType"] = self.metric_type
        body["indexType"] = self.index_type
        body["params"] = {**({"index_type": self.index_type} if type_in_params else {}), **self.params}
        body["indexConfig"] = {
            "index_type": self.index_type,
            **{key: format_value(value) for key, value in self.params.items()},
        }
        return body

    def compare(self, existing: IndexDescription) -> Comparison:
        """
        Compare with an index that exists.

        Parameters that were not asked for are not compared: servers add some of their own.

        :param existing: as the server describes it
        """
        differences: list[str] = []
        unverifiable: list[str] = []
        if self.index_name is not None and self.index_name != existing.index_name:
            differences.append(f"index_name: {existing.index_name} -> {self.index_name}")
        same_place = self.place == index_place(existing.field_name, existing.params)
        if self.field_name != existing.field_name and not same_place:
            differences.append(f"field_name: {existing.field_name} -> {self.field_name}")
        if self.metric_type and existing.metric_type and self.metric_type.upper() != existing.metric_type.upper():
            differences.append(f"metric_type: {existing.metric_type} -> {self.metric_type}")
        substituted = existing.index_type.upper() == AUTOINDEX != self.index_type.upper()
        if self.index_type.upper() != existing.index_type.upper():
            line = f"index_type: {existing.index_type} -> {self.index_type}"
            (unverifiable if substituted else differences).append(line)
        # Other cases of a key are the same key, unless they are others of this type: HNSW_PQ has an M and an m.
        own = INDEX_TYPES.get(self.index_type, {})
        told = {key.lower(): value for key, value in existing.params.items() if key not in own}
        for key, value in self.params.items():
            there = existing.params.get(key, told.get(key.lower()))
            if key == "json_path" and same_place:
                continue
            if there is not None and not values_equal(value, there):
                differences.append(f"{key}: {format_value(there)} -> {format_value(value)}")
            elif there is None and not substituted:
                unverifiable.append(f"{key}: not told -> {format_value(value)}")
        differences, unverifiable = (
            [sanitize_text(line, 300) for line in lines] for lines in (differences, unverifiable)
        )
        return Comparison(tuple(differences), tuple(unverifiable), substituted)

    def _may_be_there(self, collection: Collection) -> bool:
        """Tell whether a field may exist that the description does not list."""
        if collection.enable_dynamic_field and any(key.startswith("json_") for key in self.params):
            return True  # a key of the dynamic field, which the schema cannot name
        struct = _IN_STRUCT.fullmatch(self.field_name)
        if struct is None:
            return False
        # Milvus 2.6 lists no fields of struct arrays; a server that lists some lists all of that struct.
        return not any(f.name.startswith(f"{struct['struct']}[") for f in collection.fields)

    def _misfits(self, target: Field, function: str | None) -> Iterable[str]:
        kind = FIELD_KINDS.get(target.type)
        on = f"field {target.name!r} is {article(sanitize_text(target.type, 60))}"
        kinds = INDEX_KINDS.get(self.index_type)
        if kind is not None and kinds is not None and kind not in kinds:
            yield f"index type {self.index_type} is for {' and '.join(k + ' fields' for k in kinds)}, but {on}"
        metric = self.metric_type
        if metric is None or kind is None:
            return
        if kind == SCALAR:
            yield f"a scalar index has no metric, but metricType is {metric} and {on}"
        elif metric in LIST_METRICS:
            return
        elif metric in ALL_METRICS and metric not in METRICS[kind]:
            yield f"metric {metric} does not fit: {on}, which takes {', '.join(METRICS[kind])}"
        elif metric == "BM25" and function != "BM25":
            yield f"metric BM25 needs a field that a BM25 function fills; {target.name!r} is not one: use IP"
        elif function == "BM25" and metric != "BM25":
            yield f"field {target.name!r} is filled by a BM25 function: its metric is BM25, not {metric}"


def index_place(field_name: str, params: Mapping[str, Any]) -> tuple[str, ...]:
    """
    Tell what an index is on, in one spelling: a field has at most one index, a JSON field one for each path in it.

    A key of the dynamic field is called by its own name, by ``$meta`` and a path, or by what Milvus makes of that.

    :param field_name: as it was given, or as the server tells it
    :param params: with ``json_path``, if there is one: ``meta["a"]``, ``/a`` or ``a``
    :return: the field and the keys of the path; without ``$meta``, unless that itself is meant
    """
    path = str(params.get("json_path") or "")
    if path.startswith("/"):
        keys = [key.replace("~1", "/").replace("~0", "~") for key in path.split("/") if key]
        return (*([] if field_name == _DYNAMIC else [field_name]), *keys) or (_DYNAMIC,)
    keys = [quoted or bare for quoted, bare in _KEYS_OF_PATH.findall(path)]
    if keys[:1] == [_DYNAMIC]:
        keys = keys[1:]
    elif field_name != _DYNAMIC and keys[:1] != [field_name]:
        keys = [field_name, *keys]
    return tuple(keys) or (_DYNAMIC,)


def _function_of(target: Field, collection: Collection) -> str | None:
    return next((f.type for f in collection.functions if target.name in f.output_fields), None)


def _default_metric(target: Field, function: str | None, index_type: str) -> str | None:
    kind = FIELD_KINDS.get(target.type)
    if kind == SPARSE:
        return "BM25" if function == "BM25" else "IP"
    if kind == FLOAT:
        return "COSINE"
    if kind is None or kind == SCALAR:
        return None
    return "MHJACCARD" if function == "MinHash" or index_type == "MINHASH_LSH" else "HAMMING"


__all__ = ["AUTOINDEX", "SWITCH", "Comparison", "IndexSpec", "index_place"]
