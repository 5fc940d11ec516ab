"""Runs DAGs with connections in Airflow's database, in an :class:`AirflowProcess`."""

from __future__ import annotations

import time
from typing import Any

import pendulum

from tests.support.dag_runs import bag_of, dags_folder, run_one


def run(directory: str, dag_ids: list[str], connections: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Add the connections, and run the DAGs one after the other, as ``airflow dags test`` does; with its seconds."""
    from airflow.models import Connection
    from airflow.utils.session import create_session

    found = {}
    with dags_folder(directory):
        with create_session() as session:
            session.add_all(Connection(conn_id=conn_id, **fields) for conn_id, fields in connections.items())
        for dag_id in dag_ids:
            began = time.monotonic()
            found[dag_id] = run_one(bag_of(directory).dags[dag_id], pendulum.datetime(2026, 3, 7), {})
            found[dag_id]["seconds"] = time.monotonic() - began
    return found
