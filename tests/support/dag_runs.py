"""What an :class:`AirflowProcess` does with DAG files: parse them, or run DAGs, their tasks in the same process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any
from unittest.mock import patch

import pendulum


def bag_of(path: str) -> Any:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 3.1
        from airflow.models.dagbag import DagBag

    return DagBag(path)


def parse(directory: str) -> dict[str, Any]:
    from airflow.sdk import Asset

    # What every DAG file costs is not counted: the first URI of an asset loads what all providers have for them.
    Asset("any://thing")
    before = set(sys.modules)
    bag = bag_of(directory)
    return {
        "imported": sorted(name for name in set(sys.modules) - before),
        "import_errors": bag.import_errors,
        "warnings": [str(warning) for found in bag.captured_warnings.values() for warning in found],
        "dags": {
            dag.dag_id: {
                "schedule": None if dag.schedule is None else str(dag.schedule),
                "catchup": dag.catchup,
                "tasks": {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks},
                "types": {task.task_id: task.task_type for task in dag.tasks},
            }
            for dag in bag.dags.values()
        },
    }


@cache
def make_database() -> None:
    """Make Airflow's, once."""
    from airflow.utils.db import initdb

    initdb()


@cache
def share_api_server() -> None:
    """Make the API server of tasks once, as Airflow 3.3 does: older ones make it for each task, which takes seconds."""
    from airflow.sdk.execution_time import supervisor

    if not hasattr(supervisor.in_process_api_server, "cache_clear"):
        supervisor.in_process_api_server = cache(supervisor.in_process_api_server)


@contextmanager
def dags_folder(path: str) -> Iterator[None]:
    """Have Airflow's DAGs in a directory, or in a file: ``dag.test()`` parses and stores all that there are."""
    from airflow import settings

    make_database()
    share_api_server()
    variable = patch.dict(os.environ, AIRFLOW__CORE__DAGS_FOLDER=path)
    with variable, patch.object(settings, "DAGS_FOLDER", path):
        yield


@contextmanager
def retries_at_once() -> Iterator[dict[int, list[Any]]]:
    """
    Wait for no retry.

    :return: after how many seconds Airflow would have started the next try, and why, by the number of the one before
    """
    from airflow.models.taskinstance import TaskInstance

    due = TaskInstance.next_retry_datetime
    found: dict[int, list[Any]] = {}

    def at_once(instance: TaskInstance) -> datetime:
        assert instance.end_date is not None
        pause = (due(instance) - instance.end_date).total_seconds()
        found[instance.try_number] = [pause, getattr(instance, "retry_reason", None)]
        return instance.end_date

    with patch.object(TaskInstance, "next_retry_datetime", at_once):
        yield found


def run(directory: str, runs: list[tuple[str, str | None, dict[str, Any]]]) -> list[dict[str, Any]]:
    """
    Run DAGs, one after the other (``dag.test()``).

    :param directory: where their files are
    :param runs: id, date of a scheduled run (None: as the API starts one), and conf
    """
    files = {dag_id: dag.fileloc for dag_id, dag in bag_of(directory).dags.items()}
    found = []
    for dag_id, date, conf in runs:
        with dags_folder(files[dag_id]), retries_at_once():
            # Parsed again for each run: a run's conf stays in the params of the DAG that it was given to.
            dag = bag_of(files[dag_id]).dags[dag_id]
            found.append(run_one(dag, date and pendulum.parse(date), conf))
    return found


def run_one(dag: Any, date: Any, conf: dict[str, Any]) -> dict[str, Any]:
    from airflow.models.asset import AssetEvent
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    from airflow_vectordb.waiting import indexes

    indexes.SETTLING_TIME = 0.5  # seconds: the server of these tests counts rows immediately
    dag_run = dag.test(run_after=date, logical_date=date, run_conf=conf)
    with create_session() as session:
        instances = dag_run.get_task_instances(session=session)
        where = {"dag_id": dag.dag_id, "run_id": dag_run.run_id}
        xcoms = session.query(XComModel).filter_by(**where, key="return_value")
        fields = session.query(RenderedTaskInstanceFields).filter_by(**where)
        return {
            "state": dag_run.state,
            "run_after": dag_run.run_after.strftime("%Y-%m-%dT%H:%M:%S.%f"),
            "states": {label(instance): instance.state for instance in instances},
            "tries": {label(instance): instance.try_number for instance in instances},
            "order": [label(i) for i in sorted((i for i in instances if i.start_date), key=lambda i: i.start_date)],
            "returned": {label(xcom): XComModel.deserialize_value(xcom) for xcom in xcoms},
            "rendered": {label(field): field.rendered_fields for field in fields},
            "asset_events": [
                {"uri": event.asset.uri, "extra": event.extra}
                for event in session.query(AssetEvent).filter_by(source_dag_id=dag.dag_id, source_run_id=dag_run.run_id)
            ],
        }


def label(of: Any) -> str:
    """Name a task instance, or what belongs to one."""
    return of.task_id if of.map_index < 0 else f"{of.task_id}[{of.map_index}]"
