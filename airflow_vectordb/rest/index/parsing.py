"""Reading index parameters as users write them, with everything that is wrong said at once.

What is surely wrong is refused: a near miss of a known name, a value of another kind. What is merely not known here is
sent, with a warning: servers are newer than tables, and what they make of it is read back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.index.reader import IndexParams, IndexReader, kind_of_value
from airflow_vectordb.rest.index.spec import IndexSpec
from airflow_vectordb.rest.index.text import Unreadable, read_text
from airflow_vectordb.rest.spelling import has_template, is_nothing, normalize_key, show, suggest

#: Problems that are told: whoever has more has given something else.
_MOST_PROBLEMS = 50
_MOST_INDEXES = 1_000
#: Keys of a whole request body.
_ENVELOPE = {"indexparams": "indexParams", "collectionname": "collectionName", "dbname": "dbName"}


def parse_index_params(raw: Any, *, allow_unknown: bool = False) -> list[IndexSpec]:
    """
    Read what a user gave as index parameters.

    :param raw: a mapping, a list of mappings, a text with one of them in JSON or YAML, a whole request body of
        ``indexes/create`` with its ``indexParams``, or what CreateIndexOperator returned
    :param allow_unknown: send also what looks like a misspelt index type, metric or build parameter
    :return: one spec for each index, at least one
    :raises InvalidParametersError: with everything that is wrong, in all of them
    """
    read = read_index_params(raw, allow_unknown=allow_unknown)
    if read.problems:
        raise InvalidParametersError(read.problems, "index parameters")
    return read.specs


def read_index_params(raw: Any, *, allow_unknown: bool = False) -> IndexParams:
    """
    Read what a user gave as index parameters, as far as it can be read.

    :param raw: see :func:`parse_index_params`
    :param allow_unknown: send also what looks like a misspelt index type, metric or build parameter
    """
    read = IndexParams()
    try:
        items = _items(raw, read)
    except RecursionError:
        read.wrong("index_params is nested too deeply")
        return read
    if len(items) > _MOST_INDEXES:
        read.wrong(f"index_params names {len(items):,} indexes; no collection has more than {_MOST_INDEXES:,}")
        return read
    specs: dict[int, IndexSpec] = {}
    for number, item in enumerate(items):
        where = f"index_params[{number}]: " if len(items) > 1 else ""
        one = IndexReader(where, allow_unknown, read)
        if spec := one.read(item):
            specs[number] = spec
    read.specs = [*specs.values()]
    read.problems += _collisions(specs)
    if not items and not read.problems:
        read.wrong("index_params is empty: it names no index to create")
    if len(read.problems) > _MOST_PROBLEMS:
        more = len(read.problems) - _MOST_PROBLEMS
        read.problems[_MOST_PROBLEMS:] = [f"and {more:,} more"]
    return read


def malformed_literal(raw: Any, extensions: Sequence[str], *, allow_unknown: bool = False) -> list[str]:
    """
    Find what can never be right, before templates are rendered. What comes from a template, a file or another task is
    passed over, and so are values: together with the schema, all that is wrong with them is said at once.

    :param raw: as it stands in the DAG file
    :param extensions: endings of texts that are names of files
    :param allow_unknown: let pass what looks like a misspelt build parameter
    """

    def known(item: Any) -> bool:
        if isinstance(item, str):
            return not has_template(item) and not item.endswith(tuple(extensions))
        return item is None or isinstance(item, Mapping | list | tuple | int | float)

    def settled(item: Any) -> Any:
        if not known(item):
            return {"fieldName": "known later"}
        if isinstance(item, list | tuple):
            return [settled(one) for one in item]
        if isinstance(item, Mapping) and not any(normalize_key(str(key)) == "fieldname" for key in item):
            return {key: settled(one) if normalize_key(str(key)) == "indexparams" else one for key, one in item.items()}
        return item

    try:
        return read_index_params(settled(raw), allow_unknown=allow_unknown).malformed
    except RecursionError:
        return ["index_params is nested too deeply"]


def request_envelope(raw: Any) -> Mapping[str, str]:
    """
    Find what a whole request body says beside its ``indexParams``.

    :param raw: what a user gave as index parameters
    :return: ``collectionName`` and ``dbName``, those of the two that are there
    """
    return read_index_params(raw).envelope


def _items(raw: Any, read: IndexParams) -> list[Any]:
    value = raw
    if isinstance(raw, str):
        try:
            value = read_text(raw) if raw.strip() else None
        except Unreadable as error:
            read.wrong(str(error))
            return []
        if value is None or (isinstance(value, str) and is_nothing(value)):
            read.wrong("index_params is empty: the template or file rendered to nothing")
            return []
        if not isinstance(value, Mapping | list | tuple):
            read.wrong(f"index_params must hold a mapping or a list of mappings, not {kind_of_value(value)}")
            return []
    if isinstance(value, Mapping):
        folded = {normalize_key(str(key)): key for key in value}
        if "indexparams" not in folded:
            return [value]
        inner = value[folded["indexparams"]]
        beside = {key: value[original] for key, original in folded.items() if key != "indexparams"}
        if "fieldname" in beside and not isinstance(inner, list | tuple):  # as pymilvus's create_index has it
            return [{**inner, **beside}] if isinstance(inner, Mapping) else [{"params": inner, **beside}]
        for key, original in folded.items():
            if key not in _ENVELOPE:
                read.wrong(f"unknown key {show(original)}{suggest(str(original), _ENVELOPE.values())}")
        read.envelope = {
            _ENVELOPE[key]: str(name) for key, name in beside.items() if key in _ENVELOPE and name not in (None, "")
        }
        return _items(inner, read)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        # The elements may be texts too: one file for each index.
        return [one for item in value for one in (_items(item, read) if isinstance(item, str) else [item])]
    if value is None:
        read.wrong("index_params is None: it names no index to create")
    else:
        read.wrong(
            f"index_params must be a mapping, a list of mappings, or JSON or YAML of them, not {kind_of_value(value)}"
        )
    return []


def _collisions(specs: Mapping[int, IndexSpec]) -> list[str]:
    problems = []
    places: dict[tuple[str, ...], int] = {}
    names: dict[str, int] = {}
    for number, spec in specs.items():
        if spec.place in places:
            problems.append(
                f"index_params[{number}] and [{places[spec.place]}] are both on field {spec.field_name!r}: "
                "a field has at most one index"
            )
        elif spec.named and spec.name in names:
            problems.append(
                f"index_params[{number}] and [{names[spec.name]}] are both named {spec.name!r}: "
                "names are unique, give one of them another indexName"
            )
        places.setdefault(spec.place, number)
        names.setdefault(spec.name, number)
    return problems


__all__ = ["IndexParams", "malformed_literal", "parse_index_params", "read_index_params", "request_envelope"]
