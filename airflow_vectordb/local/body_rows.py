"""Bodies of many rows, decoded row by row: the objects for a row's numbers are gone before those for the next are made.

For a thousand rows of 768 numbers at once, to get memory for them takes as long as to parse them.
"""

from __future__ import annotations

import re
import struct
from typing import Any
from uuid import uuid4

import orjson

from airflow_vectordb.local.body import decode

# Shorter ones are decoded in less time all at once: rows in bytes, lists in numbers.
_LEAST_ROW = 2048
_LEAST_NUMBERS = 16
# What may stand before the rows.
_MOST_HEAD = 4096
# How often "}" may stand in a row.
_MOST_BRACES = 64
_START = re.compile(rb'"data"[ \t\r\n]*:[ \t\r\n]*\[[ \t\r\n]*(?=\{)')
_AFTER = re.compile(rb"[ \t\r\n]*(?:,[ \t\r\n]*(?=\{)|\])")
_PLACE = uuid4().hex


class Numbers:
    """A list of numbers in a row: as float32s, and in the text of the row."""

    __slots__ = ("_name", "_row", "floats")

    def __init__(self, floats: bytes, row: bytes, name: str) -> None:
        self.floats = floats
        self._row = row
        self._name = name

    def to_list(self) -> list[Any]:
        numbers: list[Any] = orjson.loads(self._row)[self._name]
        return numbers


def plain(value: Any) -> Any:
    """Return a value of a row, as a list where it is :class:`Numbers`."""
    return value.to_list() if type(value) is Numbers else value


def decode_rows(raw: bytes) -> Any:
    """Decode a request body as :func:`.decode` does, with :class:`Numbers` for long lists in its rows.

    :raises ApiError: 1801 when there is no JSON value.
    """
    found = _by_row(raw)
    return decode(raw) if found is None else found


def _by_row(raw: bytes) -> Any:
    """Decode a body; None where it is not plain enough for that."""
    start = _START.search(raw, 0, _MOST_HEAD)
    if start is None:
        return None
    rows: list[Any] = []
    at = end = start.end()
    braces = 0
    while (end := raw.find(b"}", end) + 1) and braces < _MOST_BRACES:
        after = _AFTER.match(raw, end)
        if after is None:
            braces += 1
            continue
        if not rows and end - at < _LEAST_ROW:
            return None
        row = _row(raw[at:end])
        if row is None:
            return None
        rows.append(row)
        if after[0].endswith(b"]"):
            return _with_rows(raw[: start.end()], rows, raw[end:])
        at = end = after.end()
        braces = 0
    return None


def _with_rows(head: bytes, rows: list[Any], tail: bytes) -> Any:
    """Decode what is around the rows, which shows too that they were where rows are."""
    try:
        body = orjson.loads(b'%b"%b"%b' % (head, _PLACE.encode(), tail))
    except orjson.JSONDecodeError:
        return None
    if not isinstance(body, dict) or body.get("data") != [_PLACE]:
        return None
    body["data"] = rows
    return body


def _row(text: bytes) -> Any:
    """Decode a row; None for what is none, or more than one."""
    try:
        # In lists, to be as deep as it is in the body, since there is a bound to that.
        [found] = orjson.loads(b"[[%b]]" % text)
    except orjson.JSONDecodeError:
        return None
    row = found[0]
    for name, value in row.items():
        if type(value) is list and len(value) >= _LEAST_NUMBERS:
            try:
                floats = struct.pack(f"{len(value)}f", *value)
            except (struct.error, OverflowError):
                continue
            row[name] = Numbers(floats, text, name)
    return row if len(found) == 1 else None
