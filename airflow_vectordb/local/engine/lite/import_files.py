"""The files that import jobs read, and the folder that stands for Milvus's object storage."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import orjson

from airflow_vectordb.local.engine.model import CollectionSpec, FieldSpec
from airflow_vectordb.local.errors import ApiError, invalid

__all__ = ["check_files", "import_failed", "locate", "read_group"]

Rows = list[dict[str, Any]]

_META = "$meta"
_MOST_FILES = 1024
# What these fields hold has a form in JSON alone, where a file has no lists and no maps.
_STRUCTURED = frozenset({"FloatVector", "SparseFloatVector", "Array", "JSON"})


def import_failed(why: str) -> ApiError:
    return ApiError(2100, f"importing data failed: {why}")


def check_files(root: Path, groups: list[list[str]]) -> None:
    """Refuse what no job is made for: no files, files of a kind that is not known, files outside of the folder.

    :raises ApiError: 1100 or 2100.
    """
    count = sum(max(len(group), 1) for group in groups)
    if count > _MOST_FILES:
        raise import_failed(f"The max number of import files should not exceed {_MOST_FILES}, but got {count}")
    for group in groups:
        kinds = {PurePosixPath(name).suffix for name in group}
        if not group or not kinds <= _READERS.keys() | {".npy"}:
            raise import_failed(f"unexpected file type, files={group}")
        if len(kinds) > 1:
            raise import_failed(f"inconsistency in file types, files={group}")
        if len(group) > 1 and kinds != {".npy"}:
            raise import_failed(f"for {kinds.pop()[1:]} import, accepts only one file")
        for name in group:
            locate(root, name)


def locate(root: Path, name: str) -> Path:
    """Where a file is.

    :param root: the folder that all of them are in.
    :param name: its path from there.
    :raises ApiError: 1100 when it leads out of the folder.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        raise invalid(f"this local server reads files in its own folder only, by their path from there: {name}")
    found = root / path
    try:
        inside = found.resolve().is_relative_to(root.resolve())
    except (OSError, RuntimeError):  # links in a circle, or a name that is too long
        inside = False
    if not inside:
        raise invalid(f"this local server reads files in its own folder only, and this one leads out of it: {name}")
    return found


def read_group(spec: CollectionSpec, paths: list[Path], options: dict[str, str]) -> Rows:
    """Read the rows of a file, or of a group of NumPy files with a field each.

    :param options: of CSV files: ``sep``, and ``nullkey``, which stands for no value.
    :raises ApiError: 2100 when they cannot be read.
    """
    try:
        if paths[0].suffix == ".npy":
            return _read_numpy(spec, paths)
        return _READERS[paths[0].suffix](spec, paths[0], options)
    except (ValueError, TypeError, NotImplementedError, OSError, csv.Error, RecursionError) as error:
        # A decoder may carry the whole document; its message does not.
        why = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise import_failed(f"cannot read {paths[0].name}: {why:.200}") from error


def _read_json(spec: CollectionSpec, path: Path, options: dict[str, str]) -> Rows:
    document = orjson.loads(path.read_bytes())
    rows = document.get("rows") if isinstance(document, dict) else document
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError('it is neither a list of rows nor {"rows": [...]}')
    return [_unfold(row) for row in rows]


def _read_parquet(spec: CollectionSpec, path: Path, options: dict[str, str]) -> Rows:
    # Milvus Lite needs it, and so it is there.
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    table = pq.read_table(path)
    for field in table.schema:
        kinds = (pa.types.is_temporal, pa.types.is_decimal, pa.types.is_binary, pa.types.is_large_binary)
        if any(is_kind(field.type) for is_kind in kinds):
            raise ValueError(f"no field takes the values of its column {field.name}, of type {field.type}")
    rows: Rows = table.to_pylist()
    return _parsed(spec, rows)


def _read_csv(spec: CollectionSpec, path: Path, options: dict[str, str]) -> Rows:
    separator, null = options.get("sep", ","), options.get("nullkey", "")
    if len(separator) != 1 or separator in '\0\n\r"':
        raise ValueError(f"unsupported csv separator: {separator!r}")
    csv.field_size_limit(sys.maxsize)
    fields = {entry.name: entry for entry in spec.fields}
    rows: Rows = []
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = csv.reader(file, delimiter=separator, strict=True)
        names = next(lines, [])
        if not names or len(set(names)) != len(names):
            raise ValueError("its first line does not name the fields, each once")
        for values in lines:
            if len(values) != len(names):
                raise ValueError(f"line {lines.line_num} has {len(values)} values, and there are {len(names)} fields")
            row = dict(zip(names, values, strict=True))
            rows.append({name: _or_null(fields.get(name), value, null) for name, value in row.items()})
    return _parsed(spec, rows)


def _or_null(entry: FieldSpec | None, value: str, null: str) -> str | None:
    may = entry is not None and (entry.nullable or entry.default is not None)
    return None if may and value == null else value


def _read_numpy(spec: CollectionSpec, paths: list[Path]) -> Rows:
    columns = {}
    for path in paths:
        values = np.load(path, allow_pickle=False)
        if values.ndim == 0 or values.dtype.kind not in "biufU":
            raise ValueError(f"{path.name} holds no list of numbers, booleans or texts")
        columns[path.stem] = values.tolist()
    if len(columns) != len(paths):
        raise ValueError("a field has two files")
    if len({len(values) for values in columns.values()}) > 1:
        raise ValueError("the files do not have the same number of rows")
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return _parsed(spec, rows)


def _parsed(spec: CollectionSpec, rows: Rows) -> Rows:
    """Rows of a format in which vectors, arrays and documents may be the text of their JSON."""
    structured = {entry.name for entry in spec.fields if entry.type in _STRUCTURED}
    for row in rows:
        for name in structured & row.keys():
            value = row[name]
            if isinstance(value, str):
                try:
                    row[name] = orjson.loads(value)
                except orjson.JSONDecodeError:
                    raise ValueError(f"a value of field {name} is not JSON") from None
    return [_unfold(row) for row in rows]


def _unfold(row: dict[str, Any]) -> dict[str, Any]:
    """With the dynamic values, which files may have together in one column, beside the others."""
    if _META not in row:
        return row
    values = row.pop(_META)
    if isinstance(values, str):
        values = orjson.loads(values) if values else {}
    if not isinstance(values, dict | None):
        raise ValueError(f"a value of {_META} is not a JSON object")
    return {**(values or {}), **row}


_READERS: dict[str, Callable[[CollectionSpec, Path, dict[str, str]], Rows]] = {
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".csv": _read_csv,
}
