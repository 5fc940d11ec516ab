"""Bodies of many rows are decoded row by row, and say the same as when they are decoded as a whole."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_vectordb.local.body import decode
from airflow_vectordb.local.body_rows import Numbers, decode_rows, plain
from airflow_vectordb.local.engine.model import CollectionSpec, FieldSpec
from airflow_vectordb.local.engine.rows import encode
from airflow_vectordb.local.errors import ApiError
from tests.support.local_api import Api

DIMENSION = 20
SPEC = CollectionSpec(
    "c",
    [
        FieldSpec("id", "Int64", is_primary=True),
        FieldSpec("vector", "FloatVector", params={"dim": str(DIMENSION)}),
        FieldSpec("bytes", "Int8Vector", params={"dim": str(DIMENSION)}, nullable=True),
        FieldSpec("numbers", "Array", element_type="Int64", params={"max_capacity": "99"}, nullable=True),
        FieldSpec("json", "JSON"),
    ],
    dynamic=True,
)
LARGEST = float.fromhex("0x1.fffffep127")

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, 1, -0.0, 1e300, LARGEST, -LARGEST, LARGEST * (1 + 1e-12), 2**63, 1e39]),
)
vectors = st.one_of(
    st.lists(numbers, min_size=DIMENSION, max_size=DIMENSION),
    st.lists(st.integers(-128, 127), min_size=DIMENSION, max_size=DIMENSION),
    st.lists(st.one_of(numbers, st.booleans(), st.none()), max_size=DIMENSION + 1),
)
texts = st.one_of(st.text(max_size=8), st.sampled_from(["}", "},{", "}]", '"data":[{', '"data":[{}]', "\\", '"']))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts, vectors),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=4,
)
rows = st.fixed_dictionaries(
    {"id": st.integers(0, 9), "vector": vectors},
    optional={"bytes": vectors, "numbers": vectors, "json": values, "more": values, "}": values},
)
bodies = st.fixed_dictionaries(
    {
        "collectionName": texts,
        "data": st.one_of(st.lists(rows, max_size=3), st.lists(st.one_of(rows, values), max_size=3)),
    },
    optional={"partitionName": texts, "more": values, "Data": values},
)
separators = st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")])


def plainly(body: Any) -> Any:
    """Return a decoded body with lists in place of what stands for them."""
    if not isinstance(body, dict) or not isinstance(body.get("data"), list):
        return body
    found = [{key: plain(item) for key, item in row.items()} if type(row) is dict else row for row in body["data"]]
    return {**body, "data": found}


def outcome(body: Any) -> Any:
    try:
        return [column.SerializeToString() for column in encode(SPEC, body["data"], with_ids=False)]
    except ApiError as error:
        return error.code, error.message


def said(decoded: Callable[[bytes], Any], raw: bytes) -> Any:
    """Return what a body says, as a text that differs where 1, 1.0 and true do, or what is wrong with it."""
    try:
        return repr(plainly(decoded(raw)))
    except ApiError as error:
        return error.code, error.message


def body_of(*given_rows: str, before: str = "", after: str = "") -> bytes:
    return f'{{"collectionName": "c", {before} "data": [{",".join(given_rows)}] {after}}}'.encode()


@pytest.fixture(autouse=True)
def any_body(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_vectordb.local.body_rows._LEAST_ROW", 0)


@settings(max_examples=50, deadline=None)
@given(body=bodies, separators=separators, ascii_only=st.booleans())
def test_a_body_says_the_same(body: dict[str, Any], separators: tuple[str, str], ascii_only: bool) -> None:
    text = json.dumps(body, separators=separators, ensure_ascii=ascii_only)
    raw = text.encode("utf-8", "surrogatepass")
    assert said(decode_rows, raw) == said(decode, raw)
    with contextlib.suppress(ApiError):
        whole = decode(raw)
        if all(type(row) is dict for row in whole["data"]):
            assert outcome(decode_rows(raw)) == outcome(whole)


VECTOR = f"[{', '.join(['0.5'] * DIMENSION)}]"
ROW = f'{{"id": 1, "vector": {VECTOR}}}'


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(body_of(ROW, ROW), id="plain"),
        pytest.param(body_of(ROW, after=', "partitionName": "p"'), id="data are not the last"),
        pytest.param(body_of('{"id": 1, "json": {"a": {"b": 1}}, "vector": ' + VECTOR + "}", ROW), id="an object"),
    ],
)
def test_vectors_are_read_at_once(raw: bytes) -> None:
    body = decode_rows(raw)
    assert all(type(row["vector"]) is Numbers for row in body["data"])
    assert said(decode_rows, raw) == said(decode, raw)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(body_of(), id="no rows"),
        pytest.param(body_of(ROW, "null", ROW), id="null between rows"),
        pytest.param(body_of(ROW, "5", ROW), id="a number between rows"),
        pytest.param(body_of(ROW, ROW, after=', "data": [{"id": 2}]'), id="data twice"),
        pytest.param(body_of(ROW, before='"data": [{"id": 2}],'), id="data twice, the short one first"),
        pytest.param(body_of(ROW, before='"more": {"data": [{"id": 2}]},'), id="data within something"),
        pytest.param(body_of(ROW) + b" and more", id="something after it"),
        pytest.param(body_of('{"id": 1, "id": 2, "vector": 3, "vector": ' + VECTOR + "}"), id="a key twice"),
        pytest.param(
            body_of('{"id": 1, "json": [{"a": 1}, {"b": 2}], "vector": ' + VECTOR + "}"), id="a list of objects"
        ),
        pytest.param(body_of('{"id": 1, "json": "},{", "vector": ' + VECTOR + "}", ROW), id="braces in a text"),
        pytest.param(body_of('{"id": 1, "more": ' + '{"a": ' * 80 + "1" + "}" * 80 + "}", ROW), id="many braces"),
        pytest.param(body_of('{"id": "\\ud800", "vector": ' + VECTOR + "}"), id="half a surrogate pair"),
        pytest.param(body_of(ROW).replace(b"0.5", b"\xff", 1), id="not Unicode"),
        pytest.param(body_of(ROW, '{"id": 1,}'), id="a comma too many"),
        pytest.param(body_of(ROW)[:-2], id="cut off"),
        pytest.param(b'["data", ' + body_of(ROW) + b"]", id="no object"),
    ],
)
def test_an_odd_body_says_the_same(raw: bytes) -> None:
    assert said(decode_rows, raw) == said(decode, raw)


@pytest.mark.parametrize("depth", [1020, 1021, 1022, 1023])
def test_a_row_may_be_as_deep(depth: int) -> None:
    raw = body_of('{"id": 1, "more": ' + "[" * depth + "]" * depth + "}", ROW)

    def is_taken(decoded: Callable[[bytes], Any]) -> bool:
        try:
            return bool(decoded(raw))
        except ApiError:
            return False

    assert is_taken(decode_rows) == is_taken(decode) == (depth < 1022)


@pytest.mark.parametrize("verb", ["insert", "upsert"])
def test_large_rows_are_written(api: Api, name: str, verb: str) -> None:
    dimension = 600
    written = [
        {"id": number, "vector": [number + place / 2 for place in range(dimension)], "more": [1, 2.0] * dimension}
        for number in range(3)
    ]
    api.ok("collections/create", collectionName=name, dimension=dimension)
    done = api.ok(f"entities/{verb}", collectionName=name, data=written)
    assert done == {f"{verb}Count": 3, f"{verb}Ids": [0, 1, 2]}
    assert api.ok("entities/query", collectionName=name) == written
    wrong = {**written[0], "vector": [*written[0]["vector"][1:], True]}
    code, message = api.fails(f"entities/{verb}", collectionName=name, data=[*written, wrong])
    assert (code, "the value of field vector is not a list of numbers" in message) == (1804, True)
