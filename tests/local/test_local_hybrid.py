"""entities/hybrid_search, and what searches have beyond the plain one: groups, rows to search by, chained filters."""

from __future__ import annotations

import math
from typing import Any

import pytest

from airflow_vectordb.local.engine.lite.filters import unchain
from tests.support.local_api import Api, Json, ids

DENSE: Json = {"annsField": "v", "data": [[3, 1, 0, 0]], "limit": 3}  # finds 3, then 2 and 4 at distance 1
SPARSE: Json = {"annsField": "s", "data": [{"5": 2.0}], "limit": 3}  # finds 3 alone, at 2
RRF: Json = {"strategy": "rrf"}


def hybrid(api: Api, collection: str, search: list[Json], **body: Any) -> list[Json]:
    body = {"rerank": RRF, **body}
    found: list[Json] = api.ok("entities/hybrid_search", collectionName=collection, search=search, **body)
    return found


# --- hybrid search ---


def test_reciprocal_ranks(api: Api, shared: str) -> None:
    found = hybrid(api, shared, [DENSE, SPARSE], rerank={"strategy": "rrf", "params": {"k": 10}}, limit=3)
    assert found[0] == {"id": 3, "distance": pytest.approx(2 / 11, rel=1e-6)}
    assert [hit["distance"] for hit in found[1:]] == [pytest.approx(1 / rank, rel=1e-6) for rank in (12, 13)]
    assert set(ids(found[1:])) == {2, 4}
    # With k left out: 60.
    (best, *_) = hybrid(api, shared, [DENSE, SPARSE])
    assert best["distance"] == pytest.approx(2 / 61, rel=1e-6)


def test_weighted_scores(api: Api, shared: str) -> None:
    def near(distance: float) -> float:
        return 1 - 2 * math.atan(distance) / math.pi

    def inner(score: float) -> float:
        return 0.5 + math.atan(score) / math.pi

    rerank: Json = {"strategy": "weighted", "params": {"weights": [0.8, 0.5]}}
    found = hybrid(api, shared, [DENSE, SPARSE], rerank=rerank)
    assert found[0] == {"id": 3, "distance": pytest.approx(0.8 * near(0) + 0.5 * inner(2), rel=1e-6)}
    assert found[1]["distance"] == pytest.approx(0.8 * near(1), rel=1e-6)
    rerank["params"]["norm_score"] = False
    found = hybrid(api, shared, [DENSE, SPARSE], rerank=rerank)
    assert found[0] == {"id": 3, "distance": pytest.approx(0.8 * near(0) + 0.5 * 2, rel=1e-6)}
    # Distances alone stay distances, and the smallest sum is the best.
    rerank["params"]["weights"] = [0.5]
    found = hybrid(api, shared, [DENSE], rerank=rerank)
    assert [hit["distance"] for hit in found] == [0, 0.5, 0.5]


def test_its_searches_have_filters_limits_and_several_vectors(api: Api, shared: str) -> None:
    dense = {**DENSE, "filter": "rank == {r}", "exprParams": {"r": 2}, "limit": 2}
    assert ids(hybrid(api, shared, [dense])) == [2, 5]
    ranged = {**DENSE, "limit": 9, "params": {"radius": 5, "range_filter": 1}}
    assert set(ids(hybrid(api, shared, [ranged]))) == {1, 2, 4, 5}
    two = [{**DENSE, "data": [[3, 1, 0, 0], [9, 1, 0, 0]]}, {**SPARSE, "data": [{"5": 1.0}, {"11": 1.0}]}]
    body = {"collectionName": shared, "search": two, "rerank": RRF, "limit": 1, "outputFields": ["label"]}
    answer = api.post("entities/hybrid_search", body).json()
    assert answer["topks"] == [1, 1]
    assert [(hit["id"], hit["label"]) for hit in answer["data"]] == [(3, "r3"), (9, "r9")]
    both = hybrid(api, shared, [{**DENSE, "data": [[3, 1, 0, 0]] * 2}], limit=1, outputFields=["rank"])
    assert [(hit["id"], hit["rank"]) for hit in both] == [(3, 0), (3, 0)]


