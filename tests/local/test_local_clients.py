"""Many clients at once: nobody fails, nobody waits for ever, no row is lost."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_vectordb.local import LocalMilvus
from tests.support.local_api import SCHEMA, Api, Json

Connect = Callable[[LocalMilvus], Api]
CLIENTS = 32
ROUNDS = 8
NAMES = [f"many{i}" for i in range(4)]
# What no client has to wait for, even on a machine that is busy otherwise.
PATIENCE = 120.0


def at_once(work: Callable[[int], None], count: int) -> None:
    """Run ``work`` in so many threads that begin at the same moment; all must end, and none may fail."""
    failures: list[Exception] = []
    gate = threading.Barrier(count)

    def run(number: int) -> None:
        gate.wait()
        try:
            work(number)
        except Exception as error:  # noqa: BLE001 - told below, in the test's own thread
            failures.append(error)

    # Daemons: what hangs must not keep the tests from ending.
    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    stuck = sum(thread.is_alive() for thread in threads)
    assert not stuck, f"{stuck} of {count} clients wait for ever, {failures[:3]}"
    assert failures == []


@pytest.fixture
def clients(server: LocalMilvus, connect: Connect) -> list[Api]:
    return [connect(server) for _ in range(CLIENTS)]


@pytest.fixture
def collections(api: Api) -> Iterator[list[str]]:
    """Four, loaded, with a dense and a sparse index each."""
    for name in NAMES:
        indexes = [{"fieldName": "v", "metricType": "L2"}, {"fieldName": "s"}]
        api.ok("collections/create", collectionName=name, schema=SCHEMA, indexParams=indexes)
    yield NAMES
    for name in NAMES:
        for alias in api.ok("aliases/list", collectionName=name):
            api.ok("aliases/drop", aliasName=alias)
        api.ok("collections/drop", collectionName=name)


def row(key: int, rank: int = 0) -> Json:
    return {
        "id": key,
        "v": [key % 97, 1, rank, 0],
        "s": {"1": 1.0, str(key + 2): 0.5},
        "label": f"r{key}",
        "rank": rank,
    }


@pytest.mark.slow
def test_thirty_two_clients_read_and_write_four_collections(
    api: Api, clients: list[Api], collections: list[str], connect: Connect
) -> None:
    """Each client has its own keys, so that it knows what it must find, whatever the others do."""

    def work(number: int) -> None:
        client = clients[number]
        for turn in range(ROUNDS):
            name = collections[(number + turn) % len(collections)]
            keys = [number * 1000 + turn * 10 + i for i in range(6)]
            body: Json = {"collectionName": name}
            assert client.ok("entities/insert", **body, data=[row(key) for key in keys])["insertIds"] == keys
            client.ok("entities/upsert", **body, data=[row(key, 7) for key in keys[3:]])
            client.ok("entities/delete", **body, filter=f"id in {keys[:1]}")
            found = client.ok("entities/get", **body, id=keys, outputFields=["label", "rank"])
            assert found == [{"id": k, "label": f"r{k}", "rank": 7 if k in keys[3:] else 0} for k in keys[1:]]
            hits = client.ok("entities/search", **body, annsField="v", data=[row(keys[4], 7)["v"]] * 2, limit=5)
            assert len(hits) == 10
            assert hits[:5] == hits[5:]
            assert client.ok("entities/search", **body, annsField="s", data=[{str(keys[4] + 2): 1}])[0]["id"] == keys[4]
            query = client.ok("entities/query", **body, filter=f"id >= {keys[0]} and id <= {keys[-1]}")
            assert [entry["id"] for entry in query] == keys[1:]
            if turn % 4 == number % 4:
                client.ok("collections/flush", **body)
                assert client.ok("collections/get_stats", **body)["rowCount"] > 0
            told = client.ok("indexes/describe", **body, indexName="v")
            assert [index["indexState"] for index in told] == ["Finished"]

    started = time.monotonic()
    at_once(work, CLIENTS)
    seconds = time.monotonic() - started
    found: Counter[int] = Counter()
    for name in collections:
        found.update(r["id"] for r in api.ok("entities/query", collectionName=name, outputFields=["id"], limit=16384))
    wanted = {client * 1000 + turn * 10 + i for client in range(CLIENTS) for turn in range(ROUNDS) for i in range(1, 6)}
    assert found == Counter(wanted)
    print(f"{CLIENTS} clients, {len(wanted)} rows, {seconds:.1f} s")


def test_collections_come_and_go_beside_readers(api: Api, clients: list[Api], collections: list[str]) -> None:
    """Half of the clients make, fill and drop collections of their own; the others look at all that is there."""
    api.ok("entities/insert", collectionName=collections[0], data=[row(1)])

    def work(number: int) -> None:
        client = clients[number]
        if number % 2:
            for _ in range(10):
                assert set(collections) <= set(client.ok("collections/list"))
                client.ok("aliases/list")
                client.ok("databases/list")
                (found,) = client.ok("entities/query", collectionName=collections[0], outputFields=["label"])
                assert found == {"id": 1, "label": "r1"}
            return
        for turn in range(2):
            name = f"own{number}_{turn}"
            client.ok("collections/create", collectionName=name, dimension=2)
            client.ok("aliases/create", collectionName=name, aliasName=f"alias{number}")
            client.ok("entities/insert", collectionName=f"alias{number}", data=[{"id": number, "vector": [1, 2]}])
            assert [hit["id"] for hit in client.ok("entities/search", collectionName=name, data=[[1, 2]])] == [number]
            client.ok("collections/release", collectionName=name)
            client.ok("indexes/drop", collectionName=name, indexName="vector")
            client.ok("aliases/drop", aliasName=f"alias{number}")
            client.ok("collections/drop", collectionName=name)

    at_once(work, CLIENTS)
    assert not [name for name in api.ok("collections/list") if name.startswith("own")]
    assert not [name for name in api.ok("aliases/list") if name.startswith("alias")]


def test_the_same_asked_for_at_the_same_moment_is_done_once(api: Api, clients: list[Api], name: str) -> None:
    """Collection, index, load, release and drop: all of them idempotent."""
    index = {"fieldName": "v", "indexName": "one", "indexType": "HNSW", "metricType": "IP", "params": {"M": 8}}
    body: Json = {"collectionName": name}
    steps: list[tuple[str, Json]] = [
        ("collections/create", {**body, "schema": SCHEMA}),
        ("indexes/create", {**body, "indexParams": [index, {"fieldName": "s"}]}),
        ("collections/load", body),
        ("collections/release", body),
        ("indexes/drop", {**body, "indexName": "one"}),
        ("collections/drop", body),
    ]
    seen: list[Any] = []
    for path, asked in steps:

        def work(number: int, path: str = path, asked: Json = asked) -> None:
            assert clients[number].post(path, asked).json() == {"code": 0, "data": {}}, path

        at_once(work, CLIENTS)
        if api.ok("collections/has", **body)["has"]:
            state = api.ok("collections/get_load_state", **body)["loadState"]
            seen.append((sorted(api.ok("indexes/list", **body)), state == "LoadStateLoaded"))
        else:
            seen.append(None)
    both = ["one", "s"]
    assert seen == [([], False), (both, False), (both, True), (both, False), (["s"], False), None]


def test_of_two_different_ones_at_the_same_moment_one_is_made(api: Api, clients: list[Api], name: str) -> None:
    """Exactly one wins, and the others are told."""
    codes: list[int] = []

    def create(number: int) -> None:
        body = {"collectionName": name, "dimension": 4 + number}
        codes.append(clients[number].post("collections/create", body).json()["code"])

    at_once(create, CLIENTS)
    assert sorted(codes) == [0] + [65535] * (CLIENTS - 1)

    codes.clear()

    def alias(number: int) -> None:
        body = {"collectionName": name, "aliasName": "wanted"}
        codes.append(clients[number].post("aliases/create", body).json()["code"])

    at_once(alias, CLIENTS)
    assert codes == [0] * CLIENTS  # the same alias of the same collection
    assert api.ok("aliases/list", collectionName=name) == ["wanted"]
