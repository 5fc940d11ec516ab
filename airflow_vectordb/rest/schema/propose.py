"""Proposes a schema for a Parquet or Arrow file, to be reviewed and kept.

Loaded only when a schema is proposed, since it imports pyarrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.schema.parsing import parse_schema
from airflow_vectordb.rest.spelling import suggest

_LONGEST_TEXT = 65_535
_LARGEST_ARRAY = 4_096
#: Likely names of a key, the best first; then names that end in ``_id``.
_KEY_NAMES = ("id", "pk", "key", "uuid", "_id")
#: Rows whose values are compared to find out whether a column can be the key.
_ROWS_OF_KEYS = 1_000_000
_BATCH_ROWS = 4_096


def schema_from(stream: IO[bytes], name: str, *, key: str | None = None) -> dict[str, Any]:
    """
    Propose a schema for the rows of a file, in the API's spelling. The whole file is read, a batch at a time.

    :param key: the column that is the primary key; None: guessed by name, type and values; if none will do, the server
        makes the keys
    :raises InvalidParametersError: when the file cannot be read, or a column fits no type
    """
    try:
        schema, batches = _open(stream)
        columns = [_Column(column.name, column.type) for column in schema]
        for batch in batches:
            for column, values in zip(columns, batch.columns, strict=True):
                column.add(values)
    except (pa.ArrowException, OSError) as error:
        raise InvalidParametersError([f"{name}: {str(error)[:300]}"], "file") from error
    found = _choose_key(columns, key, name)
    fields: list[dict[str, Any]] = []
    problems: list[str] = []
    for column in columns:
        try:
            fields.append({"fieldName": column.name, **column.field_type(found)})
        except ValueError as error:
            problems.append(f"{name}: column {column.name!r} {error}")
    if not problems and not any(one["dataType"].endswith("Vector") for one in fields):
        lists = [f"column {column.name!r} has {seen}" for column in columns if (seen := column.numbers())]
        wanted = "lists of float or double, all of one length, 2 numbers or more, and none null"
        problems = [f"{name}: no column has vectors ({wanted}){': ' if lists else ''}{'; '.join(lists)}"]
    if problems:
        raise InvalidParametersError(problems, "file")
    if found is None:
        taken = {column.name for column in columns}
        free = next(one for one in ("id", "pk", "row_id", "milvus_id") if one not in taken)
        fields.insert(0, {"fieldName": free, "dataType": "Int64", "isPrimary": True})
    proposed = {"autoID": found is None, "enableDynamicField": False, "fields": fields}
    parse_schema(proposed)
    return proposed


def _open(stream: IO[bytes]) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    magic = stream.read(6)
    stream.seek(0)
    if magic.startswith(b"PAR1"):
        parquet = pq.ParquetFile(stream)
        return parquet.schema_arrow, parquet.iter_batches(_BATCH_ROWS)
    if magic == b"ARROW1":
        reader = pa.ipc.open_file(stream)
        return reader.schema, (reader.get_batch(number) for number in range(reader.num_record_batches))
    try:
        source = pa.ipc.open_stream(stream)
    except pa.ArrowException as error:
        raise OSError(f"is neither Parquet nor Arrow: {error}") from error
    return source.schema, iter(source)


@dataclass
class _Column:
    """Statistics of a column's values."""

    name: str
    type: Any
    rows: int = 0
    nulls: int = 0
    #: Bytes of the longest string, also within lists.
    longest: int = 0
    #: Of lists: the shortest and the longest of each batch.
    lengths: set[int] = field(default_factory=set)
    #: The largest of large integers.
    most: int = 0
    #: None: it cannot be the key.
    keys: set[Any] | None = field(default_factory=set)

    def add(self, values: pa.Array) -> None:
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
            self.type = values.type
        self.rows += len(values)
        self.nulls += values.null_count
        if pa.types.is_fixed_size_list(self.type):
            self.lengths.add(self.type.list_size)
        elif _is_list(self.type):
            self.lengths |= {*pc.min_max(pc.list_value_length(values)).as_py().values()} - {None}
        texts = pc.list_flatten(values) if _is_list(self.type) else values
        if _is_text(texts.type) and len(texts):
            self.longest = max(self.longest, pc.max(pc.binary_length(texts)).as_py() or 0)
        if pa.types.is_uint64(self.type):
            self.most = max(self.most, pc.max(values).as_py() or 0)
        if self.keys is None or not (_is_text(self.type) or pa.types.is_integer(self.type)):
            self.keys = None
        elif self.rows <= _ROWS_OF_KEYS and (self.name in _KEY_NAMES or self.name.endswith("_id")):
            self.keys.update(values.to_pylist())
            if len(self.keys) < self.rows:
                self.keys = None

    def field_type(self, key: _Column | None) -> dict[str, Any]:
        """Return a field's type and flags; raise ValueError with the reason if there are none."""
        if self is not key:
            return {**self._type(self.type), **({"nullable": True} if self.nulls else {})}
        # Integers of other sizes cannot be keys.
        size = {"dataType": "Int64"} if pa.types.is_integer(self.type) else {}
        return {**self._type(self.type), **size, "isPrimary": True}

    def numbers(self) -> str | None:
        """Describe lists of numbers; None: they are something else."""
        if not _is_list(self.type) or not pa.types.is_primitive(self.type.value_type):
            return None
        ends = sorted({min(self.lengths, default=0), max(self.lengths, default=0)})
        nulls = f", and {self.nulls:,} null" if self.nulls else ""
        return f"lists of {' to '.join(f'{length:,}' for length in ends)} {self.type.value_type}{nulls}"

    def _type(self, kind: Any) -> dict[str, Any]:
        types = pa.types
        if _is_list(kind):
            return self._list_type(kind.value_type)
        if types.is_fixed_size_binary(kind):
            return _with_params("BinaryVector", dim=8 * kind.byte_width)
        if types.is_struct(kind) and {item.name for item in kind} == {"indices", "values"}:
            return {"dataType": "SparseFloatVector"}
        if types.is_struct(kind) or types.is_map(kind) or types.is_null(kind):
            return {"dataType": "JSON"}
        return self._scalar_type(kind)

    def _list_type(self, element: Any) -> dict[str, Any]:
        if len(self.lengths) == 1 and pa.types.is_floating(element) and min(self.lengths) > 1:
            if self.nulls:
                raise ValueError("has vectors that are null")
            return _with_params("FloatVector", dim=min(self.lengths))
        inner = self._scalar_type(element)
        capacity = _roomy(max(self.lengths, default=1), _LARGEST_ARRAY, "elements")
        params = {**inner.get("elementTypeParams", {}), "max_capacity": capacity}
        return {"dataType": "Array", "elementDataType": inner["dataType"], "elementTypeParams": params}

    def _scalar_type(self, kind: Any) -> dict[str, Any]:
        types = pa.types
        if _is_text(kind):
            return _with_params("VarChar", max_length=_roomy(self.longest, _LONGEST_TEXT, "bytes"))
        if types.is_boolean(kind):
            return {"dataType": "Bool"}
        if types.is_signed_integer(kind):
            return {"dataType": f"Int{kind.bit_width}"}
        if types.is_unsigned_integer(kind):
            if self.most >= 2**63:
                raise ValueError(f"has {self.most:,}, more than an Int64 holds")
            return {"dataType": f"Int{min(2 * kind.bit_width, 64)}"}
        if types.is_floating(kind):
            return {"dataType": "Double" if kind.bit_width == 64 else "Float"}
        raise ValueError(f"is of type {kind}, for which Milvus has none: convert it, or leave it out of the file")


def _with_params(data_type: str, **params: int) -> dict[str, Any]:
    return {"dataType": data_type, "elementTypeParams": params}


def _roomy(most: int, limit: int, unit: str) -> int:
    """Return a power of two with room for values that are twice as long as those that were seen."""
    if most > limit:
        raise ValueError(f"has a value of {most:,} {unit}; Milvus takes {limit:,}")
    return int(min(max(1 << (2 * most - 1).bit_length(), 64) if most else 64, limit))


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _choose_key(columns: Iterable[_Column], asked: str | None, name: str) -> _Column | None:
    by_name = {column.name: column for column in columns}
    if asked is not None:
        if asked not in by_name:
            raise InvalidParametersError([f"{name}: no column {asked!r}{suggest(asked, by_name)}"], "file")
        return by_name[asked]
    names = [*_KEY_NAMES, *(one for one in by_name if one.endswith("_id"))]
    # No nulls, and no duplicates as far as rows were compared.
    return next((c for c in map(by_name.get, names) if c is not None and c.keys is not None and not c.nulls), None)
