"""Request bodies as bytes."""

from __future__ import annotations

import math
from datetime import date
from typing import Any
from uuid import UUID

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_vectordb.rest.errors import InvalidParametersError
from airflow_vectordb.rest.http.json import EncodedRows, encode
from tests.support.collections import deeply_nested


def test_numpy_is_taken_as_it_is() -> None:
    body = {"data": [{"id": np.int64(3), "vector": np.array([0.5, 1.0], dtype=np.float32), "x": np.float32(0.25)}]}
    assert orjson.loads(encode(body)) == {"data": [{"id": 3, "vector": [0.5, 1.0], "x": 0.25}]}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("wrap", [list, lambda values: np.array(values, dtype=np.float32), tuple])
def test_what_json_does_not_have_is_refused_and_located(bad: float, wrap: object) -> None:
    assert callable(wrap)
    body = {"data": [{"id": 1, "vector": [0.0]}, {"id": 2, "vector": wrap([1.0, bad])}]}
    with pytest.raises(InvalidParametersError, match=r"data\[1\]\.vector\[1\]"):
        encode(body)


def test_indices_of_sparse_vectors_may_be_numbers() -> None:
    body = {"data": [{7: 0.5, 42: np.float32(0.25)}], "limit": 3}
    assert orjson.loads(encode(body)) == {"data": [{"7": 0.5, "42": 0.25}], "limit": 3}
    with pytest.raises(InvalidParametersError, match=r"data\[0\]\.7"):
        encode({"data": [{7: float("nan")}]})


@pytest.mark.parametrize(
    "keys", [(None,), (True,), (1.5,), (math.nan,), (date(2026, 1, 2),), (UUID(int=1),), (7, "7"), ("7", 7)], ids=repr
)
def test_other_keys_are_neither_made_up_nor_given_twice(keys: tuple[Any, ...]) -> None:
    for body in ({"data": [{"id": 1, **dict.fromkeys(keys, 0.5)}]}, {"data": [[0.5], [{7: dict.fromkeys(keys, 1)}]]}):  # type: ignore[dict-item]
        with pytest.raises(InvalidParametersError, match="key must be str"):
            encode(body)


def test_null_itself_is_fine() -> None:
    assert orjson.loads(encode({"data": [{"id": 1, "note": None, "text": "null"}]}))["data"][0]["note"] is None


def test_other_types_are_refused_and_located() -> None:
    with pytest.raises(InvalidParametersError, match=r"data\[0\]\.tags, a set"):
        encode({"data": [{"id": 1, "tags": {1}}]})
    with pytest.raises(InvalidParametersError):
        encode({"data": [{"id": 1 << 70}]})
    with pytest.raises(InvalidParametersError, match=r"recursion .*\(in the request\)"):
        encode({"data": deeply_nested()})


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_large_numbers_are_finite() -> None:
    body = {
        "data": [
            {
                "a": [1e308, 1e308],
                "b": np.full(9, 3e38, dtype=np.float32),
                "c": [1 << 63, 1 << 63],
                "d": [[1e308] * 2] * 2,
            }
        ]
    }
    assert orjson.loads(encode(body))["data"][0]["a"] == [1e308, 1e308]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_rows_that_are_json_already_go_in_as_they_are(count: int) -> None:
    rows = [{"id": number, "vector": [0.5]} for number in range(count)]
    body = {"dbName": "db", "data": EncodedRows(map(orjson.dumps, rows)), "collectionName": "docs"}
    assert orjson.loads(encode(body)) == {"dbName": "db", "collectionName": "docs", "data": rows}


def test_rows_can_be_sent_again_beside_other_fields_and_their_memory_be_used_again() -> None:
    rows = EncodedRows([b'{"id":1,"text":"a long one"}', b'{"id":2}'])
    assert orjson.loads(encode({"data": rows, "dbName": "a"})) == {
        "dbName": "a",
        "data": [{"id": 1, "text": "a long one"}, {"id": 2}],
    }
    assert encode({"data": rows}) == b'{"data":[{"id":1,"text":"a long one"},{"id":2}]}'
    assert [*rows] == [b'{"id":1,"text":"a long one"}', b'{"id":2}']
    for count in (1, 5, 2):  # shorter, longer than what was there, and shorter again
        rows = EncodedRows(memory=rows.memory)
        assert (len(rows), [*rows]) == (0, [])
        expected = [b'{"id":%d}' % (10**number) for number in range(count)]
        for row in expected:
            rows.append(row)
        assert [*rows] == expected
        assert encode({"data": rows}) == b'{"data":[%b]}' % b",".join(expected)


@settings(deadline=None)
@given(sizes=st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=8), min_size=1, max_size=6))
def test_rows_in_memory_that_was_used_are_whole(sizes: list[list[int]]) -> None:
    memory = None
    for batch in sizes:
        rows = EncodedRows(memory=memory)
        expected = [b'"%b"' % (b"x" * size) for size in batch]
        for row in expected:
            rows.append(row)
        assert encode({"data": rows, "a": 1}) == b'{"data":[%b],"a":1}' % b",".join(expected)
        assert [*rows] == expected
        memory = rows.memory
