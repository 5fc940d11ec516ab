"""What Airflow offers to operators, as the operators here take it: run by Airflow, against a real server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.rest import Client, MilvusConfig, collections, entities, indexes
from airflow_vectordb.rest.http.call import Call, parse_none

FILES = Path(__file__).with_name("files")
COLLECTIONS = ["by_json", "by_yaml", "by_result", "mapped_0", "mapped_1", "mapped_2", "dropped", "loading"]
DATE = "2026-03-07T00:00:00Z"


@pytest.fixture(scope="module")
def client(server: LocalMilvus) -> Iterator[Client]:
    with Client(MilvusConfig(server.uri, token=server.token)) as made:
        yield made


@pytest.fixture(scope="module")
def runs(run_dags: Callable[..., Any], client: Client, server: LocalMilvus) -> Any:
    schema = {
        "fields": [
            {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
            {"fieldName": "label", "dataType": "Int64"},
            {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}},
        ]
    }
    for name in COLLECTIONS:
        client.send(collections.create(name, schema=schema))
    rows = [{"id": i, "label": i % 3, "vector": [i, 1.0, i % 7, -i]} for i in range(300)]
    client.send(entities.insert("by_result", rows))
    for name in ("a", "b"):
        client.send(Call("partitions/create", {"collectionName": "loading", "partitionName": name}, parse_none))
    ids = ["files", "results", "loading", "created", "memory", "errors"]
    wrong = {"conn_type": "milvus", "host": server.uri, "login": "root", "password": "not-the-password"}
    down = {"conn_type": "milvus", "host": "127.0.0.1", "port": 1, "extra": {"retries": 0}}
    found = run_dags(
        FILES,
        [(dag_id, DATE, {}) for dag_id in ids],
        AIRFLOW_CONN_MILVUS_WRONG=json.dumps(wrong),
        AIRFLOW_CONN_MILVUS_DOWN=json.dumps(down),
    )
    return dict(zip(ids, found, strict=True))


class TestFiles:
    def test_json_beside_the_dag_is_rendered_and_read(self, runs: Any, client: Client) -> None:
        assert runs["files"]["states"]["json"] == "success"
        (index,) = client.send(indexes.describe("by_json", "from_json"))
        assert (index.index_type, index.metric_type, index.params["M"]) == ("HNSW", "L2", 12)

    def test_yaml_beside_the_dag_is_rendered_and_read(self, runs: Any, client: Client) -> None:
        assert runs["files"]["states"]["yaml"] == "success"
        assert sorted(client.send(indexes.list_("by_yaml"))) == ["from_yaml", "label"]
        (index,) = client.send(indexes.describe("by_yaml", "from_yaml"))
        assert (index.index_type, index.params["nlist"]) == ("IVF_FLAT", 12)
        assert [index["index_name"] for index in runs["files"]["returned"]["yaml"]] == ["from_yaml", "label"]

    @pytest.mark.parametrize("task", ["broken", "blank", "nameless"])
    def test_what_is_no_use_fails_the_task(self, runs: Any, task: str) -> None:
        assert runs["files"]["states"][task] == "failed"
        assert task not in runs["files"]["returned"]

    def test_rendered_parameters_are_shown_as_they_were_used(self, runs: Any) -> None:
        assert "from_json" in runs["files"]["rendered"]["json"]["index_params"]
        assert "params.M" not in runs["files"]["rendered"]["json"]["index_params"]


class TestResults:
    def test_parameters_may_come_from_a_task_and_results_go_to_one(self, runs: Any) -> None:
        run = runs["results"]
        assert run["states"]["index"] == "success"
        assert run["returned"]["names"] == ["vector", "label"]
        assert run["order"].index("choose") < run["order"].index("index") < run["order"].index("names")

    def test_what_is_returned_is_what_the_server_says(self, runs: Any, client: Client) -> None:
        described = [client.send(indexes.describe("by_result", name))[0] for name in ("vector", "label")]
        expected = [{"collection_name": "by_result", **index.as_json()} for index in described]
        assert runs["results"]["returned"]["index"] == expected
        assert [index["total_rows"] for index in expected] == [300, 300]
        assert [index["pending_rows"] for index in expected] == [0, 0]

    def test_the_assets_event_says_the_same(self, runs: Any) -> None:
        (event,) = runs["results"]["asset_events"]
        assert event["uri"] == "milvus://localhost:19530/default/docs"
        assert event["extra"]["indexes"] == runs["results"]["returned"]["index"]

    def test_mapping_over_collections(self, runs: Any, client: Client) -> None:
        for number in range(3):
            assert runs["results"]["states"][f"mapped[{number}]"] == "success"
            (index,) = client.send(indexes.describe(f"mapped_{number}", "vector"))
            assert index.params["M"] == 8

    def test_dropping(self, runs: Any, client: Client) -> None:
        returned, states = runs["results"]["returned"], runs["results"]["states"]
        assert (returned["drop"], returned["drop_again"]) == (True, False)
        assert (states["drop_again"], states["drop_strictly"]) == ("success", "failed")
        assert runs["results"]["tries"]["drop_strictly"] == 1
        assert client.send(indexes.list_("dropped")) == []


class TestCollections:
    def test_created_built_and_loaded(self, runs: Any) -> None:
        returned = runs["created"]["returned"]["create"]
        assert (returned["created"], returned["load_state"]) == (True, "LoadStateLoaded")
        assert [index["index_type"] for index in returned["indexes"]] == ["AUTOINDEX"]
        (event,) = runs["created"]["asset_events"]
        assert event["extra"]["collection"] == returned

    def test_the_schema_may_be_a_file_beside_the_dag(self, runs: Any) -> None:
        returned = runs["created"]["returned"]["create_again"]
        assert returned["altered"] == ["collection.ttl.seconds: not set -> 90"]

    @pytest.mark.parametrize("task", ["create_another", "verify"])
    def test_what_cannot_be_right_fails_without_retries(self, runs: Any, task: str) -> None:
        assert (runs["created"]["states"][task], runs["created"]["tries"][task]) == ("failed", 1)

    def test_dropped(self, runs: Any, client: Client) -> None:
        assert {runs["created"]["states"][f"drop[{number}]"] for number in (0, 1)} == {"success"}
        assert not client.send(collections.has("created"))


class TestLoading:
    def test_all_of_it_succeeds(self, runs: Any) -> None:
        assert set(runs["loading"]["states"].values()) == {"success"}, runs["loading"]["states"]

    def test_mapping_over_index_parameters(self, runs: Any) -> None:
        assert len([task for task in runs["loading"]["states"] if task.startswith("indexes[")]) == 2

    def test_loading_and_releasing(self, runs: Any) -> None:
        returned = runs["loading"]["returned"]
        everything = {"collection_name": "loading", "partition_names": []}
        assert returned["load"] == {**everything, "load_state": "LoadStateLoaded"}
        assert returned["release"] == {**everything, "load_state": "LoadStateNotLoad"}

    def test_mapping_over_partitions(self, runs: Any) -> None:
        returned = runs["loading"]["returned"]
        assert [returned[f"load_some[{number}]"]["partition_names"] for number in range(3)] == [["a"], ["b"], []]
        assert returned["release_each[0]"]["partition_names"] == ["a", "b"]

    def test_an_index_of_the_loaded_collection_is_replaced(self, runs: Any, client: Client) -> None:
        (index,) = client.send(indexes.describe("loading", "vector"))
        assert (index.index_type, str(index.params["M"])) == ("HNSW", "32")
        assert client.send(collections.load_state("loading")).state == "LoadStateLoaded"


class TestMemory:
    @pytest.mark.parametrize("task", ["remember", "remember_in_store"])
    def test_what_is_kept_by_airflow_itself(self, runs: Any, task: str) -> None:
        assert runs["memory"]["returned"][task] == [
            None,
            {"loaded": ["a"], "indexes": []},
            {"loaded": [], "indexes": [{"params": {"M": "16"}}]},
            None,
        ]


class TestErrors:
    @pytest.mark.parametrize("task", ["no_such_collection", "no_such_database", "wrong_token"])
    def test_what_does_not_pass_burns_no_retry(self, runs: Any, task: str) -> None:
        assert runs["errors"]["states"][task] == "failed"
        assert runs["errors"]["tries"][task] == 1

    def test_what_may_pass_is_retried_by_airflow(self, runs: Any) -> None:
        assert runs["errors"]["states"]["nobody_there"] == "failed"
        assert runs["errors"]["tries"]["nobody_there"] == 2
