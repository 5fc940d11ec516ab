"""Index parameters as users write them: parsed as far as possible, with everything that is wrong reported together.

What is surely wrong is refused: a near miss of a known name, a value of another kind. What is merely not known here is
sent, with a warning: servers are newer than tables, and what they make of it is read back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from airflow_vectordb.rest.index.types import (
    ALL_METRICS,
    AUTOINDEX,
    FAMILIES,
    INDEX_PROPERTIES,
    INDEX_TYPES,
    LIST_PARAMS,
    NAMES_ONLY,
    PARAM_KINDS,
    SEARCH_PARAMS,
    Kind,
)
from airflow_vectordb.rest.index.values import check_value, format_value, values_equal
from airflow_vectordb.rest.notation import SWITCH, Parsed, UnreadableTextError, read_text
from airflow_vectordb.rest.spelling import (
    describe_value,
    has_template,
    is_nothing,
    near_miss,
    normalize_key,
    show,
    suggest,
)

_MOST_INDEXES = 1_000
#: Keys of a whole request body.
_ENVELOPE = {"indexparams": "indexParams", "collectionname": "collectionName", "dbname": "dbName"}
#: Keys of one index, normalized -> as the API spells them. The server matches keys without regard to case, and pymilvus
#: writes them with underscores.
_KEYS = {
    normalize_key(key): key for key in ("fieldName", "indexName", "metricType", "indexType", "params", "indexConfig")
}
#: What a description of an index, as the tasks return it, has beside those.
_DESCRIPTION_KEYS = frozenset({"collectionname", "state", "totalrows", "indexedrows", "pendingrows", "failreason"})
_NOT_A_KEY = "is no name: Airflow renders the values of a mapping, and not its keys"
_TYPE_NAMES = (*INDEX_TYPES, *NAMES_ONLY)
_PARAM_NAMES = frozenset(map(normalize_key, (*SEARCH_PARAMS, *PARAM_KINDS)))
TOO_DEEP = "index_params is nested too deeply"


@dataclass(frozen=True)
class ParsedIndex:
    """One index as it was given, in one spelling; the fields are those of ``spec.IndexSpec``."""

    field_name: str
    index_name: str | None
    index_type: str
    metric_type: str | None
    params: Mapping[str, Any]
    allow_unknown: bool
    warnings: tuple[str, ...]


@dataclass
class ParsedParams(Parsed):
    """
    What was parsed of a user's index parameters.

    :param indexes: those whose field is known, by their position, those with :attr:`problems` included
    """

    indexes: dict[int, ParsedIndex] = field(default_factory=dict)


def parse(raw: Any, *, allow_unknown: bool = False) -> ParsedParams:
    """Parse what a user gave as index parameters, as far as possible."""
    parsed = ParsedParams()
    try:
        items = _items(raw, parsed)
    except RecursionError:
        parsed.refuse(TOO_DEEP)
        return parsed
    if len(items) > _MOST_INDEXES:
        parsed.refuse(f"index_params names {len(items):,} indexes; no collection has more than {_MOST_INDEXES:,}")
        return parsed
    if not items and not parsed.problems:
        parsed.refuse("index_params is empty: it names no index to create")
    for number, item in enumerate(items):
        where = f"index_params[{number}]: " if len(items) > 1 else ""
        if index := _IndexParser(where, allow_unknown, parsed).parse(item):
            parsed.indexes[number] = index
    return parsed


def _items(raw: Any, parsed: ParsedParams) -> list[Any]:
    """Return the indexes within a text, a list, a request body or a mapping, each as it was given."""
    value = raw
    if isinstance(raw, str):
        try:
            value = read_text(raw) if raw.strip() else None
        except UnreadableTextError as error:
            parsed.refuse(str(error))
            return []
        if value is None or (isinstance(value, str) and is_nothing(value)):
            parsed.refuse("index_params is empty: the template or file rendered to nothing")
            return []
        if not isinstance(value, Mapping | list | tuple):
            parsed.refuse(f"index_params must hold a mapping or a list of mappings, not {describe_value(value)}")
            return []
    if isinstance(value, Mapping):
        keys = {normalize_key(str(key)): key for key in value}
        if "indexparams" not in keys:
            return [value]
        inner = value[keys["indexparams"]]
        beside = {key: value[original] for key, original in keys.items() if key != "indexparams"}
        if "fieldname" in beside and not isinstance(inner, list | tuple):  # as pymilvus's create_index has it
            return [{**inner, **beside}] if isinstance(inner, Mapping) else [{"params": inner, **beside}]
        for key, original in keys.items():
            if key not in _ENVELOPE:
                parsed.refuse(f"unknown key {show(original)}{suggest(str(original), _ENVELOPE.values())}")
        parsed.envelope = {
            _ENVELOPE[key]: str(name) for key, name in beside.items() if key in _ENVELOPE and name not in (None, "")
        }
        return _items(inner, parsed)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        # The elements may be texts too: one file for each index.
        return [one for item in value for one in (_items(item, parsed) if isinstance(item, str) else [item])]
    if value is None:
        parsed.refuse("index_params is None: it names no index to create")
    else:
        parsed.refuse(
            f"index_params must be a mapping, a list of mappings, or JSON or YAML of them, not {describe_value(value)}"
        )
    return []


class _IndexParser:
    """Parses one index; problems go into ``parsed``, with ``where`` before them."""

    def __init__(self, where: str, allow_unknown: bool, parsed: ParsedParams) -> None:
        self._where = where
        self._allow_unknown = allow_unknown
        self._parsed = parsed
        self._warnings: list[str] = []
        #: Whether it is what a task has returned: a server has accepted it before.
        self._is_description = False

    def parse(self, raw: Any) -> ParsedIndex | None:
        """Parse it as far as possible; None if it does not even name a field."""
        if not isinstance(raw, Mapping):
            self._refuse(f"an index must be a mapping, not {describe_value(raw)}")
            return None
        self._is_description = {normalize_key(str(key)) for key in raw} >= {"state", "indexname", "fieldname"}
        before = len(self._parsed.problems)
        given, flat = self._split_keys(raw)
        field_name = self._text(given.get("fieldName"), "fieldName")
        index_name = self._text(given.get("indexName"), "indexName")
        metric = given.get("metricType")
        metrics = {"metricType": None if self._is_description and metric == "" else self._text(metric, "metricType")}
        types = {"indexType": self._text(given.get("indexType"), "indexType")}
        meant = any("mean 'fieldName'" in problem for problem in self._parsed.problems[before:])
        if given.get("fieldName") is None and not meant:
            self._refuse("fieldName is missing")
        params = self._merge_params(given, flat, types, metrics)
        index_type = self._index_type(self._agreed(types))
        metric_type = self._metric(self._agreed(metrics))
        build_params = self._check_params(params, index_type)
        if not field_name:
            return None
        return ParsedIndex(
            field_name, index_name, index_type, metric_type, build_params, self._allow_unknown, tuple(self._warnings)
        )

    def _split_keys(self, raw: Mapping[Any, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Split the keys into those of an index, and build parameters that are given beside them."""
        given: dict[str, Any] = {}
        flat: dict[str, Any] = {}
        for original, value in raw.items():
            key, normalized = str(original), normalize_key(str(original))
            name = _KEYS.get(normalized)
            if name in given:
                self._refuse(f"{name} is given twice, as {show(key)} too")
            elif name is not None:
                given[name] = value
            elif self._is_description and normalized in _DESCRIPTION_KEYS:
                continue
            elif normalized in _PARAM_NAMES or key.startswith(FAMILIES):
                flat[key] = value
            elif has_template(key):
                self._refuse(f"the key {show(key)} {_NOT_A_KEY}")
            else:
                known = [*_KEYS.values(), *(name for name in PARAM_KINDS if near_miss(key, [name]))]
                meant = near_miss(key, known)
                hint = suggest(key, [meant] if meant else [name for name in known if name != "params"])
                if "known:" in hint:
                    hint = f"; build parameters go into params{hint}"
                self._refuse(f"unknown key {show(key)}{hint}")
        return given, flat

    def _merge_params(
        self, given: Mapping[str, Any], flat: Mapping[str, Any], types: dict[str, str | None], metrics: dict[str, Any]
    ) -> dict[str, Any]:
        """Merge the build parameters of all places; types and metrics among them go into the other two."""
        inner = dict(self._mapping(given.get("params"), "params"))
        places = {
            "params.params": self._mapping(inner.pop("params", None), "params.params"),  # as pymilvus has them
            "params": inner,
            "indexConfig": self._mapping(given.get("indexConfig"), "indexConfig"),
            "the index itself": flat,
        }
        params: dict[str, Any] = {}
        found_in: dict[str, str] = {}
        for place, mapping in places.items():
            for key, value in mapping.items():
                normalized = normalize_key(key)
                if normalized in ("indextype", "metrictype"):
                    words = types if normalized == "indextype" else metrics
                    words[f"{place}.{key}"] = self._text(value, f"{place}.{key}")
                elif key not in params:
                    params[key], found_in[key] = value, place
                elif not values_equal(params[key], value):
                    one, other = format_value(params[key])[:60], format_value(value)[:60]
                    self._refuse(f"{key} is {one} in {found_in[key]} and {other} in {place}", malformed=False)
        return params

    def _agreed(self, given: Mapping[str, str | None]) -> str | None:
        """Return the one word that is given in one or several places."""
        words = {place: word for place, word in given.items() if word}
        if len({word.upper() for word in words.values()}) > 1:
            listed = " and ".join(f"{word} in {place}" for place, word in words.items())
            self._refuse(f"contradiction: {listed}", malformed=False)
        return next(iter(words.values()), None)

    def _index_type(self, given: str | None) -> str:
        if given is None:
            return AUTOINDEX
        if given in INDEX_TYPES:
            return given
        for name in _TYPE_NAMES:
            if name.upper() == given.upper():
                if name in NAMES_ONLY:
                    self._unknown(f"index type {name!r} is one of Milvus 3.0")
                return name
        self._unknown(f"unknown index type {show(given)}", near_miss(given, _TYPE_NAMES))
        return given

    def _metric(self, given: str | None) -> str | None:
        if given is None or given.upper() in ALL_METRICS:
            return given and given.upper()
        self._unknown(f"unknown metric {show(given)}", near_miss(given, ALL_METRICS))
        return given

    def _check_params(self, params: Mapping[str, Any], index_type: str) -> dict[str, Any]:
        meant = index_type if index_type in INDEX_TYPES else near_miss(index_type, INDEX_TYPES)
        known: Mapping[str, Kind] = {
            **(INDEX_TYPES[meant] if meant else PARAM_KINDS),
            **INDEX_PROPERTIES,
            **LIST_PARAMS,
        }
        checked: dict[str, Any] = {}
        for given, value in params.items():
            if self._is_description and value in (None, ""):
                continue
            alike = [key for key in known if normalize_key(key) == normalize_key(given)]
            key = alike[0] if given not in known and len(alike) == 1 else given
            kind = known.get(key)
            if has_template(key):
                self._refuse(f"the key {show(key)} {_NOT_A_KEY}", malformed=False)
                continue
            if key not in known and normalize_key(key) in _KEYS:
                self._refuse(f"{show(key)} belongs beside params, and not into it")
                continue
            if key not in known and (not key.startswith(FAMILIES) or near_miss(key, known)):
                if self._is_description and meant == AUTOINDEX:
                    continue  # servers describe what they chose, and accept none of it
                self._unknown_param(key, meant, known)
                kind = PARAM_KINDS.get(key)
            if key in checked:
                self._refuse(f"{key} is given twice, as {show(given)} too")
                continue
            try:
                checked[key] = check_value(value, kind)
            except (ValueError, OverflowError) as error:
                name = key if key.isprintable() and len(key) <= 60 else show(key)
                self._refuse(f"{name} {error}", malformed=False)
        return checked

    def _unknown_param(self, key: str, index_type: str | None, known: Iterable[str]) -> None:
        of = f" of {index_type}" if index_type else ""
        elsewhere = key in PARAM_KINDS
        if key in SEARCH_PARAMS and index_type:
            self._refuse_unless_allowed(f"{key!r} is a parameter of searches, and none{of}")
        elif index_type == AUTOINDEX and elsewhere and not key.startswith("bm25_"):  # of the scores, not of the index
            self._refuse_unless_allowed(
                f"AUTOINDEX takes no build parameters, but {key!r} is given: name an index type"
            )
        elif index_type and elsewhere:
            self._unknown(f"{key!r} is no parameter{of} that is known here")
        else:
            self._unknown(f"unknown parameter {show(key)}{of}", near_miss(key, known), malformed=True)

    def _unknown(self, what: str, meant: str | None = None, *, malformed: bool = False) -> None:
        """Refuse what looks misspelt; warn of what is merely not known."""
        if meant is not None:
            self._refuse_unless_allowed(f"{what}; did you mean {meant!r}?", malformed=malformed)
        else:
            self._warn(what)

    def _refuse_unless_allowed(self, what: str, *, malformed: bool = False) -> None:
        if self._allow_unknown or self._is_description:
            self._warn(what)
        else:
            self._refuse(f"{what}{'' if what.endswith('?') else ';'} {SWITCH}", malformed=malformed)

    def _warn(self, what: str) -> None:
        self._warnings.append(f"{self._where}{what}: sent as it is; what the server makes of it is read back")

    def _refuse(self, what: str, *, malformed: bool = True) -> None:
        self._parsed.refuse(f"{self._where}{what}", malformed=malformed)

    def _text(self, value: Any, what: str) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str):
            quote = ": put it in quotes" if isinstance(value, int | float | date) else ""  # as YAML's no, and dates
            self._refuse(f"{what} must be a text, not {describe_value(value)}{quote}", malformed=False)
        elif not value.strip():
            self._refuse(f"{what} is empty: did its template render to nothing?")
        elif is_nothing(value):
            self._refuse(f"{what} is {value!r}, a missing value rendered to text: leave it out, or give a value")
        elif has_template(value):
            self._refuse(f"{what} is {show(value)}: its template was not rendered", malformed=False)
        elif value.lstrip()[0] in "[{(":
            self._refuse(f"{what} is {show(value)}, a list or mapping rendered to text")
        else:
            return value.strip()
        return None

    def _mapping(self, value: Any, what: str) -> Mapping[str, Any]:
        if isinstance(value, str) and value.strip():  # {{ params.build | tojson }}
            try:
                value = read_text(value, f"{what}: it")
            except UnreadableTextError as error:
                self._refuse(str(error), malformed=False)
                return {}
        if value is None or value == "":
            return {}
        if not isinstance(value, Mapping):
            self._refuse(f"{what} must be a mapping, not {describe_value(value)}", malformed=False)
            return {}
        return {str(key): item for key, item in value.items()}
