"""A requested index: the request's body, and its differences from an existing index."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.http.call import build_body
from airflow_vectordb.rest.index import types
from airflow_vectordb.rest.index.parsing import ParsedParams, parse
from airflow_vectordb.rest.reading import SWITCH
from airflow_vectordb.rest.spelling import NAME, article, suggest
from airflow_vectordb.rest.text import sanitize_text
from airflow_vectordb.rest.values import format_value, values_equal

if TYPE_CHECKING:
    from airflow_vectordb.rest.collections import Collection, Field
    from airflow_vectordb.rest.index.description import IndexDescription

#: The maximum number of reported problems.
_MOST_PROBLEMS = 50
#: The field in which Milvus stores dynamic fields.
_DYNAMIC = "$meta"
#: A field within an array of structs.
_IN_STRUCT = re.compile(r"(?P<struct>[^\[\]]+)\[[^\[\]]+\]")
#: The keys of a path in a JSON field, such as ``meta["a"]['b']``.
_KEYS_OF_PATH = re.compile(r"\[\s*['\"]?([^\[\]'\"]*)['\"]?\s*\]|([^\[\]]+)")


@dataclass(frozen=True)
class Comparison:
    """
    What differs (``M: 16 -> 32``, existing -> requested), and what may differ, while only the server knows.

    Asking for the index again is a no-op if it is the same, and refused if it is not. Unverifiable are parameters that
    its description lacks; the type that a server chose for AUTOINDEX, which may be a user's choice; and AUTOINDEX in
    place of another type (``substituted``): Zilliz Cloud turns every vector index into that.
    """

    differences: tuple[str, ...]
    unverifiable: tuple[str, ...]
    substituted: bool

    @property
    def same(self) -> bool:
        """Whether it certainly is the requested index."""
        return not self.differences and not self.unverifiable


@dataclass(frozen=True)
class IndexSpec:
    """
    A requested index.

    Create it with :meth:`parse`, or several with :func:`parse_index_params`; then :meth:`resolve` it against the
    collection, which adds what depends on the field.

    :param index_name: None: the field's name, or one that the server chooses where that is no name for an index; an
        existing index of another name will do
    :param metric_type: None: by the field's type, see :meth:`resolve`
    :param params: build parameters, for example ``{"M": 16, "efConstruction": 200}``
    :param allow_unknown: whether to send also what does not fit the field, as far as is known here
    :param warnings: what is sent although it is not known here, one sentence each
    """

    field_name: str
    index_name: str | None = None
    index_type: str = types.AUTOINDEX
    metric_type: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    allow_unknown: bool = field(default=False, compare=False, repr=False)
    warnings: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @classmethod
    def parse(cls, raw: Mapping[str, Any], *, allow_unknown: bool = False) -> IndexSpec:
        """Parse one index, as :func:`parse_index_params` does."""
        return parse_index_params([raw], allow_unknown=allow_unknown)[0]

    def __str__(self) -> str:
        params = [f"{key}={format_value(value)}" for key, value in self.params.items()]
        return ", ".join([self.index_type, *([self.metric_type] if self.metric_type else []), *params])

    @property
    def name(self) -> str:
        """The name of the index when it is created, if it is :attr:`named`."""
        return self.index_name or self.field_name

    @property
    def named(self) -> bool:
        """Whether :attr:`name` is requested: given, or the field's name if every Milvus accepts it."""
        return self.index_name is not None or NAME.fullmatch(self.field_name) is not None

    @property
    def place(self) -> tuple[str, ...]:
        """See :func:`index_place`."""
        return index_place(self.field_name, self.params)

    def resolve(self, collection: Collection) -> IndexSpec:
        """
        Fill in the metric, and check the spec against the field.

        COSINE for float vectors, HAMMING for binary ones (MHJACCARD for MINHASH_LSH and a MinHash function's output),
        IP for sparse ones (BM25 for a BM25 function's output), none for scalars. The API's page says COSINE for all,
        which only fits float vectors.

        :return: the spec with a metric, if the field's type has one
        :raises InvalidParametersError: with everything that does not fit
        """
        target = next((f for f in collection.fields if f.name == self.field_name), None)
        if target is None:
            if self._may_exist_in(collection):
                return self
            hint = suggest(self.field_name, [f.name for f in collection.fields])
            raise InvalidParametersError(
                [f"no field {self.field_name!r} in {sanitize_text(collection.name, 255)}{hint}"], "index parameters"
            )
        function = next((f.type for f in collection.functions if target.name in f.output_fields), None)
        misfits = [*self._misfits(target, function)]
        if misfits and not self.allow_unknown:
            raise InvalidParametersError([f"{misfit}; {SWITCH}" for misfit in misfits], "index parameters")
        metric = self.metric_type or _default_metric(target, function, self.index_type)
        return replace(self, metric_type=metric, warnings=(*self.warnings, *misfits))

    def body(self, *, type_in_params: bool = True) -> dict[str, Any]:
        """
        Build the element of ``indexParams`` that requests this index.

        A server reads only the spellings of its version, silently ignores others, and builds AUTOINDEX if it finds
        none. So the body contains all three: ``indexConfig`` (to spring 2024, values as strings), ``params.index_type``
        (from 2.4), ``indexType`` (from 2.4.14 and 2.5).

        :param type_in_params: whether ``params.index_type`` is among them. Most clients leave it out; and Milvus
            decides by the text of ``params`` whether an index that is asked for again is the same
        """
        texts = {key: format_value(value) for key, value in self.params.items()}
        return build_body(
            fieldName=self.field_name,
            indexName=self.name if self.named else None,
            metricType=self.metric_type or None,
            indexType=self.index_type,
            params={**({"index_type": self.index_type} if type_in_params else {}), **self.params},
            indexConfig={"index_type": self.index_type, **texts},
        )

    def compare(self, existing: IndexDescription) -> Comparison:
        """Compare with an existing index; parameters that were not requested are not, since servers add some."""
        differences: list[str] = []
        unverifiable: list[str] = []
        both_types = self.index_type.upper(), existing.index_type.upper()
        substituted = both_types[1] == types.AUTOINDEX != both_types[0]
        same_place = self.place == index_place(existing.field_name, existing.params)
        for key in ("index_name", "field_name", "index_type", "metric_type"):
            asked, has = getattr(self, key), getattr(existing, key)
            fold = str.upper if key.endswith("_type") else str
            described = has or key == "index_type"
            if asked and described and fold(asked) != fold(has) and not (key == "field_name" and same_place):
                only_server_knows = key == "index_type" and types.AUTOINDEX in both_types
                (unverifiable if only_server_knows else differences).append(f"{key}: {has} -> {asked}")
        other_type = any(line.startswith("index_type: ") for line in differences)
        # Keys are case-insensitive, unless the type has both spellings: HNSW_PQ has an M and an m.
        own = types.INDEX_TYPES.get(self.index_type, {})
        in_lower_case = {key.lower(): value for key, value in existing.params.items() if key not in own}
        for key, value in self.params.items():
            found = existing.params.get(key, in_lower_case.get(key.lower()))
            if key == "json_path" and same_place:
                continue
            if found is not None and not values_equal(value, found):
                differences.append(f"{key}: {format_value(found)} -> {format_value(value)}")
            elif found is None and not (substituted or other_type):
                unverifiable.append(f"{key}: unknown -> {format_value(value)}")
        return Comparison(_lines(differences), _lines(unverifiable), substituted)

    def _may_exist_in(self, collection: Collection) -> bool:
        """Return whether the field may exist although the description does not list it."""
        if collection.enable_dynamic_field and any(key.startswith("json_") for key in self.params):
            return True  # a key of the dynamic field, which is not in the schema
        struct = _IN_STRUCT.fullmatch(self.field_name)
        if struct is None:
            return False
        # Milvus 2.6 lists no fields of struct arrays; a server that lists any lists all of a struct.
        return not any(f.name.startswith(f"{struct['struct']}[") for f in collection.fields)

    def _misfits(self, target: Field, function: str | None) -> Iterable[str]:
        kind = types.FIELD_KINDS.get(target.type)
        on = f"field {target.name!r} is {article(sanitize_text(target.type, 60))}"
        kinds = types.INDEX_KINDS.get(self.index_type)
        if kind is not None and kinds is not None and kind not in kinds:
            yield f"index type {self.index_type} is for {' and '.join(k + ' fields' for k in kinds)}, but {on}"
        metric = self.metric_type
        if metric is None or kind is None:
            return
        if kind == types.SCALAR:
            yield f"a scalar index has no metric, but metricType is {metric} and {on}"
        elif metric in types.LIST_METRICS:
            return
        elif metric in types.ALL_METRICS and metric not in types.METRICS[kind]:
            yield f"metric {metric} does not fit: {on}, which takes {', '.join(types.METRICS[kind])}"
        elif metric == "BM25" and function != "BM25":
            yield f"metric BM25 needs a field that a BM25 function fills; {target.name!r} is not one: use IP"
        elif function == "BM25" and metric != "BM25":
            yield f"field {target.name!r} is filled by a BM25 function: its metric is BM25, not {metric}"


