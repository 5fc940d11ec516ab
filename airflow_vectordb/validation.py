"""Checks of arguments of operators and sensors: when a DAG is parsed, and after templates are rendered.

When a DAG is parsed, values that are rendered later, or come from another task, pass. Problems are lists of sentences.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from numbers import Number
from typing import Any, Literal

from airflow_vectordb import rest
from airflow_vectordb._compat import AirflowFailException
from airflow_vectordb.assets import check_assets

#: Seconds: a shorter ``poll_interval`` would be a busy loop.
SHORTEST_POLL_INTERVAL = 0.1
DEFAULT_POLL_INTERVAL = 30.0
#: More than any server has.
_MOST_ROWS = 2**63

#: Policies for what exists already, and for what is missing.
IfExists = Literal["skip", "replace", "fail"]
IfMissing = Literal["skip", "fail"]
_POLICIES = {"if_exists": IfExists, "if_missing": IfMissing}

_Check = Callable[[str, Any], list[str]]


def seconds_of(value: timedelta | float) -> float:
    """Convert seconds or a timedelta to seconds."""
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def _check_policy(name: str, value: Any) -> list[str]:
    return rest.spelling.check_choice(name, value, _POLICIES[name])


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


def check_flag(name: str, value: Any) -> list[str]:
    """Check a boolean argument: Python would treat a string like "no" as true."""
    return [] if isinstance(value, bool) else [f"{name} must be True or False, not {rest.spelling.show(value)}"]


def check_interval(name: str, value: Any) -> list[str]:
    """Check the longest pause between two polls; None is not valid."""
    if value is None:
        return [f"{name} must be a number of seconds or a timedelta, not None"]
    return check_seconds(name, value, SHORTEST_POLL_INTERVAL)


def _check_assets(_: str, value: Any) -> list[str]:
    return check_assets(value if isinstance(value, list | tuple | set) else [value])


def check_arguments(
    given: Mapping[str, Any], names: Iterable[str], new_names: Iterable[str], *, rendered: bool
) -> list[str]:
    """
    Check the arguments, by name, that several classes have; others among them are ignored.

    :param names: those that are the name of something
    :param new_names: those that are the name of something to be created
    :param rendered: whether templates are rendered; otherwise, what is known later passes
    """
    needed = {name: given[name] for name in ("milvus_conn_id", *names) if name in given}
    problems = check_names(**needed, rendered=rendered)
    for name in new_names:
        if name in given:
            problems += check_new_name(name, given[name], rendered=rendered)
    for check, arguments in (_TEMPLATED if rendered else {**_TEMPLATED, **_CONSTANT}).items():
        for name in arguments:
            later = not rendered and check in _TEMPLATED and rest.spelling.is_later(given.get(name))
            if name in given and not later:
                problems += check(name, given[name])
    return problems


def take_times(arguments: dict[str, Any], *names: str) -> list[str]:
    """Convert times among an operator's arguments, or ``default_args``, to timedeltas; invalid ones of 1 s."""
    problems: list[str] = []
    for name in names:
        value = arguments.get(name, (arguments.get("default_args") or {}).get(name))
        wrong = check_seconds(name, value)
        problems += wrong
        if value is not None:
            arguments[name] = timedelta(seconds=1 if wrong else seconds_of(value))
    return problems


class InvalidArgumentsError(ValueError, AirflowFailException):
    """Arguments that can never be right. Mapped tasks get theirs only when they run: Airflow must not retry them."""


def raise_if_invalid(task_id: str, *problems: str) -> None:
    """Refuse arguments when the DAG is parsed, with a ValueError that lists all problems."""
    if problems:
        raise InvalidArgumentsError(f"task {task_id}: {'; '.join(problems)}")


def check_names(*, rendered: bool, **values: Any) -> list[str]:
    """
    Check arguments that must be a name.

    Jinja also renders lists and missing XComs to text, which is no valid name: waiting for it would never end.
    """
    return [
        f"{name} {reason}"
        for name, value in values.items()
        if (rendered or not _is_later_name(value)) and (reason := rest.spelling.why_no_name(value))
    ]


def _is_later_name(value: Any) -> bool:
    return not isinstance(value, list | tuple | Mapping) and rest.spelling.is_later(value)


def _check_optional_name(name: str, value: Any) -> list[str]:
    # A path may be an object of its own, and an empty database is the connection's.
    if value is None or hasattr(value, "open") or (name, value) == ("database", ""):
        return []
    return check_names(**{name: value}, rendered=True)


def check_new_name(name: str, value: Any, *, rendered: bool) -> list[str]:
    """Check the name of what is to be created."""
    problems = check_names(**{name: value}, rendered=rendered)
    if problems or _is_later_name(value) or rest.spelling.NAME.fullmatch(value):
        return problems
    example = re.sub(r"^(?=\d)|\W", "_", value.strip(), flags=re.ASCII)[:255]
    rule = f"{rest.spelling.NAME_RULE}, as in {rest.spelling.show(example, 30)}"
    if len(value) > 255:
        rule = f"it has {len(value):,} characters; a name has 255 at most"
    return [f"{name} {rest.spelling.show(value, 30)}: {rule}"]