def test_its_limit_offset_fields_and_partitions(api: Api, shared: str) -> None:
    dense = {**DENSE, "limit": 10}
    everything = ids(hybrid(api, shared, [dense]))
    assert len(everything) == 10
    assert ids(hybrid(api, shared, [dense], limit=2, offset=3)) == everything[3:5]
    (row,) = hybrid(api, shared, [DENSE], limit=1, outputFields=["*"])
    assert set(row) == {"id", "v", "s", "label", "rank", "distance"}
    assert ids(hybrid(api, shared, [DENSE], partitionNames=["_default"]))[0] == 3
    assert hybrid(api, shared, [{**DENSE, "filter": "id > 100"}]) == []


def test_its_groups(api: Api, shared: str) -> None:
    dense = {**DENSE, "limit": 10}
    found = hybrid(api, shared, [dense], groupingField="rank", limit=2)
    assert (ids(found)[0], len(found)) == (3, 2)
    found = hybrid(api, shared, [dense], groupingField="rank", groupSize=2, limit=1, outputFields=["rank"])
    assert [hit["rank"] for hit in found] == [0, 0]
    found = hybrid(api, shared, [dense], groupingField="rank", groupSize=4, strictGroupSize=True)
    assert set(ids(found)) == {0, 3, 6, 9}
    assert set(found[0]) == {"id", "distance"}


BAD_HYBRID: dict[str, tuple[Json, int]] = {
    "no strategy": ({"rerank": {}}, 65535),
    "no word of a strategy": ({"rerank": None}, 65535),
    "another strategy": ({"rerank": {"strategy": "best"}}, 65535),
    "no search": ({"search": []}, 65535),
    "k 0": ({"rerank": {"strategy": "rrf", "params": {"k": 0}}}, 1100),
    "k too large": ({"rerank": {"strategy": "rrf", "params": {"k": 16384}}}, 1100),
    "k no number": ({"rerank": {"strategy": "rrf", "params": {"k": "60"}}}, 1100),
    "no weights": ({"rerank": {"strategy": "weighted", "params": {}}}, 1100),
    "too many weights": ({"rerank": {"strategy": "weighted", "params": {"weights": [0.5, 0.5]}}}, 1100),
    "a weight above 1": ({"rerank": {"strategy": "weighted", "params": {"weights": [1.5]}}}, 1100),
    "limit 0": ({"limit": 0}, 65535),
    "limit and offset": ({"limit": 16000, "offset": 1000}, 65535),
    "limit of a search": ({"search": [{**DENSE, "limit": 16385}]}, 65535),
    "another metric": ({"search": [{**DENSE, "metricType": "IP"}]}, 65535),
    "no such field": ({"search": [{**DENSE, "annsField": "nosuch"}]}, 1801),
    "no vector": ({"search": [{**DENSE, "data": [[1, 2]]}]}, 1801),
    "vectors of unequal number": ({"search": [DENSE, {**SPARSE, "data": [{"1": 1.0}] * 2}]}, 1100),
    "a bad filter": ({"search": [{**DENSE, "filter": "id >"}]}, 1100),
    "a bad output field": ({"outputFields": ["nosuch"]}, 65535),
    "a bad grouping field": ({"groupingField": "nosuch"}, 1700),
    "a grouping field of floats": ({"groupingField": "v"}, 65535),
    "a partition that is not there": ({"partitionNames": ["nosuch"]}, 1807),
    "a consistency that is none": ({"consistencyLevel": "Weak"}, 1100),
    "functions": ({"functionScore": {"functions": [{"name": "x", "type": "Rerank"}]}}, 10),
}


@pytest.mark.parametrize("case", BAD_HYBRID)
def test_what_is_no_hybrid_search(api: Api, shared: str, case: str) -> None:
    change, expected = BAD_HYBRID[case]
    body = {"collectionName": shared, "search": [DENSE], "rerank": RRF, **change}
    code, message = api.fails("entities/hybrid_search", **body)
    assert code == expected, message


def test_what_is_released_is_not_searched(api: Api, filled: str) -> None:
    api.ok("collections/release", collectionName=filled)
    assert api.fails("entities/hybrid_search", collectionName=filled, search=[DENSE], rerank=RRF)[0] == 101


# --- groups ---


