"""Checks of what users give to operators and sensors: when a DAG is parsed, and when templates are rendered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from numbers import Number
from typing import Any

#: Seconds: a longer time is no time, and clocks cannot be moved by it.
LONGEST = 1e9
#: Seconds: a shorter ``poll_interval`` would be a busy loop.
SHORTEST_POLL_INTERVAL = 0.1
#: Arguments of operators and sensors, as far as they have them, that are true or false.
FLAGS = ("wait_for_completion", "deferrable", "flush", "strict", "allow_unknown")
FLAGS_OF_SENSORS = ("soft_fail", "never_fail", "silent_fail", "exponential_backoff")
#: No server counts as far.
_MOST_ROWS = 2**63


def seconds_of(value: timedelta | float) -> float:
    """
    :param value: a time, in seconds or as a timedelta
    """
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str | None:
    """
    Check an argument that is one of a few words.

    :param name: the argument's
    :param value: what was given
    :param choices: what may be given
    :return: what is wrong; None if nothing is
    """
    if value in choices:
        return None
    return f"{name} must be {' or '.join(map(repr, choices))}, not {value!r}"


def check_seconds(name: str, value: Any, least: float = 0.0) -> str | None:
    """
    Check an argument that is a time.

    :param name: the argument's
    :param value: seconds or a timedelta; None is fine
    :param least: seconds
    :return: what is wrong; None if nothing is
    """
    if value is None:
        return None
    try:
        if isinstance(value, bool | str | bytes):
            raise TypeError
        seconds = seconds_of(value)
    except (TypeError, ValueError, OverflowError):
        return f"{name} must be a number of seconds or a timedelta, not {_show(value)}"
    if not least <= seconds <= LONGEST or seconds == 0:
        limit = f"at least {least:g} s" if least else "above 0 s"
        return f"{name} must be {limit} and at most {LONGEST:g} s, not {_show(value)}"
    return None


def check_flags(**values: Any) -> list[str]:
    """
    Check arguments that are true or false: of a text like "no", Python would make true.

    :param values: by the argument's name
    :return: what is wrong
    """
    return [f"{name} must be True or False, not {_show(v)}" for name, v in values.items() if not isinstance(v, bool)]


def check_common(given: Mapping[str, Any]) -> list[str | None]:
    """
    Check the arguments that several classes have.

    :param given: by name, those that were given; others are no business of it
    :return: what is wrong; None: nothing
    """
    from airflow_vectordb.assets import check_assets

    outlets, inlets = given.get("outlets"), given.get("inlets")
    assets = [part for one in (outlets, inlets) for part in (one if isinstance(one, list | tuple | set) else [one])]
    names = ["milvus_conn_id"] if "milvus_conn_id" in given else []
    names += ["database"] if given.get("database") else []
    return [
        *check_literal(**{name: given[name] for name in names}),
        *check_flags(**{name: given[name] for name in FLAGS + FLAGS_OF_SENSORS if name in given}),
        *(check_seconds(name, given.get(name), SHORTEST_POLL_INTERVAL) for name in ("poll_interval", "poke_interval")),
        check_seconds("timeout", given.get("timeout")),
        check_assets(assets),
    ]


def take_times(arguments: dict[str, Any], *names: str) -> list[str]:
    """
    Let times that Airflow's own classes take be numbers and timedeltas alike.

    :param arguments: of an operator, ``default_args`` among them; times become timedeltas, any if they are none
    :param names: of the times
    :return: what is wrong
    """
    problems = []
    for name in names:
        value = arguments.get(name, (arguments.get("default_args") or {}).get(name))
        problem = check_seconds(name, value)
        if problem:
            problems.append(problem)
        if value is not None:
            arguments[name] = timedelta(seconds=1 if problem else seconds_of(value))
    return problems


def raise_if_invalid(task_id: str, *problems: str | None) -> None:
    """
    Refuse arguments when the DAG is parsed.

    :param task_id: the task's
    :param problems: what is wrong; None: nothing
    :raises ValueError: with everything that is wrong
    """
    found = [problem for problem in problems if problem]
    if found:
        raise ValueError(f"task {task_id}: {'; '.join(found)}")


def validate_rendered(**values: Any) -> list[str]:
    """
    Check arguments that must be a name once they are rendered.

    What Jinja makes of a list or of a missing XCom is a text as well, and the name of nothing: to wait for it would be
    to wait in vain.

    :param values: by the argument's name
    :return: what is wrong
    """
    return [problem for name, value in values.items() if (problem := _not_a_name(name, value))]


def check_where(values: Mapping[str, Any], given: Iterable[str]) -> None:
    """
    Check what all tasks have in common once it is rendered, and that nothing that was given has got lost.

    :param values: of the task's arguments, by name
    :param given: templated arguments that were not None. None means all, or whatever there is: no template means that
    :raises InvalidParametersError: with everything that is wrong
    """
    from airflow_vectordb.rest.errors import InvalidParametersError

    lost = {name: None for name in given if values.get(name) is None}
    database = {"database": values["database"]} if values["database"] else {}
    problems = validate_rendered(**{"milvus_conn_id": values["milvus_conn_id"], **database, **lost})
    if problems:
        raise InvalidParametersError(problems)


def check_literal(**values: Any) -> list[str]:
    """
    Check arguments that must be a name when the DAG is parsed. What is rendered later, or comes from another task,
    passes.

    :param values: by the argument's name
    :return: what is wrong
    """
    from airflow_vectordb.rest.spelling import has_template

    known = {
        name: value
        for name, value in values.items()
        if not has_template(value if isinstance(value, str) else "")
        and isinstance(value, str | int | float | bytes | list | tuple | set | frozenset | dict | None)
    }
    return validate_rendered(**known)


def check_literals(**values: Any) -> list[str]:
    """
    Check arguments that must be a name, or several, when the DAG is parsed.

    :param values: by the argument's name; None is fine
    :return: what is wrong
    """
    problems: list[str] = []
    for argument, value in values.items():
        if isinstance(value, list | tuple | set | frozenset):
            if not value:
                problems.append(_is_empty(argument))
            problems += check_literal(**{f"{argument}[{position}]": name for position, name in enumerate(value)})
        elif value is not None:
            problems += check_literal(**{argument: value})
    return problems


def parse_names(argument: str, given: str | Iterable[str] | None, **others: Any) -> tuple[str, ...]:
    """
    Take names given as one or several, once they are rendered.

    :param argument: its name
    :param given: what was given; None: none
    :param others: further arguments that must be a name, by the argument's name
    :raises InvalidParametersError: with everything that is wrong
    """
    from airflow_vectordb.rest.errors import InvalidParametersError

    problems = validate_rendered(**others)
    names: list[Any] = []
    if isinstance(given, Iterable) and not isinstance(given, str | bytes | dict):
        names = list(given)
        if not names:
            # A list that somebody made, and found nothing to put into it: that does not mean everything.
            problems.append(_is_empty(argument))
        problems += validate_rendered(**{f"{argument}[{position}]": name for position, name in enumerate(names)})
    elif given is not None:
        names = [given]
        problems += validate_rendered(**{argument: given})
    if problems:
        raise InvalidParametersError(problems)
    return tuple(map(str, names))


def _is_empty(argument: str) -> str:
    return f"{argument} is empty, a list without a name; None is for all that there is"


def _show(value: Any) -> str:
    from airflow_vectordb.rest.spelling import show

    return show(value)


def _not_a_name(argument: str, value: Any) -> str | None:
    from airflow_vectordb.rest.spelling import article, has_template, is_nothing

    if value is None or (isinstance(value, str) and not value.strip()):
        return f"{argument} is {value!r}: did its template render to nothing?"
    if not isinstance(value, str):
        return f"{argument} is {_show(value)} ({article(type(value).__name__)}): names are text"
    text = value.strip()
    if is_nothing(text):
        return (
            f"{argument} is {value!r}, a missing value rendered to text: does the task return what the template asks "
            "for? (A DAG with render_template_as_native_obj=True passes values as they are.)"
        )
    if text[0] in "[({":
        return (
            f"{argument} is {_show(value)}, a list or mapping rendered to text: pass what the task returns (its "
            "output) itself, or set render_template_as_native_obj=True on the DAG"
        )
    if has_template(text):
        return f"{argument} is {_show(value)}: its template was not rendered"
    return None


def check_rows(name: str, value: Any) -> str | None:
    """
    Check an argument that is a number of rows, when the DAG is parsed.

    :param name: the argument's
    :param value: a number; a text (perhaps a template) and what a task returns are checked when they are rendered
    :return: what is wrong; None if nothing is
    """
    from airflow_vectordb.rest.spelling import has_template

    if value is None or (isinstance(value, str) and has_template(value)) or hasattr(value, "resolve"):
        return None
    problems: list[str] = []
    rows_of(name, value, problems)
    return problems[0] if problems else None


def rows_of(name: str, value: Any, problems: list[str]) -> int:
    """
    Take a number of rows, once it is rendered.

    :param name: the argument's
    :param value: a number, or a text that is one; None: 0
    :param problems: is told what is wrong
    """
    if value is None:
        return 0
    rows = _whole(value)
    if rows is None:
        problems.append(f"{name} must be a number of rows, 0 or more, not {_show(value)}{_instead(value)}")
        return 0
    return rows


def _whole(value: Any) -> int | None:
    """Take a whole number of any kind that can be a count (NumPy's are numbers, too); None: it is none."""
    try:
        number: Any = Decimal(value.strip()) if isinstance(value, str) else value
        is_number = isinstance(number, Number) and not isinstance(number, bool)
        rows = int(number) if is_number and 0 <= number < _MOST_ROWS else None
    except (TypeError, ValueError, ArithmeticError):
        return None
    return rows if rows == number else None


def _instead(value: Any) -> str:
    from airflow_vectordb.rest.spelling import has_template, is_nothing

    text = value.strip() if isinstance(value, str) and not has_template(value) else ""
    if is_nothing(text):
        return ": does the task that it comes from return a number?"
    if isinstance(value, dict | list | tuple) or text[:1] in ("{", "["):
        return ": name the number in it, or the key that it has there"
    return ""


__all__ = [
    "SHORTEST_POLL_INTERVAL",
    "check_choice",
    "check_common",
    "check_flags",
    "check_literal",
    "check_literals",
    "check_rows",
    "check_seconds",
    "check_where",
    "parse_names",
    "raise_if_invalid",
    "rows_of",
    "seconds_of",
    "take_times",
    "validate_rendered",
]
