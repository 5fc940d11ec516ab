"""partitions/…"""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.support.local_api import SCHEMA, Api, Json

COUNT = {"outputFields": ["count(*)"]}
LOADED: Json = {"code": 0, "data": {"loadState": "LoadStateLoaded", "loadProgress": 100}, "message": ""}
NOT_LOADED: Json = {"code": 0, "data": {"loadState": "LoadStateNotLoad"}}


def load_state(api: Api, collection: str, *partitions: str) -> Json:
    """The whole answer: its message stands beside the data."""
    body: Json = {"collectionName": collection, "partitionNames": list(partitions)}
    answer: Json = api.post("collections/get_load_state", body).json()
    return answer


def count(api: Api, collection: str, **body: Any) -> int:
    (row,) = api.ok("entities/query", collectionName=collection, **COUNT, **body)
    number: int = row["count(*)"]
    return number


@pytest.fixture
def parted(api: Api, filled: str, rows: list[Json]) -> str:
    """``filled``, with five rows more in a partition ``p``."""
    api.ok("partitions/create", collectionName=filled, partitionName="p")
    more = [{**row, "id": row["id"] + 100} for row in rows[:5]]
    api.ok("entities/insert", collectionName=filled, partitionName="p", data=more)
    api.ok("collections/flush", collectionName=filled)
    return filled


def test_partitions_come_and_go(api: Api, filled: str) -> None:
    assert api.ok("partitions/list", collectionName=filled) == ["_default"]
    for _ in range(2):
        api.ok("partitions/create", collectionName=filled, partitionName="p")
    assert sorted(api.ok("partitions/list", collectionName=filled)) == ["_default", "p"]
    assert api.ok("partitions/has", collectionName=filled, partitionName="p") == {"has": True}
    assert api.ok("collections/describe", collectionName=filled)["partitionsNum"] == 2
    api.ok("partitions/release", collectionName=filled, partitionNames=["p"])
    for _ in range(2):
        api.ok("partitions/drop", collectionName=filled, partitionName="p")
    assert api.ok("partitions/list", collectionName=filled) == ["_default"]
    assert api.ok("partitions/has", collectionName=filled, partitionName="p") == {"has": False}


def test_rows_go_to_the_partition_that_is_named(api: Api, parted: str) -> None:
    assert api.ok("partitions/get_stats", collectionName=parted, partitionName="p") == {"rowCount": 5}
    assert api.ok("partitions/get_stats", collectionName=parted, partitionName="_default") == {"rowCount": 10}
    assert api.ok("collections/get_stats", collectionName=parted) == {"rowCount": 15}
    assert (count(api, parted), count(api, parted, partitionNames=["p"])) == (15, 5)
    hits = api.ok("entities/search", collectionName=parted, annsField="v", data=[[3, 1, 0, 0]], partitionNames=["p"])
    assert {hit["id"] for hit in hits} == {100, 101, 102, 103, 104}
    # Deleting in a partition leaves the others alone.
    done = api.ok("entities/delete", collectionName=parted, partitionName="p", filter="rank == 0")
    assert done == {"deleteCount": 2}
    assert (count(api, parted), count(api, parted, partitionNames=["p"])) == (13, 3)
    api.ok("collections/release", collectionName=parted)
    api.ok("entities/delete", collectionName=parted, partitionName="p", filter="id in [1, 101, 102]")
    api.ok("collections/load", collectionName=parted)
    assert (count(api, parted), count(api, parted, partitionNames=["p"])) == (11, 1)


def test_stats_of_a_partition_count_flushed_rows(api: Api, parted: str, rows: list[Json]) -> None:
    api.ok("entities/insert", collectionName=parted, partitionName="p", data=[{**rows[0], "id": 500}])
    assert api.ok("partitions/get_stats", collectionName=parted, partitionName="p") == {"rowCount": 5}
    api.ok("collections/flush", collectionName=parted)
    assert api.ok("partitions/get_stats", collectionName=parted, partitionName="p") == {"rowCount": 6}


def test_a_dropped_partition_takes_its_rows_along(api: Api, parted: str) -> None:
    code, message = api.fails("partitions/drop", collectionName=parted, partitionName="p")
    assert (code, "release it first" in message) == (65535, True)
    api.ok("partitions/release", collectionName=parted, partitionNames=["p"])
    api.ok("partitions/drop", collectionName=parted, partitionName="p")
    assert api.ok("collections/get_stats", collectionName=parted) == {"rowCount": 10}
    api.ok("partitions/create", collectionName=parted, partitionName="p")
    api.ok("collections/load", collectionName=parted)
    assert (count(api, parted), count(api, parted, partitionNames=["p"])) == (10, 0)


