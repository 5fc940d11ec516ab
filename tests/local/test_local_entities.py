"""entities/…: rows in, rows out, searches."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.support.local_api import SCHEMA, Api, Json, ids

# --- writing ---


def test_insert_says_what_it_did(api: Api, bare: str, rows: list[Json]) -> None:
    answer = api.post("entities/insert", {"collectionName": bare, "data": rows}).json()
    assert answer == {"code": 0, "cost": 0, "data": {"insertCount": 10, "insertIds": list(range(10))}}


BAD_ROWS: dict[str, tuple[Json, str]] = {
    "booleans in the vector": ({"v": [True, 1, 1, 1]}, "v"),
    "a word as a vector": ({"v": "[1, 2, 3"}, "v"),
    "beyond float32": ({"v": [1e300, 1, 1, 1]}, "float32"),
    "an integer beyond float32": ({"v": [10**39, 1, 1, 1]}, "float32"),
    "a key beyond 64 bits": ({"id": 2**70}, "id"),
    "a word as a number": ({"rank": "low"}, "rank"),
    "a fraction as an integer": ({"rank": 1.5}, "rank"),
    "beyond Int32": ({"rank": 2**31}, "rank"),
    "a key missing": ({"id": None}, "id"),
    "an unknown field": ({"colour": "red"}, "colour"),
    "a sparse vector with a negative index": ({"s": {"-1": 1.0}}, "s"),
    "a sparse vector with words": ({"s": {"a": 1.0}}, "s"),
    "a sparse vector as a list": ({"s": [1.0]}, "s"),
    "a sparse vector with unequal lists": ({"s": {"indices": [1, 2], "values": [1.0]}}, "s"),
}


@pytest.mark.parametrize("method", ["insert", "upsert"])
@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_row_that_does_not_fit_is_1804_and_nothing_is_written(
    api: Api, shared: str, rows: list[Json], method: str, case: str
) -> None:
    change, words = BAD_ROWS[case]
    good = {**rows[0], "id": 100}
    code, message = api.fails(
        f"entities/{method}", collectionName=shared, data=[good, {**rows[1], "id": 101, **change}]
    )
    assert code == 1804, message
    assert words in message
    assert api.ok("entities/query", collectionName=shared, outputFields=["count(*)"]) == [{"count(*)": 10}]


def test_a_text_that_is_too_long_is_refused_by_bytes(api: Api, filled: str, rows: list[Json]) -> None:
    api.ok("entities/insert", collectionName=filled, data=[{**rows[0], "label": "é" * 10}])
    code, message = api.fails("entities/insert", collectionName=filled, data=[{**rows[0], "label": "é" * 11}])
    assert (code, "label" in message, "22" in message) == (1100, True, True)


@pytest.mark.parametrize("key", ["Int64", "VarChar"])
def test_automatic_keys_are_new_each_time(api: Api, name: str, key: str) -> None:
    params = {"max_length": 64}
    api.ok("collections/create", collectionName=name, dimension=2, autoID=True, idType=key, params=params)
    row = {"vector": [1.0, 2.0]}
    made = [i for _ in range(3) for i in api.ok("entities/insert", collectionName=name, data=[row] * 5)["insertIds"]]
    assert len(set(made)) == 15
    assert {type(i) for i in made} == {int if key == "Int64" else str}
    assert ids(api.ok("entities/get", collectionName=name, id=made[:2])) == made[:2]
    code, message = api.fails("entities/insert", collectionName=name, data=[{**row, "id": made[0]}])
    assert (code, "autoid==true" in message) == (1804, True)
    # A failed insert takes no keys with it that a later one could give again.
    api.fails("entities/insert", collectionName=name, data=[{"vector": [1.0]}] * 50)
    more = api.ok("entities/insert", collectionName=name, data=[row] * 60)["insertIds"]
    assert not set(more) & set(made)
    assert api.ok("entities/query", collectionName=name, outputFields=["count(*)"]) == [{"count(*)": 75}]


def test_upsert_replaces_the_whole_row(api: Api, name: str) -> None:
    api.ok("collections/create", collectionName=name, dimension=2)
    api.ok("entities/insert", collectionName=name, data=[{"id": 1, "vector": [1, 2], "colour": "red", "size": 3}])
    done = api.ok("entities/upsert", collectionName=name, data=[{"id": 1, "vector": [3, 4], "size": 4}])
    assert done == {"upsertCount": 1, "upsertIds": [1]}
    assert api.ok("entities/query", collectionName=name) == [{"id": 1, "vector": [3, 4], "size": 4}]
    assert api.ok("entities/query", collectionName=name, outputFields=["count(*)"]) == [{"count(*)": 1}]


def test_delete_counts_the_keys_that_are_listed_or_the_rows_that_match(api: Api, filled: str) -> None:
    answer = api.post("entities/delete", {"collectionName": filled, "filter": "id in [1, 2, 77]"}).json()
    assert answer == {"code": 0, "data": {"deleteCount": 3}}
    assert api.ok("entities/delete", collectionName=filled, filter="id == -5") == {"deleteCount": 1}
    assert api.ok("entities/delete", collectionName=filled, filter="id in []") == {"deleteCount": 0}
    assert api.ok("entities/delete", collectionName=filled, filter="rank == 0 and id < 5") == {"deleteCount": 2}
    assert ids(api.ok("entities/query", collectionName=filled, outputFields=["id"])) == [4, 5, 6, 7, 8, 9]
    assert api.fails("entities/delete", collectionName=filled, id=[4])[0] == 1802
    assert api.fails("entities/delete", collectionName=filled, filter="id ==")[0] == 1100


# --- reading ---


def test_query_is_in_the_order_of_keys_with_limit_and_offset(api: Api, shared: str) -> None:
    def query(**body: Any) -> list[Any]:
        return ids(api.ok("entities/query", collectionName=shared, outputFields=["id"], **body))

    assert query(filter="rank == 1") == [1, 4, 7]
    assert query(filter="rank == 1", limit=2, offset=1) == [4, 7]
    assert query(filter="id in [9, 3, 5, 77]", limit=2) == [3, 5]
    assert query(filter="id in [9, 3, 5]", offset=2) == [9]
    assert query() == list(range(10))
    # Neither limits anything.
    assert query(filter="rank == 1", limit=0, offset=2) == [1, 4, 7]
    assert query(filter="rank == 1", limit=-1) == [1, 4, 7]
    assert query(filter="rank == 1", offset=-1) == [1, 4, 7]
    code, message = api.fails("entities/query", collectionName=shared, limit=0)
    assert (code, "limit" in message) == (1100, True)
    assert query(filter="label == {x} or id in {many}", exprParams={"x": 'r"2', "many": [1, 2]}) == [1, 2]


def test_query_gives_all_fields_unless_told_otherwise(api: Api, shared: str) -> None:
    (row,) = api.ok("entities/query", collectionName=shared, filter="id == 3")
    assert row == {"id": 3, "v": [3, 1, 0, 0], "s": {"1": 0.5, "5": 1}, "label": "r3", "rank": 0}
    (row,) = api.ok("entities/query", collectionName=shared, filter="id == 3", outputFields=["label"])
    assert row == {"id": 3, "label": "r3"}


def test_counting(api: Api, shared: str) -> None:
    def count(**body: Any) -> Any:
        return api.ok("entities/query", collectionName=shared, outputFields=["count(*)"], **body)

    assert count() == [{"count(*)": 10}]
    assert count(filter="rank == 1") == [{"count(*)": 3}]
    assert count(filter="id in [1, 2, 77]", limit=1) == [{"count(*)": 2}]
    assert count(partitionNames=["_default"]) == [{"count(*)": 10}]


@pytest.mark.parametrize(
    ("path", "limit", "offset"),
    [
        *((f"entities/{path}", *window) for path in ("query", "search") for window in [(16385, 0), (1, 16385)]),
        *(("entities/search", *window) for window in [(0, 0), (-1, 0), (1, -1), (16384, 1)]),
    ],
)
def test_limit_and_offset_have_bounds(api: Api, shared: str, path: str, limit: int, offset: int) -> None:
    body = {"limit": limit, "offset": offset, "data": [[0, 0, 0, 0]], "annsField": "v"}
    code, message = api.fails(path, collectionName=shared, **body)
    assert (code, "16384" in message) == (65535, True)


@pytest.mark.parametrize(
    "text", ["id ==", "id > > 1", "nosuch == 1", "label > 3", "(id > 1", "id in 5", ")", "id = = 2"]
)
def test_a_filter_that_cannot_be_is_1100(api: Api, shared: str, text: str) -> None:
    for path, body in (("query", {}), ("search", {"data": [[0, 0, 0, 0]], "annsField": "v"}), ("delete", {})):
        code, message = api.fails(f"entities/{path}", collectionName=shared, filter=text, **body)
        assert code == 1100, message
        assert text in message


def test_a_template_without_its_value_is_refused(api: Api, shared: str) -> None:
    code, message = api.fails("entities/query", collectionName=shared, filter="id == {x}", exprParams={"y": 1})
    assert (code, "x" in message) == (1100, True)


@pytest.mark.parametrize("path", ["query", "search", "get"])
def test_fields_and_partitions_must_exist(api: Api, shared: str, path: str) -> None:
    body = {"id": 1, "data": [[0, 0, 0, 0]], "annsField": "v"}
    code, message = api.fails(f"entities/{path}", collectionName=shared, outputFields=["nosuch"], **body)
    assert (code, "nosuch" in message) == (65535, True)
    code, message = api.fails(f"entities/{path}", collectionName=shared, partitionNames=["nowhere"], **body)
    assert (code, "nowhere" in message) == (1807, True)


@pytest.mark.parametrize("key", [True, 1.5, "x", {"a": 1}, [1, "x"], 2**63, [[1]]])
def test_a_bad_key(api: Api, shared: str, key: object) -> None:
    assert api.fails("entities/get", collectionName=shared, id=key)[0] == 1806


def test_get_takes_one_key_or_many(api: Api, shared: str) -> None:
    def get(key: object) -> list[Any]:
        return ids(api.ok("entities/get", collectionName=shared, id=key, outputFields=["id"]))

    assert get(3) == [3]
    assert get("3") == [3]
    assert get([5, 3, 77]) == [3, 5]
    assert get(77) == []
    assert get([]) == []


def test_keys_that_are_no_texts_or_have_quotes(api: Api, name: str) -> None:
    api.ok("collections/create", collectionName=name, dimension=2, idType="VarChar", params={"max_length": 64})
    api.ok("entities/insert", collectionName=name, data=[{"id": key, "vector": [1, 2]} for key in ("", "5", 'a"b')])
    # Milvus takes a number for the empty text, and puts texts into the filter as they are.
    assert ids(api.ok("entities/get", collectionName=name, id=[5])) == [""]
    assert api.fails("entities/get", collectionName=name, id=['a"b'])[0] == 1100
    assert api.fails("entities/get", collectionName=name, id=['x" or "1" == "1'])[0] == 1100
    assert ids(api.ok("entities/query", collectionName=name, filter="id == {k}", exprParams={"k": 'a"b'})) == ['a"b']


@pytest.mark.parametrize("key", ["back\\slash", "naïve 日本語", "new\nline", "'single'", "{x}", " "])
def test_text_keys_of_any_kind(api: Api, name: str, key: str) -> None:
    api.ok("collections/create", collectionName=name, dimension=2, idType="VarChar", params={"max_length": 64})
    api.ok("entities/insert", collectionName=name, data=[{"id": key, "vector": [1, 2]}, {"id": "x", "vector": [1, 2]}])
    assert ids(api.ok("entities/get", collectionName=name, id=[key])) == [key]
    assert ids(api.ok("entities/query", collectionName=name, filter="id == {k}", exprParams={"k": key})) == [key]


# --- searching ---


def test_search_is_flat_over_all_vectors_with_topks(api: Api, shared: str) -> None:
    body = {"collectionName": shared, "annsField": "v", "data": [[3, 1, 0, 0], [9, 1, 0, 0]], "limit": 2}
    answer = api.post("entities/search", {**body, "outputFields": ["label"]}).json()
    assert answer["topks"] == [2, 2]
    assert ids(answer["data"])[0::2] == [3, 9]
    assert answer["data"][0] == {"id": 3, "label": "r3", "distance": 0}
    assert answer["data"][1]["distance"] == 1
    assert set(api.post("entities/search", body).json()["data"][0]) == {"id", "distance"}
    nothing = api.post("entities/search", {**body, "filter": "id > 100"}).json()
    assert nothing == {"code": 0, "cost": 0, "data": []}


def test_hits_that_are_equally_near_are_in_the_order_of_keys(api: Api, name: str) -> None:
    api.ok("collections/create", collectionName=name, dimension=2, metricType="L2")
    rows = [{"id": key, "vector": [1, 2 if key % 2 else 3]} for key in (5, 2, 9, 1, 4)]
    api.ok("entities/insert", collectionName=name, data=rows)
    assert ids(api.ok("entities/search", collectionName=name, data=[[1, 2], [1, 3]])) == [1, 5, 9, 2, 4, 2, 4, 1, 5, 9]


def test_distances_are_milvus_s(api: Api, name: str) -> None:
    a, b = [1.0, 2.0, 2.0], [0.5, 0.0, -1.0]
    expected = {
        "L2": sum((x - y) ** 2 for x, y in zip(a, b, strict=True)),
        "IP": sum(x * y for x, y in zip(a, b, strict=True)),
        "COSINE": sum(x * y for x, y in zip(a, b, strict=True)) / 3 / math.sqrt(1.25),
    }
    for metric, distance in expected.items():
        api.ok("collections/create", collectionName=name, dimension=3, metricType=metric)
        api.ok("entities/insert", collectionName=name, data=[{"id": 1, "vector": a}])
        (hit,) = api.ok("entities/search", collectionName=name, data=[b])
        assert hit["distance"] == pytest.approx(distance, rel=1e-6)
        api.ok("collections/drop", collectionName=name)


def test_search_of_a_sparse_field(api: Api, shared: str) -> None:
    hits = api.ok("entities/search", collectionName=shared, annsField="s", data=[{"5": 2.0}], limit=3)
    assert hits == [{"id": 3, "distance": 2}]
    both = {"indices": [5, 1], "values": [2.0, 0.1]}
    params = {"params": {"drop_ratio_search": 0.2}}
    hits = api.ok("entities/search", collectionName=shared, annsField="s", data=[both], limit=1, searchParams=params)
    assert (hits[0]["id"], hits[0]["distance"]) == (3, pytest.approx(2.05, rel=1e-6))


def test_search_with_filter_offset_and_parameters(api: Api, shared: str) -> None:
    body: Json = {"collectionName": shared, "annsField": "v", "data": [[0, 1, 0, 0]], "limit": 2}
    assert ids(api.ok("entities/search", **body, offset=1)) == [1, 2]
    assert ids(api.ok("entities/search", **body, filter="rank == 2")) == [2, 5]
    assert ids(api.ok("entities/search", **body, searchParams={"metric_type": "L2", "params": {"ef": 50}})) == [0, 1]
    assert api.ok("entities/search", **body, filter="id > 100") == []
    code, message = api.fails("entities/search", **body, searchParams={"metric_type": "IP"})
    assert (code, "expected=L2" in message) == (65535, True)
    # Milvus does not look at this one.
    assert ids(api.ok("entities/search", **body, searchParams={"metricType": "IP"})) == [0, 1]


def test_a_range_is_looked_for_among_all_rows(api: Api, name: str) -> None:
    api.ok("collections/create", collectionName=name, dimension=2, metricType="L2")
    rows = [{"id": i, "vector": [i, 0], "word": f"w{i}"} for i in range(100)]
    api.ok("entities/insert", collectionName=name, data=rows)
    body: Json = {"collectionName": name, "data": [[0, 0], [99, 0]], "limit": 2, "offset": 1, "outputFields": ["word"]}
    far = {"params": {"radius": 10000, "range_filter": 2500}}
    answer = api.post("entities/search", {**body, "searchParams": far}).json()
    assert answer["topks"] == [2, 2]
    assert answer["data"] == [
        {"id": 51, "word": "w51", "distance": 51**2},
        {"id": 52, "word": "w52", "distance": 52**2},
        {"id": 48, "word": "w48", "distance": 51**2},
        {"id": 47, "word": "w47", "distance": 52**2},
    ]
    code, message = api.fails("entities/search", **body, searchParams={"params": {"radius": 1, "range_filter": 2}})
    assert (code, "radius" in message) == (1100, True)
    assert api.fails("entities/search", **body, searchParams={"params": {"radius": "far"}})[0] == 1100


def test_full_text_search(api: Api, name: str) -> None:
    text = {"fieldName": "text", "dataType": "VarChar"}
    fields = [
        SCHEMA["fields"][0],
        {**text, "elementTypeParams": {"max_length": 200, "enable_analyzer": True}},
        {"fieldName": "words", "dataType": "SparseFloatVector"},
    ]
    function = {"name": "bm25", "type": "BM25", "inputFieldNames": ["text"], "outputFieldNames": ["words"]}
    schema = {"fields": fields, "functions": [function]}
    api.ok("collections/create", collectionName=name, schema=schema, indexParams=[{"fieldName": "words"}])
    (index,) = api.ok("indexes/describe", collectionName=name, indexName="words")
    assert index["metricType"] == "BM25"
    texts = ["a quick brown fox", "a lazy dog", "a quick dog and another quick dog"]
    api.ok("entities/insert", collectionName=name, data=[{"id": i, "text": text} for i, text in enumerate(texts)])
    hits = api.ok("entities/search", collectionName=name, data=["quick"], annsField="words", outputFields=["text"])
    assert {hit["text"] for hit in hits} == {texts[0], texts[2]}
    distances = [hit["distance"] for hit in hits]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] > 0
    # What the function makes is not given out, as on Milvus, and not to be passed either.
    assert set(api.ok("entities/query", collectionName=name)[0]) == {"id", "text"}
    assert api.fails("entities/query", collectionName=name, outputFields=["words"])[0] == 1100
    row = {"id": 9, "text": "x", "words": {"1": 1.0}}
    assert api.fails("entities/insert", collectionName=name, data=[row])[0] == 1804


def test_a_document_may_be_any_value(api: Api, name: str) -> None:
    fields = [*SCHEMA["fields"][:2], {"fieldName": "doc", "dataType": "JSON"}]
    api.ok("collections/create", collectionName=name, schema={"fields": fields}, indexParams=[{"fieldName": "v"}])
    values = [1, 1.5, True, None, "word", "5", '"quoted"', '{"a": 1}', {"a": 1}, [1, "x"], "{cut"]
    rows = [{"id": i, "v": [1, 2, 3, 4], "doc": value} for i, value in enumerate(values)]
    api.ok("entities/insert", collectionName=name, data=rows)
    kept = ["1", "1.5", "true", "", "word", "5", '"quoted"', '{"a": 1}', '{"a": 1}', '[1, "x"]', "{cut"]
    for _ in range(2):
        assert [row["doc"] for row in api.ok("entities/query", collectionName=name, outputFields=["doc"])] == kept
        assert ids(api.ok("entities/query", collectionName=name, filter='doc["a"] == 1')) == [7, 8]
        api.ok("collections/flush", collectionName=name)


@pytest.mark.parametrize(
    "body",
    [
        {"data": [[1, 2, 3]], "annsField": "v"},
        {"data": [["1", "2", "3", "4"]], "annsField": "v"},
        {"data": [1, 2, 3, 4], "annsField": "v"},
        {"data": [{"1": 2.0}], "annsField": "v"},
        {"data": [[1, 2, 3, 4]], "annsField": "s"},
        {"data": [[1e300, 2, 3, 4]], "annsField": "v"},
        {"data": ["text"], "annsField": "s"},
        {"data": [[1, 2, 3, 4]], "annsField": "label"},
        {"data": [[1, 2, 3, 4]], "annsField": "nosuch"},
        {"data": [[1, 2, 3, 4]]},
    ],
)
def test_what_is_no_query_vector_is_1801(api: Api, shared: str, body: Json) -> None:
    assert api.fails("entities/search", collectionName=shared, **body)[0] == 1801


@pytest.mark.parametrize("path", ["insert", "upsert", "delete", "get", "query", "search"])
def test_of_a_collection_or_database_that_is_not_there(api: Api, path: str) -> None:
    body = {"data": [{"id": 1}], "filter": "id > 0", "id": 1}
    assert api.fails(f"entities/{path}", collectionName="nosuch", **body)[0] == 100
    assert api.fails(f"entities/{path}", collectionName="nosuch", dbName="nowhere", **body)[0] == 800


def test_a_filter_compares_a_whole_json_field_as_what_it_holds(api: Api, name: str) -> None:
    fields = [*SCHEMA["fields"][:2], {"fieldName": "doc", "dataType": "JSON", "nullable": True}]
    api.ok("collections/create", collectionName=name, schema={"fields": fields}, indexParams=[{"fieldName": "v"}])
    values = [1, 1.5, '"x"', "x", [1, "2"], {"a": 7}, True, None, 7, {"a": [1]}]
    data = [{"id": i, "v": [i, 1, 0, 0], "doc": value} for i, value in enumerate(values)]
    api.ok("entities/insert", collectionName=name, data=data)
    cases: dict[str, list[int]] = {
        "doc == 1": [0],
        "doc > 1": [1, 8],
        "doc + 1 == 8": [8],
        'doc == "x"': [2],
        'doc like "x%"': [2],
        "doc == true": [6],
        "doc in [1, 7]": [0, 8],
        "doc not in [1, 7] and doc is not null": [1, 2, 4, 5, 6, 9],
        "doc is null": [7],
        'doc["a"] == 7 or doc == 7': [5, 8],
        "json_contains(doc, 1)": [4],
        "doc[1] == '2'": [4],
    }
    for _ in range(2):
        for filter, wanted in cases.items():
            found = api.ok("entities/query", collectionName=name, filter=filter, outputFields=["id"])
            assert [row["id"] for row in found] == wanted, filter
        api.ok("collections/flush", collectionName=name)


# --- values of every type ---
