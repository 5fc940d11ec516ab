"""Checks of arguments of operators and sensors: when a DAG is parsed, and after templates are rendered.

When a DAG is parsed, values that are rendered later, or come from another task, pass. Problems are lists of sentences.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from numbers import Number
from typing import Any, get_args

from airflow_vectordb import rest
from airflow_vectordb.assets import check_assets

#: Seconds: a shorter ``poll_interval`` would be a busy loop.
SHORTEST_POLL_INTERVAL = 0.1
DEFAULT_POLL_INTERVAL = 30.0
# What arguments of operators and sensors must be, for classes that have them: booleans, …
FLAGS = (
    *("wait_for_completion", "deferrable", "flush", "strict", "allow_unknown", "alter", "drop_aliases"),
    *("allow_missing", "keep_staged", "check_loaded"),
    *("soft_fail", "never_fail", "silent_fail", "exponential_backoff"),  # of Airflow's sensors
)
# … a single name or path if they are passed, …
OPTIONAL_NAMES = (
    *("database", "partition_name", "key_field", "replace_documents", "anns_field"),
    *("source_conn_id", "stage_conn_id", "stage_to", "bad_rows_path"),
)
# … numbers of rows, lists, and mappings.
ROWS = ("min_rows", "max_rows", "max_bad_rows")
LISTS = ("ids", "documents")
MAPPINGS = ("filter_params", "options")
#: More than any server has.
_MOST_ROWS = 2**63


def seconds_of(value: timedelta | float) -> float:
    """Convert seconds or a timedelta to seconds."""
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def check_choice(name: str, value: Any, literal: Any) -> list[str]:
    """Check an argument that must be a value of a ``Literal``."""
    choices = get_args(literal)
    return [] if value in choices else [f"{name} must be {' or '.join(map(repr, choices))}, not {value!r}"]


def check_seconds(name: str, value: Any, least: float = 0.0) -> list[str]:
    """Check an argument that is a time of at least ``least`` seconds, or a timedelta; None is valid."""
    if value is None:
        return []
    try:
        if isinstance(value, bool | str | bytes):
            raise TypeError
        seconds = seconds_of(value)
    except (TypeError, ValueError, OverflowError):
        return [f"{name} must be a number of seconds or a timedelta, not {rest.spelling.show(value)}"]
    if not least <= seconds <= rest.LONGEST_TIMEOUT or seconds == 0:
        limit = f"at least {least:g} s" if least else "above 0 s"
        return [f"{name} must be {limit} and at most {rest.LONGEST_TIMEOUT:g} s, not {rest.spelling.show(value)}"]
    return []


def check_flags(**values: Any) -> list[str]:
    """Check boolean arguments: Python would treat a string like "no" as true."""
    return [
        f"{name} must be True or False, not {rest.spelling.show(v)}"
        for name, v in values.items()
        if not isinstance(v, bool)
    ]


def check_constants(given: Mapping[str, Any]) -> list[str]:
    """Check the arguments, by name, that no template renders; others among them are ignored."""
    outlets, inlets = given.get("outlets"), given.get("inlets")
    assets = [part for one in (outlets, inlets) for part in (one if isinstance(one, list | tuple | set) else [one])]
    problems = check_flags(**{name: given[name] for name in FLAGS if name in given})
    for name in ("poll_interval", "poke_interval"):
        problems += check_seconds(name, given.get(name), SHORTEST_POLL_INTERVAL)
    for name in ("timeout", "execution_timeout", "max_wait"):
        problems += check_seconds(name, given.get(name))
    return problems + check_assets(assets)


def check_templated(
    given: Mapping[str, Any], names: Iterable[str], new_names: Iterable[str], *, rendered: bool
) -> list[str]:
    """
    Check the arguments, by name, that several classes have; others among them are ignored.

    :param names: those that are the name of something
    :param new_names: those that are the name of something to be created
    :param rendered: whether templates are rendered; otherwise, what is known later passes
    """
    needed = {name: given[name] for name in ("milvus_conn_id", *names) if name in given}
    # A path may be an object of its own, and an empty database is the connection's.
    optional = {
        name: value
        for name in OPTIONAL_NAMES
        if (value := given.get(name)) is not None and not hasattr(value, "open") and (name, value) != ("database", "")
    }
    problems = check_names(**needed, **optional, rendered=rendered)
    for name in new_names:
        if name in given:
            problems += check_new_name(name, given[name], rendered=rendered)
    checks = (
        (check_rows, ROWS),
        (check_list, LISTS),
        (check_mapping, MAPPINGS),
        (check_field_mapping, ("field_mapping",)),
    )
    for check, arguments in checks:
        for name in arguments:
            if rendered or not rest.spelling.is_later(given.get(name)):
                problems += check(name, given.get(name))
    return problems


def take_times(arguments: dict[str, Any], *names: str) -> list[str]:
    """
    Convert times for Airflow's own classes, so that numbers and timedeltas are both accepted.

    :param arguments: of an operator, including ``default_args``; times become timedeltas, invalid ones of 1 s
    """
    problems: list[str] = []
    for name in names:
        value = arguments.get(name, (arguments.get("default_args") or {}).get(name))
        wrong = check_seconds(name, value)
        problems += wrong
        if value is not None:
            arguments[name] = timedelta(seconds=1 if wrong else seconds_of(value))
    return problems


def raise_if_invalid(task_id: str, *problems: str) -> None:
    """Refuse arguments when the DAG is parsed, with a ValueError that lists all problems."""
    if problems:
        raise ValueError(f"task {task_id}: {'; '.join(problems)}")


def check_names(*, rendered: bool, **values: Any) -> list[str]:
    """
    Check arguments that must be a name.

    Jinja also renders lists and missing XComs to text, which is no valid name: waiting for it would never end.
    """
    return [
        problem
        for name, value in values.items()
        if (rendered or not _is_later_name(value)) and (problem := _not_a_name(name, value))
    ]


def _is_later_name(value: Any) -> bool:
    if isinstance(value, str):
        return rest.spelling.has_template(value)
    return not isinstance(value, int | float | bytes | list | tuple | set | frozenset | dict | None)


def check_new_name(name: str, value: Any, *, rendered: bool) -> list[str]:
    """Check the name of what is to be created."""
    if problems := check_names(**{name: value}, rendered=rendered):
        return problems
    return [] if _is_later_name(value) else rest.spelling.check_name(name, value)


def check_list_of_names(argument: str, given: Any) -> list[str]:
    """Check an argument that must be a name, or several, when the DAG is parsed; None is valid."""
    if given is None:
        return []
    if isinstance(given, list | tuple | set | frozenset):
        return check_names(**_by_position(argument, given), rendered=False) if given else [_is_empty(argument)]
    return check_names(**{argument: given}, rendered=False)


def parse_names(argument: str, given: str | Iterable[str] | None) -> tuple[str, ...]:
    """
    Convert names given as one or several, after rendering.

    :raises InvalidParametersError: with everything that is wrong
    """
    names: dict[str, Any] = {} if given is None else {argument: given}
    if isinstance(given, Iterable) and not isinstance(given, str | bytes | dict):
        names = _by_position(argument, given)
    problems = check_names(**names, rendered=True)
    if given is not None and not names:
        # An empty list does not mean everything.
        problems.append(_is_empty(argument))
    if problems:
        raise rest.errors.InvalidParametersError(problems)
    return tuple(map(str, names.values()))


def check_index_params(raw: Any, extensions: Sequence[str], *, allow_unknown: bool = False) -> list[str]:
    """
    Check index parameters, but not their values.

    Problems with values are reported later, together with those that the schema reveals.
    """
    if isinstance(raw, os.PathLike):
        return [_is_path("index_params", raw)]
    normalize_key = rest.spelling.normalize_key
    parsing = rest.index.parsing

    def is_known(item: Any) -> bool:
        if isinstance(item, str):
            return not rest.spelling.has_template(item) and not item.endswith(tuple(extensions))
        return item is None or isinstance(item, Mapping | list | tuple | int | float)

    def without_unknown(item: Any) -> Any:
        if not is_known(item):
            return {"fieldName": "known later"}
        if isinstance(item, list | tuple):
            return [without_unknown(one) for one in item]
        keys = {normalize_key(str(key)): key for key in item} if isinstance(item, Mapping) else {}
        if "indexparams" in keys and "fieldname" not in keys:
            return {**item, keys["indexparams"]: without_unknown(item[keys["indexparams"]])}
        return item

    try:
        return parsing.parse(without_unknown(raw), allow_unknown=allow_unknown).malformed
    except RecursionError:
        return [parsing.TOO_DEEP]


def check_schema(schema: Any, dimension: Any, extensions: Sequence[str], *, allow_unknown: bool = False) -> list[str]:
    """Check a schema or dimension. If a part is known later, only the keys are checked."""
    if (schema is None) == (dimension is None):
        return ["schema or dimension is missing" if schema is None else "schema and dimension exclude each other"]
    if isinstance(schema, os.PathLike):
        return [_is_path("schema", schema)]
    parsing = rest.schema.parsing
    if dimension is not None:
        if rest.spelling.is_later(dimension):
            return []
        return [problem.replace("vector: dim", "dimension") for problem in parsing.read_quick(dimension).problems]
    if not isinstance(schema, Mapping) and _is_later(schema, extensions):
        return []
    parsed = parsing.read_schema(schema, allow_unknown=allow_unknown)
    return parsed.malformed if rest.spelling.is_later(schema) else parsed.problems


def check_indexes_of_schema(
    schema: Any, index_params: Any, extensions: Sequence[str], *, allow_unknown: bool = False
) -> list[str]:
    """Check index parameters against the new collection's schema, if both are known."""
    if _is_later(schema, extensions) or _is_later(index_params, extensions):
        return []
    parsed = rest.schema.parsing.read_schema(schema, allow_unknown=allow_unknown)
    specs, indexes = rest.index.spec.read_index_params(index_params, allow_unknown=allow_unknown)
    # Structs are not checked here; malformed parameters are refused in any case.
    if parsed.spec is None or parsed.problems or parsed.spec.extra or indexes.malformed:
        return []
    problems = list(indexes.problems)
    try:
        rest.index.plan.resolve_all(specs, parsed.spec.as_collection("schema"))
    except rest.errors.InvalidParametersError as error:
        problems += [problem for problem in error.problems if problem not in problems]
    return problems


