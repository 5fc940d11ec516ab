"""Run as a program, in a process with an AIRFLOW_HOME of its own: what Airflow does with connections; prints JSON.

The argument is a JSON file with ``commands``, lists of arguments of Airflow's command line, run one after the other;
``pressed``, contents of the connection form, whose Test button is pressed through the API server's own application; and
``run``, a directory and a DAG, which then runs once.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from airflow_process import run


def command(arguments: list[str]) -> str:
    """Run a command of Airflow's and return what it prints."""
    from airflow.cli import cli_parser

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        given = cli_parser.get_parser().parse_args(arguments)
        given.func(given)
    return printed.getvalue()


def press(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Press the Test button, as somebody who may."""
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"  # as in the API server
    before = {name for name in os.environ if name.startswith("AIRFLOW_CONN_")}
    client = TestClient(create_app(apps="core"))
    token = client.get("/auth/token").json()["access_token"]
    found = []
    for body in bodies:
        began = time.monotonic()
        answer = client.post(
            "/api/v2/connections/test",
            json={"conn_type": "milvus", **body},
            headers={"Authorization": f"Bearer {token}"},
        )
        found.append({"http": answer.status_code, "seconds": time.monotonic() - began, **answer.json()})
    assert before == {name for name in os.environ if name.startswith("AIRFLOW_CONN_")}
    del os.environ["_AIRFLOW_PROCESS_CONTEXT"]
    return found


def main(path: str) -> dict[str, Any]:
    """Do it all in one process: starting Airflow is what takes long."""
    from airflow.utils.db import initdb

    plan = json.loads(Path(path).read_text())
    initdb()
    printed = [command(arguments) for arguments in plan["commands"]]
    pressed = press(plan["pressed"])
    directory, dag_id = plan["run"]
    (ran,) = run(directory, json.dumps([[dag_id, "2026-03-07T00:00:00Z", {}]]))
    return {"printed": printed, "pressed": pressed, "ran": ran}


if __name__ == "__main__":
    outcome = main(sys.argv[1])
    print("\n" + json.dumps(outcome))
