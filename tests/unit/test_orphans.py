"""Processes that tests start, when the tests are killed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
STARTERS = {
    "serve": """
from tests.support.serving import serve
with serve("--port", "0") as process:
    print(process.pid, flush=True)
    input()
""",
    "Airflow": """
import pathlib, sys
from tests.support.airflow_process import AirflowProcess
with AirflowProcess(pathlib.Path(sys.argv[1]), {}) as airflow:
    print(airflow._process.pid, flush=True)
    input()
""",
}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children that their parent is gone")
@pytest.mark.parametrize("started", STARTERS)
def test_they_end(started: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", STARTERS[started], str(tmp_path)]
    pipe, env = subprocess.PIPE, {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=tmp_path, env=env) as tests:
        assert tests.stdout is not None
        orphan = psutil.Process(int(tests.stdout.readline()))
        orphan.suspend()  # busy with something else than its standard input
        tests.kill()

    try:
        orphan.wait(60)
    finally:
        if orphan.is_running():
            orphan.kill()
