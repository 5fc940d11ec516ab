"""What the functions for partitions, properties, users and the like send, and how they read what servers answer."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_vectordb.rest import (
    collections,
    compactions,
    databases,
    entities,
    fields,
    functions,
    indexes,
    partitions,
    privilege_groups,
    quota_center,
    resource_groups,
    roles,
    segments,
    users,
)
from airflow_vectordb.rest.http.call import Answer, Call

PASSWORD = "s3cret-of-ada"
BM25 = {"name": "f", "type": "BM25", "inputFieldNames": ["text"], "outputFieldNames": ["sparse"]}
C, P, INDEX = {"collectionName": "c"}, {"partitionName": "p"}, {"indexName": "i"}
GROUP = {"privilegeGroupName": "g"}
GRANT = {"roleName": "r", "privilege": "Search"}


def read(call: Call[Any], data: Any) -> Any:
    return call.read(Answer(data, {"code": 0, "data": data}))


@pytest.mark.parametrize(
    ("call", "path", "body", "idempotent"),
    [
        (collections.rename("c", "n"), "collections/rename", {**C, "newCollectionName": "n"}, False),
        (
            collections.rename("c", "n", new_database="e", database="d"),
            "collections/rename",
            {**C, "newCollectionName": "n", "newDbName": "e", "dbName": "d"},
            False,
        ),
        (collections.truncate("c"), "collections/truncate", C, True),
        (
            # Of large numbers, texts: Milvus would make 2.592e+06 of that one.
            collections.alter_properties("c", {"collection.ttl.seconds": 2_592_000, "mmap.enabled": True, "x": 9}),
            "collections/alter_properties",
            {**C, "properties": {"collection.ttl.seconds": "2592000", "mmap.enabled": True, "x": 9}},
            True,
        ),
        (
            collections.drop_properties("c", ("mmap.enabled",)),
            "collections/drop_properties",
            {**C, "propertyKeys": ["mmap.enabled"]},
            True,
        ),
        (collections.refresh_load("c"), "collections/refresh_load", C, True),
        (fields.add("c", {"fieldName": "x"}), "collections/fields/add", {**C, "schema": {"fieldName": "x"}}, False),
        (
            fields.alter_properties("c", "t", {"max_length": 9}),
            "collections/fields/alter_properties",
            {**C, "fieldName": "t", "fieldParams": {"max_length": 9}},
            True,
        ),
        (functions.add("c", BM25), "collections/add_function", {**C, "function": BM25}, False),
        (
            functions.alter("c", "f", BM25),
            "collections/alter_function",
            {**C, "functionName": "f", "function": BM25},
            True,
        ),
        (functions.drop("c", "f"), "collections/drop_function", {**C, "FunctionName": "f"}, False),
        (compactions.compact("c"), "collections/compact", C, False),
        (compactions.compact("c", clustering=True), "collections/compact", {**C, "isClustering": True}, False),
        (compactions.describe(7), "collections/get_compaction_state", {"jobID": 7}, True),
        (partitions.create("c", "p"), "partitions/create", {**C, **P}, True),
        (partitions.drop("c", "p", database="d"), "partitions/drop", {**C, **P, "dbName": "d"}, True),
        (partitions.has("c", "p"), "partitions/has", {**C, **P}, True),
        (partitions.row_count("c", "p"), "partitions/get_stats", {**C, **P}, True),
        (
            indexes.alter_properties("c", "i", {"mmap.enabled": True}),
            "indexes/alter_properties",
            {**C, **INDEX, "properties": {"mmap.enabled": True}},
            True,
        ),
        (
            indexes.drop_properties("c", "i", ["mmap.enabled"]),
            "indexes/drop_properties",
            {**C, **INDEX, "propertyKeys": ["mmap.enabled"]},
            True,
        ),
        (
            databases.alter_properties("d", {"database.max.collections": 5}),
            "databases/alter_properties",
            {"dbName": "d", "properties": {"database.max.collections": 5}},
            True,
        ),
        (
            databases.drop_properties("d", ["database.max.collections"]),
            "databases/drop_properties",
            {"dbName": "d", "propertyKeys": ["database.max.collections"]},
            True,
        ),
        (
            entities.upsert("c", [{"id": 1}], partial=True),
            "entities/upsert",
            {**C, "data": [{"id": 1}], "partialUpdate": True},
            True,
        ),
        (
            entities.delete("c", "id in {ids}", filter_params={"ids": [1]}),
            "entities/delete",
            {**C, "filter": "id in {ids}", "exprParams": {"ids": [1]}},
            True,
        ),
        (
            entities.hybrid_search("c", [{"data": [[0.5]], "annsField": "v", "limit": 3}], limit=2),
            "entities/hybrid_search",
            {
                **C,
                "search": [{"data": [[0.5]], "annsField": "v", "limit": 3}],
                "rerank": {"strategy": "rrf", "params": {"k": 60}},
                "limit": 2,
            },
            True,
        ),
        (users.create("ada", PASSWORD), "users/create", {"userName": "ada", "password": PASSWORD}, False),
        (
            users.update_password("ada", PASSWORD, "another"),
            "users/update_password",
            {"userName": "ada", "password": PASSWORD, "newPassword": "another"},
            False,
        ),
        (users.describe("ada"), "users/describe", {"userName": "ada"}, True),
        (users.list_(), "users/list", {}, True),
        (users.drop("ada"), "users/drop", {"userName": "ada"}, True),
        (users.grant_role("ada", "r"), "users/grant_role", {"userName": "ada", "roleName": "r"}, True),
        (users.revoke_role("ada", "r"), "users/revoke_role", {"userName": "ada", "roleName": "r"}, True),
        (roles.create("r"), "roles/create", {"roleName": "r"}, False),
        (roles.describe("r", database="d"), "roles/describe", {"roleName": "r", "dbName": "d"}, True),
        (roles.list_(), "roles/list", {}, True),
        (roles.drop("r"), "roles/drop", {"roleName": "r"}, False),
        (
            roles.grant_privilege("r", "Search", "Collection", "c"),
            "roles/grant_privilege",
            {**GRANT, "objectType": "Collection", "objectName": "c"},
            True,
        ),
        (
            roles.revoke_privilege("r", "Search", "Collection", "c"),
            "roles/revoke_privilege",
            {**GRANT, "objectType": "Collection", "objectName": "c"},
            True,
        ),
        (
            roles.grant_privilege_v2("r", "Search", "*"),
            "roles/grant_privilege_v2",
            {**GRANT, "collectionName": "*"},
            True,
        ),
        (
            roles.revoke_privilege_v2("r", "Search", "*", database="*"),
            "roles/revoke_privilege_v2",
            {**GRANT, "collectionName": "*", "dbName": "*"},
            True,
        ),
        (privilege_groups.create("g"), "privilege_groups/create", GROUP, False),
        (privilege_groups.drop("g"), "privilege_groups/drop", GROUP, True),
        (privilege_groups.list_(), "privilege_groups/list", {}, True),
        (
            privilege_groups.add_privileges("g", ["Query"]),
            "privilege_groups/add_privileges_to_group",
            {**GROUP, "privileges": ["Query"]},
            True,
        ),
        (
            privilege_groups.remove_privileges("g", ["Query"]),
            "privilege_groups/remove_privileges_from_group",
            {**GROUP, "privileges": ["Query"]},
            True,
        ),
        (resource_groups.create("g"), "resource_groups/create", {"name": "g"}, False),
        (
            resource_groups.alter({"g": {"requests": {"node_num": 1}}}),
            "resource_groups/alter",
            {"resource_groups": {"g": {"requests": {"node_num": 1}}}},
            True,
        ),
        (resource_groups.describe("g"), "resource_groups/describe", {"name": "g"}, True),
        (resource_groups.list_(), "resource_groups/list", {}, True),
        (resource_groups.drop("g"), "resource_groups/drop", {"name": "g"}, True),
        (
            resource_groups.transfer_replica("g", "h", "c", 1),
            "resource_groups/transfer_replica",
            {**C, "sourceRgName": "g", "targetRgName": "h", "replicaNum": 1},
            False,
        ),
        (segments.describe(4, [5]), "segments/describe", {"collectionID": 4, "segmentIDs": [5]}, True),
        (quota_center.describe(), "quotacenter/describe", {}, True),
    ],
)
def test_what_is_sent(call: Call[Any], path: str, body: dict[str, Any], idempotent: bool) -> None:
    assert (call.path, call.body, call.idempotent) == (path, body, idempotent)


def test_a_password_is_in_no_text_about_a_call() -> None:
    for call in (users.create("ada", PASSWORD), users.update_password("ada", PASSWORD, f"new-{PASSWORD}")):
        for text in (repr(call), str(call), call.target(), str(call.names())):
            assert PASSWORD not in text
        assert call.body["userName"] == "ada"


def test_a_compaction() -> None:
    # As recorded of Milvus 2.6.
    assert read(compactions.compact("c"), {"compactionID": 470743935133059932}) == 470743935133059932
    state = {
        "compactionID": 0,
        "completedPlanNumber": 4,
        "executingPlanNumber": 1,
        "state": "Executing",
        "timeoutPlanNumber": 0,
    }
    assert read(compactions.describe(0), state) == compactions.Compaction(0, "Executing", 1, 4, 0)


def test_partitions() -> None:
    assert read(partitions.has("c", "p"), {"has": False}) is False
    assert read(partitions.row_count("c", "p"), {"rowCount": 10}) == 10


def test_a_database_description() -> None:
    data = {"dbID": 1, "dbName": "d1", "properties": [{"key": "database.max.collections", "value": "5"}]}
    assert read(databases.describe("d1"), data) == data


def test_hits_of_a_hybrid_search() -> None:
    call = entities.hybrid_search("c", [{"data": [[0.5], [1.0]], "annsField": "v", "limit": 3}], limit=2)
    hits = [{"distance": 0.016393442, "id": 1}, {"distance": 0.016129032, "id": 2}]
    found = call.read(Answer(hits, {"code": 0, "data": hits, "topks": [0, 2]}))
    assert [[hit["id"] for hit in of_one] for of_one in found] == [[], [1, 2]]
    assert read(call, []) == [[], []]


@pytest.mark.parametrize("call", [users.list_(), users.describe("ada"), roles.list_(), resource_groups.list_()])
def test_lists_of_names(call: Call[Any]) -> None:
    assert read(call, ["a", "b"]) == ["a", "b"]
    assert read(call, None) == []


def test_grants_of_a_role() -> None:
    item = {
        "dbName": "default",
        "grantor": "root",
        "objectName": "*",
        "objectType": "Collection",
        "privilege": "Search",
    }
    assert read(roles.describe("r"), [item]) == [roles.Grant("Search", "Collection", "*", "default", "root")]
    assert read(roles.describe("r"), None) == []


@pytest.mark.parametrize("privileges", ["Query,Search", ["Query", "Search"]])
def test_privilege_groups_of_either_shape(privileges: Any) -> None:
    groups = [{"privilegeGroupName": "g", "privileges": privileges}, {"privilegeGroupName": "h", "privileges": ""}]
    for data in (groups, {"privilegeGroups": groups}):
        assert read(privilege_groups.list_(), data) == {"g": ["Query", "Search"], "h": []}


def test_what_is_passed_on_as_the_server_spells_it() -> None:
    assert read(segments.describe(4, [5]), {"segmentInfos": [{"segmentID": 5}]}) == [{"segmentID": 5}]
    assert read(segments.describe(4, [5]), [{"segmentID": 5}]) == [{"segmentID": 5}]
    assert read(resource_groups.describe("g"), {"name": "g", "capacity": 1}) == {"name": "g", "capacity": 1}
    assert read(quota_center.describe(), {"metrics_info": "{}"}) == {"metrics_info": "{}"}
