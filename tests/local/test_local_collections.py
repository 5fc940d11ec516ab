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


def test_keys_that_are_texts_are_made_too(api: Api, name: str) -> None:
    params = {"max_length": 40}
    api.ok("collections/create", collectionName=name, dimension=2, idType="VarChar", autoID=True, params=params)
    data = api.ok("entities/insert", collectionName=name, data=[{"vector": [1, 2]}])
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


def test_a_type_that_the_engine_has_not_is_refused_and_leaves_nothing(api: Api) -> None:
    schema = changed(f1={"dataType": "Float16Vector"})
    code, message = api.fails("collections/create", collectionName="bad", schema=schema)
    assert (code, "this local server" in message) == (1100, True)
    assert api.ok("collections/has", collectionName="bad") == {"has": False}


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
