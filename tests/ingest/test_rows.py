"""A row against the schema: each thing that can be wrong, and the values that go out."""

from __future__ import annotations

import math
from datetime import date, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow
import pytest

from airflow_vectordb.ingest.memory import ArrowData, Rows
from airflow_vectordb.ingest.rows import RowChecker, problems_of_sources
from airflow_vectordb.rest.collections import Function
from tests.support.collections import AUTO_ID, DOCS, ID, TITLE, VECTOR, deeply_nested, described, field


class Tensor:
    """Numbers of a library, as a series of pandas: not all that NumPy's have."""

    dtype = "float32"

    def __len__(self) -> int:
        return 2

    def __array__(self, *_: Any, **__: Any) -> Any:
        return np.array([1, 0.5], np.float32)


def one(spec: dict[str, Any], value: Any) -> tuple[Any, list[str]]:
    row, problems = RowChecker(described(ID, spec)).check({"id": 1, spec["name"]: value})
    return row.get(spec["name"]), problems


@pytest.mark.parametrize(
    ("spec", "given", "sent"),
    [
        (field("n", "Int8"), -128, -128),
        (field("n", "Int16"), np.int16(7), 7),
        (field("n", "Int32"), 7.0, 7),
        (field("n", "Int64"), 2**63 - 1, 2**63 - 1),
        (field("n", "Float"), 3, 3.0),
        (field("n", "Double"), np.float32(0.5), 0.5),
        (field("n", "Bool"), np.bool_(True), True),
        (field("n", "VarChar", max_length=4), "üü", "üü"),
        (field("n", "JSON"), {"a": [1, None]}, {"a": [1, None]}),
        (field("n", "Array", elementType="Int32", max_capacity=2), (1, 2), [1, 2]),
        (field("n", "Array", elementType="VarChar", max_capacity=2, max_length=2), ["a"], ["a"]),
        (field("n", "FloatVector", dim=2), [1, 0.5], [1, 0.5]),
        (field("n", "FloatVector", dim=2), (1.0, 0.5), (1.0, 0.5)),
        (field("n", "Float16Vector", dim=2), b"\x00\x3c\x00\x38", "ADwAOA=="),
        (field("n", "Int8Vector", dim=2), [-128, 127], [-128, 127]),
        (field("n", "BinaryVector", dim=16), b"\x01\xff", [1, 255]),
        (field("n", "SparseFloatVector"), {7: 0.5, "9": 1}, {"7": 0.5, "9": 1.0}),
        (field("n", "SparseFloatVector"), {"indices": [3], "values": [0.25]}, {"3": 0.25}),
        (field("n", "SparseFloatVector"), [(3, 0.25)], {"3": 0.25}),
    ],
)
def test_a_value_that_fits_goes_out(spec: dict[str, Any], given: Any, sent: Any) -> None:
    assert one(spec, given) == (sent, [])


