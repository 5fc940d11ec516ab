"""Filters, Milvus's boolean expressions, with values that are quoted safely."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.lists import as_list, as_mapping
from airflow_vectordb.rest.spelling import show

_STRINGS_AND_NAMES = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|\{\s*(\w+)\s*\}""", re.DOTALL)


def literal(value: Any) -> str:
    """
    Return a string, number or boolean, or a list of them, as a literal of the filter language.

    :raises ValueError: for anything else
    """
    if isinstance(value, list | tuple | set | frozenset):
        return f"[{', '.join(map(literal, value))}]"
    if hasattr(value, "item") and not isinstance(value, str):  # a NumPy scalar
        value = value.item()
    if not isinstance(value, str | int | float) or value != value or value in (float("inf"), -float("inf")):
        raise ValueError(
            f"{show(value)} cannot be used in a filter; pass a string, a number, a boolean or a list of them"
        )
    return json.dumps(value, ensure_ascii=False)


def fill(template: str, params: Mapping[str, Any] | None = None) -> str:
    """
    Insert values into a filter, each quoted by its type. Braces within quoted text stay unchanged.

    :param template: as ``doc_id in {ids} and lang == {lang}``, whose names have values in ``params``
    :raises InvalidParametersError: with the names that have no value, the values without a place, and those that no
        filter can have
    """
    given = as_mapping("filter_params", {} if params is None else params, '{"ids": [1, 2]}')
    used: set[str] = set()
    problems: list[str] = []

    def value(match: re.Match[str]) -> str:
        name = match[2]
        if name in given:
            used.add(name)
            try:
                return literal(given[name])
            except ValueError as error:
                problems.append(f"filter_params[{name!r}]: {error}")
        elif name is not None:
            problems.append(f"filter has {{{name}}}, and filter_params has no {name!r}")
        return match[0]

    filled = _STRINGS_AND_NAMES.sub(value, template)
    problems += [f"filter_params has {name!r}, and filter has no {{{name}}}" for name in given if name not in used]
    if problems:
        raise InvalidParametersError(problems, "filter")
    return filled


def is_one_of(field: str, values: Iterable[Any]) -> str:
    """Return the filter for rows with one of several texts or numbers."""
    return f"{field} in {literal(as_list('values', values, 'texts or numbers'))}"
