"""The files that import jobs read, and the folder that stands for Milvus's object storage.

They are read a few megabytes at a time, and what a file claims to hold is checked before there is memory for it.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
import numpy.lib.format
import orjson

from airflow_vectordb.local.engine.lite.import_parquet import MOST_ROW, MOST_ROWS, PIECE, Rows, read_parquet
from airflow_vectordb.local.engine.model import CollectionSpec, FieldSpec
from airflow_vectordb.local.errors import import_failed, invalid

# Untyped in some of NumPy's versions.
_npy: Any = numpy.lib.format
_META = "$meta"
_MOST_FILES = 1024
_MOST_IN_PIECE = 2000
# What these fields hold has a form in JSON alone, where a file has no lists and no maps.
_STRUCTURED = frozenset({"FloatVector", "SparseFloatVector", "Array", "JSON"})
_HALVES = frozenset({"Float16Vector", "BFloat16Vector"})


# --- where they are ---


def check_files(root: Path, groups: list[list[str]]) -> None:
    """Refuse files of an unknown kind, and files outside of the folder."""
    count = sum(map(len, groups))
    if count > _MOST_FILES:
        raise import_failed(f"The max number of import files should not exceed {_MOST_FILES}, but got {count}")
    for group in groups:
        kinds = {PurePosixPath(name).suffix for name in group}
        if not kinds <= _READERS.keys() | {".npy"}:
            raise import_failed(f"unexpected file type, files=[{' '.join(group)}]")
        if len(kinds) > 1:
            raise import_failed(f"inconsistency in file types, files=[{' '.join(group)}]")
        if len(group) > 1 and kinds != {".npy"}:
            raise import_failed(f"for {kinds.pop()[1:]} import, accepts only one file")
        for name in group:
            locate(root, name)


def locate(root: Path, name: str) -> Path:
    """Return where a file is, with no link in the path.

    :param name: its path from ``root``.
    :raises ApiError: 1100 when it leads out of that.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise invalid(f"this local server reads files in its own folder only, by their path from there: {name}")
    try:
        found = (root / path).resolve()
        inside = found.is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # links in a circle, or a name that is too long
        inside = False
    if not inside:
        raise invalid(f"this local server reads files in its own folder only, and this one leads out of it: {name}")
    return found


def open_file(root: Path, name: str) -> IO[bytes]:
    """Open a file safely, even if its path changes meanwhile.

    :param name: its path from ``root``.
    :raises ApiError: 1100 when it leads out of that, 2100 when there is no such file.
    """
    root = root.resolve()
    *folders, last = locate(root, name).relative_to(root).parts or [""]
    gone = import_failed(f"no such file: {name} (in the folder of this local server)")
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # A moment ago there were no links in this path; so none is followed now. Nor is a pipe waited for.
        for part in folders:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        file = os.fdopen(os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder), "rb")
    except OSError as error:
        raise gone from error
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise gone
    return file


# --- what is in them ---


def read_group(
    spec: CollectionSpec, names: list[str], files: list[IO[bytes]], options: dict[str, str]
) -> Iterator[Rows]:
    """Read the rows of a file, or of a group of NumPy files with a field each, some at a time.

    :param options: of CSV files: ``sep``, and ``nullkey``, which stands for no value.
    :raises ApiError: 2100 when they cannot be read.
    """
    first = PurePosixPath(names[0])
    try:
        if first.suffix == ".npy":
            pieces = _read_numpy([PurePosixPath(name).stem for name in names], files)
        else:
            pieces = _READERS[first.suffix](spec, files[0], options)
        for rows in pieces:
            # In JSON a text is a text.
            yield [_unfold(row) for row in (rows if first.suffix == ".json" else _parsed(spec, rows))]
    except (ValueError, TypeError, NotImplementedError, OSError, csv.Error, RecursionError) as error:
        # A decoder may carry the whole document; its message does not.
        why = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise import_failed(f"cannot read {first.name}: {why:.200}") from error
    except MemoryError as error:
        raise import_failed(f"cannot read {first.name}: there is not enough memory") from error


