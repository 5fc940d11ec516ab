"""Spellings of names: suggestions for misspelt ones, and values that are not names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any, get_args

from airflow_vectordb.rest.text import sanitize_text

#: How Jinja, its ``tojson`` and pandas render missing values and other values that cannot be names.
_NOTHING = frozenset({"None", "null", "nan", "NaN", "NaT", "<NA>", "True", "False"})
#: The beginnings of Jinja's expressions, statements and comments.
_JINJA = ("{{", "{%", "{#")
#: Names that each Milvus takes.
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
NAME_RULE = "use letters, digits and underscores, no leading digit, and at most 255 characters"


def normalize_key(key: str) -> str:
    """Normalize a key, so that spellings such as ``index_type`` and ``indexType`` are equal."""
    return key.replace("_", "").lower()


def near_miss(name: str, known: Iterable[str]) -> str | None:
    """
    Find the known name that was certainly meant: one or two wrong letters, or a transposition.

    The shorter a name is, the less it takes to make another one of it: up to four letters allow for one slip, a name of
    a single letter for none. In names of several parts (``HNSW_SQ``), that is the length of the shortest one.
    """
    given = normalize_key(name)
    found: dict[int, str] = {}
    for candidate in known:
        meant = normalize_key(candidate)
        if abs(len(given) - len(meant)) > 2:
            continue  # without a look at its letters: it may be long
        shortest = min(map(len, re.findall(r"[^\W_]+", f"{name} {candidate}")), default=0)
        most = 0 if min(len(given), len(meant)) < 2 else 1 if shortest < 5 else 2
        slips = _edits(given, meant, most)
        if slips <= most:
            found.setdefault(slips, candidate)
    return found[min(found)] if found else None


def suggest(name: str, known: Iterable[str]) -> str:
    """Suggest what a misspelt name may have meant: ``; did you mean 'vector'?``, or the known names if none is near."""
    from difflib import get_close_matches  # not needed by most DAG files

    names = list(dict.fromkeys(known))
    folded = {normalize_key(candidate): candidate for candidate in reversed(names)}
    alike = [folded[key] for key in get_close_matches(normalize_key(name[:100]), folded, n=1)]
    for close in (near_miss(name, names), *alike):
        if close is not None:
            return f"; did you mean {close!r}?"
    if not names:
        return ""
    listed = sanitize_text(", ".join(names[:12]), 1000) + (", …" if len(names) > 12 else "")
    return f"; known: {listed}"


def has_template(text: str) -> bool:
    """Return whether a text contains a Jinja template."""
    return any(mark in text for mark in _JINJA)


def is_later(value: Any) -> bool:
    """Return whether a value is known only when a task runs: the output of another task, or a template."""
    if isinstance(value, Mapping):
        return any(map(is_later, value.values()))
    if isinstance(value, list | tuple):
        return any(map(is_later, value))
    if isinstance(value, str):
        return has_template(value)
    return hasattr(value, "resolve") and not isinstance(value, os.PathLike)


def is_nothing(text: str) -> bool:
    """Return whether a text is a rendered missing value, or another rendered value that cannot be a name."""
    return text.strip() in _NOTHING


def why_no_name(value: Any) -> str | None:
    """Return why a value is not the name of anything, as the end of a sentence; None: it may be one."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return f"is {value!r}: did its template render to nothing?"
    if not isinstance(value, str):
        return f"is {show(value)} ({article(type(value).__name__)}): names are strings"
    if has_template(value):
        return f"is {show(value)}: its template was not rendered"
    if is_nothing(value):
        return (
            f"is {value!r}, a missing value rendered to text: does the task return what the template asks for? "
            "(A DAG with render_template_as_native_obj=True passes values as they are.)"
        )
    if value.lstrip()[0] in "[({":
        return (
            f"is {show(value)}, a list or mapping rendered to text: pass what the task returns (its output) itself, or "
            "set render_template_as_native_obj=True on the DAG"
        )
    return None


def article(name: str) -> str:
    """Add the article to a type's name: ``an Int64``."""
    return f"{'an' if name[:1] in 'AEIOUaeiou' else 'a'} {name}"


def show(value: Any, longest: int = 60) -> str:
    """Format any value for a message."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # for example an int with too many digits
        return "(too large to be shown)"
    return text if len(text) <= longest else f"{text[:longest]}…"


def describe_value(value: Any) -> str:
    """Describe a value for messages: ``an int (5)``."""
    return f"{article(type(value).__name__)} ({show(value, 40)})" if value is not None else "None"


def check_mapping(name: str, value: Any) -> list[str]:
    """Check an argument that is a mapping, after rendering; None is valid."""
    if value is None or isinstance(value, Mapping):
        return []
    return [f"{name} must be a mapping, not {show(value)}"]


def check_choice(name: str, value: Any, literal: Any) -> list[str]:
    """Check an argument that must be a value of a ``Literal``."""
    choices = get_args(literal)
    return [] if value in choices else [f"{name} must be {' or '.join(map(repr, choices))}, not {value!r}"]


def check_range(name: str, value: Any, least: int, most: int = 2**31, kind: type[int | float] = int) -> list[str]:
    """Check an argument that is a number."""
    fits = not isinstance(value, bool) and isinstance(value, Integral if kind is int else Real)
    if fits and least <= value <= most:
        return []
    what = "an integer" if kind is int else "a number"
    return [f"{name} must be {what} from {least:,} to {most:,}, not {show(value)}"]


def check_field_mapping(name: str, value: Any) -> list[str]:
    """Check a mapping of columns to fields, or to None; None is valid."""
    if problems := check_mapping(name, value):
        return problems
    return [
        f"{name} has {show(column)} in place of a column's name"
        for column in value or ()
        if not isinstance(column, str)
    ] + [
        f"{name}[{column!r}] must be the name of a field, or None, not {show(field)}"
        for column, field in (value or {}).items()
        if field is not None and not isinstance(field, str)
    ]


def _edits(one: str, other: str, most: int) -> int:
    """Count the letters to insert, drop, replace or swap with a neighbour (Damerau and Levenshtein)."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        before, last, row = row, before, [i]
        for j, with_letter in enumerate(other, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != with_letter))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == with_letter:
                cost = min(cost, last[j - 2] + 1)
            row.append(cost)
    return row[-1]
