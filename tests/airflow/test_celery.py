"""CeleryExecutor with PostgreSQL and Redis: workers and a triggerer are killed, both services restarted."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Event, Lock
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from airflow_vectordb.demo.home import Home
from airflow_vectordb.demo.processes import Processes
from airflow_vectordb.local import LocalMilvus
from airflow_vectordb.rest import Client, collections, entities, indexes
from tests.support.builds import TOKEN, Builds
from tests.support.celery_airflow import CONCURRENCY, TRIGGERERS, WORKERS, CeleryAirflow, what_is_missing
from tests.support.editions import missing
from tests.support.running_airflow import Run, processes_of, seconds
from tests.support.watched_milvus import STEPS, WatchedMilvus

FILES, ROWS, BATCH = 16, 1_000, 100
#: Seconds for what begins with a task that is given up, after 20 s without a heartbeat.
LONG = 300.0
VECTOR = {"fieldName": "vector", "dataType": "FloatVector", "elementTypeParams": {"dim": 8}}
NUMBER = {"fieldName": "id", "dataType": "Int64", "isPrimary": True}
NAME = {"fieldName": "name", "dataType": "VarChar", "elementTypeParams": {"max_length": 16}}
SCHEMAS: dict[str, dict[str, Any]] = {
    "keys": {"fields": [NUMBER, VECTOR]},
    "names": {"autoID": True, "fields": [NUMBER, NAME, VECTOR]},
}
HNSW = {"fieldName": "vector", "metricType": "COSINE", "indexType": "HNSW", "params": {"M": 16, "efConstruction": 64}}
_RANDOM = Random(12)


def vectors(count: int) -> list[list[float]]:
    return [[_RANDOM.uniform(-1, 1) for _ in range(8)] for _ in range(count)]


@dataclass
class Held:
    """A request that was done and not answered: what it was about, and the process that waits for its answer."""

    collection: str
    path: str
    first: int | None  # number of the first row
    pid: int


class Watched(WatchedMilvus):
    """Holds back the answers of requests that a test chooses, and counts those that write."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.lock = Lock()
        self.held: list[Held] = []
        self.written: Counter[tuple[str, int]] = Counter()  # requests, by collection and number of their first row
        self.calls: list[tuple[str, str]] = []  # path and collection
        self._chooses: Callable[[str, str, int | None], bool] = lambda collection, path, first: False
        self._released = Event()

    def answered(self, path: str, body: dict[str, Any], peer: int) -> bool:
        collection, first = body.get("collectionName", ""), None
        with self.lock:
            self.calls.append((path, collection))
            if path in ("entities/insert", "entities/upsert"):
                row = body["data"][0]
                first = int(row.get("id", row.get("name")))
                self.written[collection, first] += 1
            released, is_chosen = self._released, self._chooses(collection, path, first)
            if is_chosen:
                self.held.append(Held(collection, path, first, self.owner_of(peer)))
        if is_chosen:
            released.wait()
        return True

    def hold(self, chooses: Callable[[str, str, int | None], bool]) -> None:
        """Hold back answers from now on."""
        with self.lock:
            self.held, self._chooses, self._released = [], chooses, Event()

    def release(self) -> None:
        """Pass on what was held back, and all that comes."""
        with self.lock:
            self._chooses = lambda collection, path, first: False
            self._released.set()


@pytest.fixture(scope="module", autouse=True)
def services() -> None:
    """Skip these tests where there is no PostgreSQL or Redis."""
    if absent := what_is_missing():
        missing(f"not there: {absent}")


@pytest.fixture(scope="module")
def watched(milvus: LocalMilvus) -> Iterator[Watched]:
    with Watched(int(milvus.uri.rpartition(":")[2])) as made:
        yield made
        made.release()