_SPACE = re.compile(r"[ \t\n\r]*")
_START = re.compile(r'[ \t\n\r]*(?P<in_object>\{[ \t\n\r]*"rows"[ \t\n\r]*:[ \t\n\r]*)?\[')
_NO_ROWS = 'it is neither a list of rows nor {"rows": [...]}'


def _read_json(spec: CollectionSpec, file: IO[bytes], options: dict[str, str]) -> Iterator[Rows]:
    text = _JsonText(file)
    start = _START.match(text.buffer)
    if start is None:
        raise ValueError(_NO_ROWS)
    text.at = start.end()
    rows: Rows = []
    pieces = text.pieces
    sign = text.sign()
    while sign != "]":
        rows.append(text.row())
        sign = text.sign()
        if sign == ",":
            text.at += 1
            # A row must follow.
            sign = ""
        elif sign != "]":
            raise ValueError("its list of rows is cut off, or has no comma between two of them")
        if text.pieces != pieces or len(rows) == _MOST_IN_PIECE:
            yield rows
            rows, pieces = [], text.pieces
    text.at += 1
    if start["in_object"] and text.sign() == "}":
        text.at += 1
    elif start["in_object"]:
        raise ValueError("there is more in it than rows")
    if text.sign():
        raise ValueError("there is more in it after the rows")
    yield rows


class _JsonText:
    """The text of a file, of which as much is in memory as a row needs."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = io.TextIOWrapper(file, encoding="utf-8", newline="")
        self._decode = json.JSONDecoder().raw_decode
        self.buffer = self._file.read(PIECE)
        self.at = 0
        self.pieces = 0

    def _more(self) -> bool:
        piece = self._file.read(PIECE)
        self.buffer, self.at = self.buffer[self.at :] + piece, 0
        self.pieces += 1
        return bool(piece)

    def sign(self) -> str:
        """Return the next character that is no space, and stay there; empty at the end."""
        while True:
            space = _SPACE.match(self.buffer, self.at)
            assert space is not None
            self.at = space.end()
            if self.at < len(self.buffer):
                return self.buffer[self.at]
            if not self._more():
                return ""

    def row(self) -> dict[str, Any]:
        if self.sign() != "{":
            raise ValueError(_NO_ROWS if self.buffer else "its list of rows is cut off")
        while True:
            try:
                _, end = self._decode(self.buffer, self.at)
            except json.JSONDecodeError:
                if len(self.buffer) - self.at > MOST_ROW:
                    raise ValueError(f"a row has more than {MOST_ROW} characters") from None
                if not self._more():
                    raise
            else:
                # That one finds the end; what a row may hold is what this one takes of requests too.
                row: dict[str, Any] = orjson.loads(self.buffer[self.at : end])
                self.at = end
                return row


def _read_csv(spec: CollectionSpec, file: IO[bytes], options: dict[str, str]) -> Iterator[Rows]:
    separator, null = options.get("sep", ","), options.get("nullkey", "")
    if len(separator) != 1 or separator in '\0\n\r"':
        raise ValueError(f"unsupported csv separator: {separator!r}")
    csv.field_size_limit(MOST_ROW)
    fields = {entry.name: entry for entry in spec.fields}
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    length = 0

    def lines() -> Iterator[str]:
        # A row may go over several of them.
        nonlocal length
        while line := text.readline(MOST_ROW + 1):
            length += len(line)
            if length > MOST_ROW:
                raise ValueError(f"a row has more than {MOST_ROW} characters")
            yield line

    found = csv.reader(lines(), delimiter=separator, strict=True)
    names = next(found, [])
    if not names or len(set(names)) != len(names):
        raise ValueError("its first line does not name the fields, each once")
    rows: Rows = []
    size = 0
    for values in found:
        if len(values) != len(names):
            raise ValueError(f"line {found.line_num} has {len(values)} values, and there are {len(names)} fields")
        row = dict(zip(names, values, strict=True))
        rows.append({name: _or_null(fields.get(name), value, null) for name, value in row.items()})
        size, length = size + length, 0
        if size > PIECE or len(rows) == _MOST_IN_PIECE:
            yield rows
            rows, size = [], 0
    yield rows


def _or_null(entry: FieldSpec | None, value: str, null: str) -> str | None:
    may = entry is not None and (entry.nullable or entry.default is not None)
    return None if may and value == null else value


def _read_numpy(names: list[str], files: list[IO[bytes]]) -> Iterator[Rows]:
    if len(set(names)) != len(names):
        raise ValueError("a field has two files")
    columns = {name: _Column(name, file) for name, file in zip(names, files, strict=True)}
    (count, *others) = {column.rows for column in columns.values()}
    if others:
        raise ValueError("the files do not have the same number of rows")
    step = min(_MOST_IN_PIECE, *(max(1, PIECE // max(1, column.width)) for column in columns.values()))
    for start in range(0, count, step):
        pieces = [column.read(start, min(start + step, count)) for column in columns.values()]
        yield [dict(zip(columns, values, strict=True)) for values in zip(*pieces, strict=True)]


class _Column:
    """One NumPy file: its header is read and held against what there is of it, and then some rows at a time."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        version = _npy.read_magic(file)
        readers = {(1, 0): _npy.read_array_header_1_0, (2, 0): _npy.read_array_header_2_0}
        if version not in readers:
            raise ValueError(f"{name}.npy has version {version}, and 1.0 and 2.0 are known")
        shape, by_columns, self._dtype = readers[version](file)
        if not shape or self._dtype.kind not in "biufU":
            raise ValueError(f"{name}.npy holds no list of numbers, booleans or texts")
        self.rows, *self._shape = shape
        self.width = self._dtype.itemsize * math.prod(self._shape)
        there = os.fstat(file.fileno()).st_size - file.tell()
        if min(shape) < 0 or self.rows > MOST_ROWS or self.rows * self.width > there or (self.rows and not self.width):
            raise ValueError(f"{name}.npy claims the shape {shape} of {self._dtype}, and has {there} bytes")
        if self.width > MOST_ROW:
            raise ValueError(f"a row of {name}.npy has more than {MOST_ROW} bytes")
        self._file = file
        # In this order no row is in one place.
        self._whole = self._next(self.rows).reshape(shape, order="F") if by_columns and self._shape else None

    def read(self, start: int, stop: int) -> list[Any]:
        """Rows that follow those that were read before."""
        if self._whole is not None:
            values = self._whole[start:stop]
        else:
            values = self._next(stop - start).reshape(stop - start, *self._shape)
        read: list[Any] = values.tolist()
        return read

    def _next(self, rows: int) -> Any:
        return np.frombuffer(self._file.read(rows * self.width), self._dtype)


