"""A deferred task under a real scheduler: what it holds while it waits, what it shows, and what comes after it."""

from __future__ import annotations

import json

import pytest

from tests.support.builds import NEEDLE, ROWS, Build, Builds
from tests.support.running_airflow import Run, RunningAirflow, now, seconds


@pytest.fixture(scope="module")
def run(airflow: RunningAirflow, killed: Run, sensed: Run) -> Run:
    """The run; those of later tests are on their way meanwhile."""
    return airflow.trigger("deferral")


@pytest.fixture(scope="module")
def build(builds: Builds) -> Build:
    return builds["deferral_index"]


def test_a_deferred_task_holds_no_slot(airflow: RunningAirflow, run: Run, build: Build) -> None:
    run.until("index", "deferred")
    # It needs the one slot that the other has had.
    meanwhile = run.until("meanwhile", "success")
    airflow.until(lambda: airflow.pool("narrow")["occupied_slots"] == 0, "nothing occupies the pool")
    pool = airflow.pool("narrow")
    assert (pool["slots"], pool["occupied_slots"], pool["deferred_slots"]) == (1, 0, 1)
    ((state, name, trigger),) = airflow.query(
        "SELECT state, pool, trigger_id FROM task_instance WHERE run_id = ? AND task_id = 'index'", run.run_id
    )
    assert (state, name) == ("deferred", "narrow")
    row = run.taken("index")
    assert (row.id, row.classpath) == (trigger, "airflow_vectordb.triggers.milvus.MilvusTrigger")
    # It was first, so that the other had something to wait for.
    assert seconds(run.task("index"), "start_date") < seconds(meanwhile, "start_date")
    assert run.state("after") is None
    assert build.count("indexes/create") == 1


def test_its_log_shows_progress_and_no_token(airflow: RunningAirflow, run: Run, build: Build) -> None:
    run.taken("index")
    for rows, share in ((400, "40%"), (900, "90%")):
        build.advance(rows)
        line = f"deferral_index/vector: {rows} of {ROWS:,} rows ({share})"
        airflow.until(lambda text=line: text in run.log("index"), f"the log shows {line!r}")  # type: ignore[misc]
    log = run.log("index")
    assert "Waiting in the triggerer for index 'vector' of collection 'deferral_index'" in log
    assert NEEDLE not in log
    assert run.state("index") == "deferred"


def test_its_trigger_has_no_secret(run: Run) -> None:
    row = run.trigger("index")
    assert row is not None
    assert json.loads(row.kwargs)["milvus_conn_id"] == "milvus_default"
    assert NEEDLE not in row.kwargs
    assert "root" not in row.kwargs
    assert "127.0.0.1" not in row.kwargs


def test_the_default_is_airflows(airflow: RunningAirflow, builds: Builds, run: Run) -> None:
    assert airflow.env["AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE"] == "True"
    run.until("untold", "deferred")
    run.left("untold")
    builds["deferral_untold"].finish()
    run.until("untold", "success")


def test_what_comes_after_it_comes_after_the_build(airflow: RunningAirflow, run: Run, build: Build) -> None:
    looks = build.count("indexes/describe")
    airflow.until(lambda: build.count("indexes/describe") >= looks + 3, "three more looks at the server")
    assert (run.state("index"), run.state("after")) == ("deferred", None)
    build.finish()
    index, after = run.until("index", "success"), run.until("after", "success")
    assert build.finished_at is not None
    assert build.finished_at <= seconds(index, "end_date") <= seconds(after, "start_date") <= now()
    assert build.count("indexes/create") == 1


def test_its_result_is_what_the_server_says(run: Run) -> None:
    assert run.xcom("index") == [
        {
            "collection_name": "deferral_index",
            "index_name": "vector",
            "field_name": "vector",
            "index_type": "HNSW",
            "metric_type": "COSINE",
            "state": "Finished",
            "total_rows": ROWS,
            "indexed_rows": ROWS,
            "pending_rows": 0,
            "params": {"M": 16, "efConstruction": 200},
        }
    ]
