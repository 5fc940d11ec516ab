"""Readers of an alias see no error and no empty collection while pipelines build a new one, are killed, or fail."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.rest import Client, MilvusConfig, aliases, collections, entities
from airflow_vectordb.rest.errors import MilvusError
from tests.support.airflow_process import AirflowProcess
from tests.support.local_api import connection_to

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).with_name("reindexing")
TASKS = [f"reindex.{name}" for name in ("create", "ingest", "index", "load", "verify", "switch", "drop_old")]
QUERIES_PER_SECOND = 50


@pytest.fixture(scope="module")
def vectors() -> list[list[float]]:
    spec = importlib.util.spec_from_file_location("reindexing", FOLDER / "reindexing.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [row["vector"] for row in module.rows({"rows": 400})]


@pytest.fixture(scope="module")
def config(server: LocalMilvus) -> MilvusConfig:
    return MilvusConfig(server.uri, token=server.token)


@pytest.fixture(scope="module")
def client(config: MilvusConfig) -> Iterator[Client]:
    with Client(config) as made:
        yield made


@dataclass
class Reading:
    """
    What a reader saw.

    :param wrong: answers that had an error, no hits, or not the row that was searched for
    :param answers: how many answers there were
    :param seconds: how long it read
    """

    wrong: list[str] = field(default_factory=list)
    answers: int = 0
    seconds: float = 0.0


@contextmanager
def reading(config: MilvusConfig, alias: str, vectors: list[list[float]]) -> Iterator[Reading]:
    """Search by an alias throughout the block; every answer must be right."""
    seen = Reading()
    over, lock = threading.Event(), threading.Lock()

    def read() -> None:
        due = time.monotonic()
        number = 0
        with Client(config) as client:
            while not over.is_set():
                number = (number + 1) % len(vectors)
                try:
                    (hits,) = client.send(entities.search(alias, [vectors[number]], limit=3), retries=0)
                    found = [hit["id"] for hit in hits]
                    if len(found) != 3 or found[0] != number:
                        seen.wrong.append(f"{number}: {found}")
                except MilvusError as error:
                    seen.wrong.append(str(error))
                with lock:
                    seen.answers += 1
                due += len(threads) / QUERIES_PER_SECOND
                over.wait(max(0.0, due - time.monotonic()))

    threads = [threading.Thread(target=read) for _ in range(2)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        over.set()
        for thread in threads:
            thread.join()
        seen.seconds = time.monotonic() - began
    assert seen.wrong == []
    assert seen.answers > 0.5 * QUERIES_PER_SECOND * seen.seconds, seen


def of_alias(client: Client, alias: str) -> list[str]:
    return sorted(name for name in client.send(collections.list_()) if name.startswith(f"{alias}_"))


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(run_dags: Callable[..., Any]) -> Run:
    def start(dag_id: str, date: str | None = None, **conf: Any) -> dict[str, Any]:
        (found,) = run_dags(FOLDER, [(dag_id, date, conf)])
        return dict(found)

    return start


def test_readers_notice_nothing(run: Run, client: Client, config: MilvusConfig, vectors: list[list[float]]) -> None:
    first = run("reindex_steady")
    assert first["states"] == dict.fromkeys(TASKS, "success")
    assert first["order"] == TASKS
    with reading(config, "steady", vectors) as seen:
        second, third = run("reindex_steady"), run("reindex_steady")
    print(f"{seen.answers} answers in {seen.seconds:.1f} s")

    switched = [found["returned"]["reindex.switch"] for found in (first, second, third)]
    names = [one["collection_name"] for one in switched]
    assert [one["previous"] for one in switched] == [None, *names[:2]]
    assert client.send(aliases.describe("steady")) == names[2]
    assert of_alias(client, "steady") == sorted(names[1:])
    assert third["returned"]["reindex.drop_old"] == {"kept": [names[2], names[1]], "dropped": [names[0]]}
    (event,) = third["asset_events"]
    assert (event["uri"], event["extra"]["switch"]) == ("milvus://localhost:19530/default/steady", switched[2])


def test_killed_at_each_request_of_each_task(
    run: Run,
    airflow: AirflowProcess,
    server: LocalMilvus,
    client: Client,
    config: MilvusConfig,
    vectors: list[list[float]],
) -> None:
    run("reindex_killed")
    before = run("reindex_killed")["returned"]["reindex.switch"]["collection_name"]
    environment = {"AIRFLOW_CONN_MILVUS_DEFAULT": connection_to(server.uri, server.token)}
    with reading(config, "killed", vectors) as seen:
        found, _ = airflow.call("reindex_runs.run_killed", str(FOLDER), "reindex_killed", {}, **environment)
    print(f"{seen.answers} answers in {seen.seconds:.1f} s; kills: {found['kills']}")

    assert found["states"] == dict.fromkeys(TASKS, "success")
    assert set(found["kills"]) == set(TASKS)
    switched = found["returned"]["reindex.switch"]
    assert switched["previous"] == before
    assert client.send(entities.count(switched["collection_name"])) == 400
    assert of_alias(client, "killed") == sorted([before, switched["collection_name"]])


def test_a_check_that_fails_leaves_everything_as_it_was(
    run: Run, client: Client, config: MilvusConfig, vectors: list[list[float]]
) -> None:
    found = run("reindex_rejected")
    assert found["states"] == {
        **dict.fromkeys(TASKS[:4], "success"),
        "reindex.verify": "failed",
        **dict.fromkeys(TASKS[5:], "upstream_failed"),
    }
    assert "rejected" not in client.send(aliases.list_())
    assert len(of_alias(client, "rejected")) == 1  # to be looked at; the next run that succeeds drops it


def test_no_rows_are_not_for_readers(run: Run, client: Client) -> None:
    found = run("reindex_empty", rows=0)
    assert (found["states"]["reindex.verify"], found["states"]["reindex.switch"]) == ("success", "failed")
    assert "empty" not in client.send(aliases.list_())


def test_a_run_that_was_due_earlier_does_not_win(run: Run, client: Client) -> None:
    later = run("reindex_raced", "2099-01-01T00:00:00Z")
    led = later["returned"]["reindex.switch"]["collection_name"]
    earlier = run("reindex_raced")
    assert earlier["states"]["reindex.switch"] == earlier["states"]["reindex.drop_old"] == "skipped"
    assert client.send(aliases.describe("raced")) == led
    assert len(of_alias(client, "raced")) == 2
