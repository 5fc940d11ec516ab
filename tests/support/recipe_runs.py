"""Runs DAGs whose tasks are retried, in an :class:`AirflowProcess`."""

from __future__ import annotations

import os
from typing import Any
from unittest.mock import patch

from tests.support.dag_runs import bag_of, dags_folder, retries_at_once


def run(jobs: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """
    Run the one DAG in each of some files.

    :param jobs: a file, and the connection ``milvus_default`` of its run as JSON
    """
    done = []
    with retries_at_once() as retries:
        for path, connection in jobs:
            retries.clear()
            bag = bag_of(path)
            assert not bag.import_errors, bag.import_errors
            (dag,) = bag.dags.values()
            with dags_folder(path), patch.dict(os.environ, AIRFLOW_CONN_MILVUS_DEFAULT=connection):
                (instance,) = dag.test().get_task_instances()
            pauses = [said for _, said in sorted(retries.items())]
            done.append({"state": instance.state, "tries": instance.try_number, "pauses": pauses})
    return done