def parse_index_params(raw: Any, *, allow_unknown: bool = False) -> list[IndexSpec]:
    """
    Parse what a user gave as index parameters, in any spelling of the API or of pymilvus.

    Those are ``indexType`` + ``params``, ``params.index_type``, ``indexConfig``, and snake_case.

    :param raw: a mapping, a list of mappings, a text with one of them in JSON or YAML, a whole request body of
        ``indexes/create`` with its ``indexParams``, or what CreateIndexOperator returned
    :param allow_unknown: send also what looks like a misspelt index type, metric or build parameter, and what does not
        fit the field, as far as is known here
    :return: one spec for each index, at least one
    :raises InvalidParametersError: with everything that is wrong, in all of them
    """
    specs, parsed = read_index_params(raw, allow_unknown=allow_unknown)
    if parsed.problems:
        raise InvalidParametersError(parsed.problems, "index parameters")
    return specs


def read_index_params(raw: Any, *, allow_unknown: bool = False) -> tuple[list[IndexSpec], ParsedParams]:
    """Return a spec for each index whose field is known, and everything that is wrong, in these and others."""
    parsed = parse(raw, allow_unknown=allow_unknown)
    specs = {number: IndexSpec(**index) for number, index in parsed.indexes.items()}
    parsed.problems += _collisions(specs)
    if len(parsed.problems) > _MOST_PROBLEMS:
        more = len(parsed.problems) - _MOST_PROBLEMS
        parsed.problems[_MOST_PROBLEMS:] = [f"and {more:,} more"]
    return [*specs.values()], parsed


