"""Arguments that are lists. A string is refused, since Python would iterate over its letters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from numbers import Number
from typing import Any, TypeGuard

from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.spelling import describe_value


def is_list(value: Any) -> TypeGuard[Iterable[Any]]:
    """Return whether a value may be iterated over as a list: not a text, bytes, a mapping or a frame."""
    return (
        isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping) and not hasattr(value, "columns")
    )


def as_list(name: str, value: Any, of: str = "names") -> list[Any]:
    """
    Return a list as a list.

    :param name: of the argument
    :param of: what it is a list of, for the message
    :raises InvalidParametersError: when it is none
    """
    raise_if_invalid(problems_of_list(name, value, of))
    return list(value)


def as_list_or_none(name: str, value: Any, of: str = "names") -> list[Any] | None:
    """Return a list as a list, and None as None; see :func:`as_list`."""
    return None if value is None else as_list(name, value, of)


def problems_of_list(name: str, value: Any, of: str = "names") -> list[str]:
    """Return what is wrong with a list."""
    if is_list(value):
        return []
    advice = f": give [{value!r}]" if isinstance(value, str) and len(value) < 100 else ""
    return [f"{name} must be a list of {of}, not {describe_value(value)}{advice}"]


def problems_of_vectors(name: str, data: Any) -> list[str]:
    """Return what is wrong with a list of vectors. A single vector is refused."""
    if not is_list(data):
        return [f"{name} is {describe_value(data)}: give a list of vectors: [vector]"]
    wrong = ((at, one) for at, one in enumerate(data) if one is None or isinstance(one, Number))
    return [f"{name}[{at}] is {describe_value(one)}: give a list of vectors: [vector]" for at, one in islice(wrong, 1)]


def problems_of_searches(name: str, searches: Any) -> list[str]:
    """Return what is wrong with a list of searches, each of which has a list of vectors."""
    if not is_list(searches) or not all(isinstance(one, Mapping) for one in searches):
        return [f'{name} must be a list of mappings: [{{"data": [vector], "annsField": …}}, …]']
    return [
        problem
        for number, one in enumerate(searches)
        if "data" in one
        for problem in problems_of_vectors(f"{name}[{number}]['data']", one["data"])
    ]


def raise_if_invalid(problems: list[str]) -> None:
    """Raise what is wrong with arguments, if anything is."""
    if problems:
        raise InvalidParametersError(problems, "arguments")
