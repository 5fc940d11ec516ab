"""indexes/…: what is created, what is described, what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.local_api import Api

HNSW = {"M": 16, "efConstruction": 200}


def create(api: Api, collection: str, **index: Any) -> dict[str, Any]:
    answer: dict[str, Any] = api.post("indexes/create", {"collectionName": collection, "indexParams": [index]}).json()
    return answer


def describe(api: Api, collection: str, index: str) -> dict[str, Any]:
    found = api.ok("indexes/describe", collectionName=collection, indexName=index)
    assert len(found) == 1
    description: dict[str, Any] = found[0]
    return description


def params(description: dict[str, Any]) -> dict[str, str] | None:
    pairs = description["indexParams"]
    return pairs and {pair["key"]: pair["value"] for pair in pairs}


def test_params_win_over_what_stands_beside_them(api: Api, bare: str, rows: list[dict[str, Any]]) -> None:
    api.ok("entities/insert", collectionName=bare, data=rows)
    wins = {"index_type": "FLAT", "metric_type": "L2"}
    create(api, bare, fieldName="v", metricType="IP", indexType="HNSW", params=wins)
    create(api, bare, fieldName="s")
    api.ok("collections/load", collectionName=bare)
    body = {"annsField": "v", "data": [[3, 1, 0, 0]], "limit": 1}
    (hit,) = api.ok("entities/search", collectionName=bare, **body)
    assert (hit["id"], hit["distance"]) == (3, 0)
    assert api.fails("entities/search", collectionName=bare, **body, searchParams={"metric_type": "IP"})[0] == 65535


def test_the_published_example_works_as_it_stands(api: Api, name: str) -> None:
    fields = [
        {"fieldName": "my_id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "my_vector", "dataType": "FloatVector", "elementTypeParams": {"dim": "5"}},
    ]
    api.ok("collections/create", collectionName=name, schema={"fields": fields})
    body = {
        "collectionName": name,
        "indexParams": [
            {
                "metricType": "L2",
                "fieldName": "my_vector",
                "indexName": "my_vector",
                "indexConfig": {"index_type": "AUTOINDEX"},
            }
        ],
    }
    assert api.post("indexes/create", body).json() == {"code": 0, "data": {}}
    assert describe(api, name, "my_vector")["metricType"] == "L2"


def test_describe_has_every_field(api: Api, shared: str) -> None:
    assert describe(api, shared, "v") == {
        "indexName": "v",
        "fieldName": "v",
        "indexType": "FLAT",
        "metricType": "L2",
        "indexState": "Finished",
        "totalRows": 10,
        "indexedRows": 10,
        "pendingRows": 0,
        "failReason": "",
        "indexParams": [{"key": "index_type", "value": "FLAT"}, {"key": "metric_type", "value": "L2"}],
        "minIndexVersion": 0,
        "maxIndexVersion": 0,
        "mmap.enabled": "",
        "indexoffsetcache.enabled": "",
    }


def test_rows_are_in_no_index_before_they_are_flushed(api: Api, bare: str, rows: list[dict[str, Any]]) -> None:
    create(api, bare, fieldName="v")
    api.ok("entities/insert", collectionName=bare, data=rows)
    assert describe(api, bare, "v")["totalRows"] == 0
    api.ok("collections/flush", collectionName=bare)
    found = describe(api, bare, "v")
    assert (found["totalRows"], found["indexedRows"], found["pendingRows"]) == (10, 10, 0)


def test_defaults_are_by_the_type_of_the_field(api: Api, bare: str) -> None:
    for field in ("v", "s", "rank"):
        assert create(api, bare, fieldName=field)["code"] == 0
    assert api.ok("indexes/list", collectionName=bare) == ["v", "s", "rank"]
    found = {field: describe(api, bare, field) for field in ("v", "s", "rank")}
    kinds = {field: (index["indexType"], index["metricType"]) for field, index in found.items()}
    assert kinds == {"v": ("AUTOINDEX", "COSINE"), "s": ("AUTOINDEX", "IP"), "rank": ("", "")}
    assert params(found["rank"]) is None


@pytest.mark.parametrize(
    ("field", "kind", "build"),
    [
        ("v", "FLAT", {}),
        ("v", "HNSW", {"M": 8, "efConstruction": 64}),
        ("v", "IVF_FLAT", {"nlist": 2}),
        ("v", "IVF_SQ8", {"nlist": 2}),
        ("v", "AUTOINDEX", {}),
        ("s", "SPARSE_INVERTED_INDEX", {"drop_ratio_build": 0.2, "inverted_index_algo": "DAAT_MAXSCORE"}),
        ("rank", "INVERTED", {}),
        ("label", "INVERTED", {}),
    ],
)
def test_what_the_engine_builds_is_kept_and_searched(
    api: Api, bare: str, rows: list[dict[str, Any]], field: str, kind: str, build: dict[str, Any]
) -> None:
    api.ok("entities/insert", collectionName=bare, data=rows)
    api.ok("collections/flush", collectionName=bare)
    index = {"indexName": "mine", "indexType": kind, "params": build}
    metric = {"v": {"metricType": "COSINE"}, "s": {"metricType": "IP"}}.get(field, {})
    assert create(api, bare, fieldName=field, **index, **metric)["code"] == 0
    found = describe(api, bare, "mine")
    assert (found["indexType"], found["indexedRows"]) == (kind, 10)
    assert json.loads((params(found) or {}).get("params", "{}")) == build
    for other in {"v", "s"} - {field}:
        create(api, bare, fieldName=other)
    api.ok("collections/load", collectionName=bare)
    query: Any = {"5": 1.0} if field == "s" else [3.0, 1.0, 0.0, 0.0]
    hits = api.ok(
        "entities/search", collectionName=bare, annsField="s" if field == "s" else "v", data=[query], limit=1,
        filter="rank == 0 and label in ['r3', 'r9']",
    )  # fmt: skip
    assert [hit["id"] for hit in hits] == [3]


V = {"fieldName": "v", "metricType": "L2"}
REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "scalar index on a vector": ({**V, "indexType": "INVERTED"}, 1100, "INVERTED"),
    "unknown metric": ({"fieldName": "v", "metricType": "COSIN"}, 1100, "COSIN"),
    "metric of binary vectors": ({"fieldName": "v", "metricType": "HAMMING"}, 1100, "HAMMING"),
    "metric of dense vectors": ({"fieldName": "s", "metricType": "COSINE"}, 1100, "COSINE"),
    "M too small": ({**V, "indexType": "HNSW", "params": {"M": 1}}, 65535, "[2, 2048]"),
    "nlist too large": ({**V, "indexType": "IVF_FLAT", "params": {"nlist": 65537}}, 65535, "nlist"),
    "not in this engine": ({**V, "indexType": "DISKANN"}, 1100, "this local server"),
    "not in this engine, scalar": ({"fieldName": "label", "indexType": "NGRAM"}, 1100, "this local server"),
    "no such field": ({"fieldName": "vectr"}, 65535, "vectr"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_index_is_refused_and_leaves_nothing(api: Api, bare: str, case: str) -> None:
    index, code, words = REFUSED[case]
    answer = create(api, bare, **index)
    assert answer["code"] == code, answer
    assert words in answer["message"]
    assert api.ok("indexes/list", collectionName=bare) == []


def test_a_field_has_at_most_one_index(api: Api, bare: str) -> None:
    index = {"fieldName": "v", "indexName": "one", "indexType": "HNSW", "metricType": "L2", "params": HNSW}
    create(api, bare, **index)
    conflicts: list[dict[str, Any]] = [
        {**index, "params": {"M": 32, "efConstruction": 200}},
        # Milvus compares the text of the parameters.
        {**index, "params": {"M": "16", "efConstruction": 200}},
        {**index, "params": {**HNSW, "index_type": "HNSW"}},
        {**index, "metricType": "IP"},
        {**index, "indexName": "two"},
        {"fieldName": "v"},
        {"fieldName": "s", "indexName": "one"},
    ]
    # Without a name it is that of the field's index.
    assert create(api, bare, **{**index, "indexName": ""})["code"] == 0
    for other in conflicts:
        answer = create(api, bare, **other)
        assert answer["code"] == 65535, other
        assert "at most one distinct index is allowed per field" in answer["message"]
    assert api.ok("indexes/list", collectionName=bare) == ["one"]
    assert (params(describe(api, bare, "one")) or {})["params"] == '{"M":16,"efConstruction":200}'


def test_a_name_that_no_field_has_stands_for_the_dynamic_fields(api: Api, name: str) -> None:
    api.ok("collections/create", collectionName=name, dimension=2)
    for index, words in (
        ({"indexType": "INVERTED"}, "json index must specify cast type"),
        ({}, "json index must specify cast type"),
        ({"indexType": "HNSW", "metricType": "L2"}, "only supports vector data type"),
        ({"indexType": "INVERTED", "params": {"json_cast_type": "double"}}, "this local server"),
    ):
        answer = create(api, name, fieldName="nosuch", **index)
        assert (answer["code"], words in answer["message"]) == (1100, True), answer


def test_a_list_ends_at_the_first_error_and_what_came_before_stays(api: Api, bare: str) -> None:
    wanted = [{"fieldName": "v"}, {"fieldName": "nosuch"}, {"fieldName": "s"}]
    assert api.fails("indexes/create", collectionName=bare, indexParams=wanted)[0] == 65535
    assert api.ok("indexes/list", collectionName=bare) == ["v"]


def test_dropping_one_index_leaves_the_others(api: Api, filled: str, rows: list[dict[str, Any]]) -> None:
    create(api, filled, fieldName="rank", indexName="by_rank", indexType="INVERTED")
    code, message = api.fails("indexes/drop", collectionName=filled, indexName="s")
    assert (code, "release" in message) == (65535, True)
    # Those of scalars are in nobody's way.
    api.ok("indexes/drop", collectionName=filled, indexName="nosuch")
    api.ok("indexes/drop", collectionName=filled, indexName="by_rank")
    assert api.ok("indexes/list", collectionName=filled) == ["v", "s"]
    hits = api.ok("entities/search", collectionName=filled, annsField="v", data=[[3, 1, 0, 0]], limit=2)
    assert hits[0]["id"] == 3


def test_a_dropped_index_can_be_made_anew(api: Api, filled: str) -> None:
    api.ok("collections/release", collectionName=filled)
    api.ok("indexes/drop", collectionName=filled, indexName="v")
    assert api.fails("indexes/describe", collectionName=filled, indexName="v")[0] == 700
    code, message = api.fails("collections/load", collectionName=filled)
    assert (code, "v" in message) == (65535, True)
    assert create(api, filled, fieldName="v", indexType="HNSW", params=HNSW, metricType="COSINE")["code"] == 0
    api.ok("collections/load", collectionName=filled)
    hits = api.ok("entities/search", collectionName=filled, annsField="v", data=[[9, 1, 0, 0]], limit=1)
    assert (hits[0]["id"], round(hits[0]["distance"], 5)) == (9, 1.0)


@pytest.mark.parametrize("path", ["indexes/create", "indexes/describe", "indexes/list", "indexes/drop"])
def test_of_a_collection_or_database_that_is_not_there(api: Api, path: str) -> None:
    body = {"collectionName": "nosuch", "indexName": "i", "indexParams": [{"fieldName": "f"}]}
    code, message = api.fails(path, **body)
    assert (code, "nosuch" in message) == (100, True)
    code, message = api.fails(path, **body, dbName="nowhere")
    assert (code, "nowhere" in message) == (800, True)


def test_describe_wants_the_name_of_the_index_not_of_the_field(api: Api, bare: str) -> None:
    create(api, bare, fieldName="v", indexName="mine")
    code, message = api.fails("indexes/describe", collectionName=bare, indexName="v")
    assert (code, "v" in message) == (700, True)