@pytest.fixture(scope="module")
def celery(watched: Watched, builds: Builds, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CeleryAirflow]:
    """Airflow, all of it. When the tests are over, nothing of it is left."""
    login, _, password = TOKEN.partition(":")
    connection = {"conn_type": "milvus", "host": "127.0.0.1", "login": login, "password": password}
    path = tmp_path_factory.mktemp("celery") / "home"
    # Not below pytest's directory, which only its owner may enter.
    with tempfile.TemporaryDirectory(prefix="airflow-vectordb-") as data:
        with Home(path, fresh=True) as home, Processes(home) as processes:
            airflow = CeleryAirflow(processes, Path(data), Path(__file__).with_name("dags_celery"))
            airflow.bring_up({**connection, "connection_id": "milvus_default", "port": builds.server.port}, {})
            # What is held back may take longer than the 30 s after which the client would ask again; a retry waits as
            # long for what was lost.
            airflow.api.put_connection(
                {**connection, "connection_id": "milvus_watched", "port": watched.port, "extra": '{"timeout": 120}'}
            )
            yield airflow
        assert processes_of(path) == processes_of(Path(data)) == {}


@dataclass
class Loaded:
    """A run that came to its end, and what was done to it."""

    run: Run
    lost: list[Held]  # requests whose tasks were killed with their worker
    triggerers: tuple[int | None, int | None]


@pytest.fixture(scope="module")
def loaded(celery: CeleryAirflow, watched: Watched, builds: Builds, client: Client) -> Loaded:
    files = celery.home.airflow / "files"
    files.mkdir()
    for number in range(FILES):
        ids = range(number * ROWS, (number + 1) * ROWS)
        columns = {"id": ids, "name": [f"{key:05}" for key in ids], "vector": vectors(ROWS)}
        parquet.write_table(pyarrow.table(columns), files / f"{number:02}.parquet")
    for kind, schema in SCHEMAS.items():
        client.send(collections.create(f"loading_{kind}", schema=schema, index_params=[HNSW]))

    watched.hold(lambda collection, path, first: first is not None and first % ROWS == 4 * BATCH)
    run = celery.trigger("loading")
    before = run.taken("wait").triggerer
    slots = len(WORKERS) * CONCURRENCY
    celery.until(lambda: len(watched.held) == slots, "all slots have written half of a file", about=watched.held)
    # In the middle: batches are written and not acknowledged, on this worker some of both kinds.
    worker = celery.worker_of(next(held.pid for held in watched.held if held.collection == "loading_names"))
    ours = celery.pids_of(worker)
    lost = [held for held in watched.held if held.pid in ours]
    celery.kill(worker)
    watched.release()
    celery.start(worker)

    celery.kill(triggerer := celery.connected_to(builds.server.port, TRIGGERERS))
    after = run.taken("wait", but=before).triggerer
    celery.start(triggerer)

    for service, first_file in (("redis", 4), ("postgresql", 8)):
        watched.hold(
            lambda collection, path, first, upto=first_file * ROWS: (
                first is not None and first >= upto and first % ROWS == 6 * BATCH
            )
        )
        celery.until(lambda: len(watched.held) >= 2, "two later tasks are in the middle", LONG, about=watched.held)
        celery.stop_service(service)
        if service == "postgresql":
            celery.until(lambda: "scheduler" in celery.started_again, "the scheduler ends for want of its database")
        celery.start(service)
        celery.until(celery.services_answer, f"{service} answers again")
        watched.release()

    builds["loading_wait"].finish()
    celery.until(lambda: celery.api.run_state("loading", run.run_id) in ("success", "failed"), "the run ends", LONG)
    return Loaded(run, lost, (before, after))


def test_the_run_succeeds(celery: CeleryAirflow, loaded: Loaded) -> None:
    states = Counter(
        (task["task_id"], task["state"]) for task in celery.api.task_instances("loading", loaded.run.run_id)
    )
    assert states == {
        ("find", "success"): 1,
        ("load_keys", "success"): FILES,
        ("load_names", "success"): FILES,
        ("count", "success"): 1,
        ("wait", "success"): 1,
    }
    assert loaded.run.xcom("count") == {"keys": FILES * ROWS, "names": FILES * ROWS}


