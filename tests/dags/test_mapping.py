"""Tasks mapped over connections, databases, collections and index parameters: run by Airflow, on two real servers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.rest import Client, IndexSpec, MilvusConfig, collections, databases, indexes

FILES = Path(__file__).with_name("mapped")
DATE = "2026-03-07T00:00:00Z"
DATABASES = ["default", "shop"]
OTHER_PASSWORD = "an/other:p@ss word%20"


@pytest.fixture(scope="module")
def clients(server: LocalMilvus) -> Iterator[dict[str, Client]]:
    """Two servers, one for each connection, each with two databases."""
    with LocalMilvus(token=f"root:{OTHER_PASSWORD}") as other:
        made = {
            name: Client(MilvusConfig(one.uri, token=one.token, timeout=60))
            for name, one in (("milvus_default", server), ("milvus_other", other))
        }
        yield made
        for client in made.values():
            client.close()


def within(client: Client, database: str) -> Client:
    """Make a client for a database."""
    return Client(replace(client.config, database=database))


@pytest.fixture(scope="module")
def runs(run_dags: Callable[..., Any], clients: dict[str, Client]) -> Any:
    schema = {
        "fields": [
            {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
            {"fieldName": "label", "dataType": "Int64"},
            {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 4}},
        ]
    }
    for client in clients.values():
        client.send(databases.create("shop"))
        with within(client, "shop") as shop:
            for name in ("docs", "by_kwargs"):
                shop.send(collections.create(name, schema=schema))
    # An index is there already, and has to give way.
    with within(clients["milvus_other"], "shop") as shop:
        shop.send(indexes.create("by_kwargs", [IndexSpec("vector", "vector", "FLAT", "COSINE")]))
    clients["milvus_default"].send(collections.create("docs", schema=schema))
    for name in ("docs", "docs_20260307", "mapped"):
        clients["milvus_other"].send(collections.create(name, schema=schema))
    other = clients["milvus_other"].config
    connection = {"conn_type": "milvus", "host": other.url, "login": "root", "password": OTHER_PASSWORD}
    down = {"conn_type": "milvus", "host": "127.0.0.1", "port": 1, "extra": {"retries": 0}}
    found = run_dags(
        FILES,
        [("mapped", DATE, {}), ("failing", DATE, {})],
        AIRFLOW_CONN_MILVUS_OTHER=json.dumps(connection),
        AIRFLOW_CONN_MILVUS_DOWN=json.dumps(down),
    )
    return dict(zip(("mapped", "failing"), found, strict=True))


@pytest.fixture(scope="module")
def run(runs: Any) -> Any:
    return runs["mapped"]


def test_all_of_it_succeeds(run: Any) -> None:
    assert set(run["states"].values()) == {"success"}, run["states"]


def test_over_connections_and_databases(run: Any, clients: dict[str, Client]) -> None:
    places = list(product(clients, DATABASES))
    for number, (conn_id, database) in enumerate(places):
        rendered = run["rendered"][f"everywhere[{number}]"]
        assert (rendered["milvus_conn_id"], rendered["database"]) == (conn_id, database)
        (described,) = run["returned"][f"everywhere[{number}]"]
        assert (described["index_type"], described["params"]["M"]) == ("HNSW", 12)
        if (conn_id, database) != ("milvus_other", "shop"):  # that one was dropped in the end
            with within(clients[conn_id], database) as client:
                assert client.send(indexes.list_("docs")) == ["vector"]
    assert run["returned"]["count"] == 4


def test_over_all_at_once(run: Any, clients: dict[str, Client]) -> None:
    for number, (conn_id, M) in enumerate((("milvus_default", 8), ("milvus_other", 24))):
        assert run["returned"][f"by_kwargs[{number}]"][0]["params"]["M"] == M
        with within(clients[conn_id], "shop") as client:
            (index,) = client.send(indexes.describe("by_kwargs", "vector"))
        assert (index.index_type, index.params["M"]) == ("HNSW", M)


def test_templates_in_what_is_mapped_over(run: Any, clients: dict[str, Client]) -> None:
    client = clients["milvus_other"]
    assert sorted(client.send(indexes.list_("docs_20260307"))) == ["label", "vector"]
    assert client.send(indexes.describe("docs_20260307", "vector"))[0].params["M"] == 12
    assert client.send(indexes.describe("mapped", "vector"))[0].index_type == "FLAT"


def test_rendered_parameters_are_json(run: Any) -> None:
    # Airflow's pages format what is a mapping or a list here, and what is JSON as text.
    hnsw = {"fieldName": "vector", "indexType": "HNSW", "params": {"M": "12", "efConstruction": 64}}
    assert run["rendered"]["everywhere[0]"]["index_params"] == hnsw
    assert run["rendered"]["by_parameters[0]"]["index_params"] == [hnsw, {"fieldName": "label"}]
    text = run["rendered"]["by_parameters[1]"]["index_params"]
    assert json.loads(text) == {"fieldName": "vector", "indexType": "FLAT"}


def test_sensors_and_loading(run: Any, clients: dict[str, Client]) -> None:
    states = {
        (conn_id, database): client.send(collections.load_state("docs")).state
        for conn_id, database in product(clients, DATABASES)
        for client in [within(clients[conn_id], database)]
    }
    loaded, released = "LoadStateLoaded", "LoadStateNotLoad"
    assert states == {
        ("milvus_default", "default"): loaded,
        ("milvus_default", "shop"): loaded,
        ("milvus_other", "default"): released,
        ("milvus_other", "shop"): released,
    }
    assert [run["returned"][f"drop[{number}]"] for number in range(2)] == [True, False]
    assert len([task for task in run["states"] if task.startswith("is_built[")]) == 4
    assert len([task for task in run["states"] if task.startswith("is_loaded[")]) == 2


def test_the_hook_in_a_mapped_task(run: Any) -> None:
    found = [run["returned"][f"look[{number}]"] for number in range(4)]
    assert "docs" in found[0]
    assert found[1:] == [["by_kwargs", "docs"], ["docs", "docs_20260307", "mapped"], ["by_kwargs", "docs"]]


@pytest.mark.parametrize(("number", "tries"), [(0, 1), (1, 2)], ids=["does not pass", "may pass"])
def test_errors_in_tasks_of_ones_own(runs: Any, number: int, tries: int) -> None:
    assert runs["failing"]["states"][f"describe[{number}]"] == "failed"
    assert runs["failing"]["tries"][f"describe[{number}]"] == tries
