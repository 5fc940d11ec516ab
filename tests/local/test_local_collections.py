"""collections/…, databases/… and aliases/…"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.support.local_api import SCHEMA, Api

# --- collections ---


def changed(**change: Any) -> dict[str, Any]:
    """The schema of these tests with one field changed, by index."""
    schema = copy.deepcopy(SCHEMA)
    for position, values in change.items():
        schema["fields"][int(position[1:])].update(values)
    return schema


def test_quick_setup_creates_indexes_and_loads(api: Api, name: str) -> None:
    api.ok("collections/create", collectionName=name, dimension=8, description="quick")
    found = api.ok("collections/describe", collectionName=name)
    assert isinstance(found.pop("collectionID"), int)
    assert found == {
        "collectionName": name,
        "description": "quick",
        "autoId": False,
        "fields": [
            {
                "name": "id",
                "id": 100,
                "type": "Int64",
                "primaryKey": True,
                "partitionKey": False,
                "clusteringKey": False,
                "autoId": False,
                "nullable": False,
                "description": "",
            },
            {
                "name": "vector",
                "id": 101,
                "type": "FloatVector",
                "primaryKey": False,
                "partitionKey": False,
                "clusteringKey": False,
                "autoId": False,
                "nullable": False,
                "description": "",
                "params": [{"key": "dim", "value": "8"}],
            },
        ],
        "functions": [],
        "aliases": [],
        "indexes": [{"fieldName": "vector", "indexName": "vector", "metricType": "COSINE"}],
        "load": "LoadStateLoaded",
        "shardsNum": 1,
        "partitionsNum": 1,
        "consistencyLevel": "Bounded",
        "enableDynamicField": True,
        "properties": [],
    }
    (index,) = api.ok("indexes/describe", collectionName=name, indexName="vector")
    assert index["indexType"] == "AUTOINDEX"


def test_quick_setup_by_its_own_words(api: Api, name: str) -> None:
    api.ok(
        "collections/create",
        collectionName=name,
        dimension=4,
        metricType="IP",
        idType="VarChar",
        autoID=True,
        primaryFieldName="key",
        vectorFieldName="emb",
        params={
            "max_length": 40,
            "enableDynamicField": False,
            "shardsNum": 2,
            "consistencyLevel": "Strong",
            "ttlSeconds": 60,
        },
    )
    found = api.ok("collections/describe", collectionName=name)
    assert [(f["name"], f["type"], f.get("params")) for f in found["fields"]] == [
        ("key", "VarChar", [{"key": "max_length", "value": "40"}]),
        ("emb", "FloatVector", [{"key": "dim", "value": "4"}]),
    ]
    kept = ("autoId", "enableDynamicField", "shardsNum", "consistencyLevel")
    assert [found[key] for key in kept] == [True, False, 2, "Strong"]
    assert found["properties"] == [{"key": "collection.ttl.seconds", "value": "60"}]
    assert found["indexes"] == [{"fieldName": "emb", "indexName": "emb", "metricType": "IP"}]
    data = api.ok("entities/insert", collectionName=name, data=[{"emb": [1, 2, 3, 4]}])
    assert data["insertCount"] == 1
    assert isinstance(data["insertIds"][0], str)


def test_a_schema_without_index_parameters_neither_indexes_nor_loads(api: Api, bare: str) -> None:
    assert api.ok("indexes/list", collectionName=bare) == []
    assert api.ok("collections/get_load_state", collectionName=bare) == {"loadState": "LoadStateNotLoad"}
    found = api.ok("collections/describe", collectionName=bare)
    assert [field["type"] for field in found["fields"]] == [
        "Int64", "FloatVector", "SparseFloatVector", "VarChar", "Int32",
    ]  # fmt: skip
    assert (found["load"], found["indexes"]) == ("LoadStateNotLoad", [])
    message = api.post("collections/describe", {"collectionName": bare}).json()["message"]
    assert message == f"index not found[collection={bare}];"


def test_a_schema_with_index_parameters_is_indexed_and_loaded(api: Api, name: str) -> None:
    wanted = [{"fieldName": "v", "indexName": "one", "metricType": "L2", "indexType": "FLAT"}, {"fieldName": "s"}]
    api.ok("collections/create", collectionName=name, schema=SCHEMA, indexParams=wanted)
    assert api.ok("indexes/list", collectionName=name) == ["one", "s"]
    state = api.ok("collections/get_load_state", collectionName=name)
    assert state == {"loadState": "LoadStateLoaded", "loadProgress": 100}


def test_partitions_of_a_partition_key(api: Api, name: str) -> None:
    api.ok("collections/create", collectionName=name, schema=changed(f3={"isPartitionKey": True}))
    assert api.ok("collections/describe", collectionName=name)["partitionsNum"] == 16


def test_an_identical_collection_is_a_no_op_and_another_one_is_refused(api: Api, bare: str) -> None:
    api.ok("collections/create", collectionName=bare, schema=SCHEMA)
    other = copy.deepcopy(SCHEMA)
    other["fields"][1]["elementTypeParams"]["dim"] = 5
    code, message = api.fails("collections/create", collectionName=bare, schema=other)
    assert (code, "different parameters" in message) == (65535, True)


BAD_SCHEMAS: dict[str, tuple[dict[str, Any], int, str]] = {
    "no key": (changed(f0={"isPrimary": False}), 65535, "primary key is not specified"),
    "two keys": (changed(f3={"isPrimary": True}), 65535, "more than one primary key, field name = id, label"),
    "a float as key": (changed(f0={"dataType": "Float"}), 65535, "Int64 or VarChar"),
    "no dim": (changed(f1={"elementTypeParams": {}}), 65535, "dimension is not defined"),
    "dim 1": (changed(f1={"elementTypeParams": {"dim": 1}}), 65535, "invalid dimension: 1."),
    "dim of a sparse vector": (changed(f2={"elementTypeParams": {"dim": 9}}), 65535, "sparse"),
    "no max_length": (changed(f3={"elementTypeParams": {}}), 65535, "max_length"),
    "max_length 0": (changed(f3={"elementTypeParams": {"max_length": 0}}), 1100, "maximum length"),
    "lower-case type": (changed(f4={"dataType": "int32"}), 1100, "case sensitive"),
    "one name twice": (changed(f4={"fieldName": "label"}), 65535, "duplicated"),
    "a bad field name": (changed(f4={"fieldName": "a b"}), 1701, "a b"),
    "not in this engine": (changed(f1={"dataType": "Float16Vector"}), 1100, "this local server"),
    "nullable vectors": (changed(f1={"nullable": True}), 1100, "vector type not support null"),
    "a nullable key": (changed(f0={"nullable": True}), 1100, "primary field not support null"),
    "a key with a default": (changed(f0={"defaultValue": 1}), 1100, "primary field not support default_value"),
    "a nullable partition key": (changed(f3={"isPartitionKey": True, "nullable": True}), 1100, "not support nullable"),
    "a vector as clustering key": (changed(f1={"isClusteringKey": True}), 107, "clustering key"),
    "two clustering keys": (changed(f3={"isClusteringKey": True}, f4={"isClusteringKey": True}), 105, "clustering key"),
    "an array of nothing": (changed(f4={"dataType": "Array"}), 1100, "element"),
    "a default of another type": (changed(f4={"defaultValue": "x"}), 1100, "as int default value"),
}


@pytest.mark.parametrize("case", BAD_SCHEMAS)
def test_a_bad_schema_is_refused_and_leaves_nothing(api: Api, case: str) -> None:
    schema, expected, words = BAD_SCHEMAS[case]
    code, message = api.fails("collections/create", collectionName="bad", schema=schema)
    assert code == expected, message
    assert words in message
    assert api.ok("collections/has", collectionName="bad") == {"has": False}


BAD_QUICK: dict[str, tuple[dict[str, Any], int, str]] = {
    "no dimension": ({}, 1100, "dimension is required"),
    "another key type": ({"dimension": 4, "idType": "Int32"}, 1100, "idType"),
    "a bad name": ({"dimension": 4, "collectionName": "9lives"}, 1100, "9lives"),
    "a long name": ({"dimension": 4, "collectionName": "x" * 256}, 1100, "255"),
    "text keys of no length": ({"dimension": 4, "idType": "VarChar"}, 65535, 'parsing "<nil>"'),
    "too many shards": ({"dimension": 4, "params": {"shardsNum": 17}}, 65535, "limited to 16"),
    "another consistency": ({"dimension": 4, "params": {"consistencyLevel": "Weak"}}, 1100, "Weak"),
    "a metric of binary vectors": ({"dimension": 4, "metricType": "JACCARD"}, 1100, "JACCARD"),
}


@pytest.mark.parametrize("case", BAD_QUICK)
def test_a_bad_quick_setup_is_refused(api: Api, name: str, case: str) -> None:
    body, expected, words = BAD_QUICK[case]
    code, message = api.fails("collections/create", **{"collectionName": name, **body})
    assert (code, words in message) == (expected, True), message


def test_list_and_has_see_what_is_created_and_dropped(api: Api, name: str) -> None:
    assert api.ok("collections/has", collectionName=name) == {"has": False}
    api.ok("collections/create", collectionName=name, dimension=4)
    assert name in api.ok("collections/list")
    assert api.ok("collections/has", collectionName=name) == {"has": True}
    api.ok("collections/drop", collectionName=name)
    assert name not in api.ok("collections/list")
    api.ok("collections/drop", collectionName=name)


def test_a_dropped_name_begins_anew(api: Api, filled: str) -> None:
    api.ok("collections/drop", collectionName=filled)
    api.ok("collections/create", collectionName=filled, dimension=4)
    assert api.ok("entities/query", collectionName=filled, outputFields=["count(*)"]) == [{"count(*)": 0}]
    assert api.ok("collections/get_stats", collectionName=filled) == {"rowCount": 0}
    assert api.ok("indexes/list", collectionName=filled) == ["vector"]


def test_of_a_load_state_no_database_is_told_apart(api: Api) -> None:
    for body in ({}, {"dbName": "nowhere"}, {"partitionNames": ["p"]}):
        found = api.fails("collections/get_load_state", collectionName="nosuch", **body)
        assert found == (100, "collection not found[collection=nosuch]")
    code, message = api.fails("collections/get_load_state", collectionName="a-b")
    assert (code, message.startswith("Invalid collection name: a-b.")) == (1100, True)


@pytest.mark.parametrize("path", ["collections/list", "collections/has", "collections/drop", "collections/create"])
def test_a_database_that_is_not_there(api: Api, path: str) -> None:
    assert api.fails(path, collectionName="x", dimension=4, dbName="nowhere")[0] == 800


def test_loading_wants_an_index_on_every_vector_field(api: Api, bare: str) -> None:
    code, message = api.fails("collections/load", collectionName=bare)
    assert (code, "index not found" in message) == (700, True)
    api.ok("indexes/create", collectionName=bare, indexParams=[{"fieldName": "v"}])
    code, message = api.fails("collections/load", collectionName=bare)
    assert (code, "no vector index on field: ['s']" in message) == (65535, True)
    api.ok("indexes/create", collectionName=bare, indexParams=[{"fieldName": "s"}])
    for _ in range(2):
        api.ok("collections/load", collectionName=bare)
    assert api.ok("collections/get_load_state", collectionName=bare)["loadProgress"] == 100


def test_what_is_released_can_be_neither_searched_nor_queried_nor_got(api: Api, filled: str) -> None:
    for _ in range(2):
        api.ok("collections/release", collectionName=filled)
    assert api.ok("collections/describe", collectionName=filled)["load"] == "LoadStateNotLoad"
    calls: dict[str, dict[str, Any]] = {
        "entities/search": {"annsField": "v", "data": [[0, 0, 0, 0]]},
        "entities/query": {"filter": "id > 0"},
        "entities/get": {"id": 1},
    }
    for path, body in calls.items():
        code, message = api.fails(path, collectionName=filled, **body)
        assert (code, "not loaded" in message) == (101, True)
    api.ok("collections/load", collectionName=filled)
    assert api.ok("entities/get", collectionName=filled, id=1, outputFields=["label"]) == [{"id": 1, "label": "r1"}]


def test_stats_count_flushed_rows(api: Api, bare: str, rows: list[dict[str, Any]]) -> None:
    api.ok("entities/insert", collectionName=bare, data=rows)
    assert api.ok("collections/get_stats", collectionName=bare) == {"rowCount": 0}
    for _ in range(2):
        api.ok("collections/flush", collectionName=bare)
        assert api.ok("collections/get_stats", collectionName=bare) == {"rowCount": 10}


# --- databases ---


def test_databases_come_and_go(api: Api) -> None:
    assert api.ok("databases/list") == ["default"]
    api.ok("databases/create", dbName="lab", properties={"database.replica.number": 1})
    try:
        assert api.ok("databases/list") == ["default", "lab"]
        found = api.ok("databases/describe", dbName="lab")
        assert isinstance(found.pop("dbID"), int)
        assert found == {"dbName": "lab", "properties": [{"key": "database.replica.number", "value": "1"}]}
        code, message = api.fails("databases/create", dbName="lab")
        assert (code, "already exist" in message) == (65535, True)
        api.ok("collections/create", collectionName="inside", dimension=4, dbName="lab")
        assert api.ok("collections/list", dbName="lab") == ["inside"]
        code, message = api.fails("databases/drop", dbName="lab")
        assert (code, "not empty" in message) == (65535, True)
    finally:
        api.ok("collections/drop", collectionName="inside", dbName="lab")
        api.ok("databases/drop", dbName="lab")
    assert api.ok("databases/list") == ["default"]
    api.ok("databases/drop", dbName="lab")
    assert api.fails("databases/describe", dbName="lab")[0] == 800


def test_the_default_database_stays(api: Api) -> None:
    assert api.fails("databases/drop", dbName="default")[0] == 65535
    assert api.fails("databases/create", dbName="a/b")[0] == 802


def test_collections_of_one_name_in_two_databases_are_two(api: Api, name: str) -> None:
    api.ok("databases/create", dbName="twin")
    try:
        for database, dim in (("default", 4), ("twin", 6)):
            api.ok("collections/create", collectionName=name, dimension=dim, dbName=database)
        row = {"id": 1, "vector": [1.0] * 6}
        api.ok("entities/insert", collectionName=name, dbName="twin", data=[row])
        count = {"collectionName": name, "outputFields": ["count(*)"]}
        assert api.ok("entities/query", **count, dbName="twin") == [{"count(*)": 1}]
        assert api.ok("entities/query", **count) == [{"count(*)": 0}]
    finally:
        api.ok("collections/drop", collectionName=name, dbName="twin")
        api.ok("databases/drop", dbName="twin")


# --- aliases ---


def test_an_alias_stands_for_its_collection(api: Api, filled: str) -> None:
    api.ok("aliases/create", collectionName=filled, aliasName="other")
    assert api.ok("aliases/describe", aliasName="other") == {
        "dbName": "default",
        "collectionName": filled,
        "aliasName": "other",
    }
    assert api.ok("aliases/list", collectionName=filled) == ["other"]
    assert api.ok("aliases/list") == ["other"]
    found = api.ok("collections/describe", collectionName="other")
    # It says nowhere which collection that is.
    assert (found["collectionName"], found["aliases"]) == ("other", ["other"])
    assert api.ok("collections/get_load_state", collectionName="other")["loadState"] == "LoadStateLoaded"
    assert api.ok("entities/get", collectionName="other", id=1, outputFields=["label"]) == [{"id": 1, "label": "r1"}]
    assert api.ok("indexes/list", collectionName="other") == ["v", "s"]
    assert api.ok("collections/has", collectionName="other") == {"has": True}
    assert "other" not in api.ok("collections/list")


def test_a_collection_is_not_dropped_through_its_alias_nor_under_it(api: Api, filled: str) -> None:
    api.ok("aliases/create", collectionName=filled, aliasName="other")
    for target in ("other", filled):
        code, message = api.fails("collections/drop", collectionName=target)
        assert (code, "alias" in message) == (65535, True)
    assert api.ok("entities/query", collectionName=filled, outputFields=["count(*)"]) == [{"count(*)": 10}]
    for _ in range(2):
        api.ok("aliases/drop", aliasName="other")
    assert api.fails("aliases/describe", aliasName="other")[0] == 1600
    assert api.fails("collections/describe", collectionName="other")[0] == 100


def test_an_alias_moves_in_one_step(api: Api, filled: str) -> None:
    api.ok("collections/create", collectionName="second", dimension=4)
    try:
        api.ok("aliases/create", collectionName=filled, aliasName="live")
        code, message = api.fails("aliases/create", collectionName="second", aliasName="live")
        assert (code, filled in message) == (1602, True)
        api.ok("aliases/alter", collectionName="second", aliasName="live")
        assert api.ok("aliases/describe", aliasName="live")["collectionName"] == "second"
        assert api.ok("aliases/list", collectionName=filled) == []
    finally:
        api.ok("aliases/drop", aliasName="live")
        api.ok("collections/drop", collectionName="second")


def test_aliases_that_cannot_be(api: Api, bare: str) -> None:
    assert api.fails("aliases/alter", collectionName=bare, aliasName="nosuch")[0] == 1600
    assert api.fails("aliases/create", collectionName="nosuch", aliasName="a")[0] == 100
    assert api.fails("aliases/list", collectionName="nosuch")[0] == 100
    assert api.fails("aliases/create", collectionName=bare, aliasName=bare)[0] == 1601
    assert api.fails("aliases/create", collectionName=bare, aliasName="a-b")[0] == 1100
    assert api.fails("aliases/describe", aliasName="a", dbName="nowhere")[0] == 800
    api.ok("aliases/create", collectionName=bare, aliasName="taken")
    code, message = api.fails("collections/create", collectionName="taken", dimension=4)
    assert (code, "alias" in message) == (1601, True)
