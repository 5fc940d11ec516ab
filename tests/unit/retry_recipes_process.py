"""Run as a program, in a process with an AIRFLOW_HOME of its own: runs DAGs whose tasks are retried, and prints JSON.

The argument is a JSON file: a list of ``{"path": DAG file, "connection": JSON of milvus_default}``. Each DAG runs once,
with ``dag.test()``. No retry is waited for: when it would have been due is noted in place of that.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from airflow.dag_processing.dagbag import DagBag
from airflow.models.taskinstance import TaskInstance
from airflow.utils.db import initdb

retries: dict[int, list[Any]] = {}
_due = TaskInstance.next_retry_datetime


def at_once(instance: TaskInstance) -> datetime:
    """Note after how many seconds Airflow would start the next try, and let it do so now."""
    assert instance.end_date is not None
    pause = (_due(instance) - instance.end_date).total_seconds()
    retries[instance.try_number] = [pause, instance.retry_reason]
    return instance.end_date


def main(jobs: str) -> list[dict[str, Any]]:
    """Run what the file lists."""
    initdb()
    TaskInstance.next_retry_datetime = at_once  # type: ignore[method-assign]
    done = []
    for job in json.loads(Path(jobs).read_text()):
        os.environ["AIRFLOW_CONN_MILVUS_DEFAULT"] = job["connection"]
        retries.clear()
        bag = DagBag(job["path"])
        assert not bag.import_errors, bag.import_errors
        (dag,) = bag.dags.values()
        (instance,) = dag.test().get_task_instances()
        pauses = [said for _, said in sorted(retries.items())]
        done.append({"state": instance.state, "tries": instance.try_number, "pauses": pauses})
    return done


if __name__ == "__main__":
    outcome = main(sys.argv[1])
    print("\n" + json.dumps(outcome))
