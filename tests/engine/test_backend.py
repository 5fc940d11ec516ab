"""The REST server in front of a real Milvus: its own states, names, users and errors, in the REST API's terms."""

from __future__ import annotations

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_vectordb.local.engine.messages import common_pb2, milvus_pb2
from tests.support.engine_api import BIG_SCHEMA, HNSW, ROWS, SCHEMA, Api, Json, await_counted, await_loaded
from tests.support.milvus_server import MilvusServer


def _index(milvus: MilvusServer, collection: str) -> Any:
    """What the engine itself says of the one index of a collection, over gRPC."""
    answer = milvus.ask("DescribeIndex", milvus_pb2.DescribeIndexRequest(collection_name=collection))
    (index,) = answer.index_descriptions
    return index


@pytest.mark.usefixtures("connection")
def test_states_of_a_build_are_the_engines_own(api: Api, big: str, milvus: MilvusServer) -> None:
    """And an operator that finds the index there ends when the engine has nothing pending."""
    from airflow_vectordb.operators.index import CreateIndexOperator

    name = big
    api.ok("indexes/drop", collectionName=name, indexName="v_hnsw")
    api.ok("indexes/create", collectionName=name, indexParams=[HNSW])
    assert milvus.pending(name, "v_hnsw") == ROWS
    operator = CreateIndexOperator(task_id="index", collection_name=name, index_params=[HNSW], poll_interval=2.0)

    def operate() -> tuple[Any, float, Any]:
        (built,) = operator.execute({"ti": SimpleNamespace(try_number=1)})
        return built, time.monotonic(), _index(milvus, name)

    seen: list[tuple[str, int]] = []
    last = 0.0
    deadline = time.monotonic() + 120
    with ThreadPoolExecutor(1) as pool:
        operating = pool.submit(operate)
        while not seen or seen[-1] != ("Finished", 0):
            asked = time.monotonic()
            assert asked < deadline, seen
            (index,) = api.ok("indexes/describe", collectionName=name, indexName="v_hnsw")
            assert index["totalRows"] == ROWS
            assert index["indexedRows"] <= ROWS
            if index["pendingRows"]:
                last = asked
            if not seen or seen[-1] != (index["indexState"], index["pendingRows"]):
                seen.append((index["indexState"], index["pendingRows"]))
            time.sleep(0.05)
        done = time.monotonic()
    built, end, now = operating.result()
    assert last < end < done + 4, seen
    assert now.pending_index_rows == 0
    assert common_pb2.IndexState.Name(now.state) == "Finished"
    assert (built["state"], built["pending_rows"], built["total_rows"]) == ("Finished", 0, ROWS)
    assert ("InProgress", ROWS) in seen
    steps = [pending for _, pending in seen]
    assert len(set(steps)) > 2, seen
    assert steps == sorted(steps, reverse=True), seen
    assert index["indexedRows"] == ROWS
    assert index["indexType"] == "HNSW"
    params = {pair["key"]: pair["value"] for pair in index["indexParams"]}
    assert json.loads(params.pop("params")) == {"M": 16, "efConstruction": 200}
    assert params == {"index_type": "HNSW", "metric_type": "COSINE"}
    code, message = api.fails(
        "indexes/create", collectionName=name, indexParams=[{**HNSW, "params": {"M": 8, "efConstruction": 64}}]
    )
    assert code in (702, 65535)
    assert "at most one distinct index" in message
    api.ok("indexes/create", collectionName=name, indexParams=[HNSW])
    assert api.ok("indexes/list", collectionName=name) == ["v_hnsw"]
    api.ok("indexes/drop", collectionName=name, indexName="v_hnsw")
    assert api.ok("indexes/list", collectionName=name) == []