def _is_later(value: Any, extensions: Sequence[str]) -> bool:
    if value is None or rest.spelling.is_later(value):
        return True
    if isinstance(value, str):
        return value.endswith(tuple(extensions))
    if isinstance(value, Mapping):
        return False
    return isinstance(value, list | tuple) and any(_is_later(one, extensions) for one in value)


def check_properties(properties: Any, extensions: Sequence[str]) -> list[str]:
    """Check the properties of a collection when the DAG is parsed."""
    if isinstance(properties, os.PathLike):
        return [_is_path("properties", properties)]
    if _is_later(properties, extensions):
        return []
    return rest.schema.properties.read_properties(properties)[1]


def check_range(name: str, value: Any, least: int, most: int = 2**31, kind: type[int | float] = int) -> list[str]:
    """Check an argument that is a number."""
    fits = not isinstance(value, bool) and isinstance(value, int if kind is int else (int, float))
    if fits and least <= value <= most:
        return []
    what = "an integer" if kind is int else "a number"
    return [f"{name} must be {what} from {least:,} to {most:,}, not {rest.spelling.show(value)}"]


def check_list(name: str, value: Any) -> list[str]:
    """Check an argument that is a list, after rendering: Python would also iterate over a string or a mapping."""
    if not isinstance(value, str | bytes | Mapping):
        return []
    return [f"{name} is {rest.spelling.show(value)}, and must be a list: pass a task's output itself"]


