"""What Airflow does with connections, in an :class:`AirflowProcess`."""

from __future__ import annotations

import contextlib
import io
import os
import time
from typing import Any
from unittest.mock import patch

from tests.support.dag_runs import make_database


def run_commands(commands: list[list[str]]) -> list[str]:
    """Run commands of Airflow's, one after the other, and return what they print."""
    make_database()
    return [_command(arguments) for arguments in commands]


def _command(arguments: list[str]) -> str:
    from airflow.cli import cli_parser

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        given = cli_parser.get_parser().parse_args(arguments)
        given.func(given)
    return printed.getvalue()


def press(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Press the Test button for each of some forms, through the API server's own application, as somebody who may."""
    from airflow.api_fastapi.app import create_app
    from fastapi.testclient import TestClient

    make_database()
    before = {name for name in os.environ if name.startswith("AIRFLOW_CONN_")}
    found = []
    with patch.dict(os.environ, _AIRFLOW_PROCESS_CONTEXT="server"):
        client = TestClient(create_app(apps="core"))
        token = client.get("/auth/token").json()["access_token"]
        for body in bodies:
            began = time.monotonic()
            answer = client.post(
                "/api/v2/connections/test",
                json={"conn_type": "milvus", **body},
                headers={"Authorization": f"Bearer {token}"},
            )
            found.append({"http": answer.status_code, "seconds": time.monotonic() - began, **answer.json()})
    assert before == {name for name in os.environ if name.startswith("AIRFLOW_CONN_")}
    return found
