"""Filters, Milvus's boolean expressions, with values that are quoted safely."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.lists import as_list
from airflow_vectordb.rest.spelling import show

_STRINGS_AND_NAMES = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|\{\s*(\w+)\s*\}""", re.DOTALL)


def literal(value: Any) -> str:
    """
    Return a value as a literal of the filter language.

    :param value: text, a number, a truth value, or a list of those
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

    :param template: as ``doc_id in {ids} and lang == {lang}``
    :param params: value of each name
    :raises InvalidParametersError: with the names that have no value, the values without a place, and those that no
        filter can have
    """
    given = dict(params or {})
    used: set[str] = set()
    problems: list[str] = []

    def value(match: re.Match[str]) -> str:
        name = match[2]
        if name is None:
            return match[0]
        used.add(name)
        if name not in given:
            problems.append(f"filter has {{{name}}}, and filter_params has no {name!r}")
            return match[0]
        try:
            return literal(given[name])
        except ValueError as error:
            problems.append(f"filter_params[{name!r}]: {error}")
            return match[0]

    filled = _STRINGS_AND_NAMES.sub(value, template)
    problems += [f"filter_params has {name!r}, and filter has no {{{name}}}" for name in given if name not in used]
    if problems:
        raise InvalidParametersError(problems, "filter")
    return filled


def is_one_of(field: str, values: Iterable[Any]) -> str:
    """
    Return the filter for rows with one of several values.

    :param values: text or numbers
    """
    return f"{field} in {literal(as_list('values', values, 'texts or numbers'))}"