@pytest.mark.parametrize(
    "spelling",
    [
        {"params": {"index_type": "HNSW", "M": 8, "efConstruction": 64}},
        {"indexType": "HNSW", "params": {"M": 8, "efConstruction": 64}},
    ],
    ids=["params", "indexType"],
)
def test_two_spellings_of_an_index(api: Api, name: str, milvus: MilvusServer, spelling: Json) -> None:
    api.ok("collections/create", collectionName=name, schema=SCHEMA)
    api.ok(
        "indexes/create",
        collectionName=name,
        indexParams=[{"fieldName": "v", "indexName": "mine", "metricType": "IP", **spelling}],
    )
    index = _index(milvus, name)
    told = {pair.key: pair.value for pair in index.params}
    assert (index.index_name, index.field_name) == ("mine", "v")
    nested = json.loads(told.pop("params"))
    assert (told, nested) == ({"index_type": "HNSW", "metric_type": "IP"}, spelling["params"])
    (described,) = api.ok("indexes/describe", collectionName=name, indexName="mine")
    pairs = {pair["key"]: pair["value"] for pair in described["indexParams"]}
    assert json.loads(pairs.pop("params")) == nested
    assert pairs == told


def test_index_defaults_and_drop(api: Api, name: str) -> None:
    api.ok("collections/create", collectionName=name, schema=SCHEMA)
    assert api.ok("indexes/list", collectionName=name) == []
    assert api.fails("collections/load", collectionName=name)[0] in (700, 65535)
    api.ok("indexes/create", collectionName=name, indexParams=[{"fieldName": "v"}, {"fieldName": "label"}])
    assert sorted(api.ok("indexes/list", collectionName=name)) == ["label", "v"]
    (index,) = api.ok("indexes/describe", collectionName=name, indexName="v")
    assert (index["indexType"], index["metricType"]) == ("AUTOINDEX", "COSINE")
    api.ok("collections/load", collectionName=name)
    await_loaded(api, name)
    assert "release it first" in api.fails("indexes/drop", collectionName=name, indexName="v")[1]
    api.ok("collections/release", collectionName=name)
    api.ok("indexes/drop", collectionName=name, indexName="v")
    api.ok("indexes/drop", collectionName=name, indexName="v")
    assert api.ok("indexes/list", collectionName=name) == ["label"]
    assert api.fails("indexes/describe", collectionName=name, indexName="v")[0] == 700


def test_load_states(api: Api, filled: str) -> None:
    api.ok("collections/release", collectionName=filled)
    assert api.ok("collections/get_load_state", collectionName=filled)["loadState"] == "LoadStateNotLoad"
    assert api.fails("entities/query", collectionName=filled, filter="id > 0")[0] == 101
    api.ok("collections/load", collectionName=filled)
    assert await_loaded(api, filled)[0] == "LoadStateLoading"
    api.ok("collections/load", collectionName=filled)
    assert api.ok("collections/describe", collectionName=filled)["load"] == "LoadStateLoaded"


def test_rows_come_back(api: Api, filled: str) -> None:
    (row,) = api.ok("entities/query", collectionName=filled, filter="id == 3")
    assert row == {
        "id": 3,
        "v": [3.0, 1.0, 0.0, 0.0],
        "label": "r3",
        "extra": '{"n": 3}',
        "tags": {"Data": {"LongData": {"data": [3, 7]}}},
        "loose": 6,
        "x": 1,
    }
    rows = api.ok("entities/get", collectionName=filled, id=[1, 2], outputFields=["loose"])
    assert rows == [{"id": 1, "loose": 2}, {"id": 2, "loose": 4}]
    window = {"filter": "id >= 0", "outputFields": ["id"], "limit": 2, "offset": 3}
    assert api.ok("entities/query", collectionName=filled, **window) == [{"id": 3}, {"id": 4}]
    assert api.ok("entities/query", collectionName=filled, outputFields=["count(*)"]) == [{"count(*)": 10}]
    assert api.fails("entities/query", collectionName=filled, filter="id ~~ 3")[0] == 1100
    assert api.fails("entities/query", collectionName=filled, filter="id > 3", limit=20000)[0] == 65535
    assert api.fails("entities/query", collectionName=filled, filter="id > 3", partitionNames=["zz"])[0] == 1807


def test_search(api: Api, filled: str) -> None:
    answer = api.post(
        "entities/search",
        collectionName=filled,
        data=[[3, 1, 0, 0], [8, 1, 0, 0]],
        limit=2,
        filter="id != 4",
        outputFields=["label", "loose"],
    ).json()
    assert answer["topks"] == [2, 2]
    assert answer["data"][0] == {"id": 3, "distance": 0, "label": "r3", "loose": 6}
    assert [hit["id"] for hit in answer["data"]] == [3, 2, 8, answer["data"][3]["id"]]
    code, message = api.fails(
        "entities/search", collectionName=filled, data=[[3, 1, 0, 0]], searchParams={"metric_type": "IP"}
    )
    assert code == 65535
    assert "metric type not match" in message


