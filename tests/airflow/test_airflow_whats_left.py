"""What is left of all that: no secret in any file, and no process when the tests are interrupted."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.support.builds import NEEDLE, TOKEN, Builds
from tests.support.running_airflow import Run, RunningAirflow, processes_of

HERE = Path(__file__).parent


def test_the_token_went_to_the_server(airflow: RunningAirflow, sensed: Run, builds: Builds) -> None:
    airflow.until(lambda: builds.tokens, "somebody asks the server")
    assert builds.tokens == {f"Bearer {TOKEN}".encode()}


def test_no_file_has_the_token(airflow: RunningAirflow) -> None:
    password = TOKEN.partition(":")[2]
    forms = [NEEDLE.encode(), *(base64.b64encode(text.encode()).rstrip(b"=")[:-1] for text in (TOKEN, password))]
    looked_at = []
    for path in [*airflow.home.airflow.rglob("*"), *airflow.home.logs.rglob("*")]:
        if path.is_file():
            data = path.read_bytes()
            assert not any(form in data for form in forms), path
            looked_at.append(path)
    assert airflow.home.airflow / "airflow.db" in looked_at
    tasks = [path for path in looked_at if path.name.startswith("attempt=")]
    assert len(tasks) >= 2, looked_at
    assert any(".trigger." in path.name for path in tasks), tasks


def test_no_argument_has_the_token(airflow: RunningAirflow) -> None:
    running = processes_of(airflow.home.path)
    assert len(running) > 5
    assert not any(NEEDLE in arguments for arguments in running.values())


def test_nothing_is_left_running_when_interrupted(tmp_path: Path) -> None:
    """Three at a time, each killed in its own way."""
    moments = {signal.SIGINT: "airflow api-server", signal.SIGTERM: "airflow db", signal.SIGKILL: "airflow db"}
    started: dict[signal.Signals, subprocess.Popen[bytes]] = {}
    try:
        for number in moments:
            with (tmp_path / f"{number.name}.log").open("wb") as output:
                started[number] = subprocess.Popen(
                    [
                        *(sys.executable, "-m", "pytest", str(HERE / "test_airflow_deferral.py")),
                        *("-p", "no:cacheprovider", "--basetemp", str(tmp_path / number.name)),
                    ],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=HERE.parents[1],
                    env={**os.environ, "TMPDIR": str(tmp_path)},
                )
        waiting = dict(moments)
        deadline = time.monotonic() + 150
        while waiting and time.monotonic() < deadline:
            for number, moment in list(waiting.items()):
                if any(moment in found for found in processes_of(tmp_path / number.name / "airflow0").values()):
                    started[number].send_signal(number)
                    del waiting[number]
            time.sleep(0.05)
        assert not waiting, "never begun: " + (tmp_path / f"{next(iter(waiting)).name}.log").read_text()
        statuses = {number: process.wait(120) for number, process in started.items()}
    finally:
        for process in started.values():
            process.kill()  # the guard of each ends the rest
            process.wait()
    for number, status in statuses.items():
        text = (tmp_path / f"{number.name}.log").read_text()
        assert status == (-number if number == signal.SIGKILL else 2), text
        # After SIGKILL it is the guard that cleans up, some seconds later.
        deadline = time.monotonic() + 60
        while (left := processes_of(tmp_path / number.name)) and time.monotonic() < deadline:
            assert number == signal.SIGKILL, left
            time.sleep(0.1)
        assert left == {}
