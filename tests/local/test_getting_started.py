"""docs/getting-started.md: what it says that a log says when something does not work."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_vectordb import health
from airflow_vectordb.cli import main
from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.operators.index import CreateIndexOperator
from airflow_vectordb.rest import Client, IndexSpec, MilvusConfig, collections, indexes
from tests.support.docs_pages import ROOT, table

PAGE = ROOT / "docs" / "getting-started.md"
HNSW = {"fieldName": "vector", "indexType": "HNSW", "params": {"M": 16, "efConstruction": 200}}
#: By the beginning of what the page says: what is done differently, in the connection and in the task.
TROUBLES: dict[str, tuple[dict[str, Any] | None, dict[str, Any]]] = {
    "The conn_id": (None, {}),
    "No connection": ({"port": 1, "extra": {"retries": 0}}, {}),
    "Milvus does not accept": ({"password": "another one"}, {}),
    "Milvus requires credentials": ({"login": None, "password": None}, {}),
    "Collection 'cirle'": ({}, {"collection_name": "cirle"}),
    "invalid index parameters": ({}, {"index_params": {**HNSW, "indexType": "HNWS"}}),
    "another index exists": ({}, {"index_params": {**HNSW, "params": {"M": 32, "efConstruction": 200}}}),
}


@pytest.fixture(scope="module")
def circle() -> Iterator[LocalMilvus]:
    with LocalMilvus() as server:
        with Client(MilvusConfig(server.uri, token=server.token)) as client:
            key = {"fieldName": "degree", "dataType": "Int64", "isPrimary": True}
            vector = {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 2}}
            client.send(collections.create("circle", schema={"fields": [key, vector]}))
            client.send(
                indexes.create(
                    "circle", [IndexSpec("vector", "vector", "HNSW", "COSINE", {"M": 16, "efConstruction": 200})]
                )
            )
        yield server


def test_each_trouble_is_made() -> None:
    rows = table(PAGE, "When it does not work")
    assert [next((name for name in TROUBLES if name in row[0]), row[0]) for row in rows] == list(TROUBLES)


@pytest.mark.parametrize("name", TROUBLES)
def test_the_log_begins_so(name: str, circle: LocalMilvus, monkeypatch: pytest.MonkeyPatch) -> None:
    (row,) = (row for row in table(PAGE, "When it does not work") if name in row[0])
    said = row[0].strip("` ").removesuffix("…").rstrip()
    fields, given = TROUBLES[name]
    port = int(circle.uri.rpartition(":")[2])
    if fields is not None:
        user, _, password = (circle.token or "").partition(":")
        connection = {"conn_type": "milvus", "host": "127.0.0.1", "port": port, "login": user, "password": password}
        monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", json.dumps({**connection, **fields}))
    task = CreateIndexOperator(**{"task_id": "t", "collection_name": "circle", "index_params": HNSW, **given})  # type: ignore[arg-type]
    with pytest.raises(Exception) as caught:
        task.execute({})
    message = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:19530", str(caught.value))
    assert message.startswith(said)


def test_the_check_recognizes_the_local_server(
    circle: LocalMilvus, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(health, "triggerer_problem", lambda: "")
    host = circle.uri.removeprefix("http://")
    monkeypatch.setenv("AIRFLOW_CONN_MILVUS_DEFAULT", f"milvus://{circle.token}@{host}")
    assert main(["check"]) == 0
    assert "version     ok       the local server, " in capsys.readouterr().out
