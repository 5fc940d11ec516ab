"""README.md and docs/getting-started.md, pasted block by block into shells of a home that is empty.

But for two things: what comes from a package index is there already, and ports are free ones of this machine.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_vectordb.demo.airflow import AirflowApi, free_port
from airflow_vectordb.demo.home import Home
from airflow_vectordb.demo.processes import Processes
from tests.support.docs_pages import ROOT, Block, blocks_of
from tests.support.running_airflow import PATIENCE

README = ROOT / "README.md"
GETTING_STARTED = ROOT / "docs" / "getting-started.md"
#: How blocks begin that have a terminal of their own.
STAYING = ("AIRFLOW_VECTORDB_TOKEN=", "airflow standalone")
#: Lines that are left out: they fetch packages.
FETCHING = ("python3 -m venv", "pip ")
EXAMPLE = ROOT / "dags_examples" / "create_index.py"


class Newcomer:
    """Somebody with an empty home, and what they have seen so far.

    :param processes: ends what they started
    :param home: theirs
    """

    def __init__(self, processes: Processes, home: Path) -> None:
        self.processes = processes
        self.home = home
        self.dags = home / "airflow" / "dags"
        self.logs: list[Path] = []
        self.outputs: list[str] = []
        self.milvus_port, self.airflow_port = free_port(), free_port()
        (home / "airflow-venv").symlink_to(sys.prefix)
        self.env = {
            "HOME": str(home),
            "PATH": f"{home}/airflow-venv/bin:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "NO_PROXY": "*",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__API__PORT": str(self.airflow_port),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{self.airflow_port}/execution/",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        }
        self.api = AirflowApi(f"http://127.0.0.1:{self.airflow_port}", "admin", "")

    @property
    def seen(self) -> str:
        """All that they have seen, with the ports of the pages."""
        text = "\n".join([*self.outputs, *(log.read_text() for log in self.logs)])
        return text.replace(str(self.milvus_port), "19530").replace(str(self.airflow_port), "8080")

    def read(self, page: Path) -> None:
        """Do what a page says, in its order, and then look for all that it shows."""
        for block in blocks_of(page):
            if block.language == "shell" and not block.marked("not run") and not block.code.startswith("make "):
                self.paste(block)
            elif block.is_dag and page == GETTING_STARTED:
                (self.dags / "first_index.py").write_text(block.code)
        for block in blocks_of(page):
            if block.language == "text":
                self.compare(block)

    def paste(self, block: Block) -> None:
        """Paste a block of shell commands."""
        code = block.code.replace("19530", str(self.milvus_port))
        if block.code.startswith(STAYING):
            if "airflow-vectordb serve" in code:
                code += f" --port {self.milvus_port}"
            command = ["bash", "-ec", code.replace("\n --port", " --port")]
            log = self.processes.start(f"block-{len(self.logs)}", command, env=self.env, directory=ROOT).log
            self.logs.append(log)
            if "standalone" in code:
                self.processes.wait_for(self.api.is_up, "airflow standalone", log)
            else:
                self.processes.wait_for(lambda: "The Airflow connection" in log.read_text(), "serve", log)
            return
        lines = [line for line in code.splitlines() if not line.startswith(FETCHING)]
        done = subprocess.run(
            ["bash", "-ec", "\n".join(lines)],
            env=self.env,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{block}:\n{done.stdout}"
        self.outputs.append(done.stdout)

    def compare(self, block: Block) -> None:
        """Find each line that the page shows in what was seen."""
        seen = re.sub(r"docs_\d{8}T\d{6}", "docs_20261122T060000", self.seen)
        missing = [line.strip() for line in block.code.splitlines() if line.strip() not in seen]
        assert missing == [], f"{block}:\n{seen}"

    def airflow(self) -> AirflowApi:
        """Log in to the API of the Airflow that they started, with the password that it told them."""
        generated = self.home / "airflow" / "simple_auth_manager_passwords.json.generated"
        (password,) = json.loads(generated.read_text()).values()
        assert password in self.seen
        api = AirflowApi(self.api.base_url, "admin", password)
        api.log_in()
        return api

    def run_of(self, api: AirflowApi, dag_id: str, **like: Any) -> dict[str, Any]:
        """Wait for a run of a DAG to succeed, and return its task ``create_index``.

        :param like: what the run is like, by the fields of the API
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for run in api.call("GET", f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"]:
                if like.items() <= run.items() and run["state"] in ("success", "failed"):
                    assert run["state"] == "success"
                    (task,) = (
                        one for one in api.task_instances(dag_id, run["dag_run_id"]) if one["task_id"] == "create_index"
                    )
                    return {**task, "run": run}
            self.processes.pause(1.0)
        raise AssertionError(f"no run of {dag_id} like {like} has succeeded within {PATIENCE:.0f} s")


@contextmanager
def arriving(path: Path) -> Iterator[Newcomer]:
    """Somebody arrives; what they started ends with the block."""
    (path / "home").mkdir()
    with (
        Home(path / "run", fresh=True) as home,
        Processes(home) as processes,
    ):
        yield Newcomer(processes, path / "home")


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    with arriving(tmp_path_factory.mktemp("newcomer")) as arrived:
        arrived.read(GETTING_STARTED)
        yield arrived


def test_readme(tmp_path: Path) -> None:
    with arriving(tmp_path) as arrived:
        arrived.read(README)
    assert (arrived.dags / "create_index.py").read_text() == EXAMPLE.read_text()


def test_getting_started(newcomer: Newcomer) -> None:
    task = newcomer.run_of(newcomer.airflow(), "first_index", triggered_by="cli", logical_date=None)
    assert task["state"] == "success"


def test_names_are_those_of_the_run_however_it_was_started(newcomer: Newcomer) -> None:
    code = EXAMPLE.read_text()
    scheduled = code.replace('DAG("create_index", schedule="@daily")', 'DAG("each_minute", schedule="* * * * *")')
    assert scheduled != code
    (newcomer.dags / "create_index.py").write_text(code)
    (newcomer.dags / "each_minute.py").write_text(scheduled)
    command = "airflow dags reserialize && airflow dags unpause each_minute && airflow dags unpause create_index"
    newcomer.paste(Block("here", 0, "shell", f"{command} && airflow dags trigger create_index", ()))
    api = newcomer.airflow()
    by_api = api.trigger("create_index", {})
    tasks = {
        "scheduled": newcomer.run_of(api, "each_minute", run_type="scheduled"),
        "cli": newcomer.run_of(api, "create_index", triggered_by="cli", logical_date=None),
        "api": newcomer.run_of(api, "create_index", dag_run_id=by_api, logical_date=None),
    }
    api.call("PATCH", "/api/v2/dags/each_minute", {"is_paused": True})
    names = {how: task["rendered_fields"]["collection_name"] for how, task in tasks.items()}
    due = {how: re.sub(r"[-:]|\..*|Z", "", task["run"]["run_after"]) for how, task in tasks.items()}
    assert names == {how: f"docs_{moment}" for how, moment in due.items()}
    assert all(re.fullmatch(r"docs_\d{8}T\d{6}", name) for name in names.values())
    assert names["scheduled"].endswith("00")
