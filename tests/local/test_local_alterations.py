"""What changes something that is there: rename, truncate, compact, properties; fields and functions."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from urllib3.exceptions import HTTPError

from airflow_vectordb.local import LocalMilvus
from tests.support.local_api import SCHEMA, Api, Json, fill

COUNT = {"outputFields": ["count(*)"]}


def count(api: Api, collection: str) -> int:
    (row,) = api.ok("entities/query", collectionName=collection, **COUNT)
    number: int = row["count(*)"]
    return number


def properties(described: Json, key: str = "properties") -> dict[str, str]:
    return {pair["key"]: pair["value"] for pair in described[key]}


# --- rename ---


@pytest.fixture
def other(api: Api, name: str) -> Iterator[str]:
    """Another name, of a collection that is dropped at the end."""
    yield f"{name}_other"
    for alias in api.ok("aliases/list"):
        api.ok("aliases/drop", aliasName=alias)
    api.ok("collections/drop", collectionName=f"{name}_other")


def test_a_renamed_collection_is_the_same_one(api: Api, filled: str, other: str) -> None:
    api.ok("aliases/create", collectionName=filled, aliasName="live")
    before = api.ok("collections/describe", collectionName=filled)
    api.ok("collections/rename", collectionName=filled, newCollectionName=other)
    assert api.ok("collections/has", collectionName=filled) == {"has": False}
    assert api.fails("collections/describe", collectionName=filled)[0] == 100
    assert api.ok("collections/describe", collectionName=other) == {**before, "collectionName": other}
    assert api.ok("aliases/describe", aliasName="live")["collectionName"] == other
    assert (count(api, other), count(api, "live")) == (10, 10)
    hits = api.ok("entities/search", collectionName=other, annsField="v", data=[[3, 1, 0, 0]], limit=1)
    assert hits[0]["id"] == 3
    # The old name is free.
    api.ok("collections/create", collectionName=filled, dimension=4)
    assert (count(api, filled), count(api, other)) == (0, 10)


def test_a_released_collection_stays_so(api: Api, filled: str, other: str) -> None:
    api.ok("collections/release", collectionName=filled)
    api.ok("collections/rename", collectionName=filled, newCollectionName=other)
    assert api.ok("collections/describe", collectionName=other)["load"] == "LoadStateNotLoad"
    assert api.fails("entities/query", collectionName=other, filter="id > 0")[0] == 101
    api.ok("collections/load", collectionName=other)
    assert count(api, other) == 10


def test_names_that_cannot_be(api: Api, bare: str, shared: str) -> None:
    api.ok("aliases/create", collectionName=bare, aliasName="al")
    cases: list[tuple[str, Json, int, str]] = [
        (bare, {"newCollectionName": shared}, 65535, "duplicated"),
        (bare, {"newCollectionName": bare}, 65535, "duplicated"),
        (bare, {"newCollectionName": "al"}, 65535, "duplicated"),
        ("al", {"newCollectionName": "new"}, 65535, "alias"),
        ("nosuch", {"newCollectionName": "new"}, 100, "nosuch"),
        (bare, {"newCollectionName": "9lives"}, 1100, "9lives"),
        (bare, {"newCollectionName": "new", "newDbName": "nowhere"}, 800, "nowhere"),
    ]
    for collection, body, expected, words in cases:
        code, message = api.fails("collections/rename", collectionName=collection, **body)
        assert (code, words in message) == (expected, True), body
    api.ok("databases/create", dbName="side")
    body = {"collectionName": bare, "newCollectionName": "new", "newDbName": "side"}
    code, message = api.fails("collections/rename", **body)
    assert (code, "this local server" in message) == (10, True)
    api.ok("databases/drop", dbName="side")
    api.ok("aliases/drop", aliasName="al")


# --- truncate, compact, refresh ---


def test_a_truncated_collection_has_all_but_its_rows(api: Api, filled: str, rows: list[Json]) -> None:
    api.ok("partitions/create", collectionName=filled, partitionName="p")
    before = api.ok("collections/describe", collectionName=filled)
    api.ok("collections/truncate", collectionName=filled)
    assert api.ok("collections/describe", collectionName=filled) == before
    assert (count(api, filled), api.ok("collections/get_stats", collectionName=filled)) == (0, {"rowCount": 0})
    assert sorted(api.ok("partitions/list", collectionName=filled)) == ["_default", "p"]
    assert api.ok("indexes/list", collectionName=filled) == ["v", "s"]
    (index,) = api.ok("indexes/describe", collectionName=filled, indexName="v")
    assert (index["indexType"], index["totalRows"]) == ("FLAT", 0)
    api.ok("entities/insert", collectionName=filled, data=rows[:4], partitionName="p")
    hits = api.ok("entities/search", collectionName=filled, annsField="v", data=[[3, 1, 0, 0]], limit=1)
    assert hits == [{"id": 3, "distance": 0}]


def test_truncating_leaves_the_load_state(api: Api, filled: str) -> None:
    api.ok("collections/release", collectionName=filled)
    api.ok("collections/truncate", collectionName=filled)
    assert api.ok("collections/get_load_state", collectionName=filled) == {"loadState": "LoadStateNotLoad"}
    api.ok("collections/load", collectionName=filled)
    assert count(api, filled) == 0


def test_refreshing_wants_a_loaded_collection(api: Api, filled: str) -> None:
    assert api.post("collections/refresh_load", {"collectionName": filled}).json() == {"code": 0, "data": {}}
    api.ok("collections/release", collectionName=filled)
    assert api.fails("collections/refresh_load", collectionName=filled)[0] == 101


def test_a_compaction_is_done_at_once(api: Api, filled: str) -> None:
    job = api.ok("collections/compact", collectionName=filled)["compactionID"]
    assert api.ok("collections/get_compaction_state", jobID=job) == {
        "compactionID": job,
        "state": "Completed",
        "executingPlanNumber": 0,
        "timeoutPlanNumber": 0,
        "completedPlanNumber": 0,
    }
    assert count(api, filled) == 10
    code, message = api.fails("collections/compact", collectionName=filled, isClustering=True)
    assert (code, "this local server" in message) == (10, True)


# --- properties ---


def test_properties_of_a_collection(api: Api, bare: str) -> None:
    wanted = {"collection.ttl.seconds": 1800, "mmap.enabled": True, "collection.description": "changed"}
    api.ok("collections/alter_properties", collectionName=bare, properties=wanted)
    described = api.ok("collections/describe", collectionName=bare)
    assert properties(described) == {"collection.ttl.seconds": "1800", "mmap.enabled": "true"}
    assert described["description"] == "changed"
    api.ok("collections/alter_properties", collectionName=bare, properties={"collection.ttl.seconds": "60"})
    api.ok("collections/drop_properties", collectionName=bare, propertyKeys=["mmap.enabled", "nosuch"])
    described = api.ok("collections/describe", collectionName=bare)
    assert properties(described) == {"collection.ttl.seconds": "60"}


def test_properties_that_cannot_be(api: Api, filled: str) -> None:
    body = {"collectionName": filled, "properties": {"dynamicfield.enabled": True}}
    code, message = api.fails("collections/alter_properties", **body)
    assert (code, "this local server" in message) == (10, True)
    code, message = api.fails("collections/alter_properties", collectionName=filled, properties={"mmap.enabled": True})
    assert (code, "loaded" in message) == (104, True)
    assert api.fails("collections/drop_properties", collectionName=filled, propertyKeys=["mmap.enabled"])[0] == 104
    assert api.ok("collections/describe", collectionName=filled)["properties"] == []


def test_properties_of_an_index(api: Api, filled: str) -> None:
    def params() -> dict[str, str]:
        (index,) = api.ok("indexes/describe", collectionName=filled, indexName="v")
        return properties(index, "indexParams")

    body: Json = {"collectionName": filled, "indexName": "v"}
    code, message = api.fails("indexes/alter_properties", **body, properties={"mmap.enabled": True})
    assert (code, "release" in message) == (104, True)
    api.ok("collections/release", collectionName=filled)
    api.ok("indexes/alter_properties", **body, properties={"mmap.enabled": True})
    assert params() == {"index_type": "FLAT", "metric_type": "L2", "mmap.enabled": "true"}
    # It is the same index all the same.
    same = [{"fieldName": "v", "metricType": "L2", "indexType": "FLAT"}]
    api.ok("indexes/create", collectionName=filled, indexParams=same)
    api.ok("indexes/drop_properties", **body, propertyKeys=["mmap.enabled"])
    assert params() == {"index_type": "FLAT", "metric_type": "L2"}
    for key in ("M", "metric_type", "index_type"):
        assert api.fails("indexes/alter_properties", **body, properties={key: "L2"})[0] == 1100
        assert api.fails("indexes/drop_properties", **body, propertyKeys=[key])[0] == 1100
    wrong = {**body, "indexName": "nosuch"}
    assert api.fails("indexes/alter_properties", **wrong, properties={"mmap.enabled": True})[0] == 700
    assert api.fails("indexes/drop_properties", **wrong, propertyKeys=["mmap.enabled"])[0] == 700


@pytest.mark.parametrize("path", ["databases/alter", "databases/alter_properties"])
def test_properties_of_a_database(api: Api, path: str) -> None:
    def seen() -> dict[str, str]:
        return properties(api.ok("databases/describe", dbName="altered"))

    api.ok("databases/create", dbName="altered", properties={"database.replica.number": 1})
    try:
        api.ok(path, dbName="altered", properties={"database.max.collections": 10, "database.replica.number": "2"})
        assert seen() == {"database.max.collections": "10", "database.replica.number": "2"}
        api.ok("databases/drop_properties", dbName="altered", propertyKeys=["database.max.collections", "nosuch"])
        assert seen() == {"database.replica.number": "2"}
        assert api.ok(path, dbName="altered") == {}
        assert seen() == {"database.replica.number": "2"}
    finally:
        api.ok("databases/drop", dbName="altered")
    assert api.fails(path, dbName="altered", properties={"a": "b"})[0] == 800


# --- fields and functions ---


def test_limits_of_a_field(api: Api, filled: str, rows: list[Json]) -> None:
    long = [{**rows[0], "id": 50, "label": "x" * 70}]
    assert api.fails("entities/insert", collectionName=filled, data=long)[0] == 1100
    alter: Json = {"collectionName": filled, "fieldName": "label"}
    api.ok("collections/fields/alter_properties", **alter, fieldParams={"max_length": 70})
    api.ok("entities/insert", collectionName=filled, data=long)
    long[0]["label"] += "x"
    assert api.fails("entities/insert", collectionName=filled, data=long)[0] == 1100
    fields = {field["name"]: field for field in api.ok("collections/describe", collectionName=filled)["fields"]}
    assert fields["label"]["params"] == [{"key": "max_length", "value": "70"}]
    bad: list[tuple[str, Json, int]] = [
        ("label", {"max_length": 0}, 1100),
        ("label", {"max_length": 65536}, 1100),
        ("label", {"max_length": "long"}, 1100),
        ("label", {"max_capacity": 5}, 1100),
        ("label", {"dim": 5}, 1100),
        ("label", {}, 1100),
        ("rank", {"max_length": 5}, 1100),
        ("label", {"mmap_enabled": True}, 104),
        ("nosuch", {"max_length": 5}, 1700),
    ]
    for field, params, expected in bad:
        body = {"collectionName": filled, "fieldName": field, "fieldParams": params}
        assert api.fails("collections/fields/alter_properties", **body)[0] == expected, params


def test_capacity_of_an_array(api: Api, name: str) -> None:
    array = {
        "fieldName": "a",
        "dataType": "Array",
        "elementDataType": "Int32",
        "elementTypeParams": {"max_capacity": 2},
    }
    fields = [*SCHEMA["fields"][:2], array]
    api.ok("collections/create", collectionName=name, schema={"fields": fields}, indexParams=[{"fieldName": "v"}])
    row = {"id": 1, "v": [1, 2, 3, 4], "a": [1, 2, 3]}
    assert api.fails("entities/insert", collectionName=name, data=[row])[0] == 1100
    alter: Json = {"collectionName": name, "fieldName": "a"}
    api.ok("collections/fields/alter_properties", **alter, fieldParams={"max_capacity": 3})
    api.ok("entities/insert", collectionName=name, data=[row])
    assert count(api, name) == 1


def test_functions_stay_as_they_are(api: Api, name: str) -> None:
    text = {"max_length": 200, "enable_analyzer": True}
    fields = [
        SCHEMA["fields"][0],
        {"fieldName": "text", "dataType": "VarChar", "elementTypeParams": text},
        {"fieldName": "words", "dataType": "SparseFloatVector"},
    ]
    function = {"name": "bm25", "type": "BM25", "inputFieldNames": ["text"], "outputFieldNames": ["words"]}
    api.ok("collections/create", collectionName=name, schema={"fields": fields, "functions": [function]})
    embedding = {**function, "type": "TextEmbedding"}
    calls: list[tuple[str, Json, int]] = [
        ("add_function", {"function": function}, 1100),
        ("add_function", {"function": embedding}, 10),
        ("alter_function", {"functionName": "bm25", "function": function}, 1100),
        ("alter_function", {"functionName": "bm25", "function": embedding}, 10),
        ("alter_function", {"functionName": "nosuch", "function": function}, 1100),
        ("drop_function", {"functionName": "bm25"}, 1100),
        ("drop_function", {"functionName": "nosuch"}, 1100),
    ]
    for action, body, expected in calls:
        assert api.fails(f"collections/{action}", collectionName=name, **body)[0] == expected, (action, body)
    assert [found["name"] for found in api.ok("collections/describe", collectionName=name)["functions"]] == ["bm25"]


# --- what survives ---


@pytest.mark.slow
def test_all_of_it_survives_a_crash(tmp_path: Path, connect: Callable[[LocalMilvus], Api], rows: list[Json]) -> None:
    def seen(api: Api) -> Json:
        return {
            "collection": api.ok("collections/describe", collectionName="kept"),
            "old name": api.ok("collections/has", collectionName="first"),
            "index": api.ok("indexes/describe", collectionName="kept", indexName="v"),
            "alias": api.ok("aliases/describe", aliasName="al"),
            "partitions": api.ok("partitions/list", collectionName="kept"),
            "partition": api.ok("collections/get_load_state", collectionName="kept", partitionNames=["p"]),
            "stats": api.ok("partitions/get_stats", collectionName="kept", partitionName="p"),
            "rows": api.ok("entities/query", collectionName="kept"),
            "database": api.ok("databases/describe", dbName="default"),
            "emptied": api.ok("entities/query", collectionName="emptied", **COUNT),
        }

    with LocalMilvus(tmp_path, pace="immediate") as running:
        api = connect(running)
        for name in ("first", "emptied"):
            api.ok("collections/create", collectionName=name, schema=SCHEMA)
            fill(api, name)
        api.ok("collections/truncate", collectionName="emptied")
        api.ok("aliases/create", collectionName="first", aliasName="al")
        api.ok("collections/release", collectionName="first")
        api.ok("indexes/alter_properties", collectionName="first", indexName="v", properties={"mmap.enabled": True})
        api.ok("collections/load", collectionName="first")
        api.ok("collections/rename", collectionName="first", newCollectionName="kept")
        api.ok("collections/alter_properties", collectionName="kept", properties={"collection.ttl.seconds": 9})
        widened: Json = {"fieldName": "label", "fieldParams": {"max_length": 99}}
        api.ok("collections/fields/alter_properties", collectionName="kept", **widened)
        api.ok("databases/alter", dbName="default", properties={"database.replica.number": 3})
        for name in ("p", "q"):
            api.ok("partitions/create", collectionName="kept", partitionName=name)
        more = [{**row, "id": row["id"] + 100, "label": "y" * 99} for row in rows]
        api.ok("entities/insert", collectionName="kept", partitionName="p", data=more[:4])
        api.ok("collections/flush", collectionName="kept")
        api.ok("entities/insert", collectionName="kept", partitionName="q", data=more[4:])
        api.ok("partitions/release", collectionName="kept", partitionNames=["p"])
        before = seen(api)
        assert (len(before["rows"]), before["stats"]) == (16, {"rowCount": 4})
        assert before["emptied"] == [{"count(*)": 0}]
        assert before["partition"]["loadProgress"] == -1  # released, while others are loaded
        running.kill()
        running.start()
        assert seen(connect(running)) == before


@pytest.mark.slow
@pytest.mark.parametrize("action", ["rename", "truncate"])
def test_a_crash_in_the_middle_leaves_a_whole_collection(
    tmp_path: Path, connect: Callable[[LocalMilvus], Api], action: str
) -> None:
    """What was acknowledged is done; the last step is done or not, and nothing is between."""
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    failures: list[AssertionError] = []
    numbers = itertools.count()

    def churn(api: Api, collection: str, stepped: threading.Event) -> None:
        try:
            api.ok("entities/upsert", collectionName=collection, data=[{"id": 1, "vector": [1, 2]}])
            stepped.set()
            while True:
                api.ok("entities/upsert", collectionName=collection, data=[{"id": 1, "vector": [1, 2]}])
                if action == "truncate":
                    api.ok("collections/truncate", collectionName=collection)
                else:
                    following = f"r{next(numbers)}"
                    api.ok("collections/rename", collectionName=collection, newCollectionName=following)
                    collection = following
                stepped.set()
        except HTTPError:
            pass
        except AssertionError as error:
            failures.append(error)

    with LocalMilvus(tmp_path) as running:
        connect(running).ok("collections/create", collectionName="c", dimension=2)
        for _ in range(2):
            (name,) = connect(running).ok("collections/list")
            stepped = threading.Event()
            churning = threading.Thread(target=churn, args=(connect(running), name, stepped))
            churning.start()
            assert stepped.wait(30), failures
            time.sleep(chance.uniform(0, 0.3))
            running.kill()
            churning.join()
            running.start()
            api = connect(running)
            (name,) = api.ok("collections/list")
            assert api.ok("indexes/list", collectionName=name) == ["vector"], f"seed {seed}"
            (row,) = api.ok("entities/query", collectionName=name, **COUNT)
            assert row["count(*)"] in ((1,) if action == "rename" else (0, 1)), f"seed {seed}"
            assert "does not know" not in running.log(), f"seed {seed}"
            assert not failures, f"seed {seed}"