@pytest.mark.parametrize(("kind", "field"), [("keys", "id"), ("names", "name")])
def test_each_row_is_there_once(client: Client, loaded: Loaded, kind: str, field: str) -> None:
    rows = client.send(
        entities.query(
            f"loading_{kind}",
            filter="id >= 0",
            output_fields=[field],
            limit=FILES * ROWS + 300,
            params={"consistencyLevel": "Strong"},
        )
    )
    assert sorted(int(row[field]) for row in rows) == list(range(FILES * ROWS))


def test_what_was_lost_was_sent_again_only_where_keys_tell(
    loaded: Loaded, watched: Watched, record_property: Callable[[str, object], None]
) -> None:
    assert {held.collection for held in loaded.lost} == {"loading_keys", "loading_names"}
    for held in loaded.lost:
        requests = watched.written[held.collection, held.first or 0]
        assert requests >= 2 if held.collection == "loading_keys" else requests == 1, held
    repeated = {kind: sum(n - 1 for (name, _), n in watched.written.items() if name.endswith(kind)) for kind in SCHEMAS}
    record_property("repeated_requests", repeated)
    print(f"requests that were repeated: {repeated}")
    assert repeated["names"] == 0


def test_a_wait_outlives_its_triggerer(loaded: Loaded, builds: Builds) -> None:
    before, after = loaded.triggerers
    assert before != after
    assert builds["loading_wait"].count("indexes/create") == 1
    assert loaded.run.task("wait")["try_number"] == 1


@pytest.fixture(scope="module")
def replaced(celery: CeleryAirflow, loaded: Loaded, watched: Watched, client: Client) -> Run:
    for step in STEPS:
        name = f"replacing_{step}"
        client.send(collections.create(name, schema=SCHEMAS["keys"], index_params=[HNSW]))
        rows = [{"id": key, "vector": vector} for key, vector in enumerate(vectors(500))]
        client.send(entities.insert(name, rows))
        client.send(collections.flush(name))
    wanted = {(f"replacing_{step}", path) for step, path in STEPS.items()}
    watched.hold(lambda collection, path, first: (collection, path) in wanted)
    run = celery.trigger("replacing")
    celery.until(lambda: len(watched.held) == len(STEPS), "each task has done its step", about=watched.held)
    for worker in {celery.worker_of(held.pid) for held in watched.held}:
        celery.kill(worker)
        celery.start(worker)
    watched.release()
    celery.until(lambda: celery.api.run_state("replacing", run.run_id) in ("success", "failed"), "it ends", LONG)
    return run


@pytest.mark.parametrize("step", STEPS)
def test_an_index_is_replaced_though_the_worker_is_lost_after(
    step: str, replaced: Run, watched: Watched, client: Client
) -> None:
    name = f"replacing_{step}"
    replacing, look = replaced.task(f"after_{step}"), replaced.task(f"look_{step}")
    assert (replacing["state"], replacing["try_number"]) == ("success", 2), replaced.log(f"after_{step}", 2)
    assert (look["state"], look["try_number"]) == ("success", 1)

    # Nothing that comes after it began before it ended.
    assert seconds(look, "start_date") >= seconds(replacing, "end_date")
    seen = replaced.xcom(f"look_{step}")
    assert (str(seen["index"]["params"]["M"]), seen["index"]["state"]) == ("32", "Finished")
    assert (seen["load"]["state"], seen["load"]["progress"]) == ("LoadStateLoaded", 100)

    (index,) = client.send(indexes.describe(name, "vector"))
    assert (str(index.params["M"]), index.state, index.pending_rows) == ("32", "Finished", 0)
    for path in STEPS.values():
        assert 1 <= watched.calls.count((path, name)) <= 2, path
