"""indexes/…: what is created, what is described, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.local_api import Api

HNSW = {"M": "16", "efConstruction": "200"}


def create(api: Api, collection: str, **index: Any) -> dict[str, Any]:
    answer: dict[str, Any] = api.post("indexes/create", {"collectionName": collection, "indexParams": [index]}).json()
    return answer


def describe(api: Api, collection: str, index: str) -> dict[str, Any]:
    found = api.ok("indexes/describe", collectionName=collection, indexName=index)
    assert len(found) == 1
    description: dict[str, Any] = found[0]
    return description


def params(description: dict[str, Any]) -> dict[str, str]:
    return {pair["key"]: pair["value"] for pair in description["indexParams"]}


SPELLINGS: dict[str, dict[str, Any]] = {
    "indexConfig": {"indexConfig": {"index_type": "HNSW", **HNSW}},
    "params.index_type": {"params": {"index_type": "HNSW", "M": 16, "efConstruction": 200}},
    "indexType": {"indexType": "HNSW", "params": {"M": 16, "efConstruction": 200}},
    "all three": {
        "indexConfig": {"index_type": "HNSW", **HNSW},
        "indexType": "HNSW",
        "params": {"index_type": "HNSW", "M": 16, "efConstruction": 200},
    },
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_builds_the_same_index(api: Api, bare: str, spelling: str) -> None:
    assert create(api, bare, fieldName="v", metricType="L2", **SPELLINGS[spelling]) == {"code": 0, "data": {}}
    found = describe(api, bare, "v")
    assert found["indexType"] == "HNSW"
    assert params(found) == {"index_type": "HNSW", "metric_type": "L2", **HNSW}
    # Said in another way it is the same index: a no-op.
    for other in SPELLINGS.values():
        assert create(api, bare, fieldName="v", metricType="L2", **other)["code"] == 0


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
    kinds = {f: (describe(api, bare, f)["indexType"], describe(api, bare, f)["metricType"]) for f in ("v", "s", "rank")}
    assert kinds == {"v": ("AUTOINDEX", "COSINE"), "s": ("AUTOINDEX", "IP"), "rank": ("AUTOINDEX", "")}


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
    assert create(api, bare, fieldName=field, indexName="mine", indexType=kind, params=build)["code"] == 0
    found = describe(api, bare, "mine")
    assert (found["indexType"], found["indexedRows"]) == (kind, 10)
    assert {key: str(value) for key, value in build.items()}.items() <= params(found).items()
    for other in {"v", "s"} - {field}:
        create(api, bare, fieldName=other)
    api.ok("collections/load", collectionName=bare)
    query: Any = {"5": 1.0} if field == "s" else [3.0, 1.0, 0.0, 0.0]
    hits = api.ok(
        "entities/search", collectionName=bare, annsField="s" if field == "s" else "v", data=[query], limit=1,
        filter="rank == 0 and label in ['r3', 'r9']",
    )  # fmt: skip
    assert [hit["id"] for hit in hits] == [3]


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "unknown type": ({"fieldName": "v", "indexType": "HNWS"}, 1100, "HNWS"),
    "type of another kind of vector": ({"fieldName": "v", "indexType": "SPARSE_INVERTED_INDEX"}, 1100, "FloatVector"),
    "scalar index on a vector": ({"fieldName": "v", "indexType": "INVERTED"}, 1100, "INVERTED"),
    "vector index on a scalar": ({"fieldName": "rank", "indexType": "HNSW"}, 1100, "rank"),
    "unknown metric": ({"fieldName": "v", "metricType": "COSIN"}, 1100, "COSIN"),
    "metric of binary vectors": ({"fieldName": "v", "metricType": "HAMMING"}, 1100, "HAMMING"),
    "metric of dense vectors": ({"fieldName": "s", "metricType": "COSINE"}, 1100, "COSINE"),
    "BM25 without a function": ({"fieldName": "s", "metricType": "BM25"}, 1100, "BM25"),
    "AUTOINDEX with parameters": (
        {"fieldName": "v", "indexType": "AUTOINDEX", "params": {"M": 8}},
        1100,
        "only metric type can be passed when use AutoIndex",
    ),
    "parameters without a type": (
        {"fieldName": "v", "params": {"M": 8}},
        1100,
        "only metric type can be passed when use AutoIndex",
    ),
    "two types at once": ({"fieldName": "v", "indexType": "HNSW", "params": {"index_type": "FLAT"}}, 1100, "ambiguous"),
    "M too small": ({"fieldName": "v", "indexType": "HNSW", "params": {"M": 1}}, 1100, "[2, 2048]"),
    "M no number": ({"fieldName": "v", "indexType": "HNSW", "params": {"M": "many"}}, 1100, "many"),
    "nlist too large": ({"fieldName": "v", "indexType": "IVF_FLAT", "params": {"nlist": 65537}}, 1100, "nlist"),
    "not in this engine": ({"fieldName": "v", "indexType": "DISKANN"}, 1100, "this local server"),
    "not in this engine, scalar": ({"fieldName": "rank", "indexType": "STL_SORT"}, 1100, "this local server"),
    "no such field": ({"fieldName": "vectr"}, 65535, "vectr"),
    "bad name": ({"fieldName": "v", "indexName": "a-b"}, 1100, "a-b"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_index_is_refused_and_leaves_nothing(api: Api, bare: str, case: str) -> None:
    index, code, words = REFUSED[case]
    answer = create(api, bare, **index)
    assert answer["code"] == code, answer
    assert words in answer["message"]
    assert api.ok("indexes/list", collectionName=bare) == []


def test_a_field_has_at_most_one_index(api: Api, bare: str) -> None:
    create(api, bare, fieldName="v", indexName="one", indexType="HNSW", params=HNSW)
    conflicts: list[dict[str, Any]] = [
        {"fieldName": "v", "indexName": "one", "indexType": "HNSW", "params": {"M": 32, "efConstruction": 200}},
        {"fieldName": "v", "indexName": "one", "indexType": "HNSW", "params": HNSW, "metricType": "L2"},
        {"fieldName": "v", "indexName": "two", "indexType": "HNSW", "params": HNSW},
        {"fieldName": "v"},
        {"fieldName": "s", "indexName": "one"},
    ]
    for index in conflicts:
        answer = create(api, bare, **index)
        assert answer["code"] == 65535, index
        assert "at most one distinct index is allowed per field" in answer["message"]
    assert api.ok("indexes/list", collectionName=bare) == ["one"]
    assert params(describe(api, bare, "one"))["M"] == "16"


def test_a_list_ends_at_the_first_error_and_what_came_before_stays(api: Api, bare: str) -> None:
    wanted = [{"fieldName": "v"}, {"fieldName": "nosuch"}, {"fieldName": "s"}]
    assert api.fails("indexes/create", collectionName=bare, indexParams=wanted)[0] == 65535
    assert api.ok("indexes/list", collectionName=bare) == ["v"]


def test_dropping_one_index_leaves_the_others(api: Api, filled: str, rows: list[dict[str, Any]]) -> None:
    create(api, filled, fieldName="rank", indexName="by_rank", indexType="INVERTED")
    code, message = api.fails("indexes/drop", collectionName=filled, indexName="by_rank")
    assert (code, "release" in message) == (65535, True)
    api.ok("collections/release", collectionName=filled)
    api.ok("indexes/drop", collectionName=filled, indexName="nosuch")
    api.ok("indexes/drop", collectionName=filled, indexName="by_rank")
    assert api.ok("indexes/list", collectionName=filled) == ["v", "s"]
    api.ok("collections/load", collectionName=filled)
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
