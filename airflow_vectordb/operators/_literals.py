"""Checks of literal arguments, when the DAG is parsed, that belong to some operators only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_vectordb import rest
from airflow_vectordb.validation import check_literal, validate_rendered


def check_new_name(**values: Any) -> list[str]:
    """Check names of what is to be created, when the DAG is parsed."""
    problems = check_literal(**values)
    texts = {name: v for name, v in values.items() if isinstance(v, str) and not rest.spelling.has_template(v)}
    return problems or [problem for name, v in texts.items() for problem in rest.spelling.check_name(name, v)]


def validate_new_name(**values: Any) -> list[str]:
    """Check names of what is to be created, after rendering."""
    problems = validate_rendered(**values)
    return problems or [problem for name, v in values.items() for problem in rest.spelling.check_name(name, v)]


def check_indexes_of_schema(
    schema: Any, index_params: Any, extensions: Sequence[str], *, allow_unknown: bool = False
) -> list[str]:
    """
    Check index parameters against the schema that the collection will have, if both are known when the DAG is parsed.

    :param extensions: endings of texts that are names of files
    """
    if _is_later(schema, extensions) or _is_later(index_params, extensions):
        return []
    parsed = rest.schema.parsing.read_schema(schema, allow_unknown=allow_unknown)
    specs, indexes = rest.index.spec.read_index_params(index_params, allow_unknown=allow_unknown)
    # Of structs nothing is known here; what is malformed is refused in any case.
    if parsed.spec is None or parsed.problems or parsed.spec.extra or indexes.malformed:
        return []
    problems = list(indexes.problems)
    try:
        rest.index.plan.resolve_all(specs, parsed.spec.as_collection("schema"))
    except rest.errors.InvalidParametersError as error:
        problems += [problem for problem in error.problems if problem not in problems]
    return problems


def _is_later(value: Any, extensions: Sequence[str]) -> bool:
    if value is None or rest.schema.parsing.is_later(value):
        return True
    if isinstance(value, str):
        return value.endswith(tuple(extensions))
    if isinstance(value, Mapping):
        return False
    return isinstance(value, list | tuple) and any(_is_later(one, extensions) for one in value)
