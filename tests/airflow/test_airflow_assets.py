"""A DAG that is scheduled on a collection's asset starts when its index is built, and not before."""

from __future__ import annotations

from typing import Any

import pytest
from builds import Builds
from running_airflow import Run, RunningAirflow, seconds


@pytest.fixture(scope="module")
def run(airflow: RunningAirflow) -> Run:
    for dag_id in ("consuming", "consuming_alias", "never"):
        airflow.until(lambda known=dag_id: airflow.api.dag(known), f"DAG {dag_id} is known")  # type: ignore[misc]
        airflow.api.unpause(dag_id)
    return airflow.trigger("producing")


def runs_of(airflow: RunningAirflow, dag_id: str) -> list[str]:
    return [run_id for (run_id,) in airflow.query("SELECT run_id FROM dag_run WHERE dag_id = ?", dag_id)]


def events_of(airflow: RunningAirflow, uri: str) -> list[Any]:
    sql = "SELECT e.id FROM asset_event e JOIN asset a ON a.id = e.asset_id WHERE a.uri = ?"
    return airflow.query(sql, uri)


def consumer(airflow: RunningAirflow, dag_id: str) -> Run:
    airflow.until(lambda: runs_of(airflow, dag_id), f"{dag_id} has a run")
    (run_id,) = runs_of(airflow, dag_id)
    found = Run(airflow, dag_id, run_id)
    found.until("read", "success")
    return found


def test_the_consumer_starts_when_the_index_is_built(airflow: RunningAirflow, builds: Builds, run: Run) -> None:
    run.taken("index")
    builds["producing_index"].advance(900)
    # The other tasks' builds may be over and told: this one's is not.
    assert runs_of(airflow, "consuming") == []
    builds["producing_index"].finish()
    finished = builds["producing_index"].finished_at
    assert finished is not None

    consuming = consumer(airflow, "consuming")

    assert seconds(consuming.task("read"), "start_date") > seconds(run.task("index"), "end_date") >= finished - 0.1
    ((extra,),) = consuming.xcom("read").values()
    assert extra == {"indexes": run.xcom("index")}
    assert extra["indexes"][0]["pending_rows"] == 0


def test_an_alias_becomes_the_collections_own_asset(airflow: RunningAirflow, builds: Builds, run: Run) -> None:
    builds["producing_aliased"].finish()

    consuming = consumer(airflow, "consuming_alias")

    uri = f"milvus://127.0.0.1:{builds.server.port}/default/producing_aliased"
    told = consuming.xcom("read")
    assert told[uri] == [{"indexes": run.xcom("aliased")}]
    assert set(told) <= {uri, "made"}
    assert len(events_of(airflow, uri)) == 1


def test_without_an_outlet_nothing_is_told_and_nothing_fails(builds: Builds, run: Run) -> None:
    builds["producing_alone"].finish()
    run.until("alone", "success")


def test_a_failed_build_starts_nothing(airflow: RunningAirflow, builds: Builds) -> None:
    failing = airflow.trigger("failing")
    failing.taken("index")
    builds["failing_index"].fail("out of disk")
    failing.until("index", "failed")
    # Another producer's event is seen to by now: the scheduler has been by.
    assert runs_of(airflow, "consuming")
    assert runs_of(airflow, "never") == []
    assert events_of(airflow, "milvus://milvus.example.com:19530/default/failing_index") == []