def test_upsert_and_delete(api: Api, filled: str) -> None:
    new = {"id": 3, "v": [0, 0, 0, 1], "label": "new", "extra": {}, "tags": []}
    assert api.ok("entities/upsert", collectionName=filled, data=[new]) == {"upsertCount": 1, "upsertIds": [3]}
    assert api.ok("entities/delete", collectionName=filled, filter="id in [4, 5]") == {"deleteCount": 2}

    def labels() -> list[str]:
        rows = api.ok("entities/query", collectionName=filled, filter="id in [3, 4, 5]", outputFields=["label"])
        return [row["label"] for row in rows]

    # Collections are Bounded unless they are told otherwise: what was written is seen a moment later.
    deadline = time.monotonic() + 20
    while labels() != ["new"]:
        assert time.monotonic() < deadline, labels()
        time.sleep(0.2)


def test_automatic_ids(api: Api, name: str) -> None:
    api.ok("collections/create", collectionName=name, dimension=4, autoID=True)
    done = api.ok("entities/insert", collectionName=name, data=[{"vector": [1, 2, 3, 4]}, {"vector": [2, 2, 3, 4]}])
    assert done["insertCount"] == 2
    assert len(set(done["insertIds"])) == 2
    assert api.ok("collections/describe", collectionName=name)["autoId"] is True


def test_describe_collection(api: Api, name: str) -> None:
    api.ok(
        "collections/create",
        collectionName=name,
        schema=SCHEMA,
        description="what for",
        params={"shardsNum": 2, "consistencyLevel": "Strong"},
    )
    found = api.ok("collections/describe", collectionName=name)
    assert (found["shardsNum"], found["consistencyLevel"], found["description"]) == (2, "Strong", "what for")
    assert found["enableDynamicField"] is True
    assert [(field["name"], field["type"]) for field in found["fields"]] == [
        (field["fieldName"], field["dataType"]) for field in SCHEMA["fields"]
    ]
    assert found["fields"][4]["elementType"] == "Int64"
    api.ok(
        "collections/create",
        collectionName=name,
        schema=SCHEMA,
        description="what for",
        params={"shardsNum": 2, "consistencyLevel": "Strong"},
    )
    assert api.fails("collections/create", collectionName=name, dimension=4)[0] == 65535
    assert name in api.ok("collections/list")
    assert api.ok("collections/has", collectionName=name) == {"has": True}


def test_what_this_milvus_has_not_is_refused(api: Api, name: str) -> None:
    """It would take these messages and ignore what it does not know in them."""
    for more in ({"dataType": "Timestamptz"}, {"dataType": "Int64", "nullable": True}):
        fields = [*BIG_SCHEMA["fields"], {"fieldName": "new", **more}]
        code, message = api.fails("collections/create", collectionName=name, schema={"fields": fields})
        assert code == 10
        assert "Milvus v2.3.5" in message
    assert api.ok("collections/has", collectionName=name) == {"has": False}


def test_partitions(api: Api, filled: str) -> None:
    there = {"collectionName": filled, "partitionName": "p1"}
    api.ok("partitions/create", **there)
    api.ok("partitions/create", **there)
    assert sorted(api.ok("partitions/list", collectionName=filled)) == ["_default", "p1"]
    assert api.ok("partitions/has", **there) == {"has": True}
    row = {"id": 77, "v": [0, 0, 0, 1], "label": "p", "extra": {}, "tags": []}
    api.ok("entities/insert", data=[row], **there)
    api.ok("collections/flush", collectionName=filled)
    await_counted(api, filled, 1, partitionName="p1")
    api.ok("collections/release", collectionName=filled)
    api.ok("partitions/load", collectionName=filled, partitionNames=["p1"])
    await_loaded(api, filled, partitionNames=["p1"])
    assert api.fails("entities/insert", collectionName=filled, partitionName="zz", data=[row])[0] == 1807
    api.ok("partitions/release", collectionName=filled, partitionNames=["p1"])
    api.ok("partitions/drop", **there)
    api.ok("partitions/drop", **there)
    assert api.ok("partitions/has", **there) == {"has": False}