def _collisions(specs: Mapping[int, IndexSpec]) -> Iterable[str]:
    seen: dict[tuple[str, ...] | str, int] = {}
    for number, spec in specs.items():
        there, named = seen.setdefault(spec.place, number), seen.setdefault(spec.name, number)
        if there != number:
            yield (
                f"index_params[{number}] and [{there}] are both on field {spec.field_name!r}: "
                "a field has at most one index"
            )
        elif spec.named and named != number:
            yield (
                f"index_params[{number}] and [{named}] are both named {spec.name!r}: "
                "names are unique, give one of them another indexName"
            )


def index_place(field_name: str, params: Mapping[str, Any]) -> tuple[str, ...]:
    """
    Return what an index is on: the field and the keys of ``json_path`` (``meta["a"]``, ``/a`` or ``a``).

    A field has at most one index, a JSON field one for each path in it. A key of the dynamic field is called by its own
    name, by ``$meta`` and a path, or by what Milvus makes of that; here without ``$meta``.
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


def _default_metric(target: Field, function: str | None, index_type: str) -> str | None:
    kind = types.FIELD_KINDS.get(target.type)
    if kind is None or kind == types.SCALAR:
        return None
    if function == "BM25":
        return "BM25"
    if kind == types.BINARY and (function == "MinHash" or index_type == "MINHASH_LSH"):
        return "MHJACCARD"
    return types.METRICS[kind][0]


def _lines(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(sanitize_text(line, 300) for line in lines)