def check_mapping(name: str, value: Any) -> list[str]:
    """Check an argument that is a mapping, after rendering; None is valid."""
    if value is None or isinstance(value, Mapping):
        return []
    return [f"{name} is {rest.spelling.show(value)}, and must be a mapping"]


def check_field_mapping(name: str, value: Any) -> list[str]:
    """Check a mapping of columns to fields, or to None; None is valid."""
    if problems := check_mapping(name, value):
        return problems
    return [
        f"{name}[{column!r}] is {rest.spelling.show(field)}, and must be the name of a field, or None"
        for column, field in (value or {}).items()
        if field is not None and not isinstance(field, str)
    ]


def check_rows(name: str, value: Any) -> list[str]:
    """Check a number of rows, as :func:`count_of` takes it; None is valid."""
    if value is None or count_of(value) is not None:
        return []
    return [f"{name} must be a number of rows, 0 or more, not {rest.spelling.show(value)}{_rows_hint(value)}"]


def count_of(value: Any) -> int | None:
    """
    Convert a number of rows: a number of any kind, a text that is one, what an ingest returns, or a list of these.

    :return: None for what is none
    """
    if isinstance(value, Mapping):
        return count_of(value.get("rows"))
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):  # results of mapped tasks
        counts = [count_of(one) for one in value]
        return None if None in counts else sum(filter(None, counts))
    try:
        number: Any = Decimal(value.strip()) if isinstance(value, str) else value
        is_number = isinstance(number, Number) and not isinstance(number, bool)
        rows = int(number) if is_number and 0 <= number < _MOST_ROWS else None
    except (TypeError, ValueError, ArithmeticError):
        return None
    return rows if rows == number else None


def _rows_hint(value: Any) -> str:
    text = value.strip() if isinstance(value, str) and not rest.spelling.has_template(value) else ""
    if rest.spelling.is_nothing(text):
        return ": does the task that it comes from return a number?"
    if isinstance(value, dict | list | tuple) or text[:1] in ("{", "["):
        return ": name the number in it, or the key that it has there"
    return ""


def _by_position(argument: str, values: Iterable[Any]) -> dict[str, Any]:
    return {f"{argument}[{position}]": value for position, value in enumerate(values)}


def _is_path(argument: str, value: Any) -> str:
    return f"{argument} is {rest.spelling.show(value)}: pass the name of a file beside the DAG as a string"


def _is_empty(argument: str) -> str:
    return f"{argument} is empty, a list without a name; None is for all that there is"


def _not_a_name(argument: str, value: Any) -> str | None:
    if value is None or (isinstance(value, str) and not value.strip()):
        return f"{argument} is {value!r}: did its template render to nothing?"
    if not isinstance(value, str):
        kind = rest.spelling.article(type(value).__name__)
        return f"{argument} is {rest.spelling.show(value)} ({kind}): names are strings"
    text = value.strip()
    if rest.spelling.is_nothing(text):
        return (
            f"{argument} is {value!r}, a missing value rendered to text: does the task return what the template asks "
            "for? (A DAG with render_template_as_native_obj=True passes values as they are.)"
        )
    if text[0] in "[({":
        return (
            f"{argument} is {rest.spelling.show(value)}, a list or mapping rendered to text: pass what the task "
            "returns (its output) itself, or set render_template_as_native_obj=True on the DAG"
        )
    if rest.spelling.has_template(text):
        return f"{argument} is {rest.spelling.show(value)}: its template was not rendered"
    return None
