"""Checks of what users give to operators and sensors: when a DAG is parsed, and when templates are rendered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any


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


def check_seconds(name: str, value: timedelta | float | None, least: float) -> str | None:
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
        seconds = seconds_of(value)
    except (TypeError, ValueError):
        return f"{name} must be a number of seconds or a timedelta, not {value!r}"
    if isinstance(value, bool) or not math.isfinite(seconds) or seconds < least:
        return f"{name} must be at least {least:g} s, not {value!r}"
    return None


def refuse(task_id: str, *problems: str | None) -> None:
    """
    Refuse arguments when the DAG is parsed.

    :param task_id: the task's
    :param problems: what is wrong; None: nothing
    :raises ValueError: with everything that is wrong
    """
    found = [problem for problem in problems if problem]
    if found:
        raise ValueError(f"task {task_id}: {'; '.join(found)}")


def check_rendered(**values: Any) -> list[str]:
    """
    Check arguments that must be a name once they are rendered.

    :param values: by the argument's name
    :return: what is wrong
    """
    return [
        f"{name} is {value!r}: did its template render to nothing?"
        for name, value in values.items()
        if not isinstance(value, str) or not value.strip()
    ]


def names_of(argument: str, given: str | Sequence[str] | None, **others: Any) -> tuple[str, ...]:
    """
    Take names given as one or several, once they are rendered.

    :param argument: its name
    :param given: what was given; None: none
    :param others: further arguments that must be a name, by the argument's name
    :raises InvalidParametersError: with everything that is wrong
    """
    from airflow_vectordb.rest.errors import InvalidParametersError

    one = isinstance(given, str)
    names = [given] if one else list(given or ())
    problems = check_rendered(**others)
    for position, name in enumerate(names):
        problems += check_rendered(**{argument if one else f"{argument}[{position}]": name})
    if problems:
        raise InvalidParametersError(problems)
    return tuple(map(str, names))


__all__ = ["check_choice", "check_rendered", "check_seconds", "names_of", "refuse", "seconds_of"]
