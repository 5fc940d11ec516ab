"""Tasks on collections, killed after each of their requests and retried, over a server that takes its time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.operators.collection import CreateCollectionOperator, DropCollectionOperator
from tests.support.loading_milvus import Worker
from tests.support.local_api import Api, connection_to

pytestmark = pytest.mark.slow
PACE = "real,row_count=.1,total_rows=.2,build=.4,load=.4"
SCHEMA: dict[str, Any] = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "v", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}},
    ]
}
LARGER = copy.deepcopy(SCHEMA)
LARGER["fields"][1]["elementTypeParams"]["dim"] = 8
HNSW = {"fieldName": "v", "indexType": "HNSW", "params": {"M": 8}}


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalMilvus]:
    with LocalMilvus(pace=PACE) as running:
        yield running


@pytest.fixture
def api(cluster: LocalMilvus) -> Iterator[Api]:
    client = Api(cluster.uri, cluster.token)
    with client:
        yield client


@pytest.fixture(autouse=True)
def connection(cluster: LocalMilvus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", connection_to(cluster.uri, cluster.token, extra={"retries": 0}))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def worker(name: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Worker]:
    def make(operator: type[Any], **arguments: Any) -> Worker:
        given = {"task_id": "t", "collection_name": name, **arguments}
        if operator is CreateCollectionOperator:
            given = {"poll_interval": 0.2, **given}
        return Worker(lambda: operator(**given), monkeypatch)

    return make


def dim(api: Api, name: str) -> str:
    fields = api.ok("collections/describe", collectionName=name)["fields"]
    return str(fields[1]["params"][0]["value"])


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_collection_is_built_and_loaded_when_the_task_is_done(
    worker: Callable[..., Worker], api: Api, name: str, deferrable: bool
) -> None:
    task = worker(CreateCollectionOperator, schema=SCHEMA, index_params=HNSW, deferrable=deferrable)
    done = task.run()
    assert done["created"] is True
    assert [index["state"] for index in done["indexes"]] == ["Finished"]
    assert done["load_state"] == "LoadStateLoaded"
    assert api.ok("collections/get_load_state", collectionName=name)["loadState"] == "LoadStateLoaded"
    assert "CollectionLoaded" in task.deferrals or not deferrable


@pytest.mark.parametrize("requests", range(1, 17))
def test_a_replacement_that_is_killed_is_finished_by_its_retry(
    worker: Callable[..., Worker], api: Api, name: str, requests: int
) -> None:
    worker(CreateCollectionOperator, schema=SCHEMA, index_params=HNSW).run()
    replacing = worker(CreateCollectionOperator, schema=LARGER, index_params=HNSW, if_exists="replace")
    with replacing.killed_after(requests):
        replacing.run()
    done = replacing.run()
    assert dim(api, name) == "8"
    assert [found for found in api.ok("collections/list") if found.startswith(f"{name}_")] == []
    assert done["load_state"] == "LoadStateLoaded"
    # After that, it is what was asked for.
    again = replacing.run()
    assert (again["created"], again["replaced"], again["altered"]) == (False, False, [])


@pytest.mark.parametrize("requests", range(1, 4))
def test_a_creation_that_must_be_the_first_is_found_again(
    worker: Callable[..., Worker], api: Api, name: str, requests: int
) -> None:
    creating = worker(CreateCollectionOperator, schema=SCHEMA, if_exists="fail", properties={"mmap.enabled": True})
    with creating.killed_after(requests):
        creating.run()
    creating.run()
    properties = api.ok("collections/describe", collectionName=name)["properties"]
    assert properties == [{"key": "mmap.enabled", "value": "true"}]


@pytest.mark.parametrize("requests", range(1, 5))
def test_a_drop_that_is_killed_is_finished_by_its_retry(
    worker: Callable[..., Worker], api: Api, name: str, requests: int
) -> None:
    worker(CreateCollectionOperator, schema=SCHEMA).run()
    alias = f"{name}_live"
    api.ok("aliases/create", aliasName=alias, collectionName=name)
    dropping = worker(DropCollectionOperator, drop_aliases=True, if_missing="fail")
    with dropping.killed_after(requests):
        dropping.run()
    dropping.run()
    assert not api.ok("collections/has", collectionName=name)["has"]
    assert alias not in api.ok("aliases/list")
