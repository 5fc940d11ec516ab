"""Reading one index as users write it: its keys, its type and metric, its build parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from airflow_vectordb.rest.index.spec import AUTOINDEX, SWITCH, IndexSpec
from airflow_vectordb.rest.index.text import Unreadable, read_text
from airflow_vectordb.rest.index.types import (
    ALL_METRICS,
    FAMILIES,
    INDEX_PROPERTIES,
    INDEX_TYPES,
    KIND_OF,
    LIST_PARAMS,
    NAMES_ONLY,
    SEARCH_PARAMS,
    Kind,
)
from airflow_vectordb.rest.index.values import checked, format_value, values_equal
from airflow_vectordb.rest.spelling import article, has_template, is_nothing, near_miss, normalize_key, show, suggest

#: Keys of one index, folded (lower case, no underscores) -> as the API spells them. The server matches keys without
#: regard to case, and pymilvus writes them with underscores.
_KEYS = {
    "fieldname": "fieldName",
    "indexname": "indexName",
    "metrictype": "metricType",
    "indextype": "indexType",
    "params": "params",
    "indexconfig": "indexConfig",
}
#: What a description of an index, as the tasks return it, has beside those.
_TOLD = frozenset({"collectionname", "state", "totalrows", "indexedrows", "pendingrows", "failreason"})
_NOT_A_KEY = "is no name: Airflow renders the values of a mapping, and not its keys"
_TYPE_NAMES = (*INDEX_TYPES, *NAMES_ONLY)
_PARAM_NAMES = frozenset(map(normalize_key, (*SEARCH_PARAMS, *KIND_OF)))


@dataclass
class IndexParams:
    """
    What was read of a user's index parameters.

    :param specs: one for each index whose field is known, those of :attr:`problems` included
    :param problems: everything that is wrong, one sentence each
    :param malformed: those of them that are about keys, names and structure, which no template mends
    :param envelope: ``collectionName`` and ``dbName`` of a whole request body, those of the two that are there
    """

    specs: list[IndexSpec] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    malformed: list[str] = field(default_factory=list)
    envelope: Mapping[str, str] = field(default_factory=dict)

    def wrong(self, problem: str, *, malformed: bool = True) -> None:
        """
        Note what is wrong.

        :param problem: one sentence
        :param malformed: whether it is about keys, names or structure
        """
        self.problems.append(problem)
        if malformed:
            self.malformed.append(problem)


class IndexReader:
    """
    Reads one index.

    :param where: which one it is, for messages
    :param allow_unknown: see ``index_params.parse_index_params``
    :param read: is told what is wrong
    """

    def __init__(self, where: str, allow_unknown: bool, read: IndexParams) -> None:
        self._where = where
        self._allow_unknown = allow_unknown
        self._read = read
        self._told = False
        self._warnings: list[str] = []

    def read(self, raw: Any) -> IndexSpec | None:
        """
        Make a spec of it, as far as it goes.

        :param raw: the index as the user wrote it
        :return: None if it does not even name a field
        """
        if not isinstance(raw, Mapping):
            self._wrong(f"an index must be a mapping, not {kind_of_value(raw)}")
            return None
        said = len(self._read.problems)
        self._told = told = {normalize_key(str(key)) for key in raw} >= {"state", "indexname", "fieldname"}
        given, flat = self._keys(raw)
        names = {
            name: self._text(given.get(name), name, may_be_empty=told and name == "metricType")
            for name in ("fieldName", "indexName", "metricType", "indexType")
        }
        if given.get("fieldName") is None and not any(
            "mean 'fieldName'" in problem for problem in self._read.problems[said:]
        ):
            self._wrong("fieldName is missing")
        types = {"indexType": names["indexType"]} if names["indexType"] else {}
        metrics = {"metricType": names["metricType"]} if names["metricType"] else {}
        params: dict[str, tuple[str, Any]] = {}
        inner = dict(self._mapping(given.get("params"), "params"))
        for source, mapping in (
            ("params.params", self._mapping(inner.pop("params", None), "params.params")),  # as pymilvus has them
            ("params", inner),
            ("indexConfig", self._mapping(given.get("indexConfig"), "indexConfig")),
            ("the index itself", flat),
        ):
            for key, value in mapping.items():
                if normalize_key(key) in ("indextype", "metrictype"):
                    if text := self._text(value, f"{source}.{key}"):
                        (types if normalize_key(key) == "indextype" else metrics)[f"{source}.{key}"] = text
                elif key not in params:
                    params[key] = source, value
                elif not values_equal(params[key][1], value):
                    first, other = params[key]
                    self._wrong(
                        f"{key} is {format_value(other)[:60]} in {first} and {format_value(value)[:60]} in {source}",
                        malformed=False,
                    )
        index_type = self._index_type(self._agreed(types))
        metric = self._metric(self._agreed(metrics))
        build = self._build({key: value for key, (_, value) in params.items()}, index_type)
        if not names["fieldName"]:
            return None
        return IndexSpec(
            names["fieldName"],
            names["indexName"],
            index_type,
            metric,
            build,
            allow_unknown=self._allow_unknown,
            warnings=tuple(self._warnings),
        )

    def _keys(self, raw: Mapping[Any, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Sort the keys into those of an index, and build parameters that stand beside them."""
        given: dict[str, Any] = {}
        flat: dict[str, Any] = {}
        for original, value in raw.items():
            key = str(original)
            name = _KEYS.get(normalize_key(key))
            if name is None and self._told and normalize_key(key) in _TOLD:
                continue
            if name is None and (normalize_key(key) in _PARAM_NAMES or key.startswith(FAMILIES)):
                flat[key] = value
            elif name is None and has_template(key):
                self._wrong(f"the key {show(key)} {_NOT_A_KEY}")
            elif name is None:
                known = [*_KEYS.values(), *(name for name in KIND_OF if near_miss(key, [name]))]
                meant = near_miss(key, known)
                hint = suggest(key, [meant] if meant else [name for name in known if name != "params"])
                if "known:" in hint:
                    hint = f"; build parameters go into params{hint}"
                self._wrong(f"unknown key {show(key)}{hint}")
            elif name in given:
                self._wrong(f"{name} is given twice, as {show(key)} too")
            else:
                given[name] = value
        return given, flat

    def _index_type(self, given: str | None) -> str:
        if given is None:
            return AUTOINDEX
        if given in _TYPE_NAMES and given not in NAMES_ONLY:
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

    def _build(self, params: Mapping[str, Any], index_type: str) -> dict[str, Any]:
        """Check the build parameters."""
        meant = index_type if index_type in INDEX_TYPES else near_miss(index_type, INDEX_TYPES)
        known: Mapping[str, Kind] = {**(INDEX_TYPES[meant] if meant else KIND_OF), **INDEX_PROPERTIES, **LIST_PARAMS}
        checked_params: dict[str, Any] = {}
        for given, value in params.items():
            if self._told and value in (None, ""):
                continue
            alike = [key for key in known if normalize_key(key) == normalize_key(given)]
            key = alike[0] if given not in known and len(alike) == 1 else given
            kind = known.get(key)
            if has_template(key):
                self._wrong(f"the key {show(key)} {_NOT_A_KEY}", malformed=False)
                continue
            if key not in known and normalize_key(key) in _KEYS:
                self._wrong(f"{show(key)} belongs beside params, and not into it")
                continue
            if key not in known and (not key.startswith(FAMILIES) or near_miss(key, known)):
                if self._told and meant == AUTOINDEX:
                    continue  # servers tell what they chose, and take none of it
                self._unknown_param(key, meant, known)
                kind = KIND_OF.get(key)
            if key in checked_params:
                self._wrong(f"{key} is given twice, as {show(given)} too")
                continue
            try:
                checked_params[key] = checked(value, kind)
            except (ValueError, OverflowError) as error:
                name = key if key.isprintable() and len(key) <= 60 else show(key)
                self._wrong(f"{name} {error}", malformed=False)
        return checked_params

    def _unknown_param(self, key: str, index_type: str | None, known: Iterable[str]) -> None:
        of = f" of {index_type}" if index_type else ""
        elsewhere = key in KIND_OF
        if key in SEARCH_PARAMS and index_type:
            self._surely(f"{key!r} is a parameter of searches, and none{of}")
        elif index_type == AUTOINDEX and elsewhere and not key.startswith("bm25_"):  # of the scores, not of the index
            self._surely(f"AUTOINDEX takes no build parameters, but {key!r} is given: name an index type")
        elif index_type and elsewhere:
            self._unknown(f"{key!r} is no parameter{of} that is known here")
        else:
            self._unknown(f"unknown parameter {show(key)}{of}", near_miss(key, known), malformed=True)

    def _unknown(self, what: str, meant: str | None = None, *, malformed: bool = False) -> None:
        """Refuse what looks misspelt; warn of what is merely not known."""
        if meant is not None:
            self._surely(f"{what}; did you mean {meant!r}?", malformed=malformed)
        else:
            self._warn(what)

    def _surely(self, what: str, *, malformed: bool = False) -> None:
        if self._allow_unknown or self._told:  # a server has taken it before
            self._warn(what)
        else:
            self._wrong(f"{what}{'' if what.endswith('?') else ';'} {SWITCH}", malformed=malformed)

    def _warn(self, what: str) -> None:
        self._warnings.append(f"{self._where}{what}: sent as it is; what the server makes of it is read back")

    def _wrong(self, what: str, *, malformed: bool = True) -> None:
        self._read.wrong(f"{self._where}{what}", malformed=malformed)

    def _text(self, value: Any, what: str, *, may_be_empty: bool = False) -> str | None:
        if value is None or (may_be_empty and value == ""):
            return None
        if not isinstance(value, str):
            quote = ": put it in quotes" if isinstance(value, int | float | date) else ""  # as YAML's no, and dates
            self._wrong(f"{what} must be a text, not {kind_of_value(value)}{quote}", malformed=False)
        elif not value.strip():
            self._wrong(f"{what} is empty: did its template render to nothing?")
        elif is_nothing(value):
            self._wrong(f"{what} is {value!r}, a missing value rendered to text: leave it out, or give a value")
        elif has_template(value):
            self._wrong(f"{what} is {show(value)}: its template was not rendered", malformed=False)
        elif value.lstrip()[0] in "[{(":
            self._wrong(f"{what} is {show(value)}, a list or mapping rendered to text")
        else:
            return value.strip()
        return None

    def _mapping(self, value: Any, what: str) -> Mapping[str, Any]:
        if isinstance(value, str) and value.strip():  # {{ params.build | tojson }}
            try:
                value = read_text(value)
            except Unreadable as error:
                self._wrong(f"{what}: {str(error).replace('index_params ', 'it ', 1)}", malformed=False)
                return {}
        if value is None or value == "":
            return {}
        if not isinstance(value, Mapping):
            self._wrong(f"{what} must be a mapping, not {kind_of_value(value)}", malformed=False)
            return {}
        return {str(key): item for key, item in value.items()}

    def _agreed(self, given: Mapping[str, str]) -> str | None:
        if len({value.upper() for value in given.values()}) > 1:
            listed = " and ".join(f"{value} in {name}" for name, value in given.items())
            self._wrong(f"contradiction: {listed}", malformed=False)
        return next(iter(given.values()), None)


def kind_of_value(value: Any) -> str:
    """
    Say what a value is, for messages.

    :param value: any
    :return: as ``an int (5)``
    """
    return f"{article(type(value).__name__)} ({show(value, 40)})" if value is not None else "None"


__all__ = ["IndexParams", "IndexReader", "kind_of_value"]