def test_groups_are_looked_for_among_all_rows(api: Api, name: str) -> None:
    """The three nearest of many rows belong to one group; limit and offset count groups."""
    fields = [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}},
        {"fieldName": "kind", "dataType": "VarChar", "elementTypeParams": {"max_length": 9}, "nullable": True},
    ]
    index = [{"fieldName": "v", "metricType": "L2", "indexType": "FLAT"}]
    api.ok("collections/create", collectionName=name, schema={"fields": fields}, indexParams=index)
    kinds = ["near"] * 80 + ["far", None, "far", None, "once"]
    data = [{"id": i, "v": [i, 0], "kind": kind} for i, kind in enumerate(kinds)]
    api.ok("entities/insert", collectionName=name, data=data)

    def search(**body: Any) -> list[Any]:
        body = {"collectionName": name, "data": [[0, 0]], "groupingField": "kind", **body}
        return ids(api.ok("entities/search", **body))

    assert search() == [0, 80, 81, 84]
    assert search(limit=2) == [0, 80]
    assert search(limit=2, groupSize=2) == [0, 1, 80, 82]
    assert search(limit=2, groupSize=2, offset=1) == [80, 82, 81, 83]
    assert search(groupSize=2, strictGroupSize=True) == [0, 1, 80, 82, 81, 83]
    assert search(filter="id >= 80 and kind is not null") == [80, 84]
    assert search(searchParams={"params": {"radius": 82 * 82}}) == [0, 80, 81]
    answer = api.post("entities/search", {"collectionName": name, "data": [[0, 0], [90, 0]], "groupingField": "kind"})
    assert answer.json()["topks"] == [4, 4]
    assert ids(answer.json()["data"])[4:] == [84, 83, 82, 79]


def test_what_cannot_be_grouped_by(api: Api, shared: str) -> None:
    body: Json = {"collectionName": shared, "annsField": "v", "data": [[0, 0, 0, 0]]}
    assert api.fails("entities/search", **body, groupingField="nosuch")[0] == 1700
    assert api.fails("entities/search", **body, groupingField="s")[0] == 65535


# --- rows to search by ---


def test_search_by_the_vectors_of_rows(api: Api, shared: str) -> None:
    body: Json = {"collectionName": shared, "annsField": "v", "limit": 1}
    assert ids(api.ok("entities/search", **body, ids=[7, 2, "5"])) == [7, 2, 5]
    assert ids(api.ok("entities/search", collectionName=shared, annsField="s", limit=1, ids=[4])) == [4]
    code, message = api.fails("entities/search", **body, ids=[3, 77])
    assert (code, "77" in message) == (1100, True)
    assert api.fails("entities/search", **body, ids=[3], data=[[0, 0, 0, 0]])[0] == 1100
    assert api.fails("entities/search", **body, ids=["x"])[0] == 1806
    assert api.fails("entities/search", **body, ids=[])[0] == 1802
    assert api.fails("entities/search", **body, data=[])[0] == 65535


# --- filters ---


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2 <= id < 5", [2, 3, 4]),
        ("5 > id >= 2", [2, 3, 4]),
        ("not 2 <= id < 9 and rank == 0", [0, 9]),
        ("(1 < id < 3) or (6 < id <= 7 and label == 'r7')", [2, 7]),
        ("0 < rank < 2 and 1 < id + 1 < 6", [1, 4]),
        ("label in ['1 < x < 2', 'r3']", [3]),
        ("1 < id < {x}", [2, 3]),
    ],
)
def test_a_value_between_two_others(api: Api, shared: str, text: str, wanted: list[int]) -> None:
    values: Json = {"exprParams": {"x": 4}}
    found = api.ok("entities/query", collectionName=shared, filter=text, outputFields=["id"], **values)
    assert ids(found) == wanted
    body: Json = {"annsField": "v", "data": [[0, 1, 0, 0]], **values}
    assert ids(api.ok("entities/search", collectionName=shared, filter=text, **body)) == wanted


def test_deleting_what_is_between_two_others(api: Api, filled: str) -> None:
    assert api.ok("entities/delete", collectionName=filled, filter="2 <= id < 5") == {"deleteCount": 3}
    assert ids(api.ok("entities/query", collectionName=filled, outputFields=["id"])) == [0, 1, 5, 6, 7, 8, 9]


@pytest.mark.parametrize(
    "text", ["", "a < b", "a < b > c", "(1 < x < 2", "1 < x < 2)", "< <", "a < b < c < d", "1 < < 2"]
)
def test_what_is_no_chain_is_left_alone(text: str) -> None:
    assert unchain(text) == text