@pytest.mark.parametrize(
    ("spec", "given", "problem"),
    [
        (field("n", "Int8"), 128, "n: 128 is out of the range of Int8"),
        (field("n", "Int64"), 2**63, "n: 9223372036854775808 is out of the range of Int64"),
        (field("n", "Int64"), True, "n: True (bool) is not an Int64"),
        (field("n", "Int64"), 1.5, "n: 1.5 (float) is not an Int64"),
        (field("n", "Int64"), 2.0**53, "n: 9007199254740992 is a float, which may stand for several integers: keep"),
        (field("n", "JSON"), {"a": [1.0, math.nan]}, "n: NaN and infinity are not JSON; None stands for no value"),
        (field("n", "JSON"), [np.array([np.inf]), np.ones(2)], "n: NaN and infinity are not JSON; None stands for"),
        (field("n", "JSON"), deeply_nested(), "n: maximum recursion depth exceeded"),
        (field("n", "Int64"), "7", "n: '7' (str) is not an Int64"),
        (field("n", "Float"), 1e40, "n: 1e+40 is out of the range of a 32-bit float"),
        (field("n", "Double"), float("nan"), "n: nan is not a finite number"),
        (field("n", "Double"), "x", "n: 'x' (str) is not a number"),
        (field("n", "Bool"), 1, "n: 1 (int) is neither true nor false"),
        (field("n", "VarChar", max_length=3), "üü", "n: 4 bytes, but max_length is 3"),
        (field("n", "VarChar", max_length=3), 5, "n: 5 (int) is not a string"),
        (
            field("n", "VarChar"),
            date(2026, 1, 1),
            "n: a date is not a string; convert it, for example with isoformat()",
        ),
        (
            field("n", "Int64"),
            datetime(2026, 1, 1),
            "n: a datetime is not an Int64; convert it, for example with timestamp()",
        ),
        (field("n", "Int64"), None, "n: null, but the field is not nullable"),
        (field("n", "Array", elementType="Int32", max_capacity=1), [1, 2], "n: 2 elements, but max_capacity is 1"),
        (field("n", "Array", elementType="Int8", max_capacity=2), [1, 300], "n: 300 is out of the range of Int8"),
        (field("n", "Array", elementType="Int8", max_capacity=2), "ab", "n: 'ab' (str) is not a list"),
        (field("n", "FloatVector", dim=2), [1.0], "n: 1 numbers instead of 2"),
        (field("n", "FloatVector", dim=2), [1.0, None], "n: [1] is None (NoneType), not a number"),
        (field("n", "FloatVector", dim=2), [1.0, float("inf")], "n: [1] is inf, not a finite number"),
        (field("n", "FloatVector", dim=2), np.array([np.nan, 1]), "n: [0] is nan, not a finite number"),
        (field("n", "FloatVector", dim=2), np.array([1e300, 1]), "n: has a number out of the range of a 32-bit float"),
        (
            field("n", "FloatVector", dim=2),
            np.ones((2, 2)),
            "n: an array of shape (2, 2) and type float64 is not a vector",
        ),
        (field("n", "FloatVector", dim=2), "[1, 2]", "n: '[1, 2]' (str) is not a list of numbers"),
        (field("n", "Int8Vector", dim=2), [1, 128], "n: all elements must be integers from -128 to 127"),
        (field("n", "Int8Vector", dim=2), np.array([1, -129]), "n: all elements must be integers from -128 to 127"),
        (field("n", "Int8Vector", dim=2), np.array([1, 0.5]), "n: all elements must be integers from -128 to 127"),
        (field("n", "BinaryVector", dim=16), b"\x01", "n: 1 bytes instead of 2"),
        (field("n", "BinaryVector", dim=8), [256], "n: all elements must be bytes (0 to 255) of eight dimensions each"),
        (field("n", "BinaryVector", dim=8), [1.7], "n: all elements must be bytes (0 to 255) of eight dimensions each"),
        (field("n", "SparseFloatVector"), {-1: 1.0}, "n: index -1 is not an integer from 0 to 4,294,967,294"),
        (field("n", "SparseFloatVector"), {1.5: 1.0}, "n: index 1.5 is not an integer from 0 to 4,294,967,294"),
        (field("n", "Int64"), np.True_, f"n: {np.True_!r} ({type(np.True_).__name__}) is not an Int64"),
        (field("n", "Int64"), deeply_nested(), "n: (too large to be shown) (list) is not an Int64"),
        (field("n", "SparseFloatVector"), {1: -0.5}, "n: the weight of 1 is -0.5, and must be 0 or more"),
        (
            field("n", "SparseFloatVector"),
            [0.5, 0.25],
            "n: 0.5 in it is not an index with its weight, such as 7: 0.5",
        ),
        (
            field("n", "SparseFloatVector"),
            {"a": 0.5},
            "n: ('a', 0.5) in it is not an index with its weight, such as 7: 0.5",
        ),
        (field("n", "SparseFloatVector"), 5, "n: 5 (int) is not a sparse vector (index -> weight)"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_field(spec: dict[str, Any], given: Any, problem: str) -> None:
    (found,) = one(spec, given)[1]
    assert found.startswith(problem)


def test_float64_is_sent_as_the_float32_that_milvus_keeps() -> None:
    vector, problems = one(field("n", "FloatVector", dim=2), np.array([0.1, 0.2]))
    assert (vector.dtype, problems) == (np.float32, [])


def test_vectors_of_other_libraries_are_numpys() -> None:
    vector, problems = one(field("n", "FloatVector", dim=2), Tensor())
    assert (list(vector), problems) == ([1, 0.5], [])


def test_a_name_that_is_no_string_is_a_problem_of_its_row() -> None:
    row: Any = {5: 1, "vector": [1, 2, 3, 4]}
    problems = ["5: names of fields are strings", "id: missing"]
    for dynamic in (False, True):
        assert RowChecker(described(ID, VECTOR, dynamic=dynamic)).check(row)[1] == problems


def test_float32_is_sent_as_it_is() -> None:
    given = np.array([0.1, 0.2], np.float32)
    assert one(field("n", "FloatVector", dim=2), given)[0] is given


@pytest.mark.parametrize(
    ("matrix", "fits"),
    [
        (np.ones((3, 4), np.float32), True),
        (np.ones((3, 5), np.float32), False),
        (np.array([[1, 2, 3, 4], [1, 2, np.nan, 4]], np.float32), False),
        (np.array([[1, 2, 3, -np.inf]], np.float32), False),
        (np.ones((3, 4)), False),
        (np.ones((3, 4), ">f4"), False),
        (np.ones((4, 3), np.float32).T, False),
        (np.ones((3, 4), np.int64), False),
    ],
)
def test_vectors_are_checked_together_and_one_by_one_where_not_all_fit(matrix: Any, fits: bool) -> None:
    mapped, other = "embedding", "id"
    checker = RowChecker(DOCS, {mapped: "vector"})
    fitting = checker.fitting({mapped: matrix, other: matrix, "unknown": matrix})
    assert fitting == ({mapped} if fits else set())
    for vector in matrix:
        row = {"id": 1, "title": "a", mapped: vector}
        together, alone = checker.check(row, fitting), checker.check(row)
        assert together[1] == alone[1]
        assert np.array_equal(together[0].get("vector", ()), alone[0].get("vector", ()))


def test_everything_that_is_wrong_with_a_row_is_reported() -> None:
    problems = RowChecker(DOCS).check({"id": "x", "titel": "a", "vector": [1.0]})[1]
    assert problems == [
        "id: 'x' (str) is not an Int64",
        "titel: the collection has neither this field nor dynamic fields; did you mean 'title'?",
        "vector: 1 numbers instead of 4",
        "title: missing; is it 'titel'? Then set field_mapping={'titel': 'title'}",
    ]


def test_columns_are_mapped_and_dropped() -> None:
    checker = RowChecker(DOCS, {"text": "title", "junk": None})
    row = {"id": 1, "text": "a", "vector": [1, 2, 3, 4], "junk": object()}
    assert checker.check(row) == ({"id": 1, "title": "a", "vector": [1, 2, 3, 4]}, [])


def test_a_dynamic_field_goes_out_as_it_is() -> None:
    row = {"id": 1, "vector": [1, 2, 3, 4], "lang": "en"}
    checker = RowChecker(described(ID, VECTOR, dynamic=True))
    tensor = SimpleNamespace(dtype="torch.float32")  # refused when it is encoded
    for value in ("en", None, [1, None], tensor):
        assert checker.check({**row, "lang": value}) == ({**row, "lang": value}, [])
    assert checker.check({**row, "lang": math.nan})[1] == [
        "lang: NaN and infinity are not JSON; None stands for no value"
    ]


def test_a_name_within_text() -> None:
    checker = RowChecker(described(field("page", "Int64", nullable=True)), {"meta.a.page": "page", "meta": None})
    assert checker.check({"meta": {"a": {"page": 5}}}) == ({"page": 5}, [])
    for meta in ({}, {"a": None}, None):
        assert checker.check({"meta": meta}) == ({}, [])
    text = "meta.a: a str ('{}') has no 'page', it must be a mapping"
    assert checker.check({"meta": {"a": "{}"}})[1] == [text]
    assert checker.check({"meta": "{}", "meta.a.page": 5}) == ({"page": 5}, [])  # a column of this name comes first


def test_a_dynamic_field_does_not_take_the_place_of_a_missing_one() -> None:
    checker = RowChecker(described(ID, VECTOR, dynamic=True))
    row = {"ix": 1, "vector": [1, 2, 3, 4], "page": 3}
    assert checker.check(row)[1] == ["id: missing; is it 'ix'? Then set field_mapping={'ix': 'id'}"]
    assert checker.check({**row, "id": 1}) == ({**row, "id": 1}, [])


def test_null_and_missing_are_fine_where_the_schema_allows_them() -> None:
    checker = RowChecker(
        described(ID, field("a", "Int8", nullable=True), field("b", "Int8", defaultValue={"Data": {"IntData": 1}}))
    )
    assert checker.check({"id": 1, "a": None}) == ({"id": 1}, [])
    assert checker.check({"id": 1, "b": None}) == ({"id": 1}, [])


def test_a_key_that_the_server_makes_is_refused_in_an_insert_and_wanted_in_an_upsert() -> None:
    auto = described(AUTO_ID, VECTOR)
    assert RowChecker(auto).check({"id": 1, "vector": [1, 2, 3, 4]})[1] == [
        "id: the server generates the keys of this collection: leave it out"
    ]
    assert RowChecker(auto, with_auto_ids=True).check({"vector": [1, 2, 3, 4]})[1] == ["id: missing"]


def test_the_output_of_a_function_is_refused() -> None:
    sparse = field("sparse", "SparseFloatVector")
    collection = described(ID, TITLE, sparse, functions=(Function("bm25", "BM25", ("sparse",)),))
    assert RowChecker(collection).check({"id": 1, "title": "a"}) == ({"id": 1, "title": "a"}, [])
    assert RowChecker(collection).check({"id": 1, "title": "a", "sparse": {1: 1}})[1] == [
        "sparse: a function of the collection fills it"
    ]


@pytest.mark.parametrize(
    ("spec", "text", "sent"),
    [
        (field("n", "Int64"), "7", 7),
        (field("n", "Double"), "1e3", 1000.0),
        (field("n", "Bool"), "False", False),
        (field("n", "VarChar", max_length=9), "5", "5"),
        (field("n", "JSON"), '{"a": 1}', {"a": 1}),
        (field("n", "FloatVector", dim=2), "[1, 0.5]", [1, 0.5]),
        (field("n", "SparseFloatVector"), '{"3": 0.5}', {"3": 0.5}),
    ],
)
def test_text_of_a_csv_file_becomes_the_fields_type(spec: dict[str, Any], text: str, sent: Any) -> None:
    row, problems = RowChecker(described(ID, spec), is_text=True).check({"id": "1", "n": text})
    assert (row, problems) == ({"id": 1, "n": sent}, [])


def test_columns_are_compared_with_the_schema_before_a_row_is_read() -> None:
    checker = RowChecker(DOCS, {"nope": "title"})
    assert checker.problems_of_columns(["id", "titel", "vector"]) == [
        "field_mapping has 'nope', but there is no such column; known: id, titel, vector",
        "titel: the collection has neither this field nor dynamic fields; did you mean 'title'?",
        "title: missing; is it 'titel'? Then set field_mapping={'titel': 'title'}",
    ]


def test_what_is_wrong_with_several_files_is_said_once() -> None:
    columns = ["id", "title", "embedding"]
    parts = [parts_of(f"part-{number}.parquet", columns) for number in range(3)]
    other = parts_of("other.parquet", [*columns, "x"])
    checkers = [RowChecker(DOCS, {"embeding": "vector"})] * 4
    same = "part-0.parquet and 3 more files"
    assert problems_of_sources([*parts, other], checkers) == [
        f"{same}: field_mapping has 'embeding', but there is no such column; did you mean 'embedding'?",
        f"{same}: embedding: the collection has neither this field nor dynamic fields; known: id, title, vector",
        f"{same}: vector: missing",
        "other.parquet: x: the collection has neither this field nor dynamic fields; known: id, title, vector",
    ]
    assert problems_of_sources(parts[:2], checkers[:2])[0].startswith("part-0.parquet and 1 more file: field_mapping")


def parts_of(name: str, columns: list[str]) -> Any:
    data = ArrowData(pyarrow.table({column: [1] for column in columns}))
    data.name = name
    return data


def test_vectors_beside_text_are_no_text() -> None:
    checker = RowChecker(DOCS, is_text=True)
    vector = np.ones(4, np.float32)
    assert checker.check({"id": "1", "title": "a", "vector": vector}) == ({"id": 1, "title": "a", "vector": vector}, [])


def test_a_mapping_the_wrong_way_round_is_reported_before_a_row_is_read() -> None:
    checker = RowChecker(DOCS, {"title": "heading"})
    assert problems_of_sources([Rows([{"heading": "a"}])], [checker]) == [
        "rows: field_mapping['title'] is 'heading', but the collection has no such field: it maps names in the source "
        "to fields; known: id, title, vector"
    ]
