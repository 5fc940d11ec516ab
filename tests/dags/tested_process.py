"""Run as a program, in a process with an AIRFLOW_HOME of its own: tests DAGs with connections in Airflow's database.

The argument is a JSON file with ``connections``, their fields by id, and ``run``, a directory and DAGs, which run one
after the other as by ``airflow dags test``. Prints JSON, with the seconds that each run took.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pendulum
from airflow_process import bag_of, run_one


def main(path: str) -> dict[str, Any]:
    """Add the connections, and run the DAGs."""
    from airflow.models import Connection
    from airflow.utils.db import initdb
    from airflow.utils.session import create_session

    plan = json.loads(Path(path).read_text())
    initdb()
    with create_session() as session:
        session.add_all(Connection(conn_id=conn_id, **fields) for conn_id, fields in plan["connections"].items())
    directory, dag_ids = plan["run"]
    found = {}
    for dag_id in dag_ids:
        began = time.monotonic()
        found[dag_id] = run_one(bag_of(directory).dags[dag_id], pendulum.datetime(2026, 3, 7), {})
        found[dag_id]["seconds"] = time.monotonic() - began
    return found


if __name__ == "__main__":
    outcome = main(sys.argv[1])
    print("\n" + json.dumps(outcome))