def test_what_is_released_of_a_loaded_collection_is_not_read(api: Api, parted: str) -> None:
    for _ in range(2):
        api.ok("partitions/release", collectionName=parted, partitionNames=["p"])
    assert count(api, parted) == 10
    hits = api.ok("entities/search", collectionName=parted, annsField="v", data=[[3, 1, 0, 0]], limit=50)
    assert {hit["id"] for hit in hits} == set(range(10))
    body: Json = {"annsField": "v", "data": [[3, 1, 0, 0]], "filter": "id > 0"}
    for path in ("entities/query", "entities/search"):
        code, message = api.fails(path, collectionName=parted, partitionNames=["p"], **body)
        assert (code, "partition not loaded" in message) == (201, True)
    api.ok("partitions/load", collectionName=parted, partitionNames=["p"])
    assert (load_state(api, parted, "_default", "p"), count(api, parted)) == (LOADED, 15)
    # The last one to be released takes the collection along.
    api.ok("partitions/release", collectionName=parted, partitionNames=["p", "_default"])
    assert load_state(api, parted) == NOT_LOADED
    assert api.fails("entities/query", collectionName=parted, filter="id > 0")[0] == 101


def test_the_load_state_of_partitions(api: Api, parted: str) -> None:
    api.ok("partitions/create", collectionName=parted, partitionName="q")
    api.ok("partitions/release", collectionName=parted, partitionNames=["p"])
    # Asked for whole, a collection is loaded when one of its partitions is.
    for names in ([], ["_default"], ["q"], ["q", "_default"]):
        assert load_state(api, parted, *names) == LOADED, names
    for names in (["p"], ["_default", "p"], ["p", "_default"]):
        state = load_state(api, parted, *names)
        # Milvus says it by the number of the partition.
        assert re.fullmatch(r"partition not loaded\[partition=\d+\]\.", state.pop("message")), names
        assert state == {"code": 0, "data": {"loadState": "LoadStateLoading", "loadProgress": -1}}, names
    for names in (["nosuch"], ["_default", "nosuch"], ["p", "nosuch"]):
        assert load_state(api, parted, *names) == {
            "code": 0,
            "data": {"loadState": "LoadStateLoading", "loadProgress": -1},
            "message": "partition not found[partition=nosuch].",
        }, names
    # Of a collection that is not loaded, no partition is, whether it is there or not.
    api.ok("collections/release", collectionName=parted)
    for names in ([], ["p"], ["nosuch"], ["p", "nosuch"]):
        assert load_state(api, parted, *names) == NOT_LOADED, names


def test_one_partition_of_a_released_collection_is_loaded(api: Api, parted: str) -> None:
    api.ok("collections/release", collectionName=parted)
    api.ok("partitions/load", collectionName=parted, partitionNames=["p"])
    assert api.ok("collections/describe", collectionName=parted)["load"] == "LoadStateLoaded"
    assert count(api, parted) == 5
    # A partition that is made later is loaded with a whole collection, not with this one.
    api.ok("partitions/create", collectionName=parted, partitionName="later")
    assert api.fails("entities/query", collectionName=parted, partitionNames=["later"])[0] == 201
    api.ok("collections/load", collectionName=parted)
    assert (count(api, parted), count(api, parted, partitionNames=["later"])) == (15, 0)


def test_with_a_partition_key_they_are_not_to_be_touched(api: Api, name: str, rows: list[Json]) -> None:
    fields = [{**field, "isPartitionKey": field["fieldName"] == "label"} for field in SCHEMA["fields"]]
    indexes = [{"fieldName": "v"}, {"fieldName": "s"}]
    api.ok("collections/create", collectionName=name, schema={"fields": fields}, indexParams=indexes)
    for action in ("create", "drop"):
        assert api.fails(f"partitions/{action}", collectionName=name, partitionName="p")[0] == 65535
    for action in ("load", "release"):
        assert api.fails(f"partitions/{action}", collectionName=name, partitionNames=["_default"])[0] == 65535
    api.ok("entities/insert", collectionName=name, data=rows)
    assert api.fails("entities/insert", collectionName=name, data=rows, partitionName="_default")[0] == 1100
    assert count(api, name) == 10
