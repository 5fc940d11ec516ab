"""The demo itself, with the real Airflow: what it shows, how it ends, and that nothing is left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.running_airflow import processes_of

DEMO = [sys.executable, "-I", "-m", "airflow_vectordb.cli", "demo"]
TASKS = ["create_collection", "ingest", "create_index", "load_collection", "search"]

pytestmark = pytest.mark.slow


def appearing(home: Path, arguments: str) -> int:
    """Wait for the process with some arguments in a home; a line says that it is started before it runs."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for pid, found in processes_of(home).items():
            if arguments in found and "supervisor.py" not in found:
                return pid
        time.sleep(0.02)
    pytest.fail(f"no process {arguments!r}")


class Demo:
    """One run, with its output read line by line."""

    def __init__(self, home: Path, command: list[str] = DEMO, env: dict[str, str] | None = None) -> None:
        self.home = home
        self.output = ""
        self.process = subprocess.Popen(
            [*command, "--home", str(home)],
            env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def read_until(self, text: str) -> None:
        """Read on until a line has a text in it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if text in line:
                return
        pytest.fail(f"{text!r} never came:\n{self.output}")

    def end(self) -> int:
        """Read the rest; return the exit status."""
        assert self.process.stdout is not None
        with self.process.stdout:
            self.output += self.process.stdout.read()
        return self.process.wait()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all, so that only the first run makes a database."""
    return tmp_path_factory.mktemp("demo") / "my 100% home"


@pytest.fixture
def demo(home: Path) -> Iterator[Callable[..., Demo]]:
    started: list[Demo] = []

    def start(*arguments: list[str], **options: dict[str, str]) -> Demo:
        started.append(Demo(home, *arguments, **options))
        return started[-1]

    yield start
    for run in started:
        if run.process.poll() is None:
            run.process.terminate()
            run.end()


Start = Callable[..., Demo]


def test_from_ingest_to_search(demo: Start, home: Path, tmp_path: Path) -> None:
    # All of this belongs to other projects of the same user.
    (tmp_path / "airflow").mkdir()
    (tmp_path / "airflow" / "__init__.py").write_text("raise SystemExit('the wrong Airflow')")
    foreign = {
        "AIRFLOW_HOME": str(tmp_path / "home"),
        "AIRFLOW__CORE__EXECUTOR": "nowhere.NoExecutor",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "True",
        "AIRFLOW_CONN_MILVUS_DEFAULT": "milvus://nowhere.invalid:1",
        "PYTHONPATH": str(tmp_path),
        "VIRTUAL_ENV": str(tmp_path),
        "HOME": str(tmp_path / "nowhere"),
        "http_proxy": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    run = demo(env=foreign)
    run.read_until("create_index: running")
    secrets = json.loads((home / "airflow" / "secrets.json").read_text())
    running = processes_of(home)
    assert len(running) > 5
    assert run.end() == 0, run.output

    order = re.findall(r"^ *[\d.]+ s +(\w+): success after", run.output, re.MULTILINE)
    assert order == TASKS
    # It is seen that the task waits, where, and for what.
    assert "create_index: deferred (the triggerer waits" in run.output
    said = re.findall(
        r"the server says: vector_hnsw is (\w+), ([\d,]+) of [\d,]+ rows indexed, ([\d,]+) pending", run.output
    )
    assert len({indexed for _, indexed, _ in said}) > 3, run.output
    assert any(state == "Finished" and pending != "0" for state, _, pending in said)
    assert "the server says: digits is LoadStateLoading" in run.output
    table = [line.split()[:2] for line in run.output.splitlines() if re.match(r"  \w+ +success ", line)]
    assert table == [[task, "success"] for task in TASKS]
    assert re.search(r"vector_hnsw +HNSW +COSINE +M 24, efConstruction 180 +Finished +1,797 of 1,797 +0", run.output)
    assert float(re.findall(r"recall@10 against exact search +([\d.]+)", run.output)[0]) >= 0.95
    assert "FAILED" not in run.output
    assert str(home) in run.output
    assert processes_of(home) == {}
    assert not (tmp_path / "home").exists()
    assert not (tmp_path / "nowhere").exists()

    # The token is in no argument, no log and not on the terminal.
    for secret in secrets.values():
        assert not any(secret in arguments for arguments in running.values())
        assert secret not in run.output
        for log in [*(home / "logs").rglob("*.log"), *(home / "airflow" / "logs").rglob("*.log")]:
            assert secret not in log.read_text(errors="replace"), log


def test_a_task_that_fails(demo: Start, home: Path) -> None:
    # A name that Milvus does not take: longer than 255 characters.
    patched = (
        "import sys; from airflow_vectordb import cli; from airflow_vectordb.demo import runner; "
        "runner.ASKED['collection'] = 'x' * 300; sys.exit(cli.main(['demo', *sys.argv[1:]]))"
    )
    run = demo([sys.executable, "-c", patched])
    assert run.end() == 1
    # The error is permanent: no retry is used, in a task of one's own either.
    assert "Task create_collection failed in attempt 1. The end of its log:" in run.output
    assert "xxxxxxxx" in run.output  # what Milvus said is in the tail
    assert "create_index: success" not in run.output
    logs = Path(re.findall(r"All of it: (.*)", run.output)[0])
    assert sorted(log.name for log in logs.iterdir()) == ["attempt=1.log"]
    assert processes_of(home) == {}


def test_a_component_that_ends(demo: Start, home: Path) -> None:
    run = demo()
    run.read_until("starting Airflow's dag-processor")
    os.kill(appearing(home, "airflow dag-processor"), signal.SIGKILL)
    assert run.end() == 1
    assert "dag-processor ended with exit status -9. The end of its log" in run.output
    assert processes_of(home) == {}


@pytest.mark.parametrize(
    ("number", "moment", "status"),
    [
        (signal.SIGINT, "starting a Milvus server", 130),
        (signal.SIGTERM, "starting Airflow's api-server", 143),
        (signal.SIGHUP, "starting Airflow's dag-processor", 129),
        (signal.SIGINT, "ingest: running", 130),
    ],
)
def test_interrupted(demo: Start, home: Path, number: signal.Signals, moment: str, status: int) -> None:
    run = demo()
    run.read_until(moment)
    started = time.monotonic()
    run.process.send_signal(number)
    assert run.end() == status
    assert time.monotonic() - started < 30
    assert processes_of(home) == {}
    assert f"ended by {number.name}" in run.output


def test_killed(demo: Start, home: Path) -> None:
    run = demo()
    run.read_until("starting Airflow's dag-processor")
    appearing(home, "airflow dag-processor")
    run.process.kill()
    assert run.end() == -signal.SIGKILL
    deadline = time.monotonic() + 60
    while left := processes_of(home):  # the keepers end them
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_nobody_reads_the_output(demo: Start, home: Path) -> None:
    run = demo()
    assert run.process.stdout is not None
    run.read_until("starting a Milvus server")
    run.process.stdout.close()
    appearing(home, "airflow dag-processor")  # it has had more to say since
    run.process.terminate()
    assert run.process.wait() == 143
    assert processes_of(home) == {}
