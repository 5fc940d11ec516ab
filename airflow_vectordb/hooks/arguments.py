"""Checks of the hook's list arguments, by the rules of ``rest.lists``, with the names of the hook's methods."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

from airflow_vectordb.exceptions import as_airflow_exception
from airflow_vectordb.rest import lists
from airflow_vectordb.rest.errors import InvalidParametersError, MilvusError
from airflow_vectordb.rest.spelling import describe_value

if TYPE_CHECKING:
    from airflow_vectordb.rest.collections import Field

#: The maximum number of problems in an error.
_LISTED = 10


def check_names(**given: Any) -> None:
    """Refuse a value that is not a list of names."""
    _refuse(
        problem for name, value in given.items() if value is not None for problem in lists.problems_of_list(name, value)
    )


def check_searches(reqs: Any) -> None:
    """Refuse a value that is not a list of searches, each with a list of vectors."""
    _refuse(lists.problems_of_searches("reqs", reqs))


def list_vectors(data: Any) -> list[Any]:
    """Return vectors as a list. A single vector is refused."""
    vectors = list(data) if lists.is_list(data) else data
    _refuse(lists.problems_of_vectors("data", vectors))
    return list(vectors)


def list_keys(ids: Any, *, texts: bool) -> list[Any]:
    """Return primary keys as a list; a single string is a key unless it looks like a filter."""
    if (not isinstance(ids, bool) and isinstance(ids, Integral)) or (texts and isinstance(ids, str)):
        return [ids]
    if lists.is_list(ids):
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
