"""Replacing an index of a loaded collection, the task's process killed after each step, and retried by Airflow."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Lock, Thread
from typing import Any

import pytest

from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.rest import Client, MilvusConfig, collections, entities, indexes
from tests.support.running_airflow import Run, RunningAirflow

TOKEN = "root:kill me not"
STEPS = {
    "release": "collections/release",
    "drop": "indexes/drop",
    "create": "indexes/create",
    "load": "collections/load",
}
SCHEMA = {
    "fields": [
        {"fieldName": "id", "dataType": "Int64", "isPrimary": True},
        {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 8}},
    ],
}
_NUMBERS = Random(7)
ROWS = [{"id": i, "vector": [_NUMBERS.uniform(-1, 1) for _ in range(8)]} for i in range(500)]
HNSW = {"fieldName": "vector", "metricType": "COSINE", "indexType": "HNSW", "params": {"M": 16, "efConstruction": 64}}


class Proxy(ThreadingHTTPServer):
    """
    Stands between tasks and a server. When the server has done what a plan names, it kills the process that asked.

    :param port: the server's
    """

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = port
        self.lock = Lock()
        self.plan: dict[str, list[str]] = {}  # collection -> paths that are yet to end in a kill
        self.killed: dict[str, list[tuple[str, int]]] = {}  # collection -> path and process id of each kill
        self.calls: dict[str, list[str]] = {}  # collection -> paths

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def answered(self, collection: str, path: str, peer: int) -> bool:
        """Kill whoever is at the other end, if that is planned; return whether it was."""
        with self.lock:
            self.calls.setdefault(collection, []).append(path)
            left = self.plan.get(collection, [])
            if path not in left:
                return False
            left.remove(path)
            pid = owner_of(peer, self.port)
            os.kill(pid, signal.SIGKILL)
            self.killed.setdefault(collection, []).append((path, pid))
            return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream, timeout=60)
        try:
            upstream.request("POST", self.path, body, dict(self.headers))
            response = upstream.getresponse()
            answer = response.read()
        finally:
            upstream.close()
        collection = json.loads(body).get("collectionName", "")
        if self.server.answered(collection, self.path.removeprefix("/v2/vectordb/"), self.client_address[1]):
            self.close_connection = True
            return
        self.send_response(response.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


def owner_of(port: int, to: int) -> int:
    """Find the process that has the connection from one port of this machine to another."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ends = [int(fields[at].rpartition(":")[2], 16) for at in (1, 2)]
        if ends == [port, to]:
            socket = f"socket:[{fields[9]}]"
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit() and int(entry.name) != os.getpid() and _has(entry, socket):
                    return int(entry.name)
    raise LookupError(f"nobody on this machine has the connection from {port} to {to}")


def _has(process: Path, socket: str) -> bool:
    try:
        return any(os.readlink(fd) == socket for fd in (process / "fd").iterdir())
    except OSError:  # it has ended, or is not ours
        return False


@pytest.fixture(scope="module")
def milvus() -> Iterator[LocalMilvus]:
    with LocalMilvus(token=TOKEN) as running:
        yield running


@pytest.fixture(scope="module")
def client(milvus: LocalMilvus) -> Iterator[Client]:
    with Client(MilvusConfig(milvus.uri, token=TOKEN)) as made:
        yield made


@pytest.fixture(scope="module")
def proxy(milvus: LocalMilvus) -> Iterator[Proxy]:
    with Proxy(int(milvus.uri.rpartition(":")[2])) as made:
        thread = Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


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
