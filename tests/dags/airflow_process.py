"""Run as a program, in a process with an AIRFLOW_HOME of its own: parses or runs DAG files and prints JSON.

``parse DIRECTORY``: what the DAG processor would find.
``run DIRECTORY RUNS``: runs of DAGs, one after the other, their tasks in this process (``dag.test()``). RUNS is a JSON
list of ``[DAG_ID, DATE, CONF]``. DATE: that of a scheduled run; null: none, as the API starts a run.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import pendulum


def bag_of(path: str) -> Any:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 3.1
        from airflow.models.dagbag import DagBag

    return DagBag(path)


def parse(directory: str) -> dict[str, Any]:
    import airflow.sdk  # noqa: F401 - what every DAG file costs is not counted

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


def run(directory: str, runs: str) -> list[dict[str, Any]]:
    from airflow.utils.db import initdb

    initdb()
    # Parsed anew for each run: a run's conf stays in the params of the DAG that it was given to.
    return [
        run_one(bag_of(directory).dags[dag_id], date and pendulum.parse(date), conf)
        for dag_id, date, conf in json.loads(runs)
    ]


def run_one(dag: Any, date: Any, conf: dict[str, Any]) -> dict[str, Any]:
    from airflow.models.asset import AssetEvent
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    from airflow_vectordb.waiting import sealed_rows

    sealed_rows.SETTLING_TIME = 0.5  # seconds: the server of these tests counts rows immediately
    dag_run = dag.test(run_after=date, logical_date=date, run_conf=conf)
    with create_session() as session:
        instances = dag_run.get_task_instances(session=session)
        xcoms = session.query(XComModel).filter(XComModel.run_id == dag_run.run_id, XComModel.key == "return_value")
        fields = session.query(RenderedTaskInstanceFields).filter(RenderedTaskInstanceFields.run_id == dag_run.run_id)
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
                for event in session.query(AssetEvent).filter(AssetEvent.source_run_id == dag_run.run_id)
            ],
        }


def label(of: Any) -> str:
    """Name a task instance, or what belongs to one."""
    return of.task_id if of.map_index < 0 else f"{of.task_id}[{of.map_index}]"


if __name__ == "__main__":
    outcome = {"parse": parse, "run": run}[sys.argv[1]](*sys.argv[2:])
    print("\n" + json.dumps(outcome))
