"""A DAG that is scheduled on a collection's asset starts when its index is built, and not before."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.builds import Builds
from tests.support.running_airflow import Run, RunningAirflow, seconds


@pytest.fixture(scope="module")
def run(airflow: RunningAirflow) -> Run:
    for dag_id in ("consuming", "consuming_alias", "never"):
        airflow.until(lambda known=dag_id: airflow.api.is_known(known), f"DAG {dag_id} is known")  # type: ignore[misc]
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


def test_without_an_outlet_there_is_no_event_and_nothing_fails(
    airflow: RunningAirflow, builds: Builds, run: Run
) -> None:
    builds["producing_alone"].finish()
    run.until("alone", "success")
    assert events_of(airflow, f"milvus://127.0.0.1:{builds.server.port}/default/producing_alone") == []


def test_a_failed_build_starts_nothing(airflow: RunningAirflow, builds: Builds) -> None:
    failing = airflow.trigger("failing")
    failing.taken("index")
    builds["failing_index"].fail("out of disk")
    failing.until("index", "failed")
    # Another producer's event is seen to by now: the scheduler has been by.
    assert runs_of(airflow, "consuming")
    assert runs_of(airflow, "never") == []
    assert events_of(airflow, "milvus://milvus.example.com:19530/default/failing_index") == []


def outputs(airflow: RunningAirflow, task_id: str) -> list[tuple[str, str]]:
    """The datasets that OpenLineage says a task has written, once it has said that the task is over."""
    found: list[dict[str, Any]] = []

    def told() -> bool:
        # A line that is being written has no end yet.
        lines = airflow.lineage.read_text().splitlines(keepends=True) if airflow.lineage.exists() else []
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        found[:] = [e for e in events if (e["job"]["name"], e["eventType"]) == (f"producing.{task_id}", "COMPLETE")]
        return bool(found)

    airflow.until(told, f"OpenLineage tells the end of {task_id}")
    return [(dataset["namespace"], dataset["name"]) for dataset in found[0]["outputs"]]


@pytest.mark.parametrize("task_id", ["index", "aliased", "alone"])
def test_openlineage_is_told_of_the_collection(task_id: str, airflow: RunningAirflow, builds: Builds, run: Run) -> None:
    builds[f"producing_{task_id}"].finish()
    run.until(task_id, "success")

    assert (f"milvus://127.0.0.1:{builds.server.port}", f"default.producing_{task_id}") in outputs(airflow, task_id)
