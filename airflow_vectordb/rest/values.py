"""Values of parameters: as users and templates give them, as Milvus takes them, and whether two are equal."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from math import inf
from numbers import Integral, Real
from typing import Any, NamedTuple

from airflow_vectordb.rest.notation import DEEPEST
from airflow_vectordb.rest.spelling import article, is_nothing, show

_INT64 = 2**63
_TOO_LARGE = "is too large: servers take 64-bit numbers"
#: What is a number when servers write it as a text: spelt as Python and Go spell it.
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,17})?")


class Kind(NamedTuple):
    """What the value of a parameter is; ``words`` are for messages, after "must be"."""

    words: str
    type: type  #: ``object``: a text, a number, or true or false
    least: float = -inf
    most: float = inf


INT = Kind("an integer", int)
COUNT = Kind("an integer of at least 0", int, 0)
SIZE = Kind("an integer of at least 1", int, 1)
AMOUNT = Kind("a number of at least 0", float, 0)
SHARE = Kind("a number from 0 to 1", float, 0, 1)
BOOL = Kind("true or false", bool)
TEXT = Kind("a string", str)
FLAG = Kind("true or false", str)  # Milvus's documentation has it as a text
ANY = Kind("a string, a number, or true or false", object)


def check_value(value: Any, kind: Kind | None) -> Any:
    """
    Check the value of a parameter, and convert it to what servers store: templates render 16 to ``"16"``.

    :param kind: what it has to be; None: not known here
    :raises ValueError: with what is wrong with it, for example ``must be an integer, not 'many'``
    :raises OverflowError: when it is too large
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        raise ValueError("is empty: did its template render to nothing?")
    if isinstance(value, str) and is_nothing(value) and not (kind in (BOOL, FLAG) or value in ("True", "False")):
        raise ValueError(f"is {value!r}, a missing value rendered to text")
    if kind is None:
        return _plain(value)
    try:
        found = _convert(_plain(value), kind)
    except (ValueError, InvalidOperation):
        found = None
    if found is None:
        raise ValueError(f"must be {kind.words}, not {show(value)}")
    return found


def _plain(value: Any, depth: int = 0) -> Any:
    """Convert a value to what JSON knows: NumPy's numbers, ``Decimal`` and their like are numbers."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if depth > DEEPEST:
        raise ValueError(f"is nested more than {DEEPEST} deep")
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth + 1) for item in value]
    if getattr(value, "shape", None) == () and callable(getattr(value, "item", None)):
        value = value.item()  # one of NumPy's, or of its like
    return value if isinstance(value, bool) else _number(value)


def _number(value: Any) -> int | float:
    if isinstance(value, Decimal) and value.is_finite():
        if value.adjusted() > 20:
            raise OverflowError(_TOO_LARGE)
        value = int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, Integral):
        integer = int(value)
        if not -_INT64 <= integer < _INT64:
            raise OverflowError(_TOO_LARGE)
        return integer
    if not isinstance(value, Real | Decimal):
        raise ValueError(f"is {show(value)} ({article(type(value).__name__)}), which cannot be a parameter")
    try:
        number = float(value)
    except OverflowError:
        raise OverflowError(_TOO_LARGE) from None
    if not math.isfinite(number):
        raise ValueError(f"is {number}, which is not a finite number")
    return number


def _convert(value: Any, kind: Kind) -> Any:
    """Convert a plain value to one of a kind; None if it is none."""
    if isinstance(value, Mapping | list):
        return None
    if isinstance(value, str):
        value = value.strip()
    if kind.type is object:
        return value
    if kind in (BOOL, FLAG):
        word = str(value).lower()
        if word not in ("true", "false"):
            return None
        return word if kind.type is str else word == "true"
    if kind.type is str:
        return value if isinstance(value, str) else None
    if isinstance(value, bool):
        return None
    number = _number(Decimal(value) if isinstance(value, str) else value)
    if kind.type is int and not float(number).is_integer():
        return None
    number = _number(kind.type(number))
    return number if kind.least <= number <= kind.most else None


def parse_value(value: Any, kind: Kind | None) -> Any:
    """Read the value of a parameter in a server's answer; some servers write all values as texts."""
    if not isinstance(value, str) or (kind is not None and kind.type is str):
        return value
    if value in ("true", "false"):
        return value == "true"
    if not _NUMBER.fullmatch(value):
        return value
    return float(value) if "." in value else int(value)


def format_value(value: Any) -> str:
    """Format a parameter's value as Milvus does."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        return show(value)


def values_equal(one: Any, other: Any) -> bool:
    """Return whether two values are the same to Milvus: ``16``, ``16.0``, ``"16"`` are, and so are ``SQ8``, ``sq8``."""
    return _canonical(one) == _canonical(other)


def _canonical(value: Any) -> float | str:
    text = format_value(value).strip().strip('"')
    if text[:1] in ("{", "["):
        with suppress(ValueError, RecursionError):
            text = format_value(json.loads(text))
    try:
        return float(text)
    except ValueError:
        return text.casefold()
