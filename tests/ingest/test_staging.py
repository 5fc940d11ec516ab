"""Rows as Parquet parts: the columns that Milvus's importer wants, and what is read of them again."""

from __future__ import annotations

import base64
import io
import json
import struct
import tracemalloc
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from airflow_vectordb.ingest.bad_rows import BadRows
from airflow_vectordb.ingest.memory import Rows
from airflow_vectordb.ingest.source import Block
from airflow_vectordb.ingest.staging import stage
from airflow_vectordb.local.engine.lite.import_files import read_group
from airflow_vectordb.local.engine.model import CollectionSpec, FieldSpec
from airflow_vectordb.local.engine.rows import encode
from airflow_vectordb.rest.collections import Collection
from airflow_vectordb.rest.errors import InvalidParametersError
from tests.support.collections import AUTO_ID, ID, VECTOR, deeply_nested, described, field

SCALARS = ["Bool", "Int8", "Int16", "Int32", "Int64", "Float", "Double", "VarChar"]
VECTORS: dict[str, tuple[str, list[Any]]] = {
    "FloatVector": ("float", [[0.1, -3.0] * 8, np.arange(16, dtype="float32")]),
    "Float16Vector": ("uint8", [[0.5, -3.0] * 8, np.arange(16, dtype="float16"), struct.pack("<16e", *range(16))]),
    "BFloat16Vector": ("uint8", [[0.1, -3.0] * 8, np.arange(16, dtype="float64"), b"\x80\x3f" * 16]),
    "Int8Vector": ("int8", [[-128, 127] * 8, np.arange(16, dtype="int8")]),
    "BinaryVector": ("uint8", [[0, 255], b"\x01\x02"]),
}


class Kept(io.BytesIO):
    """A file whose content can be read after it was closed."""

    content = b""

    def close(self) -> None:
        if not self.closed:
            self.content = self.getvalue()
        super().close()


def staged(collection: Collection, rows: Sequence[Any], **more: Any) -> list[bytes]:
    """Stage rows; return the content of each part."""
    parts: list[Kept] = []

    def open_part(number: int) -> Kept:
        assert number == len(parts)
        parts.append(Kept())
        return parts[-1]

    done = stage([Rows(rows)], collection, open_part, BadRows(), **more)
    assert done.batches == len(parts)
    return [part.content for part in parts]


def spec_of(collection: Collection) -> CollectionSpec:
    fields = [
        FieldSpec(
            f["name"],
            f["type"],
            is_primary=bool(f.get("primaryKey")),
            nullable=f["nullable"],
            element_type=f.get("elementType", ""),
            params={p["key"]: p["value"] for p in f["params"]},
        )
        for f in collection.raw["fields"]
    ]
    return CollectionSpec("docs", fields, dynamic=collection.enable_dynamic_field)


def imported(collection: Collection, part: bytes) -> list[Any]:
    """What the local server's importer makes of a part."""
    spec = spec_of(collection)
    rows = [row for piece in read_group(spec, ["part.parquet"], [io.BytesIO(part)], {}) for row in piece]
    return encode(spec, rows, with_ids=False)


def in_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.tolist() if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("kind", VECTORS)
def test_vectors_are_as_an_insert_gives_them(kind: str) -> None:
    element, vectors = VECTORS[kind]
    collection = described(ID, field("v", kind, dim=16))
    rows = [{"id": number, "v": vector} for number, vector in enumerate(vectors)]
    (part,) = staged(collection, rows)
    assert str(parquet.read_schema(io.BytesIO(part)).field("v").type) == f"list<element: {element}>"
    inserted = encode(spec_of(collection), [{**row, "v": in_json(row["v"])} for row in rows], with_ids=False)
    assert imported(collection, part) == inserted