def check_list_of_names(argument: str, given: Any, *, rendered: bool = False) -> list[str]:
    """Check an argument that must be a name, or several; None is valid."""
    if given is None:
        return []
    if not isinstance(given, list | tuple | set | frozenset):
        return check_names(**{argument: given}, rendered=rendered)
    if not given:
        return [f"{argument} is an empty list: pass at least one name, or None for all"]
    return check_names(**{f"{argument}[{n}]": value for n, value in enumerate(given)}, rendered=rendered)


def parse_names(argument: str, given: str | Iterable[str] | None) -> tuple[str, ...]:
    """Convert names given as one or several, after rendering, or raise an error with everything that is wrong."""
    names = list(given) if rest.lists.is_list(given) else given
    if problems := check_list_of_names(argument, names, rendered=True):
        raise rest.errors.InvalidParametersError(problems)
    return () if names is None else tuple(map(str, names if isinstance(names, list) else [names]))


def check_index_params(raw: Any, extensions: Sequence[str], *, allow_unknown: bool = False) -> list[str]:
    """Check index parameters, but not their values: those are reported together with what the schema reveals."""

    def is_later(value: Any) -> bool:
        return not isinstance(value, Mapping) and _is_later(value, extensions)

    return rest.index.parsing.parse(raw, allow_unknown=allow_unknown, is_later=is_later).malformed


def check_schema(schema: Any, dimension: Any, extensions: Sequence[str], *, allow_unknown: bool = False) -> list[str]:
    """Check a schema or dimension. If a part is known later, only the keys are checked."""
    if (schema is None) == (dimension is None):
        return ["pass either schema or dimension"]
    parsing = rest.schema.parsing
    if dimension is not None:
        return [] if rest.spelling.is_later(dimension) else parsing.read_quick(dimension).problems
    if not isinstance(schema, Mapping) and _is_later(schema, extensions):
        return []
    parsed = parsing.read_schema(schema, allow_unknown=allow_unknown)
    return parsed.malformed if rest.spelling.is_later(schema) else parsed.problems


def check_indexes_of_schema(
    schema: Any, index_params: Any, extensions: Sequence[str], *, allow_unknown: bool = False
) -> list[str]:
    """Check index parameters against the new collection's schema, if both are known."""
    if any(given is None or _is_later(given, extensions) for given in (schema, index_params)):
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


def check_properties(properties: Any, extensions: Sequence[str], *, allow_unknown: bool = False) -> list[str]:
    """Check the properties of a collection when the DAG is parsed."""
    if _is_later(properties, extensions):
        return []
    return rest.schema.properties.read_properties(properties, allow_unknown=allow_unknown)[1]


def _is_later(value: Any, extensions: Sequence[str]) -> bool:
    """Return whether it, or a part of it, is a file beside the DAG, a template or another task's output."""
    if isinstance(value, list | tuple):
        return any(_is_later(one, extensions) for one in value)
    return (isinstance(value, str) and value.endswith(tuple(extensions))) or rest.spelling.is_later(value)


def check_list(name: str, value: Any) -> list[str]:
    """Check an argument that is a list, after rendering: Python would also iterate over a string or a mapping."""
    if isinstance(value, Iterator):
        return [f"{name} is {rest.spelling.article(type(value).__name__)}, which only one try could read: pass a list"]
    if not isinstance(value, str | bytes | Mapping):
        return []
    return [f"{name} must be a list, not {rest.spelling.show(value)}: pass a task's output itself"]


def check_rows(name: str, value: Any) -> list[str]:
    """Check a number of rows, as :func:`count_of` takes it; None is valid."""
    if value is None or count_of(value) is not None:
        return []
    text = str(value).strip()
    hint = "pass a number, also as a string, or the output of a task that returns it"
    if rest.spelling.is_nothing(text):
        hint = "does the task that it comes from return a number?"
    elif text[:1] in ("{", "[", "(") and not rest.spelling.has_template(text):
        hint = "pass the number in it, or call its key `rows`"
    return [f"{name} must be a number of rows, 0 or more, not {rest.spelling.show(value)}: {hint}"]


def count_of(value: Any) -> int | None:
    """
    Convert a number of rows: a number of any kind, also as a string, what an ingest returns, or a list of these.

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
    return rows if rows is not None and rows == number else None


#: Checks, with the arguments of operators and sensors that they are for: of what templates render, …
_TEMPLATED: Mapping[_Check, Sequence[str]] = {
    _check_optional_name: (
        *("database", "partition_name", "key_field", "replace_documents", "anns_field"),
        *("source_conn_id", "stage_conn_id", "stage_to", "bad_rows_path"),
    ),
    check_rows: ("min_rows", "max_rows", "max_bad_rows"),
    check_list: ("ids", "documents"),
    rest.spelling.check_mapping: ("filter_params", "options", "search_params"),
    rest.spelling.check_field_mapping: ("field_mapping",),
}
#: … and of what is given as it is.
_CONSTANT: Mapping[_Check, Sequence[str]] = {
    check_flag: (
        *("wait_for_completion", "deferrable", "flush", "strict", "allow_unknown", "alter", "drop_aliases"),
        *("allow_missing", "keep_staged", "check_loaded", "dry_run"),
        *("soft_fail", "never_fail", "silent_fail", "exponential_backoff"),  # of Airflow's sensors
    ),
    check_interval: ("poll_interval", "poke_interval"),
    check_seconds: ("timeout", "execution_timeout", "max_wait"),
    check_list_of_names: ("partition_names",),
    _check_assets: ("inlets", "outlets"),
    _check_policy: tuple(_POLICIES),
}