def _parsed(spec: CollectionSpec, rows: Rows) -> Rows:
    """Rows of a format in which vectors, arrays and documents may be the text of their JSON."""
    structured = {entry.name for entry in spec.fields if entry.type in _STRUCTURED}
    halves = {entry.name: 2 * entry.dim for entry in spec.fields if entry.type in _HALVES}
    for row in rows:
        for name in halves.keys() & row.keys():
            row[name] = _packed_half(row[name], halves[name])
        for name in structured & row.keys():
            value = row[name]
            if isinstance(value, str):
                try:
                    row[name] = orjson.loads(value)
                except orjson.JSONDecodeError:
                    raise ValueError(f"a value of field {name} is not JSON") from None
    return rows


def _packed_half(value: Any, width: int) -> Any:
    """Return a 16-bit vector that a file has as its bytes, as Milvus's writers have them, in the form of JSON."""
    if isinstance(value, list) and len(value) == width and set(map(type, value)) <= {int}:
        return base64.b64encode(bytes(value)).decode()
    return value


def _unfold(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its dynamic values, which files may have in one column, beside the others."""
    if _META not in row:
        return row
    values = row.pop(_META)
    if isinstance(values, str):
        values = orjson.loads(values) if values else {}
    if not isinstance(values, dict | None):
        raise ValueError(f"a value of {_META} is not a JSON object")
    return {**(values or {}), **row}


_READERS: dict[str, Callable[[CollectionSpec, IO[bytes], dict[str, str]], Iterator[Rows]]] = {
    ".json": _read_json,
    ".parquet": lambda spec, file, options: read_parquet(file),
    ".csv": _read_csv,
}