def test_other_types_are_those_of_milvuss_own_writers() -> None:
    fields = [field(kind.lower(), kind, max_length=9) for kind in SCALARS]
    fields += [field(f"{kind.lower()}s", "Array", elementType=kind, max_length=9, max_capacity=3) for kind in SCALARS]
    fields += [field("document", "JSON"), field("sparse", "SparseFloatVector"), field("place", "Geometry")]
    fields += [field("maybe", "Int64", nullable=True)]
    collection = described(AUTO_ID, VECTOR, *fields, dynamic=True)
    values = [True, -128, 2**15 - 1, -5, 2**63 - 1, 0.5, 1e300, "größe"]
    row = dict(zip(map(str.lower, SCALARS), values, strict=True))
    row |= {f"{kind.lower()}s": [value] for kind, value in zip(SCALARS, values, strict=True)}
    row |= {"document": {"a": [None]}, "sparse": {7: 0.5}, "place": "POINT (1 2)", "vector": [1, 2, 3, 4], "free": "x"}
    (part,) = staged(collection, [row])
    table = parquet.read_table(io.BytesIO(part))
    names = ["bool", "int8", "int16", "int32", "int64", "float", "double", "string"]
    types = {one.name: str(one.type) for one in table.schema}
    assert "id" not in types
    assert [types[kind.lower()] for kind in SCALARS] == names
    assert [types[f"{kind.lower()}s"] for kind in SCALARS] == [f"list<element: {name}>" for name in names]
    assert {types[name] for name in ("document", "sparse", "place", "$meta")} == {"string"}
    (read,) = table.to_pylist()
    assert [read[kind.lower()] for kind in SCALARS] == values
    assert read["maybe"] is None
    assert [json.loads(read[name]) for name in ("document", "sparse", "$meta")] == [
        {"a": [None]},
        {"7": 0.5},
        {"free": "x"},
    ]


@pytest.mark.parametrize(
    ("value", "text"), [({"a": 1}, '{"a":1}'), ('{"a": 1}', '{"a": 1}'), ("plain", '"plain"'), ([1], "[1]")]
)
def test_text_that_is_json_is_a_document(value: Any, text: str) -> None:
    (part,) = staged(described(ID, field("d", "JSON")), [{"id": 1, "d": value}])
    assert parquet.read_table(io.BytesIO(part))["d"].to_pylist() == [text]


@pytest.mark.parametrize(
    ("spec", "value", "problem"),
    [
        (field("v", "Float16Vector", dim=2), [1e6, 0.0], "rows, row 1: v: has a number out of the range of a 16-bit"),
        (field("v", "JSON"), {"a": object()}, "rows, row 1: v: cannot be written as JSON"),
        (field("v", "VarChar", max_length=9), "\ud800", "rows, row 1: v: 'utf-8' codec can't encode"),
        (field("v", "Geometry"), deeply_nested(), "rows, row 1: v: maximum recursion depth"),
        (field("v", "Int8"), 300, "rows, row 1: v: 300 is out of the range"),
    ],
)
def test_what_has_no_form_is_a_bad_row(spec: dict[str, Any], value: Any, problem: str) -> None:
    with pytest.raises(InvalidParametersError, match=problem):
        staged(described(ID, spec), [{"id": 1, "v": value}])


def test_columns_that_do_not_fit_and_structs_are_refused_first() -> None:
    import pyarrow

    from airflow_vectordb.ingest.memory import ArrowData

    collection = described(ID, VECTOR)
    with pytest.raises(InvalidParametersError, match="vector: missing"):
        stage([ArrowData(pyarrow.table({"id": [1]}))], collection, lambda number: io.BytesIO(), BadRows())
    collection.raw["structArrayFields"] = [{"name": "clips"}]  # type: ignore[index]
    with pytest.raises(InvalidParametersError, match="arrays of structs"):
        staged(collection, [])


class Generated(Rows):
    """Rows that are made when they are read."""

    def __init__(self, count: int) -> None:
        super().__init__([])
        self._count = count

    def row_count(self) -> int:
        return self._count

    def blocks(self, first: int = 0) -> Iterator[Block]:
        vector = np.ones(4, "float32")
        for start in range(first, self._count, 500):
            yield Block(start, [{"id": start + i, "vector": vector * i} for i in range(500)])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_rows() -> None:
    collection = described(ID, VECTOR)

    class Null(io.RawIOBase):
        at = 0

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.at += len(data)
            return len(data)

        def tell(self) -> int:
            return self.at

    def peak(count: int) -> int:
        tracemalloc.start()
        sizes = {"row_group_bytes": 50_000, "part_bytes": 20_000}
        done = stage([Generated(count)], collection, lambda number: Null(), BadRows(), **sizes)  # type: ignore[arg-type,return-value]
        assert done.rows == count
        assert done.batches > 1
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(10_000)  # what is imported on the way
    assert peak(40_000) < 1.1 * peak(10_000)