def test_load_states_of_partitions(api: Api, filled: str) -> None:
    """As Milvus's own REST API has them: the reason stands beside the data, and nothing is an error."""

    def state(*partitions: str) -> Json:
        answer: Json = api.post("collections/get_load_state", collectionName=filled, partitionNames=partitions).json()
        return answer

    api.ok("partitions/create", collectionName=filled, partitionName="p1")
    api.ok("collections/release", collectionName=filled)
    for names in ([], ["p1"], ["nope"]):
        assert state(*names) == {"code": 0, "data": {"loadState": "LoadStateNotLoad"}}
    api.ok("partitions/load", collectionName=filled, partitionNames=["p1"])
    await_loaded(api, filled, partitionNames=["p1"])
    loaded = {"code": 0, "data": {"loadState": "LoadStateLoaded", "loadProgress": 100}, "message": ""}
    assert [state(), state("p1")] == [loaded, loaded]
    for names, reason in (
        (["_default"], r"partition not loaded\[partition=\d+\]\."),
        (["_default", "p1"], r"partition not loaded\[partition=\d+\]\."),
        (["nope"], r"partition not found\[partition=nope\]\."),
    ):
        found = state(*names)
        assert re.fullmatch(reason, found.pop("message"))
        assert found == {"code": 0, "data": {"loadState": "LoadStateLoading", "loadProgress": -1}}


def test_rename_compact_and_properties(api: Api, filled: str) -> None:
    job = api.ok("collections/compact", collectionName=filled)["compactionID"]
    assert api.ok("collections/get_compaction_state", jobID=job)["state"] in ("Executing", "Completed")
    api.ok("collections/refresh_load", collectionName=filled)
    api.ok("collections/alter_properties", collectionName=filled, properties={"collection.ttl.seconds": 3600})
    properties = api.ok("collections/describe", collectionName=filled)["properties"]
    assert {"key": "collection.ttl.seconds", "value": "3600"} in properties
    renamed = f"{filled}_renamed"
    api.ok("collections/rename", collectionName=filled, newCollectionName=renamed)
    assert api.ok("collections/has", collectionName=filled) == {"has": False}
    assert api.ok("collections/describe", collectionName=renamed)["collectionName"] == renamed
    api.ok("collections/rename", collectionName=renamed, newCollectionName=filled)


def test_aliases(api: Api, name: str) -> None:
    api.ok("collections/create", collectionName=name, schema=SCHEMA)
    alias = f"{name}_alias"
    api.ok("aliases/create", collectionName=name, aliasName=alias)
    assert api.ok("aliases/describe", aliasName=alias)["collectionName"] == name
    assert api.ok("aliases/list", collectionName=name) == [alias]
    found = api.ok("collections/describe", collectionName=alias)
    assert (found["collectionName"], found["aliases"]) == (alias, [alias])
    assert api.fails("aliases/create", collectionName=name, aliasName=name)[0] == 1601
    assert api.fails("aliases/alter", collectionName=name, aliasName="nope")[0] == 1600
    api.ok("aliases/alter", collectionName=name, aliasName=alias)
    api.ok("aliases/drop", aliasName=alias)
    api.ok("aliases/drop", aliasName=alias)
    assert api.fails("aliases/describe", aliasName=alias)[0] == 1600


def test_databases(api: Api) -> None:
    api.ok("databases/create", dbName="other")
    assert sorted(api.ok("databases/list")) == ["default", "other"]
    api.ok("collections/create", dbName="other", collectionName="here", dimension=4)
    assert api.ok("collections/list", dbName="other") == ["here"]
    assert "here" not in api.ok("collections/list")
    assert api.fails("collections/describe", collectionName="here")[0] == 100
    assert api.fails("databases/drop", dbName="other")[0] == 65535
    api.ok("collections/release", dbName="other", collectionName="here")
    api.ok("collections/drop", dbName="other", collectionName="here")
    api.ok("databases/drop", dbName="other")
    api.ok("databases/drop", dbName="other")
    assert api.fails("databases/create", dbName="1x")[0] == 802
