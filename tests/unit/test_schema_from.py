"""Schemas that are proposed from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_vectordb.hooks.milvus import MilvusHook
from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.schema.parsing import parse_schema

VECTORS = pa.array([[1.0, 2.0, 3.0]] * 3, pa.list_(pa.float32()))


def write(path: Path, columns: dict[str, Any], kind: str = "parquet") -> str:
    table = pa.table({"vector": VECTORS, **columns})
    if kind == "parquet":
        pq.write_table(table, path)
    else:
        new = pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream
        with pa.OSFile(str(path), "wb") as file, new(file, table.schema) as writer:
            writer.write_table(table)
    return str(path)


def types(schema: dict[str, Any]) -> dict[str, str]:
    spec = parse_schema(schema)
    marks = {f.name: f"{' key' if f.is_primary else ''}{' nullable' if f.nullable else ''}" for f in spec.fields}
    return {field.name: f"{field}{marks[field.name]}" for field in spec.fields}


@pytest.mark.parametrize("kind", ["parquet", "arrow", "arrows"])
def test_types(tmp_path: Path, kind: str) -> None:
    columns = {
        "doc_id": pa.array([1, 2, 3], pa.int32()),
        "title": ["a", "bé" * 20, None],
        "tags": [["x"], [], ["yy", "z"]],
        "category": pa.array(["a", "b", "a"]).dictionary_encode(),
        "score": pa.array([1.0, 2.0, 3.0], pa.float64()),
        "small": pa.array([1, 2, 255], pa.uint8()),
        "meta": [{"a": 1}] * 3,
        "bits": pa.array([b"1234"] * 3, pa.binary(4)),
        "weights": [{"indices": [1], "values": [0.5]}] * 3,
        "fixed": pa.FixedSizeListArray.from_arrays(pa.array([0.0] * 12, pa.float32()), 4),
        "ragged": [[1.0], [1.0, 2.0], []],
        "ok": [True, False, True],
    }
    schema = MilvusHook.schema_from(write(tmp_path / f"rows.{kind}", columns, kind))
    assert schema["autoID"] is False
    assert types(schema) == {
        "vector": "FloatVector(3)",
        "doc_id": "Int64 key",
        "title": "VarChar(128) nullable",
        "tags": "Array<VarChar(64)>(64)",
        "category": "VarChar(64)",
        "score": "Double",
        "small": "Int16",
        "meta": "JSON",
        "bits": "BinaryVector(32)",
        "weights": "SparseFloatVector",
        "fixed": "FloatVector(4)",
        "ragged": "Array<Double>(64)",
        "ok": "Bool",
    }


@pytest.mark.parametrize(
    ("columns", "key", "expected"),
    [
        ({"doc_id": [1, 2, 3], "id": ["a", "b", "c"]}, None, "id"),
        ({"doc_id": [1, 2, 3], "id": ["a", "a", "c"]}, None, "doc_id"),
        ({"doc_id": [1, 2, 3], "id": ["a", None, "c"]}, None, "doc_id"),
        ({"doc_id": [1, 2, 3], "id": ["a", "b", "c"]}, "doc_id", "doc_id"),
    ],
)
def test_the_key(tmp_path: Path, columns: dict[str, Any], key: str | None, expected: str) -> None:
    schema = MilvusHook.schema_from(write(tmp_path / "rows.parquet", columns), key=key)
    assert [field["fieldName"] for field in schema["fields"] if field.get("isPrimary")] == [expected]


def test_without_a_key_the_server_makes_them(tmp_path: Path) -> None:
    schema = MilvusHook.schema_from(write(tmp_path / "rows.parquet", {"id": ["a", "a", "b"]}))
    assert schema["autoID"] is True
    assert types(schema) == {"pk": "Int64 key", "vector": "FloatVector(3)", "id": "VarChar(64)"}


def test_object_storage(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", {"id": [1, 2, 3]})
    assert MilvusHook.schema_from(f"file://{path}") == MilvusHook.schema_from(path)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"at": pa.array([1, 2, 3], pa.timestamp("us"))}, r"column 'at' is of type timestamp\[us\], for which Milvus"),
        ({"text": ["x" * 70_000, "", ""]}, "column 'text' has a value of 70,000 bytes; Milvus takes 65,535"),
        (
            {"big": pa.array([2**63, 1, 2], pa.uint64())},
            "column 'big' has 9,223,372,036,854,775,808, more than",
        ),
        ({"id": pa.array([2**63, 1, 2], pa.uint64())}, "column 'id' has 9,223,372,036,854,775,808, more than"),
        ({"v": [[1.0, 2.0], None, [3.0, 4.0]]}, "column 'v' has vectors that are null"),
    ],
)
def test_what_fits_no_type(tmp_path: Path, columns: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidParametersError, match=words):
        MilvusHook.schema_from(write(tmp_path / "rows.parquet", {"id": [1, 2, 3], **columns}))


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ([[0.5] * 15, [0.5] * 16, None], "15 to 16 double, and 1 null"),
        ([[0.5] * n for n in (3, 0, 2)], "0 to 3 double"),
        ([[1, 2], [3, 4]], "2 int64"),
        ([[0.5], [0.5]], "1 double"),
    ],
)
def test_lists_that_are_no_vectors(tmp_path: Path, lists: list[Any], words: str) -> None:
    pq.write_table(pa.table({"tags": [["a"]] * len(lists), "embedding": lists}), tmp_path / "rows.parquet")
    found = rf"rows\.parquet: no column has vectors \(lists of .*\): column 'embedding' has lists of {words}$"
    with pytest.raises(InvalidParametersError, match=found):
        MilvusHook.schema_from(str(tmp_path / "rows.parquet"))


def test_what_is_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("id,vector\n1,2\n")
    with pytest.raises(InvalidParametersError, match=r"rows\.csv: is neither Parquet nor Arrow"):
        MilvusHook.schema_from(str(tmp_path / "rows.csv"))


def test_a_key_that_is_no_column(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.parquet", {"title": ["a", "b", "c"]})
    with pytest.raises(InvalidParametersError, match="no column 'titel'; did you mean 'title'"):
        MilvusHook.schema_from(path, key="titel")
