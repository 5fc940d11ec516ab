"""Reading index parameters as users write them, with everything that is wrong said at once."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.index_spec import AUTOINDEX, IndexSpec, article, equal, fold, nearest, spell
from airflow_vectordb.rest.index_types import (
    ALL_METRICS,
    BOOL,
    FLOAT_NUMBER,
    INDEX_PROPERTIES,
    INDEX_TYPES,
    INT,
)

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


def parse_index_params(raw: Any, *, allow_unknown: bool = False) -> list[IndexSpec]:
    """
    Read what a user gave as index parameters.

    :param raw: a mapping, a list of mappings, a text with one of them in JSON or YAML, or a whole request body of
        ``indexes/create`` with its ``indexParams``
    :param allow_unknown: accept index types, metrics and build parameters that this provider does not know
    :return: one spec for each index, at least one
    :raises InvalidParametersError: with everything that is wrong, in all of them
    """
    problems: list[str] = []
    items = _items(raw, problems)
    specs: list[IndexSpec] = []
    for number, item in enumerate(items):
        where = f"index_params[{number}]: " if len(items) > 1 else ""
        spec, found = _parse_one(item, where, allow_unknown)
        problems += found
        if spec is not None:
            specs.append(spec)
    problems += _collisions(specs)
    if not items and not problems:
        problems.append("index_params is empty: it names no index to create")
    if problems:
        raise InvalidParametersError(problems, "index parameters")
    return specs


def request_envelope(raw: Any) -> Mapping[str, str]:
    """
    Find what a whole request body says beside its ``indexParams``.

    :param raw: what a user gave as index parameters
    :return: ``collectionName`` and ``dbName``, those of the two that are there
    """
    value = _from_text(raw, []) if isinstance(raw, str) else raw
    if not isinstance(value, Mapping) or not any(fold(str(key)) == "indexparams" for key in value):
        return {}
    names = {"collectionname": "collectionName", "dbname": "dbName"}
    return {names[fold(str(k))]: str(v) for k, v in value.items() if fold(str(k)) in names and v}


def _items(raw: Any, problems: list[str]) -> list[Any]:
    value = _from_text(raw, problems) if isinstance(raw, str) else raw
    if value is None:
        if not problems:
            problems.append("index_params is None: it names no index to create")
        return []
    if isinstance(value, Mapping):
        folded = {fold(str(key)): key for key in value}
        if "indexparams" in folded:
            for key, original in folded.items():
                if key not in ("indexparams", "collectionname", "dbname"):
                    hint = nearest(str(original), ("indexParams", "collectionName", "dbName"))
                    problems.append(f"unknown key {original!r}{hint}")
            return _items(value[folded["indexparams"]], problems)
        return [value]
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        # The elements may be texts too: one file for each index.
        return [one for item in value for one in (_items(item, problems) if isinstance(item, str) else [item])]
    if not problems:
        problems.append(
            f"index_params must be a mapping, a list of mappings, or JSON or YAML of them, not {_kind(value)}"
        )
    return []


def _from_text(text: str, problems: list[str]) -> Any:
    if not text.strip():
        problems.append("index_params is empty: the template or file rendered to nothing")
        return None
    import yaml

    try:
        value = json.loads(text)
    except json.JSONDecodeError as json_error:
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            looks_like_json = text.lstrip()[:1] in ("{", "[")
            reason = json_error if looks_like_json else str(error).replace("\n", " ")
            problems.append(f"index_params is neither JSON nor YAML: {reason}; it begins {text.strip()[:40]!r}")
            return None
    if value is None:
        problems.append("index_params is empty: the template or file rendered to nothing")
    elif not isinstance(value, Mapping | list):
        problems.append(
            f"index_params must hold a mapping or a list of mappings, not {_kind(value)}: {text.strip()[:60]!r}"
        )
        return None
    return value


def _parse_one(raw: Any, where: str, allow_unknown: bool) -> tuple[IndexSpec | None, list[str]]:
    if not isinstance(raw, Mapping):
        return None, [f"{where}an index must be a mapping, not {_kind(raw)}"]
    problems: list[str] = []
    given: dict[str, Any] = {}
    for key, value in raw.items():
        name = _KEYS.get(fold(str(key)))
        if name is None:
            problems.append(f"{where}unknown key {str(key)!r}{nearest(str(key), _KEYS.values())}")
        elif name in given:
            problems.append(f"{where}{name} is given twice, as {str(key)!r} too")
        else:
            given[name] = value
    names = {
        name: _text(given.get(name), f"{where}{name}", problems)
        for name in ("fieldName", "indexName", "metricType", "indexType")
    }
    # Nothing of it if it is there but of no use, or misspelt: that has been said.
    if not names["fieldName"] and not any("fieldName" in problem.partition("known:")[0] for problem in problems):
        problems.append(f"{where}fieldName is missing")
    params: dict[str, Any] = {}
    types = {"indexType": names["indexType"]} if names["indexType"] else {}
    metrics = {"metricType": names["metricType"]} if names["metricType"] else {}
    for name in ("params", "indexConfig"):
        for key, value in _mapping(given.get(name), f"{where}{name}", problems).items():
            if fold(key) == "indextype":
                if text := _text(value, f"{where}{name}.{key}", problems):
                    types[f"{name}.{key}"] = text
            elif fold(key) == "metrictype":
                if text := _text(value, f"{where}{name}.{key}", problems):
                    metrics[f"{name}.{key}"] = text
            elif key in params and not equal(params[key], value):
                problems.append(f"{where}{key} is {spell(params[key])} in params and {spell(value)} in indexConfig")
            else:
                params[key] = value
    index_type = _agreed(types, where, problems) or AUTOINDEX
    metric = _agreed(metrics, where, problems)
    if not allow_unknown:
        if index_type not in INDEX_TYPES:
            problems.append(f"{where}unknown index type {index_type!r}{nearest(index_type, INDEX_TYPES)}")
        if metric is not None and metric not in ALL_METRICS:
            problems.append(f"{where}unknown metric {metric!r}{nearest(metric, ALL_METRICS)}")
    params = _checked_params(params, index_type, where, allow_unknown, problems)
    if problems:
        return None, problems
    return IndexSpec(names["fieldName"] or "", names["indexName"], index_type, metric, params), []


def _checked_params(
    params: Mapping[str, Any], index_type: str, where: str, allow_unknown: bool, problems: list[str]
) -> dict[str, Any]:
    known = {**INDEX_TYPES.get(index_type, {}), **INDEX_PROPERTIES}
    checked: dict[str, Any] = {}
    for given, value in params.items():
        alike = [key for key in known if fold(key) == fold(given)]
        key = alike[0] if given not in known and len(alike) == 1 else given
        if key not in known:
            if allow_unknown:
                checked[key] = value
            elif index_type not in INDEX_TYPES:  # that has been said; a misspelt parameter is one more thing to mend
                every = {name: None for names in INDEX_TYPES.values() for name in names}
                if key not in every and "did you mean" in (hint := nearest(key, every)):
                    problems.append(f"{where}no index type has a parameter {key!r}{hint}")
            elif index_type == AUTOINDEX:
                problems.append(f"{where}AUTOINDEX takes no build parameters, but {key!r} is given: name an index type")
            else:
                own = [*INDEX_TYPES[index_type], *INDEX_PROPERTIES]
                problems.append(f"{where}unknown parameter {key!r} of {index_type}{nearest(key, own)}")
            continue
        try:
            checked[key] = _value(value, known[key])
        except ValueError:
            empty = value is None or (isinstance(value, str) and not value.strip())
            what = "is empty: its template rendered to nothing?" if empty else f"must be {known[key]}, not {value!r}"
            problems.append(f"{where}{key} {what}")
    return checked


def _value(value: Any, kind: str) -> Any:
    # Templates render to texts, and indexConfig has texts only: "16" is 16.
    text = value.strip() if isinstance(value, str) else value
    if text is None or text == "":
        raise ValueError
    if kind == BOOL:
        if isinstance(text, bool):
            return text
        if isinstance(text, str) and text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ValueError
    if kind in (INT, FLOAT_NUMBER):
        if isinstance(text, bool) or not isinstance(text, int | float | str):
            raise ValueError
        number = float(text)
        if not math.isfinite(number) or (kind == INT and not number.is_integer()):
            raise ValueError
        return int(number) if kind == INT else number
    return text if isinstance(text, str) else spell(text)


def _text(value: Any, what: str, problems: list[str]) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        problems.append(f"{what} must be a text, not {_kind(value)}")
        return None
    if not value.strip():
        problems.append(f"{what} is empty: did its template render to nothing?")
        return None
    return value.strip()


def _mapping(value: Any, what: str, problems: list[str]) -> Mapping[str, Any]:
    if isinstance(value, str) and value.strip():  # {{ params.build | tojson }}
        try:
            value = json.loads(value)
        except json.JSONDecodeError as error:
            problems.append(f"{what} is not a JSON object: {error}")
            return {}
    if value is None or value == "":
        return {}
    if not isinstance(value, Mapping):
        problems.append(f"{what} must be a mapping, not {_kind(value)}")
        return {}
    return {str(key): item for key, item in value.items()}


def _agreed(given: Mapping[str, str], where: str, problems: list[str]) -> str | None:
    values = {value.upper() for value in given.values()}
    if len(values) > 1:
        listed = " and ".join(f"{value} in {name}" for name, value in given.items())
        problems.append(f"{where}contradiction: {listed}")
    return next(iter(given.values())).upper() if given else None


def _collisions(specs: Sequence[IndexSpec]) -> list[str]:
    problems = []
    fields: dict[tuple[str, str | None], int] = {}
    names: dict[str, int] = {}
    for number, spec in enumerate(specs):
        place = (spec.field_name, spec.json_path)
        if place in fields:
            problems.append(
                f"index_params[{number}] and [{fields[place]}] are both on field {spec.field_name!r}: "
                "a field has at most one index"
            )
        elif spec.name in names:
            problems.append(
                f"index_params[{number}] and [{names[spec.name]}] are both named {spec.name!r}: "
                "index names are unique within a collection"
            )
        fields.setdefault(place, number)
        names.setdefault(spec.name, number)
    return problems


def _kind(value: Any) -> str:
    return f"{article(type(value).__name__)} ({str(value)[:40]!r})" if value is not None else "None"


__all__ = ["parse_index_params", "request_envelope"]
