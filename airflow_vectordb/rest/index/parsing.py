"""Parsing of users' index parameters, as far as possible, with all problems reported together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_vectordb.rest.index import types
from airflow_vectordb.rest.notation import UnreadableTextError, read_given
from airflow_vectordb.rest.reading import Parsed, Reader, describe_given
from airflow_vectordb.rest.spelling import describe_value, has_template, near_miss, normalize_key, show
from airflow_vectordb.rest.values import Kind, format_value, values_equal

_MOST_INDEXES = 1_000
#: Keys of one index, normalized -> as the API spells them. The server matches keys without regard to case, and pymilvus
#: writes them with underscores.
_KEYS = {
    normalize_key(key): key for key in ("fieldName", "indexName", "metricType", "indexType", "params", "indexConfig")
}
#: Those of them that may also be among the build parameters.
_WORDS = {key: name for key, name in _KEYS.items() if key in ("indextype", "metrictype")}
#: Further keys of the descriptions that tasks return.
_DESCRIPTION_KEYS = frozenset({"collectionname", "state", "totalrows", "indexedrows", "pendingrows", "failreason"})
_PARAM_NAMES = frozenset(map(normalize_key, (*types.SEARCH_PARAMS, *types.PARAM_KINDS)))


@dataclass
class ParsedParams(Parsed):
    """The fields of an ``IndexSpec`` for each index whose field is known, by position, even if it has problems."""

    indexes: dict[int, dict[str, Any]] = field(default_factory=dict)


def parse(raw: Any, *, allow_unknown: bool = False, is_later: Callable[[Any], bool] = lambda _: False) -> ParsedParams:
    """
    Parse index parameters, as far as possible.

    :param is_later: returns whether a text or an object stands for what is known only when the task runs
    """
    parsed = ParsedParams()
    reader = Reader(parsed)
    try:
        items = _items(raw, reader, is_later)
    except RecursionError:
        reader.refuse("index_params is nested too deeply")
        return parsed
    if len(items) > _MOST_INDEXES:
        reader.refuse(f"index_params names {len(items):,} indexes; no collection has more than {_MOST_INDEXES:,}")
        return parsed
    if not items and not parsed.problems:
        reader.refuse("index_params is empty: it names no index to create")
    for number, item in enumerate(items):
        where = f"index_params[{number}]: " if len(items) > 1 else ""
        if index := _IndexReader(parsed, where, allow_unknown).read(item):
            parsed.indexes[number] = index
    return parsed


def _items(raw: Any, reader: Reader, is_later: Callable[[Any], bool]) -> list[Any]:
    """Return the indexes in a text, a list, a request body or a mapping, each as given."""
    if not isinstance(raw, Mapping | list | tuple) and is_later(raw):
        return [{"fieldName": "known later"}]
    try:
        value = read_given(raw, "index_params")
    except UnreadableTextError as error:
        reader.refuse(str(error))
        return []
    if isinstance(value, Mapping):
        keys = {normalize_key(str(key)): key for key in value}
        if "indexparams" not in keys:
            return [value]
        inner = value[keys["indexparams"]]
        if "fieldname" in keys and not isinstance(inner, list | tuple):  # as in pymilvus's create_index
            beside = {key: one for key, one in value.items() if key != keys["indexparams"]}
            return [{**inner, **beside}] if isinstance(inner, Mapping) else [{"params": inner, **beside}]
        return _items(reader.unwrap(value, "indexParams"), reader, is_later)
    if isinstance(value, list | tuple):
        # Elements may also be texts: one file per index.
        known = (
            _items(item, reader, is_later) if isinstance(item, str) or is_later(item) else [item] for item in value
        )
        return [item for items in known for item in items]
    what = "a mapping or a list of mappings, or JSON or YAML of it"
    reader.refuse(f"index_params must be {what}, not {describe_given(value)}")
    return []


class _IndexReader(Reader):
    """Reads one index."""

    #: Whether it is a task's result, which a server has accepted before.
    _is_description = False

    def read(self, raw: Any) -> dict[str, Any] | None:
        """Return the fields of its ``IndexSpec``, as far as possible; None if it does not even name a field."""
        if not isinstance(raw, Mapping):
            self.refuse(f"an index must be a mapping, not {describe_value(raw)}")
            return None
        allowed = self.allow_unknown
        self._is_description = {normalize_key(str(key)) for key in raw} >= {"state", "indexname", "fieldname"}
        self.allow_unknown = self.allow_unknown or self._is_description
        # Build parameters may stand beside the keys of an index.
        flat = {
            str(key): value
            for key, value in raw.items()
            if normalize_key(str(key)) in _PARAM_NAMES or str(key).startswith(types.FAMILIES)
        }
        given = self.rename(
            {key: value for key, value in raw.items() if str(key) not in flat},
            _KEYS,
            ignored=_DESCRIPTION_KEYS if self._is_description else (),
            params=types.PARAM_KINDS,
            advice="; build parameters go into params",
        )
        if self._is_description and given.get("metricType") == "":
            del given["metricType"]
        field_name = self.text(given.get("fieldName"), "fieldName", required=True)
        index_name = self.text(given.get("indexName"), "indexName")
        params = self._merge_params(given, flat)
        index_type = self.text(params.pop("indexType", None), "indexType") or types.AUTOINDEX
        metric = self.text(params.pop("metricType", None), "metricType")
        index_type = self.word(index_type, "index type", types.INDEX_TYPES) or index_type
        metric = self.word(metric, "metric", types.ALL_METRICS) or metric
        params = self._check_params(params, index_type)
        if field_name is None:
            return None
        return {
            "field_name": field_name,
            "index_name": index_name,
            "index_type": index_type,
            "metric_type": metric,
            "params": params,
            "allow_unknown": allowed,
            "warnings": tuple(self.warnings),
        }

    def _merge_params(self, given: Mapping[str, Any], flat: Mapping[str, Any]) -> dict[str, Any]:
        """Merge the build parameters of all places, and the type and the metric, which may be among them."""
        inner = self.mapping(given.get("params"), "params")
        places = {
            "params.params": self.mapping(inner.pop("params", None), "params.params"),  # as in pymilvus
            "params": inner,
            "indexConfig": self.mapping(given.get("indexConfig"), "indexConfig"),
            "the index itself": {**flat, **{key: given[key] for key in _WORDS.values() if key in given}},
        }
        params: dict[str, Any] = {}
        found_in: dict[str, str] = {}
        for place, mapping in places.items():
            for original, value in mapping.items():
                key = _WORDS.get(normalize_key(original), original)
                if value is None and key in _WORDS.values():
                    continue
                if key not in params:
                    params[key], found_in[key] = value, place
                elif not values_equal(params[key], value):
                    one, other = format_value(params[key])[:60], format_value(value)[:60]
                    self.refuse(f"{key} is {one} in {found_in[key]} and {other} in {place}", malformed=False)
        return params

    def _check_params(self, params: Mapping[str, Any], index_type: str) -> dict[str, Any]:
        meant = index_type if index_type in types.INDEX_TYPES else near_miss(index_type, types.INDEX_TYPES)
        known: Mapping[str, Kind] = {
            **(types.INDEX_TYPES[meant] if meant else types.PARAM_KINDS),
            **types.INDEX_PROPERTIES,
        }
        checked: dict[str, Any] = {}
        for given, value in params.items():
            if self._is_description and value in (None, ""):
                continue
            alike = [key for key in known if normalize_key(key) == normalize_key(given)]
            key = alike[0] if given not in known and len(alike) == 1 else given
            kind = known.get(key)
            if has_template(key):
                self.refuse_templated_key(key)
                continue
            if key not in known and normalize_key(key) in _KEYS:
                self.refuse(f"{show(key)} belongs beside params, not inside it")
                continue
            if key not in known and (not key.startswith(types.FAMILIES) or near_miss(key, known)):
                if self._is_description and meant == types.AUTOINDEX:
                    continue  # servers describe the parameters that they chose, but do not accept them
                self._unknown_param(key, meant, known)
                kind = types.PARAM_KINDS.get(key)
            if key in checked:
                self.refuse(f"{key} is given twice, as {show(given)} too")
                continue
            if (sent := self.value(value, key, kind)) is not None:
                checked[key] = sent
        return checked

    def _unknown_param(self, key: str, index_type: str | None, known: Iterable[str]) -> None:
        of = f" of {index_type}" if index_type else ""
        elsewhere = key in types.PARAM_KINDS
        if key in types.SEARCH_PARAMS and index_type:
            self.refuse_unless_allowed(f"{key!r} is a search parameter, not a build parameter{of}")
        elif index_type == types.AUTOINDEX and elsewhere and not key.startswith("bm25_"):  # parameters of scores
            self.refuse_unless_allowed(f"AUTOINDEX takes no build parameters, but {key!r} is given: name an index type")
        elif index_type and elsewhere:
            self.unknown(f"{key!r} is not a known parameter{of}")
        else:
            self.unknown(f"unknown parameter {show(key)}{of}", near_miss(key, known), malformed=True)
