"""Arguments that are lists. Python would iterate over a text letter by letter: it is refused in place of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from numbers import Integral, Number
from typing import TYPE_CHECKING, Any, TypeGuard

from airflow_vectordb.exceptions import as_airflow_exception
from airflow_vectordb.rest.errors import InvalidParametersError, MilvusError
from airflow_vectordb.rest.spelling import describe_value

if TYPE_CHECKING:
    from airflow_vectordb.rest.collections import Field

#: Problems that an error lists.
_LISTED = 10


def is_list(value: Any) -> TypeGuard[Iterable[Any]]:
    """Return whether a value may be iterated over as a list: not a text, bytes, a mapping or a frame."""
    return (
        isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping) and not hasattr(value, "columns")
    )


def check_names(**given: Any) -> None:
    """Refuse what is not a list of names."""
    _refuse(
        f"{name} must be a list of names, not {describe_value(value)}"
        + (f": give [{value!r}]" if isinstance(value, str) and len(value) < 100 else "")
        for name, value in given.items()
        if value is not None and not is_list(value)
    )


def check_searches(reqs: Any) -> None:
    """Refuse what is not a list of searches, each with a list of vectors."""
    if not is_list(reqs) or not all(isinstance(one, Mapping) for one in reqs):
        _refuse(['reqs must be a list of mappings: [{"data": [vector], "annsField": …}, …]'])
    _refuse(
        problem
        for number, one in enumerate(reqs)
        if "data" in one
        for problem in _problems_of_vectors(f"reqs[{number}]['data']", one["data"])
    )


def list_vectors(data: Any) -> list[Any]:
    """Return a list of vectors as a list. One vector by itself is refused."""
    vectors = list(data) if is_list(data) else data
    _refuse(_problems_of_vectors("data", vectors))
    return list(vectors)


def _problems_of_vectors(name: str, data: Any) -> list[str]:
    if not is_list(data):
        return [f"{name} is {describe_value(data)}: give a list of vectors: [vector]"]
    wrong = ((at, one) for at, one in enumerate(data) if one is None or isinstance(one, Number))
    return [f"{name}[{at}] is {describe_value(one)}: give a list of vectors: [vector]" for at, one in islice(wrong, 1)]


def list_keys(ids: Any, *, texts: bool) -> list[Any]:
    """Return primary keys, given as several or as one; a text is one where it cannot be meant as a filter."""
    if (not isinstance(ids, bool) and isinstance(ids, Integral)) or (texts and isinstance(ids, str)):
        return [ids]
    if is_list(ids):
        return list(ids)
    advice = "" if texts else "; for a filter say filter=…"
    raise _error([f"ids must be a list of keys{advice}: it is {describe_value(ids)}"])


def check_keys(ids: Iterable[Any], key: Field) -> list[Any]:
    """Check primary keys against the type of their field."""
    from airflow_vectordb.ingest.values import key_converter

    convert = key_converter(key.type)
    keys: list[Any] = []
    problems: list[str] = []
    for at, one in enumerate(ids):
        try:
            keys.append(convert(one))
        except (ValueError, TypeError, OverflowError) as error:
            problems.append(f"ids[{at}]: {error}; {key.name} is of type {key.type}")
    _refuse(problems)
    return keys


def _refuse(problems: Iterable[str]) -> None:
    found = list(problems)
    if found:
        raise _error(found)


def _error(problems: Sequence[str]) -> MilvusError:
    more = [f"… and {len(problems) - _LISTED:,} more"] if len(problems) > _LISTED else []
    return as_airflow_exception(InvalidParametersError([*problems[:_LISTED], *more], "arguments"))
