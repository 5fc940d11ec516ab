"""The hook in tasks of one's own: what it returns goes to another task, and what was not sent is in the log."""

from __future__ import annotations

import re

from tests.support.builds import Builds
from tests.support.running_airflow import RunningAirflow


def test_results_and_calls(airflow: RunningAirflow) -> None:
    run = airflow.trigger("passing")
    run.until("read", "success")
    assert run.xcom("read") == ["id", "vector", "sparse", "label"]
    run.until("forget", "success")
    assert re.search("collections/load.*forgotten.* was made and never sent", run.log("forget"))


def test_a_task_that_defers_without_a_triggerer_says_so(airflow: RunningAirflow, builds: Builds) -> None:
    health = lambda: airflow.api.call("GET", "/api/v2/monitor/health")["triggerer"]["status"]  # noqa: E731
    airflow.until(lambda: health() == "healthy", "the triggerer is there")
    airflow.kill("triggerer")
    airflow.until(lambda: health() != "healthy", "Airflow believes the triggerer dead")
    alone = airflow.trigger("alone")
    alone.until("index", "deferred")
    airflow.start("triggerer")
    airflow.until(lambda: health() == "healthy", "the triggerer is back")
    builds["alone_index"].finish()
    alone.until("index", "success")
    log = alone.log("index")
    assert "No triggerer is alive, by Airflow's health (unhealthy, last heartbeat 20" in log
    assert "airflow triggerer" in log
