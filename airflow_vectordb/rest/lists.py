"""Arguments that are lists. A string is refused, since Python would iterate over its letters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Number
from typing import Any, NoReturn, TypeGuard, TypeVar

from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.spelling import describe_value, near_miss, normalize_key

T = TypeVar("T")

_SEARCH_KEYS = (
    *("data", "annsField", "filter", "exprParams", "limit", "offset"),
    *("params", "searchParams", "metricType", "groupingField"),
)
#: The same by normalized keys, with pymilvus's names for two of them.
_SEARCH_NAMES = {normalize_key(name): name for name in _SEARCH_KEYS} | {"expr": "filter", "param": "params"}


def is_list(value: Any) -> TypeGuard[Iterable[Any]]:
    """Return whether a value may be iterated over as a list: not a text, bytes, a mapping or a frame."""
    return (
        isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping) and not hasattr(value, "columns")
    )


def as_list(name: str, value: Any, of: str = "names") -> list[Any]:
    """Return an argument as a list, or raise an error about its name and what it is to be a list ``of``."""
    check_list(name, value, of)
    return list(value)


def as_list_or_none(name: str, value: Any, of: str = "names") -> list[Any] | None:
    """Return a list as a list, and None as None; see :func:`as_list`."""
    return None if value is None else as_list(name, value, of)


def as_partitions(name: str, value: Any) -> list[Any] | None:
    """Return names of partitions as a list, and None as None; refuse an empty list, which would be all of them."""
    names = as_list_or_none(name, value)
    if names == []:
        _refuse(f"{name} is an empty list: pass at least one name, or None for the whole collection")
    return names


def check_list(name: str, value: Any, of: str = "names") -> None:
    """Refuse what is no list."""
    if not is_list(value):
        advice = f": pass [{value!r}]" if isinstance(value, str) and len(value) < 100 else ""
        _refuse(f"{name} must be a list of {of}, not {describe_value(value)}{advice}")


def as_vectors(name: str, data: Any) -> list[Any]:
    """Return a list of vectors as a list, or refuse what is none, as is a single vector."""
    if not is_list(data):
        _refuse(f"{name} is {describe_value(data)}: pass a list of vectors, [vector]")
    vectors = list(data)
    for at, one in enumerate(vectors):
        if one is None or isinstance(one, Number):
            _refuse(f"{name}[{at}] is {describe_value(one)}: pass a list of vectors, [vector]")
    return vectors


def as_searches(name: str, searches: Any) -> list[dict[str, Any]]:
    """Return the searches of a hybrid search in the API's spelling; Milvus ignores keys that it does not know."""
    searches = list(searches) if is_list(searches) else [None]
    if not all(isinstance(one, Mapping) for one in searches):
        _refuse(f'{name} must be a list of mappings: [{{"data": [vector], "annsField": …}}, …]')
    read: list[dict[str, Any]] = []
    for number, one in enumerate(searches):
        where, search = f"{name}[{number}]", dict[str, Any]()
        for key, value in one.items():
            known = _SEARCH_NAMES.get(normalize_key(str(key)))
            if known is None and (meant := near_miss(str(key), _SEARCH_KEYS)):
                _refuse(f"{where} has an unknown key {key!r}; did you mean {meant!r}?")
            if (known or key) in search:
                _refuse(f"{where} has {known} twice, as {key!r} too")
            search[known or key] = as_vectors(f"{where}['data']", value) if known == "data" else value
        check_integers(**{f"{where}[{key!r}]": search.get(key) for key in ("limit", "offset")})
        read.append(search)
    return read


def as_mapping(name: str, value: Any, example: str) -> dict[str, Any]:
    """Return a mapping as a dict, or refuse what is none."""
    if not isinstance(value, Mapping):
        _refuse(f"{name} must be a mapping such as {example}, not {describe_value(value)}")
    return dict(value)


def as_keys(name: str, value: Any) -> list[Any]:
    """Return a list of primary keys as a list, or refuse what is none: as a mask of booleans, which is true for 1."""
    keys = as_list(name, value, "keys")
    for at, key in enumerate(keys):
        if not isinstance(key, str) and not _is_integer(key):
            _refuse(f"{name}[{at}] is {describe_value(key)}: a key is an integer or a string")
    return keys


def check_integers(**values: Any) -> None:
    """Refuse what is neither an integer nor None."""
    for name, value in values.items():
        if value is not None and not _is_integer(value):
            _refuse(f"{name} must be an integer, not {describe_value(value)}")


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def parts(values: Sequence[T], size: int) -> list[Sequence[T]]:
    """Divide a list into parts of a size; the last one may be smaller."""
    return [values[start : start + size] for start in range(0, len(values), size)]


def _refuse(problem: str) -> NoReturn:
    raise InvalidParametersError([problem], "arguments")
