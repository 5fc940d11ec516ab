"""Rows as JSON, with the text of vectors made of many at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
import pytest

from airflow_vectordb.ingest.encoding import FloatText, RowEncoder

RANDOM = np.random.default_rng(7)
NORMAL = RANDOM.standard_normal((5, 64), dtype=np.float32)
SMALLEST_NORMAL = np.float32(2**-126)


def encoded(rows: list[dict[str, Any]], **vectors: int) -> list[bytes]:
    found = list(RowEncoder(vectors).encode([*map(dict, rows)]))
    assert all(not problems for _, problems in found)
    return [text for text, _ in found]


@pytest.mark.parametrize("sign", [0, 1])
def test_every_float_is_found_again(sign: int) -> None:
    # Of each exponent: both ends, what is beside them, and some between.
    mantissas = np.concatenate([[0, 1, 2, 2**22, 2**23 - 2, 2**23 - 1], RANDOM.integers(0, 2**23, 250)]).astype("u4")
    exponents = np.arange(1, 255, dtype="u4")
    bits = (np.uint32(sign << 31) | (exponents[:, None] << 23) | mantissas).ravel()
    text = FloatText().write(bits.view("f4"))
    assert text is not None
    doubles = orjson.loads(b"[%b]" % bytes(text)[:-1])
    assert np.array_equal(np.array(doubles).astype("f4").view("u4"), bits)
    # Whoever reads 32 bits at once rounds once only.
    singles = [np.float32(number) for number in bytes(text)[:-1].replace(b" ", b"").decode().split(",")]
    assert np.array_equal(np.array(singles, "f4").view("u4"), bits)


@pytest.mark.parametrize(
    "odd", [[0.0], [-0.0], [float(SMALLEST_NORMAL) / 2], [1e-45], [0.5] * 60], ids=["0", "-0", "half", "least", "short"]
)
def test_other_numbers_and_short_ones_are_written_one_by_one(odd: list[float]) -> None:
    vectors = NORMAL.copy()
    vectors[:, : len(odd)] = odd
    assert FloatText().write(vectors.ravel()) is None
    rows = encoded([{"v": vector} for vector in vectors], v=64)
    found = np.array([orjson.loads(row)["v"] for row in rows], "f4")
    assert np.array_equal(found.view("u4"), vectors.view("u4"))


@pytest.mark.parametrize(
    "make",
    [
        list,
        np.ndarray.tolist,
        lambda matrix: list(matrix.astype("f8")),
        lambda matrix: list(matrix.astype("f2").astype("f4").astype("f2")),
    ],
    ids=["float32", "lists", "float64", "float16"],
)
def test_vectors_of_all_kinds_arrive_beside_other_fields(make: Any) -> None:
    vectors = make(NORMAL)
    rows = [{"id": number, "v": vector, "text": 'a "b"'} for number, vector in enumerate(vectors)]
    found = list(map(orjson.loads, encoded(rows, v=64)))
    assert [(row["id"], row["text"]) for row in found] == [(number, 'a "b"') for number in range(5)]
    assert np.array_equal(np.array([row["v"] for row in found], "f4"), np.array(vectors, "f4"))


def test_several_vectors_and_nothing_else() -> None:
    rows = encoded([{"a": vector, "b": -vector[:32]} for vector in NORMAL], a=64, b=32)
    for row, vector in zip(map(orjson.loads, rows), NORMAL, strict=True):
        assert np.array_equal(np.array(row["a"], "f4"), vector)
        assert np.array_equal(np.array(row["b"], "f4"), -vector[:32])


@pytest.mark.parametrize("absent", [{}, {"v": None}, {"v": "AAAA"}, {"v": [1e39] * 64}])
def test_a_row_without_such_a_vector_goes_out_as_it_is(absent: dict[str, Any]) -> None:
    first, second = encoded([{"id": 1, "v": NORMAL[0]}, {"id": 2, **absent}], v=64)
    assert np.array_equal(np.array(orjson.loads(first)["v"], "f4"), NORMAL[0])
    assert orjson.loads(second) == {"id": 2, **absent}


def test_a_value_without_a_form_in_json_is_a_problem_of_its_row_only() -> None:
    rows = [{"id": 1, "v": NORMAL[0]}, {"id": {1}, "v": NORMAL[1]}, {"id": 3, "v": NORMAL[2]}]
    problems = [problems for _, problems in RowEncoder({"v": 64}).encode(rows)]
    assert problems == [[], ["id: a set has no form in JSON"], []]


def test_rows_stay_as_short_as_their_numbers_allow() -> None:
    short = np.round(NORMAL, 3)
    assert len(encoded([{"v": short[0]}], v=64)[0]) == len(
        orjson.dumps({"v": short[0]}, option=orjson.OPT_SERIALIZE_NUMPY)
    )
    assert len(encoded([{"v": NORMAL[0]}], v=64)[0]) <= 16 * 64
