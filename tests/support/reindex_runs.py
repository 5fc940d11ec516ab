"""Runs a DAG whose tasks are killed, in an :class:`AirflowProcess`."""

from __future__ import annotations

import threading
from typing import Any
from unittest.mock import patch

import requests

from tests.support.dag_runs import bag_of, dags_folder, retries_at_once, run_one


class Killed(BaseException):
    """In the place of SIGKILL: no code of ours handles it."""


def run_killed(directory: str, dag_id: str, conf: dict[str, Any]) -> dict[str, Any]:
    """
    Run a DAG; the n-th try of each task is killed when its n-th request was answered, until one has fewer than that.

    :return: what :func:`dag_runs.run_one` returns, with the number of kills by task
    """
    from airflow.sdk.execution_time import task_runner

    kills: dict[str, int] = {}
    left = [0]
    lock = threading.Lock()
    execute, send = task_runner._execute_task, requests.adapters.HTTPAdapter.send

    def sending(*args: Any, **kwargs: Any) -> Any:
        response = send(*args, **kwargs)
        with lock:
            left[0] -= 1
            dead = left[0] <= 0
        if dead:  # as every thread of a process that was killed
            response.close()
            raise Killed
        return response

    def executing(context: Any, ti: Any, log: Any) -> Any:
        left[0] = ti.try_number
        try:
            return execute(context, ti, log)
        except Killed:
            kills[ti.task_id] = kills.get(ti.task_id, 0) + 1
            raise

    in_tasks = patch.object(task_runner, "_execute_task", executing)
    in_requests = patch.object(requests.adapters.HTTPAdapter, "send", sending)
    with dags_folder(directory), retries_at_once(), in_tasks, in_requests:
        return {**run_one(bag_of(directory).dags[dag_id], None, conf), "kills": kills}
