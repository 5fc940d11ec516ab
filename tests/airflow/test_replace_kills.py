"""Replacing an index of a loaded collection, the task's process killed after each step, and retried by Airflow."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from random import Random
from threading import Lock
from typing import Any

import pytest

from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.rest import Client, collections, entities, indexes
from tests.support.builds import TOKEN
from tests.support.running_airflow import Run, RunningAirflow
from tests.support.watched_milvus import STEPS, WatchedMilvus

SCHEMA = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 8}},
    ],
}
_NUMBERS = Random(7)
ROWS = [{"id": i, "vector": [_NUMBERS.uniform(-1, 1) for _ in range(8)]} for i in range(500)]
HNSW = {"fieldName": "vector", "metricType": "COSINE", "indexType": "HNSW", "params": {"M": 16, "efConstruction": 64}}


class Proxy(WatchedMilvus):
    """Kills the process that asked, when the server has done what a plan names."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.lock = Lock()
        self.plan: dict[str, list[str]] = {}  # collection -> paths that are yet to end in a kill
        self.killed: dict[str, list[tuple[str, int]]] = {}  # collection -> path and process id of each kill
        self.calls: dict[str, list[str]] = {}  # collection -> paths

    def answered(self, path: str, body: dict[str, Any], peer: int) -> bool:
        collection = body.get("collectionName", "")
        with self.lock:
            self.calls.setdefault(collection, []).append(path)
            left = self.plan.get(collection, [])
            if path not in left:
                return True
            left.remove(path)
            pid = self.owner_of(peer)
            os.kill(pid, signal.SIGKILL)
            self.killed.setdefault(collection, []).append((path, pid))
            return False


@pytest.fixture(scope="module")
def proxy(milvus: LocalMilvus) -> Iterator[Proxy]:
    with Proxy(int(milvus.uri.rpartition(":")[2])) as made:
        yield made


@pytest.fixture(scope="module")
def replacing(airflow: RunningAirflow, proxy: Proxy, client: Client) -> Run:
    """The run: all tasks of it at the same time."""
    login, _, password = TOKEN.partition(":")
    airflow.api.put_connection(
        {
            "connection_id": "milvus_proxied",
            "conn_type": "milvus",
            "host": "127.0.0.1",
            "port": proxy.port,
            "login": login,
            "password": password,
        }
    )
    for step in (*STEPS, "each"):
        name = f"replacing_{step}"
        client.send(collections.create(name, schema=SCHEMA, index_params=[HNSW]))
        client.send(entities.insert(name, ROWS))
        client.send(collections.flush(name))
        assert client.send(collections.load_state(name)).state == "LoadStateLoaded"
        proxy.plan[name] = list(STEPS.values()) if step == "each" else [STEPS[step]]
    return airflow.trigger("replacing")


@pytest.mark.parametrize("step", [*STEPS, "each"])
def test_killed_after(step: str, airflow: RunningAirflow, replacing: Run, proxy: Proxy, client: Client) -> None:
    task_id, name = f"after_{step}", f"replacing_{step}"
    kills = list(STEPS.values()) if step == "each" else [STEPS[step]]
    attempt = 1 + len(kills)
    airflow.until(lambda: replacing.task(task_id)["try_number"] == attempt, f"try {attempt} of {task_id}", 300.0)

    replacing.until(task_id, "success", attempt=attempt)

    assert [path for path, _ in proxy.killed[name]] == kills
    assert len({pid for _, pid in proxy.killed[name]}) == len(kills)
    (index,) = client.send(indexes.describe(name, "vector"))
    assert (str(index.params["M"]), index.state, index.pending_rows) == ("32", "Finished", 0)
    state: Any = client.send(collections.load_state(name))
    assert (state.state, state.progress) == ("LoadStateLoaded", 100)
    (hits,) = client.send(entities.search(name, [ROWS[7]["vector"]], limit=3, params={"ef": 32}))
    assert hits[0]["id"] == 7
    (returned,) = replacing.xcom(task_id)
    assert returned["params"]["M"] == index.params["M"]
    # What is done is not done again, but for the one that the task did not hear of.
    for path in STEPS.values():
        assert proxy.calls[name].count(path) <= 2, path
    assert airflow.query("SELECT key FROM task_state_store WHERE dag_id = 'replacing' AND task_id = ?", task_id) == []


def test_it_was_a_task_that_was_killed(airflow: RunningAirflow, replacing: Run, proxy: Proxy) -> None:
    ours = airflow.pids_of("scheduler")
    killed = [pid for kills in proxy.killed.values() for _, pid in kills]
    assert len(killed) == 8
    assert not set(ours) & set(killed)
    assert "SIGKILL" in replacing.log("after_drop", 1) or "-9" in replacing.log("after_drop", 1)
