"""Checks of the primary keys of rows that are deleted."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import TYPE_CHECKING, Any

from airflow_vectordb.ingest.values import converter
from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.lists import is_list
from airflow_vectordb.rest.spelling import describe_value

if TYPE_CHECKING:
    from airflow_vectordb.rest.collections import Field

#: The maximum number of problems in an error.
_LISTED = 10


def list_keys(ids: Any) -> list[Any]:
    """Return primary keys as a list. A single string is refused, since it may be a filter."""
    if not isinstance(ids, bool) and isinstance(ids, Integral):
        return [ids]
    if is_list(ids):
        return list(ids)
    problem = f"ids must be a list of keys, not {describe_value(ids)}; a filter goes into filter="
    raise InvalidParametersError([problem], "arguments")


def check_keys(ids: Iterable[Any], key: Field) -> list[Any]:
    """Check primary keys against the type of their field."""
    convert = converter(key.type)
    keys: list[Any] = []
    problems: list[str] = []
    for at, one in enumerate(ids):
        try:
            keys.append(convert(one))
        except (ValueError, TypeError, OverflowError) as error:
            problems.append(f"ids[{at}]: {error}; {key.name} is of type {key.type}")
    if more := problems[_LISTED:]:
        problems[_LISTED:] = [f"… and {len(more):,} more"]
    if problems:
        raise InvalidParametersError(problems, "arguments")
    return keys
